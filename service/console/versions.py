"""Pages of one version: how far it is, live; what it holds; what can be done to it."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from sse_starlette import EventSourceResponse

from pipelines.report.embedding_map import FILE as MAP
from pipelines.report.shortfall import shortfalls
from pipelines.store import keys
from pipelines.version.export import FORMATS, FormatName
from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess, counted_stream
from service.api.parameters import DatasetName, VersionNumber
from service.console.evaluation import evaluation, titles
from service.console.pages import PageRoute, Visiting
from service.datasets.endpoints import get_dataset, promote_version
from service.state import events, verdicts
from service.state.lifecycle import PUBLISHED
from service.versions.endpoints import cancel_version, delete_version, get_version, retry_version
from service.versions.events import event_stream
from service.versions.export import export_version
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


@router.get(VERSION)
def get_one(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber
) -> Response:
    version = get_version(context, caller, name, number)
    row = find_version(context, caller, name, number)
    latest = get_dataset(context, caller, name).latest
    store, root, published = context.store(caller), keys.version(name, number), version.state in PUBLISHED
    arms = evaluation(store, root) if published else {}
    return visit.page(
        "version.html",
        version=version,
        latest=latest,
        actions=actions(version, latest),
        last_event=0 if version.ended else events.last_id(context.database, row.id),
        arms=arms,
        titles=titles(arms),
        shortfalls=shortfalls(version.counts),
        formats=list(FORMATS),
        decided=verdicts.counts(context.database, row.id),
        mapped=published and store.exists(keys.report_file(root, MAP)),
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


@router.get(f"{VERSION}/export", dependencies=[Depends(counted_stream)])
def export(
    context: StoreContext,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    format: FormatName,
    as_published: bool = False,
) -> Response:
    """The samples of a version as one tar, as people decided or as they were published."""
    return export_version(context, caller, name, number, format, as_published)


@router.post(VERSION + "/{action}")
def act(
    visit: Visiting, context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber, action: Action
) -> Response:
    """Cancel, retry, promote or delete a version."""
    ACTIONS[action](context, caller, name, number)
    return visit.go(f"/datasets/{name}" if action == "delete" else f"/datasets/{name}/versions/{number}")
