"""/v1/keys: the API keys of the caller's own tenant, for those with the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from service.api.dependencies import AdminAccess, Context
from service.api.problems import documented
from service.api.routes import Route
from service.keys.schemas import KeyRequest, KeyView, NewKey
from service.state import api_keys
from service.state.tables import ApiKey

router = APIRouter(route_class=Route, prefix="/v1/keys", tags=["keys"], responses=documented(401, 403, 422))
KeyId = Annotated[int, Path(ge=1, le=2**62, description="Id of the key.")]


def key_view(row: ApiKey) -> KeyView:
    return KeyView(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        limits=row.limits,
        created=row.created,
        expires=row.expires,
        last_used=row.last_used,
        revoked=row.revoked,
    )


@router.post("", status_code=201, responses=documented(400))
def create_key(context: Context, caller: AdminAccess, request: KeyRequest) -> NewKey:
    """A key of the caller's tenant, with the limits of the caller's own. Shown once."""
    row, key = api_keys.issue(
        context.database,
        request.name,
        caller.tenant,
        list(dict.fromkeys(request.scopes)),
        lifetime=request.expires_in,
        limits=caller.limits,
    )
    return NewKey(**key_view(row).model_dump(), key=key)


@router.get("")
def list_keys(context: Context, caller: AdminAccess) -> list[KeyView]:
    """The keys of the caller's tenant, those revoked and expired included."""
    return [key_view(row) for row in api_keys.list_all(context.database, caller.tenant)]


@router.delete("/{key_id}", status_code=204, responses=documented(404))
def revoke_key(context: Context, caller: AdminAccess, key_id: KeyId) -> None:
    """Put a key of the caller's tenant out of force, at once."""
    if not api_keys.revoke(context.database, key_id, caller.tenant):
        raise HTTPException(404, f"no key {key_id} is in force")
