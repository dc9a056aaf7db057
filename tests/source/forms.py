"""The same files as a source in every form: a folder, that folder sent, a tar, a zip."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.source.archives import members
from pipelines.source.limits import UNLIMITED
from pipelines.source.open import open_source
from pipelines.source.pack import pack
from pipelines.source.source import Source
from pipelines.source.upload import make_newest, take_in
from pipelines.spec import FolderSource, UploadedSource
from pipelines.store.object_store import Store
from tests.source.packed import tar, zipped

Images = list[tuple[str, str, str | None]]  # id, class, group


def put(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def folder(root: Path, **options: Any) -> Source:
    return open_source(FolderSource(type="folder", path=str(root), **options))


def uploaded(root: Path, archive: bytes, **options: Any) -> Source:
    store = Store.open(root)
    entries = members(io.BytesIO(archive), UNLIMITED)
    make_newest(store, "shoes", take_in(store, "shoes", entries, UNLIMITED, allow_synthetic=False))
    return open_source(UploadedSource(type="uploaded", name="shoes", **options), store)


def sent(root: Path, place: Path, **options: Any) -> Source:
    """A folder, as `submit` sends it."""
    data = io.BytesIO()
    pack(root, data)
    return uploaded(place, data.getvalue(), **options)


def images(source: Source) -> dict[str, Images]:
    return {split: [(item.id, item.label, item.group) for item in items] for split, items in source.splits.items()}


def everywhere(tmp_path: Path, files: Mapping[str, bytes], **options: Any) -> Source:
    """The source, after all forms of it were found to be the same, problems included."""
    root, options = put(tmp_path / "shoes", files), {"max_problems": 1, **options}
    first = folder(root, **options)
    forms = {
        "sent": sent(root, tmp_path / "sent", **options),
        "tar": uploaded(tmp_path / "tar", tar(files), **options),
        "zip": uploaded(tmp_path / "zip", zipped(files), **options),
    }
    for form, source in forms.items():
        assert images(source) == images(first), form
        assert {(p.id, p.reason) for p in source.problems} == {(p.id, p.reason) for p in first.problems}, form
        for item in source.splits["train"]:
            assert (source.read(item) == first.read(item)).all()
    return first


def classes(source: Source, split: str) -> dict[str, int]:
    """Number of images of each class."""
    return {label: len(source.of(label, split)) for label in source.classes}


def reasons(source: Source) -> dict[str, str]:
    """What is wrong with each, without the remedy."""
    return {problem.id: problem.reason.split("; ")[0] for problem in source.problems}
