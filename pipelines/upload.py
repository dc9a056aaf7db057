"""Taking in somebody's images as one archive: checked one by one, kept by content, indexed.

What was sent is never trusted: not its paths, its sizes, nor that an image is one. A bad image is a Problem, left out.
"""

import hashlib
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import paths
from pipelines.browse import class_names
from pipelines.errors import SourceError
from pipelines.records import Item, Problem
from pipelines.source import METADATA, SPLITS, SUFFIXES, BadImage, decode, read_groups, split_up
from pipelines.store import Store, canonical, digest

MAX_FILE = 64 * 2**20  # bytes of one image


@dataclass(frozen=True, slots=True)
class Limits:
    unpacked: int  # bytes of all images together
    images: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A file of the archive: its path, its bytes, and what Parquet says of it."""

    path: str
    data: bytes
    group: str | None = None


def readable(name: str) -> str:
    """A name that can be written down, without "./": bytes that are no UTF-8 come out of an archive as lone surrogates."""
    return PurePosixPath(name.encode("utf-8", "replace").decode()).as_posix()


def members_of_tar(file: IO[bytes]) -> Iterator[Sent]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            if member.isdir():
                continue
            if member.size > MAX_FILE:  # going on would unpack it, however large
                raise SourceError(
                    f"source: {readable(member.name)} has {member.size} bytes, more than {MAX_FILE}; leave it out"
                )
            if not member.isreg():
                yield Sent(readable(member.name), b"")  # a link or a device: refused as no image
                continue
            opened = archive.extractfile(member)
            yield Sent(readable(member.name), b"" if opened is None else opened.read(MAX_FILE + 1))


def members_of_zip(file: IO[bytes]) -> Iterator[Sent]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            with archive.open(member) as opened:
                yield Sent(readable(member.filename), opened.read(MAX_FILE + 1))


def members_of_parquet(file: IO[bytes]) -> Iterator[Sent]:
    """Columns `image` (bytes, or Hugging Face's struct) and `label`; `group` and `split` if there."""
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    if not {"image", "label"} <= set(names):
        raise SourceError(f"source: the Parquet file needs the columns image and label; it has {', '.join(names)}")
    classes = class_names(table.schema_arrow)
    wanted, count = [n for n in ("image", "label", "group", "split") if n in names], 0
    for batch in table.iter_batches(batch_size=64, columns=wanted):
        for row in batch.to_pylist():
            image, label = row["image"], row["label"]
            data = image.get("bytes") if isinstance(image, dict) else image
            label = classes[label] if isinstance(label, int) and 0 <= label < len(classes) else str(label)
            split = str(row.get("split") or "train")
            group = row.get("group")
            yield Sent(
                f"{split}/{label}/{count:08d}.png",
                data if isinstance(data, bytes) else b"",
                None if group is None else str(group),
            )
            count += 1


def members(file: IO[bytes]) -> Iterator[Sent]:
    """The files of an archive, whatever kind it is. Raises SourceError for anything else, or a damaged one."""
    head = file.read(8)
    file.seek(0)
    kind = members_of_zip if head[:2] == b"PK" else members_of_parquet if head[:4] == b"PAR1" else members_of_tar
    try:
        yield from kind(file)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        pa.ArrowException,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        said = str(error).split("\n")[0]
        raise SourceError(
            f"source: not a readable tar, zip or Parquet file ({said}); pack the folder again, without a password"
        ) from None
    except (ValueError, UnicodeError, KeyError, OverflowError) as error:
        raise SourceError(f"source: damaged archive ({type(error).__name__}: {error}); pack the folder again") from None


def placed(path: str) -> tuple[str | None, str]:
    """Split and class of a file by its path: [train|validation|test]/class/file, in any folder. Raises BadImage."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if ".." in parts or path.startswith(("/", "\\")) or "\0" in path:
        raise BadImage("its path leaves the archive; pack it again with paths inside the folder")
    if len(parts) < 2:
        raise BadImage("lies in no class's folder; put it into class/ or train/class/")
    label, split = parts[-2], parts[-3] if len(parts) > 2 and parts[-3] in SPLITS else None
    if not re.fullmatch(r"[^\x00-\x1f/]{1,100}", label) or label in SPLITS:
        raise BadImage(f"{label!r} is no name of a class; put the image into class/ or train/class/")
    return split, label


def accepted(sent: Sent, seen: dict[str, tuple[str, str]], allow_synthetic: bool) -> tuple[str | None, Item]:
    """Split, if its path says so, and item of a usable image. Raises BadImage."""
    split, label = placed(sent.path)
    if PurePosixPath(sent.path).suffix.lower() not in SUFFIXES:
        raise BadImage(f"not an image by its suffix; allowed are {', '.join(sorted(SUFFIXES))}")
    if not sent.data or len(sent.data) > MAX_FILE:
        raise BadImage(f"a link, empty, or larger than {MAX_FILE // 2**20} MiB; send the image itself, scaled down")
    decode(sent.data, allow_synthetic=allow_synthetic)
    sha256 = hashlib.sha256(sent.data).hexdigest()
    if sha256 in seen:
        twin, its = seen[sha256]
        raise BadImage(f"repeats {twin}" if its == label else f"is also in class {its!r} as {twin}; decide for one class")
    seen[sha256] = sent.path, label
    return split, Item(sent.path, sha256, label, sent.group)


def take_in(store: Store, name: str, sent: Iterable[Sent], limits: Limits, *, allow_synthetic: bool) -> dict[str, Any]:
    """Keep every usable image and make them the newest state of source `name`; return its index.

    Raises SourceError when a limit is passed or nothing usable was sent; then the source stays as it was.
    """
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    loose: list[Item] = []
    problems: list[Problem] = []
    seen: dict[str, tuple[str, str]] = {}
    group_of: dict[str, str] = {}
    size = 0
    for count, each in enumerate(sent, start=1):
        size += len(each.data)
        if size > limits.unpacked:
            raise SourceError(f"source: more than {limits.unpacked} bytes unpacked; send fewer or smaller images")
        if count > limits.images:
            raise SourceError(f"source: more than {limits.images} files; send fewer")
        if PurePosixPath(each.path).name == METADATA:
            home = PurePosixPath(each.path).parent
            group_of |= {
                (home / file).as_posix(): group for file, group in read_groups(each.data, f"source: {each.path}").items()
            }
            continue
        try:
            split, item = accepted(each, seen, allow_synthetic)
        except BadImage as error:
            problems.append(Problem(each.path, str(error)))
            continue
        store.put(paths.blob(item.sha256), each.data)
        (loose if split is None else splits[split]).append(item)
    for split, items in split_up(loose).items():
        splits[split] += items
    if not any(splits.values()):
        said = f": {problems[0].id}: {problems[0].reason}" if problems else ""
        raise SourceError(f"source: no usable image among {len(problems)} files{said}")
    rows = [
        {"id": i.id, "sha256": i.sha256, "label": i.label, "group": i.group or group_of.get(i.id), "split": split}
        for split, items in splits.items()
        for i in sorted(items, key=lambda item: item.id)
    ]
    index = {"name": name, "items": rows, "problems": [{"id": p.id, "reason": p.reason} for p in problems]}
    key = digest(index)
    store.create(paths.index(name, key), canonical(index))
    store.put(paths.newest(name), canonical({"digest": key}))
    return described(index, key)


def described(index: dict[str, Any], key: str) -> dict[str, Any]:
    """What was understood of a source: how many images of which class, group and split, and what was refused."""
    rows = index["items"]
    return {
        "name": index["name"],
        "digest": key,
        "images": len(rows),
        "classes": dict(sorted(Counter(row["label"] for row in rows).items())),
        "groups": dict(sorted(Counter(row["group"] for row in rows if row["group"]).items())),
        "splits": dict(Counter(row["split"] for row in rows)),
        "refused": index["problems"],
    }


def newest(store: Store, name: str) -> str | None:
    """The digest of the newest state of a source; None if there is no such source."""
    return str(store.json(paths.newest(name))["digest"]) if store.exists(paths.newest(name)) else None
