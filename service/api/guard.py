"""Who calls, and how much they send: decided before a byte of the body is read, and for every path but the probes. A key
counts for the API, the console's session for the console alone: so no other site's page can have a browser call the API."""

import base64
import binascii

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.dependencies import AppContext
from service.api.problems import handler_of
from service.caps import Caps
from service.console import gate
from service.settings import Settings
from service.state import api_keys
from service.state.api_keys import Caller, KeyExpired

PUBLIC = ("/healthz", "/readyz")
BROWSED = ("/docs", "/openapi.json")  # where a browser may send the key as a password, since it sends nothing else
UPLOADS = "/v1/sources/"
NO_KEY = "no valid API key; send one as 'Authorization: Bearer cp_...', made by 'counterpoise keys create'"


def key_of(headers: Headers, path: str) -> str | None:
    kind, _, credentials = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return credentials.strip()
    if kind.lower() == "basic" and path in BROWSED:
        try:
            return base64.b64decode(credentials).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


async def identify(context: AppContext, headers: Headers, path: str) -> Caller:
    """The caller by the request's API key; anybody may do everything where no key is needed. Raises 401 without a valid one,
    and CapReached for too many requests."""
    if not context.settings.auth:
        return Caller("default", api_keys.SCOPES)
    key = key_of(headers, path)
    try:
        caller = None if not key else await context.pools.database.run(api_keys.authenticate, context.database, key)
    except KeyExpired as error:
        raise unauthorized(path, str(error)) from None
    if caller is None:
        raise unauthorized(path)
    context.requests.take(caller.key, Caps.of(context.settings, caller.limits).requests_per_second)
    return caller


def unauthorized(path: str, reason: str = NO_KEY) -> HTTPException:
    return HTTPException(
        401,
        reason,
        {"WWW-Authenticate": 'Basic realm="API key, as the password"' if path in BROWSED else "Bearer"},
    )


def body_limit(settings: Settings, method: str, path: str) -> int:
    """Bytes that a request's body may have."""
    upload = method == "PUT" and path.startswith(UPLOADS)
    return settings.max_upload_bytes if upload else settings.max_body_bytes


def too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body has more than {limit} bytes; send less")


def counted(receive: Receive, limit: int) -> Receive:
    """Receives a body. Raises 413 once it has more bytes than the limit."""
    size = 0

    async def receive_counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large(limit)
        return message

    return receive_counted


class Guard:
    """Puts the caller into `request.state.caller`; answers 401 and 413 itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC:
            await self.app(scope, receive, send)
            return
        context: AppContext = scope["app"].state.context
        headers, path = Headers(scope=scope), scope["path"]
        limit = body_limit(context.settings, scope["method"], path)
        request, console = Request(scope, receive), gate.covers(path)
        try:
            caller = await (gate.admit(context, request) if console else identify(context, headers, path))
            if int(headers.get("content-length", 0)) > limit:
                raise too_large(limit)
        except gate.SignInFirst as way:
            await way.response(scope, receive, send)
            return
        except Exception as error:
            handler = handler_of(scope["app"], error)
            if handler is None:
                raise
            response = await handler(request, error)
            await (gate.as_page(request, response) if console else response)(scope, receive, send)
            return
        request.state.caller = caller
        await self.app(scope, counted(receive, limit), send)
