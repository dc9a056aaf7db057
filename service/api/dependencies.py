"""What endpoints work with, and who calls them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipelines.store import Store
from service.settings import Settings
from service.state import api_keys
from service.state.api_keys import Caller, Scope
from service.state.database import Database


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    queue: Celery

    def store(self, who: Caller) -> Store:
        """Where everything of the caller's tenant lies, and nothing else."""
        return Store.open(f"{self.settings.store}/{who.tenant}")


def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Here = Annotated[Context, Depends(context)]
Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, description="An API key: cp_..."))
]


def caller(here: Here, bearer: Bearer) -> Caller:
    """Whoever sent the request. Raises 401."""
    if not here.settings.auth:
        return Caller("default", api_keys.SCOPES)
    found = None if bearer is None else api_keys.caller(here.database, bearer.credentials)
    if found is None:
        raise HTTPException(
            401,
            "no valid API key; send one as 'Authorization: Bearer cp_...', made by 'counterpoise keys create'",
            {"WWW-Authenticate": "Bearer"},
        )
    return found


def allowed(scope: Scope) -> Callable[[Caller], Caller]:
    """Only callers with a scope. Raises 403."""

    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if not who.may(scope):
            raise HTTPException(403, f"this key has no scope {scope!r}; it has {', '.join(who.scopes)}. Use another key")
        return who

    return check


Reader = Annotated[Caller, Depends(allowed("read"))]
Submitter = Annotated[Caller, Depends(allowed("submit"))]
