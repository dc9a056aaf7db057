"""Request and response models of schedules."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from pipelines.spec import Strict, VersionSpec

WhenBusy = Literal["skip", "queue"]


class ScheduleRequest(Strict):
    """When a dataset is refreshed by itself, and from what."""

    cron: str = Field(description="Minute, hour, day, month and weekday.", max_length=200, examples=["0 3 * * 1"])
    time_zone: str = Field("UTC", description="Time zone of the expression, by its IANA name.", max_length=100)
    spec: VersionSpec = Field(description="The spec of its versions. Of an uploaded source, always the newest state.")
    enabled: bool = Field(True, description="Whether it fires.")
    busy: WhenBusy = Field(
        "skip", description="While a version of the dataset is on its way, a tick is skipped, or queues until it has ended."
    )


class ScheduleView(BaseModel):
    """A schedule, and the outcome of its last tick."""

    cron: str
    time_zone: str
    spec: dict[str, Any]
    enabled: bool
    busy: WhenBusy
    next_tick: float | None = Field(description="Seconds since the epoch; null while it is not enabled.")
    fired: float | None = Field(description="When the last tick was fired, or skipped: seconds since the epoch.")
    outcome: str | None = Field(description="Outcome of the last tick, in words.", examples=["version 3 was asked for"])
