"""Canonical JSON, and content digests made of it."""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON in UTF-8 with sorted keys and fixed layout: equal values, equal bytes. Raises ValueError for NaN and infinity."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest(value: Any) -> str:
    """First 16 hex digits of the sha256 of a value's canonical JSON: a content address."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]
