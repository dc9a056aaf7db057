"""Request and response models of webhooks and deliveries."""

from typing import Any

from pydantic import BaseModel, Field


class WebhookRequest(BaseModel):
    url: str = Field(max_length=2000, description="Where to POST.", examples=["https://example.com/hook"])


class WebhookView(BaseModel):
    id: int
    url: str
    created: float = Field(description="Seconds since the epoch.")
    disabled: float | None = Field(description="Since when nothing is sent to it, if it is disabled: likewise.")
    reason: str | None = Field(description="Why it is disabled.")


class NewSecret(WebhookView):
    secret: str = Field(description="What deliveries are signed with (Standard Webhooks). Shown this once.")


class DeliveryView(BaseModel):
    id: str = Field(description="The webhook-id header of each of its attempts.", examples=["msg_7"])
    at: float = Field(description="When it happened: seconds since the epoch.")
    payload: dict[str, Any]
    state: str = Field(description="pending, sending, delivered or abandoned.")
    attempts: int
    status: int | None = Field(description="HTTP status of the last answer, if there was one.")
    error: str | None = Field(description="What went wrong at the last attempt.")
