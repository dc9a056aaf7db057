"""/v1/webhooks: addresses to which the end of every version is posted, and a log of the deliveries."""

import base64
import secrets
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from service.api.dependencies import Context, ReadAccess, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.state import deliveries
from service.webhooks.addresses import resolve
from service.webhooks.delivery import message_id
from service.webhooks.schemas import DeliveryView, NewWebhook, WebhookRequest, WebhookView

router = APIRouter(route_class=Route, prefix="/v1/webhooks", tags=["webhooks"], responses=documented(401, 403, 422))
WebhookId = Annotated[int, Path(ge=1, le=2**62, description="Id of the webhook.")]


@router.post("", status_code=201, responses=documented(400))
def create_webhook(context: Context, caller: SubmitAccess, request: WebhookRequest) -> NewWebhook:
    """Register a URL for the end of every version: version.completed, .held, .unchanged, .failed or .cancelled."""
    resolve(request.url, context.settings.private_webhooks)
    count = len(deliveries.list_webhooks(context.database, caller.tenant))
    Caps.of(context.settings, caller.limits).check_webhooks(count)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    row = deliveries.create_webhook(context.database, caller.tenant, request.url, secret)
    return NewWebhook(id=row.id, url=row.url, created=row.created, secret=secret)


@router.get("")
def list_webhooks(context: Context, caller: ReadAccess) -> list[WebhookView]:
    """All webhooks, without their secrets."""
    rows = deliveries.list_webhooks(context.database, caller.tenant)
    return [WebhookView(id=row.id, url=row.url, created=row.created) for row in rows]


@router.delete("/{webhook_id}", status_code=204, responses=documented(404))
def delete_webhook(context: Context, caller: SubmitAccess, webhook_id: WebhookId) -> None:
    """Remove a webhook. Its pending deliveries are dropped."""
    if not deliveries.remove_webhook(context.database, caller.tenant, webhook_id):
        raise HTTPException(404, f"there is no webhook {webhook_id}")


@router.get("/{webhook_id}/deliveries", responses=documented(404))
def list_deliveries(context: Context, caller: ReadAccess, webhook_id: WebhookId) -> list[DeliveryView]:
    """The last 100 deliveries, the newest first: what was sent, how often, and what came back."""
    rows = deliveries.list_deliveries(context.database, caller.tenant, webhook_id)
    if rows is None:
        raise HTTPException(404, f"there is no webhook {webhook_id}")
    return [
        DeliveryView(
            id=message_id(row.id),
            at=row.at,
            payload=row.payload,
            state=row.state,
            attempts=row.attempts,
            status=row.status,
            error=row.error,
        )
        for row in rows
    ]
