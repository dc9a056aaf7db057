"""Markdown of a dataset card: escaped text and tables."""

import re
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """Any value as one line of Markdown, escaped, also for a table."""
    flat = " ".join(str(value).split())
    return re.sub(r"[&<>|`*\[\]\\]", lambda match: f"&#{ord(match[0])};", flat)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
