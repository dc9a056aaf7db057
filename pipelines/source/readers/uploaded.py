"""Images that were sent to a service: taken in by `source.upload`."""

from pipelines.errors import SourceError
from pipelines.records import Image, Item, Problem
from pipelines.source.checks import Contents
from pipelines.source.decode import decode
from pipelines.source.source import Source, checked
from pipelines.source.splits import SPLITS
from pipelines.spec import UploadedSource
from pipelines.store import keys
from pipelines.store.object_store import Store


def open_uploaded(spec: UploadedSource, store: Store) -> Source:
    """Open images that were uploaded. Raises SourceError when there are none, no two classes, or too many bad ones."""
    key = keys.newest(spec.name)
    if spec.digest is None and not store.exists(key):
        raise SourceError(f"source.name: nothing was uploaded as {spec.name!r}; send it to /v1/sources/{spec.name} first")
    key = keys.index(spec.name, spec.digest or store.json(key)["digest"])
    if not store.exists(key):
        raise SourceError(f"source.digest: {spec.name!r} has no state {spec.digest!r}; leave it out for the newest")
    index = store.json(key)
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for row in index["items"]:
        splits[row["split"]].append(Item(row["id"], row["sha256"], row["label"], row["group"]))

    def read(item: Item) -> Image:
        return decode(store.get(keys.blob(item.sha256)), allow_synthetic=True)

    contents = Contents(splits, [Problem(problem["id"], problem["reason"]) for problem in index["problems"]])
    return checked(contents, read, f"source.name: {spec.name}", spec)
