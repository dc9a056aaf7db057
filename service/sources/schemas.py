"""Sources as the API shows them; server and client share it."""

from pydantic import BaseModel, Field


class RefusedImage(BaseModel):
    id: str
    reason: str


class SourceView(BaseModel):
    """What was understood of a source."""

    name: str
    digest: str = Field(description="Of this state of it.")
    images: int
    classes: dict[str, int] = Field(description="Images of each class.")
    groups: dict[str, int] = Field(description="Images of each group, where known.")
    splits: dict[str, int]
    refused: list[RefusedImage] = Field(description="Images that cannot be used, and why: the first 1,000.")
