"""WebDataset samples: files of a tar that share a key and lie side by side, an image with its class beside it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry
from pipelines.source.names import MAX_FILE, SUFFIXES, clean
from pipelines.source.splits import split_in
from pipelines.source.words import text, word

PARTS = 16  # files of one sample at most
IMAGES = ("input", "image", "img", "rgb", "photo")  # members that are the image where none has the key alone
PICKLES = {".pkl", ".pickle", ".pyd", ".pt", ".pth"}
LABELS = {".cls", ".json"}
REMEMBERED = 1000  # keys of images alone
APART = "members of a sample must lie side by side; pack it again sorted, as by tar --sort=name -cf shard.tar FOLDER"


def member(entry: Entry | Problem) -> tuple[str, str]:
    """Full key of a file, its path without the suffix, and the suffix in lower case."""
    path = PurePosixPath(clean(entry.path if isinstance(entry, Entry) else entry.id))
    return str(path.with_suffix("")), path.suffix.lower()


def stem(key: str) -> tuple[str, str]:
    """A key without a member's name at its end, and that name: "a/01.input" -> "a/01", "input". Numbers are the key's own:
    "a/v1.01" has no name."""
    head, _, last = key.rpartition(".")
    named = bool(head) and not head.endswith("/") and re.fullmatch(r"[A-Za-z_]+", last) is not None
    return (head, last.lower()) if named else (key, "")


def sample_key(entry: Entry | Problem) -> str:
    return stem(member(entry)[0])[0]


def annotations(parts: list[Entry], key: str) -> dict[str, Any]:
    """What the .cls and .json files of a full key say; of the whole sample, where this key has none."""
    own = [part for part in parts if member(part)[0] == key]
    facts = read(own)
    return facts if "label" in facts else read(parts) | facts


def read(parts: list[Entry]) -> dict[str, Any]:
    """Label, group and split in the .cls and .json files."""
    facts: dict[str, Any] = {}
    for part in parts:
        suffix = member(part)[1]
        try:
            if suffix == ".cls":
                facts["label"] = text(part.data[:1000])
            elif suffix == ".json":
                document = json.loads(text(part.data))
                facts |= document if isinstance(document, dict) else {}
        except (ValueError, RecursionError):
            continue
    return {name: facts[name] for name in ("label", "group", "split") if facts.get(name) is not None}


def first_parts(files: Entries) -> list[Entry | Problem]:
    """The first files of one key, no more than can be held in memory together."""
    parts: list[Entry | Problem] = []
    size = 0
    for part in files:
        parts.append(part)
        size += len(part.data) if isinstance(part, Entry) else 0
        if len(parts) == PARTS or size > MAX_FILE:
            break
    return parts


def labelled(part: Entry, facts: dict[str, Any]) -> Entry | Problem:
    """An image with what stands beside it."""
    try:
        label, group, split = (word(facts.get(name)) for name in ("label", "group", "split"))
    except TypeError as error:
        return Problem(part.path, f"what stands beside it is no name: {error}")
    if label is None:
        return Problem(part.path, "has an empty class beside it; name one, or remove it")
    if split is not None and split_in(split) is None:
        return Problem(part.path, f"split {split[:40]!r} is none of train, validation, test; rename it")
    return replace(part, label=label, group=group, split=split_in(split) if split else None)


def images(parts: list[Entry]) -> list[Entry]:
    """The images of a sample: those whose key has no member's name, else those called input, image and so on."""
    pictures = [part for part in parts if member(part)[1] in SUFFIXES]
    own = {member(part)[0] for part in parts if member(part)[1] in LABELS}
    plain = [part for part in pictures if not stem(member(part)[0])[1] or member(part)[0] in own]
    return plain or [part for part in pictures if stem(member(part)[0])[1] in IMAGES]


class Sampler:
    """Labels the images of a tar by the files beside them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.alone: set[str] = set()  # keys of images without a class beside them

    def sample(self, key: str, files: Entries) -> Entries:
        """Files of one key: with an annotation, its image labelled by it; without, plain files that share a name."""
        parts = first_parts(files)
        entries = [part for part in parts if isinstance(part, Entry)]
        if "label" not in read(entries):
            if len(self.alone) < REMEMBERED and any(member(part)[1] in SUFFIXES for part in entries):
                self.alone.add(key)
            yield from parts
            yield from files
            return
        pictures = images(entries)
        if key in self.alone and not pictures:
            raise SourceError(f"{self.where}: the class of {key!r} lies apart from its image: {APART}")
        for part in entries:
            if member(part)[1] in PICKLES:
                yield Problem(part.path, "a pickle can run code and is never opened; remove it")
            elif part in pictures:
                yield labelled(part, annotations(entries, member(part)[0]))
        if not pictures:
            yield Problem(entries[0].path, f"has no image beside it; name it {key}.png or {key}.image.png: {APART}")
        yield from files

    def samples(self, files: Entries) -> Iterator[Entry | Problem]:
        for key, members in groupby(files, sample_key):
            yield from self.sample(key, members)
