"""Artifacts: what is computed from a source once and stored by content address, for every version that needs the same."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.store import keys
from pipelines.store.canonical import digest
from pipelines.store.object_store import Store
from pipelines.store.removal import Removed, remove_old

FACTS = ("curve.json", "facts.json")  # files that hold what an artifact was made from
CHECKPOINT = "progress.safetensors"  # of work that has not finished
RENEWED = timedelta(days=1)  # age from which a file that is read is written again


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of one artifact. It is complete when the `last` of them is there."""

    store: Store
    kind: str  # token, lora, classifier, masks, ...
    digest: str  # of all facts that determine it
    last: str  # the file that is written last

    @property
    def complete(self) -> bool:
        return self.has(self.last)

    def key(self, file: str) -> str:
        return keys.concept(self.kind, self.digest, file)

    def has(self, file: str) -> bool:
        return self.store.exists(self.key(file))

    def get(self, file: str) -> bytes:
        """A file, to be used. Raises StoreError when there is no such file."""
        return use(self.store, self.key(file))

    def json(self, file: str) -> Any:
        """A file of JSON, as `get`."""
        return json.loads(self.get(file))

    def load_checkpoint(self) -> bytes | None:
        """The state of unfinished work, if any was saved."""
        key = self.key(CHECKPOINT)
        return self.store.get(key) if self.store.exists(key) else None

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Write the files by name, the last one last. Those of a writer that was faster are left as they are."""
        for name in sorted(files, key=lambda name: name == self.last):
            self.store.put_first(self.key(name), files[name])

    def save_checkpoint(self, state: bytes) -> None:
        self.store.put(self.key(CHECKPOINT), state)


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Artifacts of a store. Of several writers the first wins: floating point differs between their machines, and what one
    has published, others may have used already."""

    store: Store

    def find(self, kind: str, facts: Any, last: str) -> Artifact:
        """The artifact that `facts` determine (a JSON value), complete or not."""
        return self.at(kind, digest(facts), last)

    def at(self, kind: str, address: str, last: str) -> Artifact:
        return Artifact(self.store, kind, address, last)

    def get_or_make(self, kind: str, facts: Any, last: str, make: Callable[[Artifact], Mapping[str, bytes]]) -> Artifact:
        """The artifact that `facts` determine: the stored one, or else what `make` computes, by file name.

        `make` may keep checkpoints in the artifact that it is given.
        """
        artifact = self.find(kind, facts, last)
        if not artifact.complete:
            artifact.publish(make(artifact))
        return artifact


def use(store: Store, key: str) -> bytes:
    """An object, to be used: so that its age is the time since it was used, an old one is written again. Raises StoreError
    when there is no such object."""
    data = store.get(key)
    if datetime.now(UTC) - store.modified(key) > RENEWED:
        store.put(key, data)
    return data


def remove_unused(store: Store, used: Collection[str], before: datetime) -> Removed:
    """Delete the artifacts that were last used before this time, but for those of which a file is among the keys `used`, and
    the indexes of sources. Whoever needs one again makes it again."""
    files: dict[str, dict[str, int]] = {}  # sizes by key of each artifact
    newest: dict[str, datetime] = {}
    for batch in store.scan("concepts"):
        for meta in batch:
            key = str(meta["path"])
            folder = key.rpartition("/")[0]
            files.setdefault(folder, {})[key] = int(meta["size"])
            newest[folder] = max(newest.get(folder, meta["last_modified"]), meta["last_modified"])
    needed = {key.rpartition("/")[0] for key in used}
    removed = Removed()
    for folder, sizes in files.items():
        if newest[folder] < before and folder not in needed:
            store.delete_all(list(sizes))
            removed += Removed(len(sizes), sum(sizes.values()))
    return removed + remove_old(store, keys.INDEXES, before, kept=lambda key: False)


def facts_of(store: Store, folder: str) -> dict[str, Any] | None:
    """What an artifact was made from; None where that is not known: it is unfinished, or of an older release."""
    key = next((f"{folder}/{file}" for file in FACTS if store.exists(f"{folder}/{file}")), None)
    return None if key is None else dict(store.json(key))


def learned_from(store: Store, images: Collection[str]) -> list[str]:
    """The folders of the artifacts that were learned from any of these images (SHA-256), or with a token that was; and of
    those of which that is not known."""
    folders = [
        f"concepts/{kind}/{address}" for kind in store.folders("concepts") for address in store.folders(f"concepts/{kind}")
    ]
    facts = {folder: facts_of(store, folder) for folder in folders if next(store.scan(f"{folder}/"), None)}
    learned = {f for f, known in facts.items() if known is None or not set(images).isdisjoint(known.get("images", images))}
    for folder, known in facts.items():
        tokens = {str(key).rpartition("/")[0] for key in (known or {}).get("concepts", [])}
        learned |= set() if tokens.isdisjoint(learned) else {folder}
    return sorted(learned)


def remove(store: Store, folder: str) -> None:
    """Delete an artifact: whoever needs it makes it again."""
    store.delete_all(store.keys(f"{folder}/"))
