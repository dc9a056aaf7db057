"""Traces by OpenTelemetry, off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; and what asked for work, which travels with it.

A message of the queue only says "look", so the id of the request and the context of its trace lie with the version.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import structlog
from structlog.types import EventDict

from pipelines.errors import SpecError

if TYPE_CHECKING:
    from fastapi import FastAPI

NAME = "counterpoise"
UNTRACED = "healthz,readyz,metrics"


@cache
def wanted() -> bool:
    """Whether spans are sent. Raises SpecError when they should be, and what sends them is not installed."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.instrumentation.fastapi
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise SpecError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: is set, and {error.name} is not installed; "
            "install counterpoise[tracing], or unset it"
        ) from None
    return True


def begin(process: str) -> None:
    """Send the spans of this process to the collector. It takes a thread, so a process that forks must not."""
    if not wanted():
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", f"{NAME}-{process}")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def end() -> None:
    """Send what was not sent yet."""
    if not wanted():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def instrument(app: "FastAPI") -> None:
    """A span for each request, which goes on with the caller's trace if it names one."""
    if not wanted():
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    begin("api")
    FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])


def origin() -> dict[str, str]:
    """What asks for the work that is being written down now: `request_id`, and `traceparent` if it is traced."""
    known = structlog.contextvars.get_contextvars()
    found = {"request_id": str(known["request_id"])} if "request_id" in known else {}
    if wanted():
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(found)
    return found


@contextmanager
def work(name: str, origin: Mapping[str, str], **about: str | int) -> Iterator[None]:
    """Work that `origin` asked for: a span of its trace; and whatever is logged within says what it is about."""
    if "request_id" in origin:
        about["request_id"] = origin["request_id"]
    with structlog.contextvars.bound_contextvars(**about):
        if not wanted():
            yield
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(origin)
        told = {f"{NAME}.{key}": value for key, value in about.items()}
        with trace.get_tracer(NAME).start_as_current_span(name, parent, attributes=told):
            yield


def failed(error: str) -> None:
    """The work of this moment went wrong."""
    if wanted():
        from opentelemetry import trace

        trace.get_current_span().set_status(trace.StatusCode.ERROR, error)


def annotate(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Say in a log line which trace it belongs to."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return {**event, "trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else event
