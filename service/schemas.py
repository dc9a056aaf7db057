"""What the API answers with; server and client share it."""

from typing import Any

from pydantic import BaseModel, Field

from service.state.flow import State


class Done(BaseModel):
    done: int
    of: int


class VersionView(BaseModel):
    """A version and how far it is."""

    dataset: str = Field(examples=["shoes"])
    number: int = Field(examples=[1])
    state: State
    entered: dict[str, float] = Field(description="When it entered each of its states: seconds since the epoch.")
    units: dict[str, Done] = Field(description="Pieces of work by stage: done, and of how many.")
    counts: dict[str, Any] = Field(description="Images planned, generated, kept and dropped, by reason, so far.")
    seconds_left: float | None = Field(description="Until all images are generated, at the rate so far; null if unknown.")
    error: str | None = Field(description="Why it failed.")
    spec: dict[str, Any]
    links: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.state in ("completed", "cancelled", "failed")


class VersionPage(BaseModel):
    items: list[VersionView]
    next: str | None = Field(description="Cursor of the next page; none on the last.")


class Happening(BaseModel):
    """One event of a version."""

    id: int
    kind: str
    data: dict[str, Any]


class Refused(BaseModel):
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
    refused: list[Refused] = Field(description="Images that cannot be used, and why: the first 1,000.")
