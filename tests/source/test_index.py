"""The index of a source: found out once, stored, and noticed to be out of date by the tags of its files. 10 seconds."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from pipelines.errors import SourceError
from pipelines.learning.resources import Resources
from pipelines.progress import SILENT, Stage, watched
from pipelines.source import checks
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import FolderSource, HubSource, ParquetSource, SourceSpec, UploadedSource, WebDatasetSource
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.refresh import source_listing
from tests.builders import noise, spec
from tests.servers import credentials, s3
from tests.source.forms import uploaded
from tests.source.packed import parquet, tar
from tests.source.test_folder import encoded

PICTURES = {f"{label}/{n}.png": encoded(noise(100 * k + n, 8)) for k, label in enumerate(("boot", "shoe")) for n in range(9)}


class Decodes:
    """Counts the images whose bytes are checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        check_bytes = checks.check_bytes

        def counted(data: bytes, allow_synthetic: bool) -> checks.Facts:
            self.count += 1
            return check_bytes(data, allow_synthetic)

        monkeypatch.setattr(checks, "check_bytes", counted)

    def during(self, call: Callable[[], Source]) -> tuple[int, Source]:
        self.count = 0
        source = call()
        return self.count, source


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    return Decodes(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def in_form(form: str, root: Path) -> SourceSpec:
    """The pictures, three of them bad, in a form of source."""
    bad = {"boot/cut.png": PICTURES["boot/0.png"][:90], "shoe/twin.png": PICTURES["shoe/0.png"], "shoe/text.jpg": b"text"}
    files = PICTURES | bad
    rows = [{"image": data, "label": name.split("/")[0]} for name, data in files.items()]
    match form:
        case "folder":
            write(root / "shoes", files | {"bag/.keep": b"", "notes.txt": b""})
            return FolderSource(type="folder", path=str(root / "shoes"), max_problems=1)
        case "webdataset":
            write(root, {"a.tar": tar(files)})
            return WebDatasetSource(type="webdataset", path=f"{root}/*.tar", max_problems=1)
        case "parquet":
            write(root, {"a-0.parquet": parquet(rows[:10], row_group_size=4), "a-1.parquet": parquet(rows[10:])})
            return ParquetSource(type="parquet", path=f"{root}/a-{{0..2}}.parquet", max_problems=1)
        case _:
            write(root, {"data/train-0.parquet": parquet(rows)})
            return HubSource(type="hub", id=str(root), max_problems=1)


@pytest.mark.parametrize("form", ["folder", "webdataset", "parquet", "hub"])
def test_a_second_opening_decodes_nothing_and_gives_the_same_source(
    form: str, tmp_path: Path, store: Store, decodes: Decodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    asked = in_form(form, tmp_path / "data")
    alone = open_source(asked)  # without a store
    count, first = decodes.during(lambda: open_source(asked, store))
    assert count == len(PICTURES) + 3
    count, second = decodes.during(lambda: open_source(asked, Store.open(tmp_path / "store")))
    assert count == 0
    assert len(first.problems) == (4 if form == "folder" else 3)
    assert len(first.notes) == (1 if form in ("folder", "parquet") else 0)
    for source in (first, second):
        assert source_listing(source) == source_listing(alone)
        assert (source.classes, source.problems, source.notes) == (alone.classes, alone.problems, alone.notes)
        assert source.fingerprint == alone.fingerprint
        for item in [item for items in source.splits.values() for item in items]:
            assert np.array_equal(source.read(item), alone.read(item))


def test_which_images_are_used_is_decided_after_the_index(tmp_path: Path, store: Store, decodes: Decodes) -> None:
    asked = in_form("folder", tmp_path / "data")
    open_source(asked, store)
    fewer = asked.model_copy(update={"shots": 2, "classes": ("boot", "shoe")})
    count, few = decodes.during(lambda: open_source(fewer, store))
    assert (count, few.counts) == (0, {"boot": {None: 2}, "shoe": {None: 2}})
    with pytest.raises(SourceError, match="more than max_problems = 10%"):
        open_source(asked.model_copy(update={"max_problems": 0.1}), store)
    count, _ = decodes.during(lambda: open_source(asked.model_copy(update={"allow_synthetic": True}), store))
    assert count == len(PICTURES) + 3


def change(path: Path, data: bytes) -> None:
    """Other bytes of the same number, a nanosecond later."""
    status = path.stat()
    path.write_bytes(data.ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_change_of_the_folder_is_noticed_and_what_is_unchanged_is_not_decoded_again(
    tmp_path: Path, store: Store, decodes: Decodes
) -> None:
    asked, root = FolderSource(type="folder", path=str(tmp_path / "shoes"), max_problems=1), tmp_path / "shoes"
    write(root, PICTURES)
    first = open_source(asked, store)

    def again() -> tuple[int, Source]:
        count, source = decodes.during(lambda: open_source(asked, store))
        assert source_listing(source) == source_listing(open_source(asked))
        return count, source

    write(root, {"boot/new.png": encoded(noise(900, 8))})
    count, added = again()
    assert (count, sum(map(len, added.splits.values()))) == (1, len(PICTURES) + 1)
    change(root / "boot/3.png", b"no image")
    count, changed = again()
    assert (count, [problem.id for problem in changed.problems]) == (1, ["boot/3.png"])
    (root / "boot/3.png").unlink()
    (root / "boot/new.png").unlink()
    count, removed = again()
    assert (count, sum(map(len, removed.splits.values()))) == (0, len(PICTURES) - 1)
    write(root, {"metadata.csv": b"file_name,group\nboot/1.png,grass\n"})
    count, labelled = again()
    assert (count, labelled.fingerprint == removed.fingerprint) == (0, False)
    assert len({source.fingerprint for source in (first, added, changed, removed)}) == 4


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_a_changed_shard_is_noticed(form: str, tmp_path: Path, store: Store) -> None:
    asked = in_form(form, tmp_path)
    before = open_source(asked, store)
    rows = [{"image": encoded(noise(800 + n, 8)), "label": "boot"} for n in range(3)]
    if form == "parquet":
        write(tmp_path, {"a-1.parquet": parquet(rows)})
        with pytest.raises(SourceError, match=r"a-1\.parquet has no row \d+ any more: it has changed"):
            [before.read(item) for items in before.splits.values() for item in items]
    else:
        write(tmp_path, {"b.tar": tar({f"boot/{n}.png": row["image"] for n, row in enumerate(rows)})})
    after = open_source(asked, store)
    assert after.fingerprint != before.fingerprint
    assert source_listing(after) == source_listing(open_source(asked))


def test_the_first_writer_wins(tmp_path: Path, store: Store) -> None:
    asked = in_form("folder", tmp_path / "data")
    other = Store.open(tmp_path / "other")
    open_source(asked, other)
    (key,) = other.keys("indexes")
    table = pq.read_table(io.BytesIO(other.get(key)))
    groups = pa.array(["grass" if id is not None else None for id in table.column("sha256").to_pylist()])
    data = io.BytesIO()
    pq.write_table(table.set_column(table.schema.get_field_index("group"), "group", groups), data)
    exists = store.get

    def written_meanwhile(self: Store, wanted: str) -> bytes:
        """The other writer ends just after it was looked for."""
        monkeypatch.undo()
        try:
            return exists(wanted)
        finally:
            store.put(wanted, data.getvalue())

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(Store, "get", written_meanwhile)
    assert set(open_source(asked, store).counts["boot"]) == {"grass"}


def test_on_a_bucket_by_its_etags(tmp_path: Path, store: Store, decodes: Decodes) -> None:
    (tmp_path / "s3").mkdir()
    with s3(tmp_path / "s3") as port, pytest.MonkeyPatch.context() as patch:
        for name, value in credentials(port).items():
            patch.setenv(name, value)
        bucket = Store(S3Store("bucket"))
        for name, data in PICTURES.items():
            bucket.put(f"shoes/{name}", data)
        asked = FolderSource(type="folder", path="s3://bucket/shoes")
        counts, sources = zip(*(decodes.during(lambda: open_source(asked, store)) for _ in range(2)), strict=True)
        assert counts == (len(PICTURES), 0)
        assert source_listing(sources[0]) == source_listing(sources[1])
        bucket.put("shoes/boot/3.png", encoded(noise(901, 8)))
        count, changed = decodes.during(lambda: open_source(asked, store))
        assert (count, changed.fingerprint == sources[0].fingerprint) == (1, False)


def test_progress_counts_the_files(tmp_path: Path) -> None:
    counts: dict[str, list[int]] = {}

    class Counted(type(SILENT)):  # type: ignore[misc]
        def stage(self, name: str, total: int) -> Stage:
            counts[name] = [total, 0]
            return lambda done: counts[name].__setitem__(1, counts[name][1] + done)

    source = in_form("folder", tmp_path / "data").model_dump()
    resources = Resources(spec(source=source), Store.open(tmp_path / "store"), Counted())
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with watched(step):
        assert len(resources.source.problems) == 4
    assert counts == {"index: files": [len(PICTURES) + 5, len(PICTURES) + 5]}
    assert steps > len(PICTURES)


def test_an_upload_is_indexed_with_its_sizes_and_one_of_an_older_release_without(tmp_path: Path) -> None:
    current = uploaded(tmp_path, tar(PICTURES))
    store = Store.open(tmp_path)
    (digest,) = {key.rpartition("/")[2].partition(".")[0] for key in store.keys("sources/shoes")} - {"newest"}
    document = store.json(keys.index("shoes", digest))
    assert all((row.pop("width"), row.pop("height")) == (8, 8) for row in document["items"])
    store.put(keys.index("shoes", "0" * 16), canonical(document))
    older = open_source(UploadedSource(type="uploaded", name="shoes", digest="0" * 16), store)
    assert source_listing(older) == source_listing(current)
    assert np.array_equal(older.read(older.of("boot")[0]), current.read(current.of("boot")[0]))
