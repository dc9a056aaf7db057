"""What endpoints depend on: settings, database, broker, store, and the caller with the scope that is needed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from celery import Celery
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry

from pipelines.store.object_store import Patience, Store
from service.api.pools import Pools
from service.broker import Waker
from service.caps import Caps, OpenStreams, TokenBuckets
from service.console.sessions import Sessions
from service.health.readiness import Readiness
from service.previews.messages import PreviewBroker
from service.settings import Settings
from service.state.api_keys import Caller, Scope
from service.state.database import Database
from service.tenants import open_store

# Of a request: a client waits for the answer, and the store's threads are few.
REQUEST_PATIENCE = Patience(timedelta(seconds=2), timedelta(seconds=8), retries=1, seconds=10)


@dataclass(frozen=True)
class AppContext:
    """What all requests share. It lies in `app.state.context`."""

    settings: Settings
    database: Database
    broker: Celery
    waker: Waker
    readiness: Readiness
    previews: PreviewBroker
    registry: CollectorRegistry  # of metrics
    sessions: Sessions  # of the console
    pools: Pools = field(default_factory=Pools)
    streams: OpenStreams = field(default_factory=OpenStreams)
    requests: TokenBuckets = field(default_factory=TokenBuckets)


class AppContextWithStore(AppContext):
    """The context of an endpoint that may wait for the object store: it runs in the store's threads."""

    def store(self, caller: Caller) -> Store:
        """The caller's tenant's part of the object store: no other can be reached from it."""
        return open_store(self.settings, caller.tenant, REQUEST_PATIENCE)

    def patient_store(self, caller: Caller) -> Store:
        """The same, for files of any size: calls that hold none of the store's threads."""
        return open_store(self.settings, caller.tenant)


async def app_context(request: Request) -> AppContext:
    context: AppContext = request.app.state.context
    return context


async def app_context_with_store(request: Request) -> AppContextWithStore:
    return AppContextWithStore(**vars(request.app.state.context))


Context = Annotated[AppContext, Depends(app_context)]
StoreContext = Annotated[AppContextWithStore, Depends(app_context_with_store)]


async def authenticated(
    request: Request, _: Annotated[object, Depends(HTTPBearer(auto_error=False, description="An API key: cp_..."))]
) -> Caller:
    """The caller, whom `service/api/guard.py` knows before the body is read. The parameter is for the description."""
    caller: Caller = request.state.caller
    return caller


def require(*scopes: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, whose key has one of these scopes. Raises 403."""

    async def authorized(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        if not any(caller.may(scope) for scope in scopes):
            known, needed = ", ".join(caller.scopes), " or ".join(map(repr, scopes))
            raise HTTPException(403, f"this key has no scope {needed}; it has {known}. Use another key")
        return caller

    return authorized


async def counted_stream(context: Context, caller: Annotated[Caller, Depends(authenticated)]) -> AsyncIterator[None]:
    """A dependency: the response is a stream, one of so many that the tenant may have open. Raises CapReached."""
    with context.streams.hold(caller.tenant, Caps.of(context.settings, caller.limits).streams):
        yield


ReadAccess = Annotated[Caller, Depends(require("read"))]
CheckAccess = Annotated[Caller, Depends(require("read", "submit"))]  # whoever submits a spec may have it checked
SubmitAccess = Annotated[Caller, Depends(require("submit"))]
AdminAccess = Annotated[Caller, Depends(require("admin"))]
