"""Request and response models of API keys."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.state.api_keys import Scope

YEAR = 365 * 86_400


class KeyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="What the key is for.", examples=["nightly refresh"])
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)] = Field(
        ["read", "submit"], description="What it may be used for."
    )
    expires_in: int | None = Field(None, ge=60, le=10 * YEAR, description="Seconds for which it is valid; none: for ever.")


class KeyView(BaseModel):
    id: int
    name: str
    scopes: list[str]
    limits: dict[str, Any] = Field(description="Its own, in place of the service's.")
    created: float = Field(description="Seconds since the epoch.")
    expires: float | None = Field(description="From when on it is not valid: likewise.")
    last_used: float | None = Field(description="To the minute: likewise.")
    revoked: float | None = Field(description="Since when it is not valid any more: likewise.")


class NewKey(KeyView):
    key: str = Field(description="The key: cp_... Shown this once.")
