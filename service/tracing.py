"""Traces by OpenTelemetry, off unless OTEL_EXPORTER_OTLP_ENDPOINT is set; and the origin of a unit: request and trace.

A message of the broker names no unit, so the id of the request and the context of its trace lie with the version.
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
UNTRACED = "healthz,readyz"


@cache
def enabled() -> bool:
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
    if not enabled():
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
    if not enabled():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def instrument(app: "FastAPI") -> None:
    """A span for each request, which goes on with the caller's trace if it names one."""
    if not enabled():
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    begin("api")
    FastAPIInstrumentor.instrument_app(app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"])


def origin() -> dict[str, str]:
    """The `request_id` of the request that is being answered now and, if it is traced, its `traceparent`."""
    variables = structlog.contextvars.get_contextvars()
    carrier = {"request_id": str(variables["request_id"])} if "request_id" in variables else {}
    if enabled():
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(carrier)
    return carrier


@contextmanager
def span(name: str, origin: Mapping[str, str], **attributes: str | int) -> Iterator[None]:
    """A span of the origin's trace, with these attributes; what is logged within has them too."""
    if "request_id" in origin:
        attributes["request_id"] = origin["request_id"]
    with structlog.contextvars.bound_contextvars(**attributes):
        if not enabled():
            yield
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(origin)
        prefixed = {f"{NAME}.{key}": value for key, value in attributes.items()}
        with trace.get_tracer(NAME).start_as_current_span(name, parent, attributes=prefixed):
            yield


def record_failure(error: str) -> None:
    """Mark the current span as failed."""
    if enabled():
        from opentelemetry import trace

        trace.get_current_span().set_status(trace.StatusCode.ERROR, error)


def annotate(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Say in a log line which trace it belongs to."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return {**event, "trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else event
