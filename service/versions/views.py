"""Versions: from rows of the database to response models."""

import time

from service.api.dependencies import AppContext
from service.state import versions
from service.state.lifecycle import ENDED
from service.state.silence import silent_units
from service.state.tables import Version
from service.usage.views import cost_view
from service.versions.schemas import UnitProgress, VersionView


def version_url(version: Version) -> str:
    return f"/v1/datasets/{version.dataset}/versions/{version.number}"


def seconds_left(version: Version, shards: UnitProgress | None) -> float | None:
    """Of generation, at the rate so far; None before the first shard is done, and after the last."""
    if version.state != "generating" or shards is None or not shards.done:
        return None
    return float((time.time() - version.entered["generating"]) / shards.done * (shards.of - shards.done))


def version_view(context: AppContext, version: Version) -> VersionView:
    url = version_url(version)
    progress = versions.unit_progress(context.database, version.id)
    units = {stage: UnitProgress(**counts) for stage, counts in progress.items()}
    running, lease_seconds = version.state not in ENDED, context.settings.lease_seconds
    silent = silent_units(context.database, version.id, lease_seconds) if running else []
    return VersionView(
        dataset=version.dataset,
        number=version.number,
        state=version.state,
        previous=version.previous,
        entered=version.entered,
        units=units,
        counts=version.counts,
        cost=cost_view(context.settings, version.cpu_seconds, version.gpu_seconds),
        seconds_left=seconds_left(version, units.get("generate")),
        silent=[str(unit) for unit in silent],
        error=version.error,
        held=versions.hold(context.database, version.id) if version.state == "held" else None,
        spec=version.spec,
        links={
            "self": url,
            "events": f"{url}/events",
            "cancel": f"{url}/cancel",
            "retry": f"{url}/retry",
            "promote": f"{url}/promote",
            "files": f"{url}/files",
            "samples": f"{url}/samples",
        },
    )
