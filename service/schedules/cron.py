"""Cron expressions: when the next tick of a schedule is."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pipelines.errors import SpecError


def next_tick(cron: str, time_zone: str, after: float) -> float:
    """The first tick of a cron expression after a time, in seconds since the epoch. Raises SpecError."""
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder of names
        raise SpecError(f"time_zone: {time_zone!r} is not known; give one such as 'Europe/Berlin' or 'UTC'") from None
    try:
        if len(cron.split()) != 5:
            raise CronSimError("Wrong number of fields")  # with six, the first would be seconds
        return next(CronSim(cron, datetime.fromtimestamp(after, zone))).timestamp()
    except CronSimError as error:
        raise SpecError(
            f"cron: {cron!r} cannot be read ({error}); give minute, hour, day, month and weekday, such as '0 3 * * 1'"
        ) from None
    except StopIteration:
        raise SpecError(f"cron: {cron!r} never comes; give days that there are") from None
