"""Every request has an id, a line in the log and a place in the metrics; and no error is left without an answer."""

import re
import time
import uuid
from urllib.parse import quote

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.headers import secure
from service.api.problems import problem_response

log = structlog.get_logger()
HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz")  # requested every few seconds: logged only when they fail


class RequestMiddleware:
    """The id is the caller's if it is well-formed; whatever is logged meanwhile carries it."""

    def __init__(self, app: ASGIApp, latency: Histogram) -> None:
        self.app, self.latency = app, latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        sent = headers.get(HEADER, "")
        request_id = sent if WELL_FORMED.fullmatch(sent) else uuid.uuid4().hex
        start, status = time.perf_counter(), 0

        async def send_measured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                answered[HEADER] = request_id
                secure(answered, with_key="authorization" in headers)
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = getattr(scope.get("route"), "path", "none")
                self.latency.labels(method, route, str(status)).observe(time.perf_counter() - start)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_measured)
            except Exception:
                log.exception("request failed")
                if status:  # the response has begun, so its status is fixed: break off
                    raise
                detail = f"something went wrong here; the service's log says what, by the id {request_id}"
                response = problem_response(500, detail)
                await response(scope, receive, send_measured)
            finally:
                log_request(scope, status, time.perf_counter() - start)


def log_request(scope: Scope, status: int, seconds: float) -> None:
    write = log.error if status >= 500 else log.debug if scope["path"] in QUIET else log.info
    write("request", method=scope["method"], path=quote(scope["path"]), status=status, seconds=round(seconds, 4))
