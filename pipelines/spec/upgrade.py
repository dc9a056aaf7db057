"""Older documents, lifted step by step to today's version of the format: what was stored once is understood for good."""

from collections.abc import Callable
from typing import Any

CURRENT = 1  # the first, so that there is nothing to lift yet
LIFTS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}  # from version n of the format to n + 1


def lift(document: Any) -> Any:
    """The same spec in today's format. What is no older spec comes back as it is."""
    while isinstance(document, dict) and isinstance(n := document.get("schema_version", CURRENT), int) and n in LIFTS:
        document = {**LIFTS[n](document), "schema_version": n + 1}
    return document
