"""Logging of the service's processes: JSON lines, or coloured text in a terminal; libraries' messages included."""

import logging
import sys

import structlog
from structlog.types import Processor

from service import tracing

PACKAGES = ("pipelines", "service", "workers")


def configure(level: str) -> None:
    """Log to stderr from now on: our own messages from this level up, libraries' from warnings up."""
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([tracing.annotate] if tracing.enabled() else []),
    ]
    renderers: list[Processor] = [structlog.dev.ConsoleRenderer()]
    if not sys.stderr.isatty():
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level.upper())), force=True)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)
