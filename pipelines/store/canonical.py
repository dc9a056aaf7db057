"""Canonical JSON, and content digests made of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON in UTF-8 with sorted keys and fixed layout: equal values, equal bytes. Raises ValueError for NaN and infinity."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest(value: Any) -> str:
    """First 16 hex digits of the sha256 of a value's canonical JSON: a content address."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


def canonical_rows(lists: Mapping[str, Iterable[Mapping[str, Any]]]) -> bytes:
    """The `canonical` bytes of lists of rows by name, with a fraction of the time and memory. No row is empty."""
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",\n   ", ": ")).encode
    texts = []
    for name in sorted(lists):
        rows = ",\n".join(f"  {{\n   {encode(row)[1:-1]}\n  }}" for row in lists[name])
        texts.append(f" {encode(name)}: " + (f"[\n{rows}\n ]" if rows else "[]"))
    return ("{\n" + ",\n".join(texts) + "\n}\n").encode()


def rows_digest(rows: Iterable[Sequence[str | None]]) -> str:
    """The `digest` of a list of rows, which are not empty, in a fraction of the time and without having all in memory."""
    hasher, opening = hashlib.sha256(), "["
    for row in rows:
        values = ",\n  ".join("null" if value is None else quoted(value) for value in row)
        hasher.update(f"{opening}\n [\n  {values}\n ]".encode())
        opening = ","
    hasher.update(b"[]\n" if opening == "[" else b"\n]\n")
    return hasher.hexdigest()[:16]


quoted = json.encoder.encode_basestring  # a string in JSON, not escaped to ASCII
