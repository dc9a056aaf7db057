"""Creating a version over HTTP, new or as a refresh: insert its row, wake a worker, answer with its URL."""

from typing import Any

from fastapi import HTTPException, Response

from service.api.dependencies import AppContext
from service.caps import Caps
from service.state import versions
from service.state.api_keys import Caller
from service.state.idempotency import IdempotentRequest, KeyReused
from service.state.versions import VersionRunning
from service.versions.schemas import VersionView
from service.versions.views import version_url, version_view


def create_and_wake(
    context: AppContext,
    caller: Caller,
    name: str,
    document: dict[str, Any],
    request: IdempotentRequest | None,
    response: Response,
    *,
    refresh: bool = False,
) -> VersionView:
    """Create a version, wake a worker and answer with its address. Raises 409, and CapReached."""
    caps, priority = Caps.of(context.settings, caller.limits), caller.limits.get("priority") or 0
    try:
        version_id = versions.create(
            context.database, caller.tenant, name, document, request, refresh=refresh, caps=caps, priority=priority
        )
    except KeyReused:
        raise HTTPException(409, "Idempotency-Key: was used for another request; use a new one") from None
    except VersionRunning as running:
        raise HTTPException(409, f"version {running} of {name!r} is on its way; wait for it, or cancel it") from None
    version = versions.get(context.database, version_id)
    assert version is not None
    wake_worker(context)
    response.headers["Location"] = version_url(version)
    return version_view(context, version)


def wake_worker(context: AppContext) -> None:
    """Wake a worker, after the answer if the broker is slow. If it is away, the scheduler does later."""
    context.waker.wake("cpu")
