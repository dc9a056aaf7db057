"""Classes, groups and splits as they stand in tables and text files: brought to names."""

import codecs
import math
import unicodedata
from typing import Any

from pipelines.source.names import valid


def text(data: bytes) -> str:
    """A text file, with or without a byte-order mark. Raises UnicodeError."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def word(value: Any) -> str | None:
    """A value as a name; None where it is missing: null, NaN or empty. Raises TypeError for a list and the like."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():  # what a table makes of integers where some are missing
        return str(int(value))
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r:.40} is a {type(value).__name__}; give a name or an integer")
    return unicodedata.normalize("NFC", valid(str(value)).strip()) or None
