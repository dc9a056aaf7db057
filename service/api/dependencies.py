"""What endpoints depend on: settings, database, broker, store, and the caller with the scope that is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipelines.store.object_store import Store
from service.settings import Settings
from service.state import api_keys
from service.state.api_keys import Caller, KeyExpired, Scope
from service.state.database import Database
from service.tenants import open_store


@dataclass(frozen=True)
class AppContext:
    """What all requests share. It lies in `app.state.context`."""

    settings: Settings
    database: Database
    broker: Celery

    def store(self, caller: Caller) -> Store:
        """The caller's tenant's part of the object store: no other can be reached from it."""
        return open_store(self.settings, caller.tenant)


def app_context(request: Request) -> AppContext:
    context: AppContext = request.app.state.context
    return context


Context = Annotated[AppContext, Depends(app_context)]
Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, description="An API key: cp_..."))
]


def authenticated(context: Context, bearer: Bearer) -> Caller:
    """The caller by the request's API key. Raises 401."""
    if not context.settings.auth:
        return Caller("default", api_keys.SCOPES)
    try:
        caller = None if bearer is None else api_keys.authenticate(context.database, bearer.credentials)
    except KeyExpired as error:
        raise HTTPException(401, str(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
    if caller is None:
        raise HTTPException(
            401,
            "no valid API key; send one as 'Authorization: Bearer cp_...', made by 'counterpoise keys create'",
            {"WWW-Authenticate": "Bearer"},
        )
    return caller


def require(scope: Scope) -> Callable[[Caller], Caller]:
    """A dependency: the caller, whose key has this scope. Raises 403."""

    def authorized(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
        if not caller.may(scope):
            scopes = ", ".join(caller.scopes)
            raise HTTPException(403, f"this key has no scope {scope!r}; it has {scopes}. Use another key")
        return caller

    return authorized


ReadAccess = Annotated[Caller, Depends(require("read"))]
SubmitAccess = Annotated[Caller, Depends(require("submit"))]
AdminAccess = Annotated[Caller, Depends(require("admin"))]
