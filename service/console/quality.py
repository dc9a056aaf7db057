"""The page of a version's quality: four questions with the guilty images, the evaluation, and what an image took."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from pipelines.report.amounts import advice, class_rows, points
from pipelines.report.confusion import confusion_change, most_changed
from pipelines.report.headline import caveats, headline
from pipelines.report.quality import GUILTY, questions, summary_lines
from pipelines.report.worst import worst_part
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.api.dependencies import ReadAccess, StoreContext
from service.api.parameters import DatasetName, VersionNumber
from service.console.evaluation import accuracies, confusions, evaluation, titles
from service.console.pages import PageRoute, Visiting
from service.console.sessions import PATH
from service.state.lifecycle import PUBLISHED
from service.versions.endpoints import get_version
from service.versions.schemas import VersionView

router = APIRouter(route_class=PageRoute)
CLASSES = 20  # that gain or lose most, on the page
LARGEST_LISTING = 64 * 2**20  # bytes of a version's list of real images up to which it is read for the page


@dataclass(frozen=True, slots=True)
class Linked:
    """An image of the page: where it is, and the page that it leads to; a real one leads to none."""

    image: str
    page: str | None


def stored_report(store: Store, root: str, name: str = "quality_report.json") -> dict[str, Any] | None:
    """A file of a version's report; None where there is none."""
    key = keys.report_file(root, name)
    return dict(store.json(key)) if store.exists(key) else None


def pictures(report: Mapping[str, Any], store: Store, root: str, url: str) -> dict[tuple[str, str], Linked]:
    """The images of a report's findings, by kind and id."""
    measures = [one for section in report["sections"].values() for one in section["measures"] if one["found"]]
    guilty = [image for measure in measures for image in measure["images"][:GUILTY]]
    beside = [image["beside"] for image in guilty if image["beside"]]
    samples = [image["id"] for image in guilty] + [other["id"] for other in beside if other["kind"] == "sample"]
    pages = {("sample", identity): f"{url}/samples/{quote(identity)}" for identity in samples}
    kinds = {other["id"]: other["kind"] for other in beside if other["kind"] != "sample"}
    real = {
        (kinds[identity], identity): Linked(f"{url}/real/{sha256}?id={quote(identity, safe='')}", None)
        for identity, sha256 in contents(store, root, kinds).items()
    }
    return {place: Linked(f"{page}/image", page) for place, page in pages.items()} | real


def contents(store: Store, root: str, ids: Collection[str]) -> dict[str, str]:
    """The SHA-256 of real images by their ids; none where the version's list of them is not there, or too long."""
    file = store.file(keys.source(root)) if ids else None
    if file is None or file.size > LARGEST_LISTING:
        return {}
    rows = (row for items in store.json(keys.source(root)).values() for row in items)
    return {row["id"]: row["sha256"] for row in rows if row["id"] in ids}


def compared(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of how many images are enough, and which classes gain and lose; nothing without an evaluation."""
    arms = summary.get("arms")
    advised, change = (advice(summary), confusion_change(summary)) if arms else (None, None)
    return {
        "advice": advised,
        "amounts": points(summary) if advised else [],
        "amount_rows": class_rows(points(summary)) if advised else {},
        "worst": worst_part(arms) if arms else "",
        "change": change,
        "class_changes": most_changed(change.classes, CLASSES) if change else [],
    }


def absence(version: VersionView) -> str:
    """Why there is no quality report."""
    if version.state in PUBLISHED:
        why = version.error or "it was published by an older release"
        return f"There is no quality report of it: {why}."
    if version.state == "unchanged":
        return f"Nothing has changed since version {version.previous}: look at the quality of that."
    if version.ended:
        return f"It is {version.state}; only what is published is measured."
    return f"It is {version.state}; its quality is measured last, together with its report."


@router.get("/datasets/{name}/versions/{number}/quality")
def get_quality(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber
) -> Response:
    version = get_version(context, caller, name, number)
    store, root, url = context.store(caller), keys.version(name, number), f"{PATH}/datasets/{name}/versions/{number}"
    report, summary = stored_report(store, root), stored_report(store, root, "summary.json")
    arms, kept = evaluation(store, root), version.counts.get("kept")
    scores = keys.quality(root)
    return visit.page(
        "quality.html",
        version=version,
        absence=absence(version),
        questions=questions(report, pictures(report, store, root, url)) if report else [],
        quality_lines=summary_lines(report) if report else [],
        map_picture=None,  # it has a page of its own
        headline=headline(summary) if summary else None,
        caveats=caveats(summary) if summary else [],
        titles=titles(arms),
        accuracies=accuracies(arms),
        confusions=confusions(arms),
        **compared(summary or {}),
        scores=store.json(scores).get("mean_scores", {}) if store.exists(scores) else {},
        per_image=version.cost.divided(kept) if kept else None,
    )
