"""The response models of sources and uploads; server and client share them."""

from typing import Literal

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


class UploadView(BaseModel):
    """An archive that was sent, and what became of it."""

    id: int
    source: str
    state: Literal["waiting", "reading", "done", "failed"]
    size: int = Field(description="Bytes that were sent.")
    error: str | None = Field(default=None, description="Why it failed, or has to be read again, and the remedy.")
    digest: str | None = Field(default=None, description="Once done: digest of the state of the source.")
    result: SourceView | None = Field(default=None, description="Once done: that state, in numbers.")

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")
