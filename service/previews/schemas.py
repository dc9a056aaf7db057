"""Request and response models of previews; server and client share them."""

from typing import Literal

from pydantic import BaseModel, Field

from pipelines.spec import VersionSpec

MOST = 16  # images of a preview


class PreviewRequest(BaseModel):
    spec: VersionSpec
    count: int = Field(8, ge=1, le=MOST, description="Images.")


class PreviewImage(BaseModel):
    """One image."""

    label: str
    origin: str | None = Field(description="Class of the source image.")
    prompt: str
    image: str = Field(description="data: URL of the PNG.")
    source: str | None = Field(description="data: URL of the source image, if there is one.")


class PreviewFailure(BaseModel):
    """Why there are no images: a problem of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int = Field(description="422: the spec; 503: no worker was free in time; 500: the preview itself.")
    detail: str


class PreviewView(BaseModel):
    """A preview, which is there for some minutes."""

    id: str
    state: Literal["pending", "done", "failed"]
    learned: bool | None = Field(
        None, description="Whether tokens of an earlier version were used. If not, classes are prompted by name."
    )
    images: list[PreviewImage] = Field([], description="Once it is done.")
    problem: PreviewFailure | None = Field(None, description="Why it failed.")
