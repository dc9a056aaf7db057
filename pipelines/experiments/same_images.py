"""Rows of a benchmark that differ in their evaluation alone have the same images: these are made once."""

from collections.abc import Iterable
from typing import Any

from pipelines.spec import VersionSpec
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store


def images_of(spec: VersionSpec) -> dict[str, Any]:
    """All fields that its images depend on."""
    return spec.model_dump(mode="json", exclude={"name", "evaluation"})


def begin_with_images(store: Store, spec: VersionSpec, made: Iterable[tuple[VersionSpec, int]]) -> None:
    """Copy the shards of a version that has the same images, and what was learned for them, if one was `made` (specs and
    version numbers): a run of `spec` then goes on with its evaluation. A version that was begun stays as it is."""
    root = keys.version(spec.name, 1)
    origin = next((keys.version(other.name, number) for other, number in made if images_of(other) == images_of(spec)), None)
    if origin is None or store.keys(keys.reports(root)):
        return
    store.delete(keys.plan(root))  # of another spec, which was stopped before its first shard
    store.put(keys.spec(root), canonical(spec.model_dump(mode="json")))
    learned = [of(origin) for of in (keys.skipped, keys.learned, keys.filter_order, keys.early_verdict)]
    # Reports last: a shard that has one is done.
    folders = (keys.data_folder, keys.rejected_folder, keys.fingerprints_folder, keys.reports)
    shards = [key for folder in folders for key in store.keys(folder(origin))]
    for key in [*filter(store.exists, learned), *shards]:
        store.put(root + key.removeprefix(origin), store.get(key))
