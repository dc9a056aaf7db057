"""/v1/webhooks: addresses to which the end of every version is posted, and a log of the deliveries."""

import base64
import secrets
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from service.api.dependencies import Context, ReadAccess, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.state import deliveries, webhooks
from service.state.tables import Delivery, Webhook
from service.webhooks.addresses import resolve
from service.webhooks.delivery import message_id
from service.webhooks.schemas import DeliveryView, NewSecret, WebhookRequest, WebhookView

router = APIRouter(route_class=Route, prefix="/v1/webhooks", tags=["webhooks"], responses=documented(401, 403, 422))
WebhookId = Annotated[int, Path(ge=1, le=2**62, description="Id of the webhook.")]
MessageId = Annotated[str, Path(pattern="^msg_[1-9][0-9]{0,17}$", description="Id of the delivery.", examples=["msg_7"])]


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def there(webhook: Webhook | None, webhook_id: int) -> Webhook:
    """The webhook. Raises 404 if there is none."""
    if webhook is None:
        raise HTTPException(404, f"there is no webhook {webhook_id}")
    return webhook


def enabled(webhook: Webhook) -> None:
    """Raises 409 if nothing is sent to a webhook."""
    if webhook.disabled is not None:
        path = f"/v1/webhooks/{webhook.id}/enable"
        raise HTTPException(409, f"webhook {webhook.id} is disabled: {webhook.reason}. Enable it first: POST {path}")


def webhook_view(row: Webhook) -> WebhookView:
    return WebhookView(id=row.id, url=row.url, created=row.created, disabled=row.disabled, reason=row.reason)


def delivery_view(row: Delivery) -> DeliveryView:
    return DeliveryView(
        id=message_id(row.id),
        at=row.at,
        payload=row.payload,
        state=row.state,
        attempts=row.attempts,
        status=row.status,
        error=row.error,
    )


@router.post("", status_code=201, responses=documented(400))
def create_webhook(context: Context, caller: SubmitAccess, request: WebhookRequest) -> NewSecret:
    """Register a URL for the end of every version: version.completed, .held, .unchanged, .failed or .cancelled."""
    resolve(request.url, context.settings.private_webhooks)
    count = len(webhooks.list_all(context.database, caller.tenant))
    Caps.of(context.settings, caller.limits).check_webhooks(count)
    row = webhooks.create(context.database, caller.tenant, request.url, secret := new_secret())
    return NewSecret(**webhook_view(row).model_dump(), secret=secret)


@router.get("")
def list_webhooks(context: Context, caller: ReadAccess) -> list[WebhookView]:
    """All webhooks, without their secrets."""
    return [webhook_view(row) for row in webhooks.list_all(context.database, caller.tenant)]


@router.delete("/{webhook_id}", status_code=204, responses=documented(404))
def delete_webhook(context: Context, caller: SubmitAccess, webhook_id: WebhookId) -> None:
    """Remove a webhook. Its pending deliveries are dropped."""
    if not webhooks.remove(context.database, caller.tenant, webhook_id):
        raise HTTPException(404, f"there is no webhook {webhook_id}")


@router.post("/{webhook_id}/rotate", responses=documented(404))
def rotate_secret(context: Context, caller: SubmitAccess, webhook_id: WebhookId) -> NewSecret:
    """A new secret, shown once. For 24 hours the one before signs as well: the header holds both signatures."""
    row = webhooks.rotate(context.database, caller.tenant, webhook_id, secret := new_secret())
    return NewSecret(**webhook_view(there(row, webhook_id)).model_dump(), secret=secret)


@router.post("/{webhook_id}/enable", responses=documented(404))
def enable_webhook(context: Context, caller: SubmitAccess, webhook_id: WebhookId) -> WebhookView:
    """Send to a webhook again that was disabled: of what happens from now on, and what is retried."""
    return webhook_view(there(webhooks.enable(context.database, caller.tenant, webhook_id), webhook_id))


@router.post("/{webhook_id}/test", status_code=202, responses=documented(404, 409))
def test_webhook(context: Context, caller: SubmitAccess, webhook_id: WebhookId) -> DeliveryView:
    """Send a `webhook.test`. What came of it is in the list of the deliveries."""
    enabled(there(webhooks.get(context.database, caller.tenant, webhook_id), webhook_id))
    return delivery_view(deliveries.enqueue_test(context.database, webhook_id))


@router.get("/{webhook_id}/deliveries", responses=documented(404))
def list_deliveries(context: Context, caller: ReadAccess, webhook_id: WebhookId) -> list[DeliveryView]:
    """The last 100 deliveries, the newest first: what was sent, how often, and what came back."""
    there(webhooks.get(context.database, caller.tenant, webhook_id), webhook_id)
    return [delivery_view(row) for row in deliveries.list_deliveries(context.database, webhook_id)]


@router.post("/{webhook_id}/deliveries/{message}/retry", status_code=202, responses=documented(404, 409))
def retry_delivery(context: Context, caller: SubmitAccess, webhook_id: WebhookId, message: MessageId) -> None:
    """Send a delivery anew that has ended, under the same id."""
    enabled(there(webhooks.get(context.database, caller.tenant, webhook_id), webhook_id))
    if not deliveries.retry(context.database, webhook_id, int(message.removeprefix("msg_"))):
        raise HTTPException(404, f"webhook {webhook_id} has no delivery {message} that has ended")
