"""Pages of one version: how far it is, live; what it holds; what can be done to it; and two of them beside each other."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from sse_starlette import EventSourceResponse

from pipelines.report.embedding_map import FILE as MAP
from pipelines.report.shortfall import shortfalls
from pipelines.spec.arms import ARMS
from pipelines.store import keys
from pipelines.version.diff import accuracies
from service.api.dependencies import AppContextWithStore, Context, ReadAccess, StoreContext, SubmitAccess, counted_stream
from service.api.parameters import DatasetName, VersionNumber
from service.console.pages import PageRoute, Visiting
from service.datasets.endpoints import get_dataset, promote_version
from service.state import events
from service.state.api_keys import Caller
from service.state.lifecycle import PUBLISHED
from service.versions.endpoints import cancel_version, delete_version, get_version, retry_version
from service.versions.events import event_stream
from service.versions.files import get_file, list_files
from service.versions.lookups import find_version
from service.versions.schemas import VersionView

router = APIRouter(route_class=PageRoute)
VERSION = "/datasets/{name}/versions/{number}"
Action = Literal["cancel", "retry", "promote", "delete"]
ACTIONS: dict[Action, Callable[..., Any]] = {
    "cancel": cancel_version,
    "retry": retry_version,
    "promote": promote_version,
    "delete": delete_version,
}


def actions(version: VersionView, latest: int | None) -> list[Action]:
    """What can be done to a version in its state."""
    if not version.ended:
        return [] if version.state == "cancelling" else ["cancel"]
    possible: list[Action] = []
    if version.state in ("failed", "cancelled") or (version.state in PUBLISHED and version.error):
        possible.append("retry")
    if version.state in PUBLISHED and version.number != latest:
        possible.append("promote")
    return possible if version.state == "deleting" else [*possible, "delete"]


def evaluation(context: AppContextWithStore, caller: Caller, name: str, number: int) -> dict[str, dict[str, float]]:
    """Average and worst-group accuracy by arm, as arms are called in reports; none of a version that was not evaluated."""
    arms = accuracies(context.store(caller), keys.version(name, number)) or {}
    return {ARMS[arm].title: arms[arm] for arm in ARMS if arm in arms}


@router.get(VERSION)
def get_one(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber
) -> Response:
    version = get_version(context, caller, name, number)
    row = find_version(context, caller, name, number)
    latest = get_dataset(context, caller, name).latest
    published = version.state in PUBLISHED
    arms = evaluation(context, caller, name, number) if published else {}
    return visit.page(
        "version.html",
        version=version,
        latest=latest,
        actions=actions(version, latest),
        last_event=0 if version.ended else events.last_id(context.database, row.id),
        arms=arms,
        shortfalls=shortfalls(version.counts),
        mapped=published and context.store(caller).exists(keys.report_file(keys.version(name, number), MAP)),
    )


@router.get(f"{VERSION}/progress")
def get_progress(
    visit: Visiting, context: Context, caller: ReadAccess, name: DatasetName, number: VersionNumber
) -> Response:
    """The part of the page that changes while a version is made, for the script."""
    version = get_version(context, caller, name, number)
    return visit.page("progress.html", version=version)


@router.get(f"{VERSION}/events", dependencies=[Depends(counted_stream)])
def stream_events(
    context: Context,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    last_event_id: Annotated[int, Header(ge=0, le=2**62)] = 0,
) -> EventSourceResponse:
    """The API's events, from where the page was rendered."""
    version = find_version(context, caller, name, number)
    return EventSourceResponse(event_stream(context, version.id, max(after, last_event_id)))


@router.get(f"{VERSION}/files")
def get_files(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber
) -> Response:
    files = list_files(context, caller, name, number)
    return visit.page("files.html", name=name, number=number, files=files)


@router.get(VERSION + "/files/{path:path}")
def download(context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, path: str) -> Response:
    """A file of a version; its report is a page without script and origin."""
    return get_file(context, caller, name, number, path)


@router.get("/datasets/{name}/compare")
def compare(
    visit: Visiting,
    context: StoreContext,
    caller: ReadAccess,
    name: DatasetName,
    a: Annotated[int, Query(ge=1, le=2**31 - 1)],
    b: Annotated[int, Query(ge=1, le=2**31 - 1)],
) -> Response:
    """Two versions beside each other: counts, reasons, accuracies, and where their specs differ."""
    versions = [get_version(context, caller, name, number) for number in (a, b)]
    store = context.store(caller)
    arms = [evaluation(context, caller, name, number) for number in (a, b)]
    change = keys.diff(keys.version(name, b))
    diff = store.json(change) if versions[1].previous == a and store.exists(change) else None
    dataset = get_dataset(context, caller, name)
    return visit.page(
        "compare.html", versions=versions, dataset=dataset, arms=arms, diff=diff,
        differences=differences(*(version.spec for version in versions)),
    )  # fmt: skip


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


@router.post(VERSION + "/{action}")
def act(
    visit: Visiting, context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber, action: Action
) -> Response:
    """Cancel, retry, promote or delete a version."""
    ACTIONS[action](context, caller, name, number)
    return visit.go(f"/datasets/{name}" if action == "delete" else f"/datasets/{name}/versions/{number}")
