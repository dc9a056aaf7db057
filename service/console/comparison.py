"""The page of two versions beside each other: images, classes, quality, accuracies, confusions, samples and specs."""

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from pipelines.quality.yields import values
from pipelines.report.quality import NAMES
from pipelines.spec.arms import VERSION
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.exchanged import added, removed
from pipelines.version.plan import read_plan
from service.api.dependencies import ReadAccess, StoreContext
from service.api.parameters import DatasetName
from service.console.evaluation import accuracies, confusion, evaluation, titles
from service.console.pages import PageRoute, Visiting
from service.console.quality import stored_report
from service.datasets.endpoints import get_dataset
from service.versions.endpoints import get_version

router = APIRouter(route_class=PageRoute)
Number = Annotated[int, Query(ge=1, le=2**31 - 1)]
DISPLAYED = 12  # samples that were added, and that were removed


@router.get("/datasets/{name}/compare")
def compare(visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, a: Number, b: Number) -> Response:
    """What changed from version `a` to `b`; of one that refreshes the other, the samples, too."""
    versions = [get_version(context, caller, name, number) for number in (a, b)]
    store, roots = context.store(caller), [keys.version(name, number) for number in (a, b)]
    evaluations = [evaluation(store, root) for root in roots]
    reports = [stored_report(store, root) for root in roots]
    refreshed = versions[1].previous == a
    diff = keys.diff(roots[1])
    return visit.page(
        "compare.html",
        versions=versions,
        dataset=get_dataset(context, caller, name),
        diff=store.json(diff) if refreshed and store.exists(diff) else None,
        exchanged=exchanged(store, roots[0], roots[1]) if refreshed else {},
        quality=quality_rows(reports),
        titles=titles({**evaluations[0], **evaluations[1]}),
        accuracies=[accuracies(arms) for arms in evaluations],
        main=VERSION,
        confusions=[
            confusion(f"version {number}", arms.get(VERSION, {})) for number, arms in zip((a, b), evaluations, strict=True)
        ],
        differences=differences(versions[0].spec, versions[1].spec),
    )


def quality_rows(reports: list[dict[str, Any] | None]) -> list[tuple[str, list[float | None]]]:
    """Every measure of the quality reports: its name, and the value of each version."""
    figures = [values(report) if report else {} for report in reports]
    known = {name for own in figures for name in own}
    names = [name for name in NAMES if name in known] + sorted(known - set(NAMES))
    return [(NAMES.get(name, name), [own.get(name) for own in figures]) for name in names]


def exchanged(store: Store, before: str, after: str) -> dict[str, list[dict[str, Any]]]:
    """The first samples that a refresh has added, and those that it does not carry over, by the version's root."""
    old, new = read_plan(store, before), read_plan(store, after)
    if old is None or new is None:
        return {}
    return {
        "added": list(islice(added(store, after, new), DISPLAYED)),
        "removed": list(islice(removed(store, before, old, new), DISPLAYED)),
    }


def leaves(document: Any, place: str = "") -> dict[str, Any]:
    """The values of a document by their paths: {"method.steps": 25}."""
    if not isinstance(document, dict) or not document:
        return {place: document}
    return {
        path: value
        for name, part in document.items()
        for path, value in leaves(part, f"{place}.{name}" if place else name).items()
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two specs differ: path, and the value of each."""
    old, new = leaves(before), leaves(after)
    return [(path, old.get(path), new.get(path)) for path in {**old, **new} if old.get(path) != new.get(path)]
