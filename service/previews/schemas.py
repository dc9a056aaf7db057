"""Request and response models of previews."""

from pydantic import BaseModel, Field

from pipelines.spec import VersionSpec


class PreviewRequest(BaseModel):
    spec: VersionSpec
    count: int = Field(8, ge=1, le=16, description="Images.")


class PreviewImage(BaseModel):
    """One image."""

    label: str
    origin: str | None = Field(description="Class of the source image.")
    prompt: str
    image: str = Field(description="data: URL of the PNG.")
    source: str | None = Field(description="data: URL of the source image, if there is one.")


class PreviewView(BaseModel):
    learned: bool = Field(
        description="Whether tokens of an earlier version were used. If not, classes are prompted by name."
    )
    images: list[PreviewImage]
