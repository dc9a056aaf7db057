"""The page of a new version: a form of every field of a spec, checked as the API does; and a preview of a few images."""

import secrets
from importlib.resources import files
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, HTTPException, Query, Response

from pipelines.errors import CounterpoiseError
from pipelines.spec import Name
from pipelines.store.canonical import digest
from service.api.dependencies import AppContextWithStore, Context, StoreContext, SubmitAccess
from service.api.problems import FIELD
from service.catalogue.endpoints import validate_spec
from service.catalogue.schemas import CheckedSpec
from service.console.pages import Form, PageRoute, Visit, Visiting
from service.console.spec_fields import sections
from service.console.spec_form import Values, Written, read, values_of
from service.previews.endpoints import create_preview, get_preview
from service.previews.schemas import MOST, PreviewRequest
from service.state.api_keys import Caller
from service.versions.endpoints import create_version
from service.versions.lookups import find_version

router = APIRouter(route_class=PageRoute)
EXAMPLES = {path.name.removesuffix(".yaml"): path for path in files("service").joinpath("examples").iterdir()}
PREVIEWED = 4, MOST  # images of a preview, at least and at most
WHOLE = "spec"  # the path of mistakes that are of no field


def page(visit: Visit, values: Values, written: Written | None, checked: CheckedSpec | None, status: int = 200) -> Response:
    parts = sections(values)
    known = {path for part in parts for path in (part.path, *(f.path for f in part.fields))}
    known |= {path for part in parts for one in part.filters for path in (one.path, *(f.path for f in one.fields))}
    mistakes = written.mistakes if written else {}
    return visit.page(
        "new.html",
        status,
        sections=parts,
        values=values,
        mistakes=mistakes,
        elsewhere=[
            text if path == WHOLE else f"{path}: {text}"
            for path, texts in mistakes.items()
            if path not in known
            for text in texts
        ],
        document=written.document if written else None,
        checked=checked,
        examples=sorted(EXAMPLES),
        previewed=PREVIEWED,
        once=secrets.token_hex(8),
    )


@router.get("/new")
def get_form(
    visit: Visiting,
    context: Context,
    caller: SubmitAccess,
    dataset: Name | None = None,
    number: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    source: Name | None = None,
    example: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """The form: empty, of an example, of an uploaded source, or as a version was asked for."""
    document: dict[str, Any] = {}
    if dataset is not None and number is not None:
        document = find_version(context, caller, dataset, number).spec
    elif example is not None:
        if example not in EXAMPLES:
            raise HTTPException(404, f"there is no example {example!r}; there are {', '.join(sorted(EXAMPLES))}")
        document = yaml.safe_load(EXAMPLES[example].read_text(encoding="utf-8"))
    elif source is not None:
        document = {"name": source, "source": {"type": "uploaded", "name": source}}
    values = values_of(document)
    return page(visit, values, Written(read(values).document) if values else None, None)


def note(written: Written, error: CounterpoiseError) -> None:
    """Put an error of the service at the field that it names, if it names one."""
    path, _, message = str(error).partition(": ")
    if FIELD.fullmatch(path):
        written.add(path, message)
    else:
        written.add(WHOLE, str(error))


def check(context: AppContextWithStore, caller: Caller, written: Written) -> CheckedSpec | None:
    """The spec as the API finds it; None with the mistakes that it has."""
    if written.spec is None:
        return None
    try:
        return validate_spec(context, caller, written.spec)
    except CounterpoiseError as error:
        note(written, error)
        return None


@router.post("/new")
def send_form(visit: Visiting, context: StoreContext, caller: SubmitAccess, fields: Form) -> Response:
    """Check what was written or, by another button, create the version or render the fields of another type."""
    written = read(fields)
    if "change" in fields:
        return page(visit, fields, None, None)
    checked = check(context, caller, written)
    if checked is not None and written.spec is not None and "create" in fields:
        try:
            once = f"console-{fields.get('once', '')[:32]}-{digest(written.document)}"
            version = create_version(context, caller, written.spec.name, written.spec, Response(), once)
            return visit.go(f"/datasets/{version.dataset}/versions/{version.number}")
        except CounterpoiseError as error:
            note(written, error)
    return page(visit, fields, written, checked, 422 if written.mistakes else 200)


@router.post("/previews")
async def preview(visit: Visiting, context: StoreContext, caller: SubmitAccess, fields: Form) -> Response:
    """Ask for a few images of what was written, by another button with a forecast; nothing is kept."""
    written = read(fields)
    if written.spec is None:
        return page(visit, fields, written, None, 422)
    text, (least, most) = fields.get("preview", ""), PREVIEWED
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not least <= count <= most:
        written.add("preview", f"{text!r} is no number of images from {least} to {most}; give one such as 8")
        return page(visit, fields, written, None, 422)
    request = PreviewRequest(spec=written.spec, count=count, forecast="forecast" in fields)
    view = await create_preview(context, caller, request, Response())
    return visit.go(f"/previews/{view.id}")


@router.get("/previews/{preview_id}")
async def show_preview(visit: Visiting, context: Context, caller: SubmitAccess, preview_id: str) -> Response:
    """The images of a preview; while they are made, the page loads itself again."""
    return visit.page("preview.html", preview=await get_preview(context, caller, preview_id, Response()))
