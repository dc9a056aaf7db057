"""Request and response models of previews; server and client share them."""

from typing import Literal

from pydantic import BaseModel, Field

from pipelines.spec import VersionSpec

MOST = 16  # images of a preview


class PreviewRequest(BaseModel):
    spec: VersionSpec
    count: int = Field(8, ge=1, le=MOST, description="Images.")
    forecast: bool = Field(
        False,
        description="Say, too, whether the version will help and what it costs: from 64 images, of which `count` are sent.",
    )


class PreviewImage(BaseModel):
    """One image."""

    label: str
    origin: str | None = Field(description="Class of the source image.")
    prompt: str
    image: str = Field(description="data: URL of the PNG.")
    source: str | None = Field(description="data: URL of the source image, if there is one.")


class GainView(BaseModel):
    """An accuracy of a linear probe, 0..1, and how far its change might have come out otherwise."""

    before: float = Field(description="Of the real training images alone.")
    after: float = Field(description="With the preview's images beside them.")
    low: float = Field(description="Of after - before: one in ten redraws of those and of the test images would fall below.")
    high: float = Field(description="One in ten would exceed it.")


class ForecastView(BaseModel):
    """What a preview says of the version."""

    direction: Literal["gain", "loss", "unclear"] = Field(description="Of the average accuracy.")
    text: str = Field(description="All of it in sentences.")
    images: int = Field(description="Images that it was made from.")
    dropped: dict[str, int] = Field(description="Those that the filters dropped, by reason.")
    unjudged: list[str] = Field(description="Filters that were left out.")
    average: GainView | None = Field(description="Average accuracy; null: hardly any image was kept.")
    worst_group: GainView | None = Field(description="Accuracy of the worst class and group.")
    label_agreement: float | None = Field(
        description="Share of images that a probe of real ones takes for what they are labelled as."
    )
    precision: float | None = Field(description="Share of images among the real ones.")
    density: float | None = Field(description="How many real images each is near, over five.")
    planned: int = Field(description="Images of the version.")
    seconds: float = Field(description="That these take at the preview's pace; without loading, learning and evaluation.")
    notes: list[str]


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
    forecast: ForecastView | None = Field(None, description="If it was asked for.")
    problem: PreviewFailure | None = Field(None, description="Why it failed.")
