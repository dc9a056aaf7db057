"""Schedules: from rows of the database to response models."""

from service.schedules.schemas import ScheduleView
from service.state.tables import Schedule


def schedule_view(row: Schedule) -> ScheduleView:
    return ScheduleView(
        cron=row.cron,
        time_zone=row.time_zone,
        spec=row.spec,
        enabled=row.next_tick is not None,
        busy=row.busy,
        next_tick=row.next_tick,
        fired=row.fired,
        outcome=row.outcome,
    )
