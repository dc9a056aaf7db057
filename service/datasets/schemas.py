"""Request and response models of datasets; server and client share them."""

from pydantic import BaseModel, Field

from pipelines.spec import Strict, VersionSpec
from service.schedules.schemas import ScheduleView
from service.state.lifecycle import State


class VersionSummary(BaseModel):
    number: int
    state: State


class DatasetView(BaseModel):
    """A dataset, and which of its versions is to be used."""

    name: str
    latest: int | None = Field(description="The version to use: the newest that completed, or what was promoted.")
    versions: list[VersionSummary] = Field(description="The newest 100, the newest first.")
    schedule: ScheduleView | None
    links: dict[str, str]


class DatasetPage(BaseModel):
    items: list[DatasetView]
    next: str | None = Field(description="Cursor of the next page; none on the last.")


class RefreshRequest(Strict):
    """What to refresh a dataset from."""

    spec: VersionSpec | None = Field(
        None, description="None: the schedule's spec or, without a schedule, that of the newest published version."
    )
