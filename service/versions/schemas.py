"""What the API answers with; server and client share it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from pipelines.spec import Strict, VersionSpec
from service.state.lifecycle import ENDED, State

WhenBusy = Literal["skip", "queue"]


class Done(BaseModel):
    done: int
    of: int


class VersionView(BaseModel):
    """A version and how far it is."""

    dataset: str = Field(examples=["shoes"])
    number: int = Field(examples=[1])
    state: State
    previous: int | None = Field(None, description="The version that it refreshes.")
    entered: dict[str, float] = Field(description="When it entered each of its states: seconds since the epoch.")
    units: dict[str, Done] = Field(description="Pieces of work by stage: done, and of how many.")
    counts: dict[str, Any] = Field(description="Images planned, generated, kept and dropped, by reason, so far.")
    seconds_left: float | None = Field(description="Until all images are generated, at the rate so far; null if unknown.")
    error: str | None = Field(description="Why it failed.")
    spec: dict[str, Any]
    links: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Scheduled(Strict):
    """When a dataset is refreshed by itself, and from what."""

    cron: str = Field(description="Minute, hour, day, month and weekday.", max_length=200, examples=["0 3 * * 1"])
    time_zone: str = Field("UTC", description="Whose clock that is, by its IANA name.", max_length=100)
    spec: VersionSpec = Field(description="What is asked for. Of an uploaded source, always the newest state.")
    enabled: bool = Field(True, description="Whether it is in force.")
    busy: WhenBusy = Field(
        "skip", description="While a version of the dataset is on its way, a tick is skipped, or queues until it has ended."
    )


class ScheduleView(BaseModel):
    """A schedule, and what came of it."""

    cron: str
    time_zone: str
    spec: dict[str, Any]
    enabled: bool
    busy: WhenBusy
    due: float | None = Field(description="Its next tick: seconds since the epoch; null while it is not enabled.")
    fired: float | None = Field(description="When it last fired, or tried to.")
    said: str | None = Field(description="What came of that.", examples=["version 3 was asked for"])


class Numbered(BaseModel):
    number: int
    state: State


class DatasetView(BaseModel):
    """A dataset, and which of its versions is to be used."""

    name: str
    latest: int | None = Field(description="The version to use: the newest that completed, or what was promoted.")
    versions: list[Numbered] = Field(description="The newest 100, the newest first.")
    schedule: ScheduleView | None
    links: dict[str, str]


class DatasetPage(BaseModel):
    items: list[DatasetView]
    next: str | None = Field(description="Cursor of the next page; none on the last.")


class Refresh(Strict):
    """What to refresh a dataset from."""

    spec: VersionSpec | None = Field(
        None, description="None: the schedule's spec or, without a schedule, that of the newest published version."
    )


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
