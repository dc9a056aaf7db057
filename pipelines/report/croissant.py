"""The Croissant description of a version, for everything that is not Hugging Face (MLCommons, arXiv 2403.19546)."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import mlcroissant as mlc

from pipelines.report.card import COLUMNS, FILES, WARNING
from pipelines.spec import VersionSpec

TYPES = {  # all others are text
    **dict.fromkeys(("image", "mask"), mlc.DataType.IMAGE_OBJECT),
    **dict.fromkeys(("label", "box", "index", "attempt", "seed", "steps"), mlc.DataType.INTEGER),
    **dict.fromkeys(("strength", "guidance"), mlc.DataType.FLOAT),
}
PARQUET = "application/x-parquet"


def field(context: mlc.Context, records: str, column: str, classes: Sequence[str]) -> mlc.Field:
    named = f": {', '.join(f'{i} {name}' for i, name in enumerate(classes))}" if column == "label" else ""
    # an image, and a mask, is stored as datasets stores it: a struct of bytes and path
    transforms = [mlc.Transform(ctx=context, json_path="bytes")] if TYPES.get(column) == mlc.DataType.IMAGE_OBJECT else []
    return mlc.Field(
        ctx=context,
        id=f"{records}/{column}",
        name=column,
        description=COLUMNS[column] + named,
        data_types=[TYPES.get(column, mlc.DataType.TEXT)],
        **({"is_array": True, "array_shape": "4"} if column == "box" else {}),
        source=mlc.Source(
            ctx=context,
            file_set=f"{records}-files",
            extract=mlc.Extract(ctx=context, column=column),
            transforms=transforms,
        ),
    )


def croissant(
    spec: VersionSpec,
    classes: Sequence[str],
    files: Sequence[Mapping[str, Any]],
    *,
    version: int | None = None,
    licence: str | None = None,
) -> bytes:
    """croissant.json of a version: its Parquet `files`, each a path, size and sha256, and their columns.

    Raises mlcroissant.ValidationError.
    """
    context = mlc.Context()
    parts = {name: glob for name, glob in FILES.items() if any(fnmatch(file["path"], glob) for file in files)}
    objects = [
        mlc.FileObject(ctx=context, id=file["path"], name=file["path"], content_url=file["path"], encoding_formats=[PARQUET],
                       content_size=f"{file['size']} B", sha256=file["sha256"])
        for file in files
    ]  # fmt: skip
    sets = [
        mlc.FileSet(ctx=context, id=f"{name}-files", name=f"{name}-files", includes=[glob], encoding_formats=[PARQUET])
        for name, glob in parts.items()
    ]
    records = [
        mlc.RecordSet(ctx=context, id=name, name=name, fields=[field(context, name, column, classes) for column in COLUMNS])
        for name in parts
    ]
    metadata = mlc.Metadata(
        ctx=context,
        name=spec.name,
        version=None if version is None else f"{version}.0.0",
        description=f"Generated images of {len(classes)} classes. {WARNING}",
        license=[licence] if licence else None,
        keywords=["synthetic", "counterpoise", spec.method.type],
        data_limitations=[WARNING],
        distribution=[*objects, *sets],
        record_sets=records,
    )
    return (json.dumps(metadata.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
