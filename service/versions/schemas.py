"""Response models of versions, their events and files; server and client share them."""

from typing import Any

from pydantic import BaseModel, Field

from service.state.lifecycle import ENDED, State
from service.usage.schemas import CostView

EXAMPLE_SPEC = {
    "name": "shoes",
    "source": {"type": "spurious"},
    "method": {"type": "spurious_removal", "superclass": "shoe"},
    "amount": {"per_class": 300},
    "filters": [{"type": "quality"}, {"type": "label_agreement"}],
}


class UnitProgress(BaseModel):
    done: int
    of: int


class VersionView(BaseModel):
    """A version and how far it is."""

    dataset: str = Field(examples=["shoes"])
    number: int = Field(examples=[1])
    state: State
    previous: int | None = Field(None, description="The version that it refreshes.")
    entered: dict[str, float] = Field(description="When it entered each of its states: seconds since the epoch.")
    units: dict[str, UnitProgress] = Field(description="Units of work by stage: done, and of how many.")
    counts: dict[str, Any] = Field(
        description="Images planned, generated, kept and dropped, by reason, so far; at last, the classes that fall short."
    )
    cost: CostView = Field(CostView(), description="What it has taken so far.")
    seconds_left: float | None = Field(description="Until all images are generated, at the rate so far; null if unknown.")
    silent: list[str] = Field(
        [], description="Units whose workers have given no sign for a while: since when, and when another takes over."
    )
    error: str | None = Field(description="Why it failed, or was not evaluated.")
    held: str | None = Field(None, description="Why it is held, by its evaluation.")
    spec: dict[str, Any]
    links: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class VersionPage(BaseModel):
    items: list[VersionView]
    next: str | None = Field(description="Cursor of the next page; none on the last.")


class VersionEvent(BaseModel):
    """One event of a version, as a client reads it from the stream of Server-Sent Events."""

    id: int
    kind: str
    data: dict[str, Any]


class VersionFile(BaseModel):
    path: str = Field(examples=["data/train-00000-of-00003.parquet"])
    size: int = Field(description="Bytes.")
    sha256: str | None = Field(description="Null for files written after the version is published: evaluation and report.")
    url: str = Field(description="Where to get it: here, or for an hour from the object store itself.")
