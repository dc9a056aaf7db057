"""The tick of a schedule: the scheduler fires every schedule whose next tick has come, which creates a refresh.

When a tick comes: `cron`. That it fires once, however many schedulers look: `service/state/schedules.py`.
"""

import structlog

from pipelines.errors import CounterpoiseError
from pipelines.spec import parse
from service.caps import Caps
from service.settings import Settings
from service.state import schedules
from service.state.database import Database
from service.tenants import open_store
from service.versions.submission import admit, unpin

log = structlog.get_logger()


def fire_due(database: Database, settings: Settings) -> None:
    """Fire all schedules that are due. Safe to run anywhere, by several."""
    for schedule in schedules.due(database):
        try:
            store = open_store(settings, schedule.tenant)
            spec = admit(unpin(parse(schedule.spec)), settings, store)
            schedules.fire(database, schedule, spec, Caps.of(settings, {}))
        except CounterpoiseError as error:
            log.warning("schedule not fired", tenant=schedule.tenant, dataset=schedule.dataset, error=str(error))
            schedules.skip(database, schedule, str(error))
        except Exception as error:  # the store is away: it will be back, and the schedule is due still
            log.warning("schedule not fired", dataset=schedule.dataset, error=f"{type(error).__name__}: {error}")
