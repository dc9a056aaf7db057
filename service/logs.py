"""What the processes of the service say: JSON lines, or in a terminal something to read; libraries' words included."""

import logging
import sys

import structlog
from structlog.types import Processor

from service import tracing

OURS = ("pipelines", "service", "workers")


def begin(level: str) -> None:
    """Log to stderr from now on: of ours what has this level, of libraries warnings at most."""
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([tracing.annotate] if tracing.wanted() else []),
    ]
    shown: list[Processor] = [structlog.dev.ConsoleRenderer()]
    if not sys.stderr.isatty():
        shown = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level.upper())), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)
