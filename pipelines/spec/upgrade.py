"""Older documents, lifted step by step to today's version of the format: what was stored once is understood for good."""

from collections.abc import Callable
from typing import Any

CURRENT = 2


def without_device(document: dict[str, Any]) -> dict[str, Any]:
    """Version 2: what a job is computed on is a setting of the machine."""
    models = document.get("models")
    if not isinstance(models, dict):
        return document
    return {**document, "models": {name: value for name, value in models.items() if name != "device"}}


# From version n of the format to n + 1.
LIFTS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: without_device}


def lift(document: Any) -> Any:
    """The same spec in today's format. What is no older spec comes back as it is."""
    while isinstance(document, dict) and isinstance(n := document.get("schema_version", CURRENT), int) and n in LIFTS:
        document = {**LIFTS[n](document), "schema_version": n + 1}
    return document
