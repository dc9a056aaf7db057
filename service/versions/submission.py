"""What somebody asked for, made ready to be worked on: allowed here, and of one state of its source."""

from typing import Any

import structlog

from pipelines import paths
from pipelines.errors import CounterpoiseError, SpecError
from pipelines.spec import UploadedSource, VersionSpec, parse
from pipelines.store import Store
from pipelines.upload import newest
from service.limits import check
from service.settings import Settings
from service.state import schedules
from service.state.database import Database

log = structlog.get_logger()


def pinned(spec: VersionSpec, store: Store) -> VersionSpec:
    """The spec, with the state that its uploaded source has now. Raises SpecError when nothing was uploaded."""
    source = spec.source
    if not isinstance(source, UploadedSource):
        return spec
    digest = source.digest or newest(store, source.name)
    if digest is None or not store.exists(paths.index(source.name, digest)):
        raise SpecError(f"source.name: no such upload of {source.name!r}; send it to /v1/sources/{source.name} first")
    return spec.model_copy(update={"source": source.model_copy(update={"digest": digest})})


def ready(spec: VersionSpec, settings: Settings, store: Store) -> dict[str, Any]:
    """The document of a version that is asked for. Raises SpecError when it is not allowed here."""
    check(spec, settings)
    return pinned(spec, store).model_dump(mode="json")


def unpinned(spec: VersionSpec) -> VersionSpec:
    """The spec of whatever its source holds when it is asked for: a refresh always takes the newest."""
    if not isinstance(spec.source, UploadedSource):
        return spec
    return spec.model_copy(update={"source": spec.source.model_copy(update={"digest": None})})


def refresh_due(database: Database, settings: Settings) -> None:
    """Ask for what the schedules are due for. Safe to run anywhere, by several."""
    for schedule in schedules.due(database):
        try:
            spec = unpinned(parse(schedule.spec))
            schedules.fire(database, schedule, ready(spec, settings, Store.open(f"{settings.store}/{schedule.tenant}")))
        except CounterpoiseError as error:
            log.warning("schedule not fired", tenant=schedule.tenant, dataset=schedule.dataset, error=str(error))
            schedules.give_up(database, schedule, str(error))
        except Exception as error:  # the store is away: it will be back, and the schedule is due still
            log.warning("schedule not fired", dataset=schedule.dataset, error=f"{type(error).__name__}: {error}")
