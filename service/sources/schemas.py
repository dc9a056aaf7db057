"""The response model of a source; server and client share it."""

from pydantic import BaseModel, Field


class RefusedImage(BaseModel):
    id: str
    reason: str


class SourceView(BaseModel):
    """The index of a source, in numbers."""

    name: str
    digest: str = Field(description="Digest of this state of it.")
    images: int
    classes: dict[str, int] = Field(description="Images of each class.")
    groups: dict[str, int] = Field(description="Images of each group, where known.")
    splits: dict[str, int]
    refused: list[RefusedImage] = Field(description="Images that cannot be used, and why: the first 1,000.")
