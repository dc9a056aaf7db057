"""Every request has an id, a line in the log and a place in the metrics; and no error is left without an answer."""

import re
import time
import uuid
from urllib.parse import quote

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import answer

log = structlog.get_logger()
HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz", "/metrics")  # asked every few seconds: logged only when they fail


class Requests:
    """Middleware. The id is the caller's if it is well-formed; whatever is logged meanwhile carries it."""

    def __init__(self, app: ASGIApp, latency: Histogram) -> None:
        self.app, self.latency = app, latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get(HEADER, "")
        number = given if WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        began, status = time.perf_counter(), 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = getattr(scope.get("route"), "path", "none")
                self.latency.labels(method, route, str(status)).observe(time.perf_counter() - began)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=number):
            try:
                await self.app(scope, receive, answered)
            except Exception:
                log.exception("request failed")
                if status:  # half of an answer is out: all that is left is to break off
                    raise
                sorry = answer(500, f"something went wrong here; the service's log says what, by the id {number}")
                await sorry(scope, receive, answered)
            finally:
                self.told(scope, status, time.perf_counter() - began)

    def told(self, scope: Scope, status: int, seconds: float) -> None:
        tell = log.error if status >= 500 else log.debug if scope["path"] in QUIET else log.info
        tell("request", method=scope["method"], path=quote(scope["path"]), status=status, seconds=round(seconds, 4))
