"""Response models of samples."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.version.verdicts import Decision


class SampleView(BaseModel):
    """A generated image and its provenance."""

    id: str = Field(description="Index in the plan, and attempt.", examples=["17-0"])
    verdict: Literal["kept", "dropped"]
    reason: str | None = Field(description="Why it was dropped.", examples=["quality: blurred"])
    label: str
    group: str | None = Field(description="Of the source image, whose background it keeps.")
    box: list[int] | None = Field(
        None, description="Of the object, in pixels: left, top, width, height. None where all of the image was generated."
    )
    origin: str | None = Field(description="Class of the source image.")
    source_id: str | None
    source_sha256: str | None
    object_id: str | None = Field(None, description="The image that a real object in it was cut from.")
    object_sha256: str | None = None
    method: str
    prompt: str
    group_id: str | None = Field(None, description="Of samples that belong together, as siblings of one prompt do.")
    concept: str | None = Field(description="Key in the store of the token in its prompt.")
    seed: int
    strength: float
    guidance: float
    steps: int
    model: str
    revision: str
    scores: dict[str, Any] = Field(description="Scores of the filters, by `filter.score`.")
    image: str = Field(description="Where the image is, as it is stored.")
    mask: str | None = Field(None, description="Where the mask of its object is, a PNG, white inside; null: there is none.")


class VerdictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    decision: Decision = Field(
        description="drop: the next refresh makes another in its place. keep: it is in the next version, though the filters "
        "dropped it, where its source image still is there. Exports do the same."
    )


class SamplePage(BaseModel):
    items: list[SampleView]
    next: str | None = Field(description="Cursor of the next page; none on the last. A page may be short, or empty.")
