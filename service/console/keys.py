"""The page of a tenant's API keys, for those with the scope `admin`."""

from fastapi import APIRouter, HTTPException, Response
from pydantic import ValidationError

from pipelines.spec import mistake
from service.api.dependencies import AdminAccess, Context
from service.console.pages import Form, PageRoute, Visiting
from service.keys.endpoints import KeyId, create_key, list_keys, revoke_key
from service.keys.schemas import KeyRequest
from service.state.api_keys import SCOPES

router = APIRouter(route_class=PageRoute, prefix="/keys")
DAY = 86_400


@router.get("")
def get_keys(visit: Visiting, context: Context, caller: AdminAccess) -> Response:
    return visit.page("keys.html", keys=list_keys(context, caller), scopes=SCOPES, created=None)


@router.post("")
def create(visit: Visiting, context: Context, caller: AdminAccess, fields: Form) -> Response:
    """A new key, on this one page; it cannot be read again."""
    days = fields.get("days", "").strip()
    if days and not (days.isascii() and days.isdigit()):
        raise HTTPException(422, f"days: {days!r} is no number of days; give one such as 90, or nothing")
    scopes = [scope for scope in SCOPES if f"scope.{scope}" in fields]
    try:
        request = KeyRequest.model_validate(
            {"name": fields.get("name", "").strip(), "scopes": scopes, "expires_in": int(days) * DAY if days else None}
        )
    except ValidationError as error:
        raise HTTPException(422, "; ".join(": ".join(mistake(details)) for details in error.errors())) from None
    created = create_key(context, caller, request)
    return visit.page("keys.html", 201, keys=list_keys(context, caller), scopes=SCOPES, created=created)


@router.post("/{key_id}/revoke")
def revoke(visit: Visiting, context: Context, caller: AdminAccess, key_id: KeyId) -> Response:
    revoke_key(context, caller, key_id)
    return visit.go("/keys")
