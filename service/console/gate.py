"""Who comes to the console: whoever has a session of a key that is in force; everybody else is led to sign in."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.api.dependencies import REQUEST_PATIENCE, AppContext
from service.caps import Caps
from service.console.pages import problem_page
from service.console.sessions import PATH, caller_of
from service.state.api_keys import Caller

SIGN_IN = f"{PATH}/sign-in"
STATIC = f"{PATH}/static/"
NO_SUCH_KEY = "this is no API key that is in force; make one by 'counterpoise keys create', or ask who runs the service"
VISITOR = Caller("", ())  # who may see what everybody may


class SignInFirst(Exception):
    """Nobody is signed in; `response` leads to where one can."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def covers(path: str) -> bool:
    return path == PATH or path.startswith(f"{PATH}/")


def as_page(request: Request, problem: Response) -> Response:
    """An error that was found before a page was reached, as one."""
    request.state.caller = VISITOR
    return problem_page(request, problem)


def again(request: Request) -> Response:
    """A page that opens itself once more. A browser that was led here by another site did not send the session, and will
    when this page asks."""
    place = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    target = quote(place, safe="/?=&%:+.,-_~")
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta http-equiv="refresh" content="0; url={target.replace("&", "&amp;")}">'
        f'<title>Counterpoise</title><a href="{target.replace("&", "&amp;")}">Go on</a></html>',
        headers={"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"},
    )


def local(place: str) -> str:
    """A place of the console to go to; its first page for any other."""
    plain = "\\" not in place and place.isprintable() and ".." not in place
    return place if plain and covers(place.partition("?")[0]) else PATH


async def admit(context: AppContext, request: Request) -> Caller:
    """The caller of the session, which `request.state.session` holds then. Raises SignInFirst, and CapReached."""
    path = request.url.path
    request.state.session = None
    if path.startswith(STATIC):
        return VISITOR
    if not context.sessions.secret:
        await context.pools.store.run(context.sessions.load, REQUEST_PATIENCE)
    session = request.state.session = context.sessions.read(request.headers)
    caller = await context.pools.database.run(caller_of, session, context.database, context.settings)
    if caller is not None:
        context.requests.take(caller.key, Caps.of(context.settings, caller.limits).requests_per_second)
        return caller
    if session is None and request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        raise SignInFirst(again(request))
    if path == SIGN_IN:
        return VISITOR
    place = path if request.method != "GET" or not request.url.query else f"{path}?{request.url.query}"
    target = f"{SIGN_IN}?next={quote(local(place), safe='/')}" if request.method == "GET" else SIGN_IN
    raise SignInFirst(RedirectResponse(target, 303, {"Cache-Control": "no-store"}))
