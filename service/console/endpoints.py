"""/console: signing in and out, static files, and the pages, each in a file of its own."""

from importlib.resources import files

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from service.api.dependencies import Context
from service.console import (
    comparison,
    datasets,
    embedding_map,
    keys,
    originals,
    quality,
    samples,
    sources,
    submission,
    versions,
)
from service.console.gate import NO_SUCH_KEY, local
from service.console.pages import Form, PageRoute, Visiting, form
from service.console.sessions import NOBODY, PATH, Session, attach
from service.state import api_keys
from service.state.api_keys import KeyExpired

router = APIRouter(route_class=PageRoute, prefix=PATH, include_in_schema=False, dependencies=[Depends(form)])
PAGES = (datasets, comparison, versions, quality, samples, originals, embedding_map, sources, submission, keys)
STATIC = {"style.css": "text/css", "console.js": "text/javascript"}  # and their media types


@router.get("/static/{name}")
async def get_static(name: str) -> Response:
    """The console's style and its script."""
    if name not in STATIC:
        raise HTTPException(404, f"there is no file {name!r}; there are {', '.join(STATIC)}")
    content = files("service.console").joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"Cache-Control": "no-cache"})


def begin(request: Request, response: Response, session: Session) -> Response:
    attach(response, session, secure=request.url.scheme == "https")
    return response


@router.get("/sign-in")
async def get_sign_in(context: Context, visit: Visiting, request: Request, next: str = PATH) -> Response:
    """The form for a key. A visitor's session is begun, of no key, whose token the form sends along."""
    if visit.caller.scopes:
        return visit.go(local(next).removeprefix(PATH))
    session = request.state.session or context.sessions.begin(NOBODY)
    request.state.session = session
    if not context.settings.auth:
        return begin(request, visit.go(local(next).removeprefix(PATH)), session)
    return begin(request, visit.page("sign_in.html", next=local(next), mistake=None), session)


@router.post("/sign-in")
def sign_in(context: Context, visit: Visiting, request: Request, fields: Form) -> Response:
    """A session of the key that was given, in place of the visitor's."""
    place = local(fields.get("next", PATH))
    try:
        caller = api_keys.authenticate(context.database, fields.get("key", "").strip())
        mistake = NO_SUCH_KEY
    except KeyExpired as error:
        caller, mistake = None, str(error)
    if caller is None:
        return visit.page("sign_in.html", 401, next=place, mistake=mistake)
    return begin(request, visit.go(place.removeprefix(PATH)), context.sessions.begin(caller.key))


@router.post("/sign-out")
async def sign_out(context: Context, visit: Visiting, request: Request) -> Response:
    """A visitor's session in place of the key's. What the browser has kept of the console is to go."""
    response = begin(request, visit.go("/sign-in"), context.sessions.begin(NOBODY))
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


router.get("")(datasets.get_start)
for page in PAGES:
    router.include_router(page.router)


@router.get("/{path:path}")
async def get_nothing(visit: Visiting, path: str) -> Response:
    if not path:
        return visit.go("")
    raise HTTPException(404, f"the console has no page {path!r}; begin at {PATH}")
