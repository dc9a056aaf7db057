"""Hugging Face's ClassLabel, as it stands in the metadata of an Arrow schema."""

import json

import pyarrow as pa


def class_names(schema: pa.Schema, column: str = "label") -> list[str]:
    """The class names of a ClassLabel column, in the order of its integers; none where labels are strings themselves."""
    try:
        label = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"][column]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in label.get("names", [])] if isinstance(label, dict) else []
