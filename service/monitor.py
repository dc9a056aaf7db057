"""/metrics and /healthz of a process on a port that clients cannot reach: worker, scheduler and API."""

import json
import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = structlog.get_logger()
RETRY_SECONDS = 10  # before a port that is taken is tried again


class QuietHandler(WSGIRequestHandler):
    timeout = 10  # seconds that a client may be silent

    def log_message(self, *_: object) -> None: ...


def serve(port: int, failure: Callable[[], str | None], registry: CollectorRegistry = REGISTRY) -> None:
    """Serve from now on, in the background; not at all on port 0. `failure`: why the process needs a restart, if it does."""
    if port:
        Thread(target=serve_forever, args=(port, failure, registry), daemon=True).start()


def serve_forever(port: int, failure: Callable[[], str | None], registry: CollectorRegistry) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside every counter, which nobody needs
    metrics = make_wsgi_app(registry)

    def app(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start)  # type: ignore[no-any-return]
        reason = failure()
        start("503 Service Unavailable" if reason else "200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"status": reason or "ok"}).encode()]

    while True:
        try:
            make_server("", port, app, ThreadingWSGIServer, QuietHandler).serve_forever()
        except OSError as error:  # its last owner may still be ending; work does not wait for it
            log.warning(
                "COUNTERPOISE_METRICS_PORT: cannot be listened on; free it, or set another", port=port, error=str(error)
            )
            time.sleep(RETRY_SECONDS)
