"""/v1/webhooks: addresses that are told when a version has ended."""

import base64
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field

from service.api.dependencies import Here, Reader, Submitter
from service.api.problems import documented
from service.state import deliveries
from service.webhooks.delivery import addresses

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=documented(401, 403, 422))
Id = Annotated[int, Path(ge=1, le=2**62, description="Id of the webhook.")]


class Wanted(BaseModel):
    url: str = Field(max_length=2000, description="Where to POST.", examples=["https://example.com/hook"])


class WebhookView(BaseModel):
    id: int
    url: str
    created: float = Field(description="Seconds since the epoch.")


class NewWebhook(WebhookView):
    secret: str = Field(description="What deliveries are signed with (Standard Webhooks). Shown this once.")


class DeliveryView(BaseModel):
    id: str = Field(description="The webhook-id header of each of its attempts.")
    at: float = Field(description="When it happened: seconds since the epoch.")
    payload: dict[str, Any]
    state: str = Field(description="pending, delivered or abandoned.")
    attempts: int
    status: int | None = Field(description="Of the last answer, if there was one.")
    error: str | None = Field(description="What went wrong at the last attempt.")


@router.post("", status_code=201, responses=documented(400))
def create(here: Here, who: Submitter, wanted: Wanted) -> NewWebhook:
    """Be told of every version that ends: version.completed, .held, .unchanged, .failed or .cancelled."""
    addresses(wanted.url, here.settings.private_webhooks)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    made = deliveries.create(here.database, who.tenant, wanted.url, secret)
    return NewWebhook(id=made.id, url=made.url, created=made.created, secret=secret)


@router.get("")
def listed(here: Here, who: Reader) -> list[WebhookView]:
    """All webhooks, without their secrets."""
    return [WebhookView(id=w.id, url=w.url, created=w.created) for w in deliveries.listed(here.database, who.tenant)]


@router.delete("/{webhook_id}", status_code=204, responses=documented(404))
def delete(here: Here, who: Submitter, webhook_id: Id) -> None:
    """Be told no more. What was not delivered yet is not."""
    if not deliveries.remove(here.database, who.tenant, webhook_id):
        raise HTTPException(404, f"there is no webhook {webhook_id}")


@router.get("/{webhook_id}/deliveries", responses=documented(404))
def deliveries_of(here: Here, who: Reader, webhook_id: Id) -> list[DeliveryView]:
    """The last 100 deliveries, the newest first: what was sent, how often, and what came back."""
    found = deliveries.log(here.database, who.tenant, webhook_id)
    if found is None:
        raise HTTPException(404, f"there is no webhook {webhook_id}")
    return [
        DeliveryView(
            id=f"msg_{d.id}",
            at=d.at,
            payload=d.payload,
            state=d.state,
            attempts=d.attempts,
            status=d.status,
            error=d.error,
        )
        for d in found
    ]
