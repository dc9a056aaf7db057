"""The artifacts of one version, by name, and the record that names each by its digest.

An artifact's address may depend on floating point: a token's on the images that a judge ranks first. On another card the
last bit differs, and so would the address. Whoever learns computes it, and records what it has used; all others open that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.store.artifacts import Artifact, Artifacts
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store

Facts = Callable[[], dict[str, Any]]  # what determines an artifact, as JSON: computed where no record names it


@dataclass
class VersionArtifacts:
    """Artifacts by name: "token/boot". Of several records the first that is stored is the version's."""

    store: Store
    record: str | None = None  # its key; None: of no version, so that everything is found by its facts
    used: dict[str, str] = field(default_factory=dict)  # key of the last file of what was found by its facts, by name

    @cached_property
    def recorded(self) -> dict[str, str]:
        """What the record names, as `used`; nothing while there is none."""
        if self.record is None or not self.store.exists(self.record):
            return {}
        return dict(self.store.json(self.record))

    @property
    def keys(self) -> list[str]:
        """A key of each artifact."""
        return sorted({*self.used.values(), *self.recorded.values()})

    def recorded_of(self, group: str) -> list[Artifact]:
        """Those that the record names "group/...", in the order of their numbers, but for what was deleted since."""
        names = [name for name in self.recorded if name.rpartition("/")[0] == group]
        artifacts = (self.named(name) for name in sorted(names, key=lambda name: int(name.rpartition("/")[2])))
        return [artifact for artifact in artifacts if artifact is not None]

    def named(self, name: str) -> Artifact | None:
        """The one that the record names; None where it names none, or one that was deleted since."""
        if name not in self.recorded:
            return None
        _, kind, digest, last = self.recorded[name].split("/")
        artifact = Artifact(self.store, kind, digest, last)
        return artifact if artifact.complete else None

    def use(self, name: str, artifact: Artifact) -> Artifact:
        """Give an artifact its name in the record."""
        self.used[name] = artifact.key(artifact.last)
        return artifact

    def find(self, name: str, kind: str, facts: Facts, last: str) -> Artifact:
        """The one that the record names, or else that of the facts, complete or not."""
        return self.named(name) or self.use(name, Artifacts(self.store).find(kind, facts(), last))

    def get_or_make(
        self, name: str, kind: str, facts: Facts, last: str, make: Callable[[Artifact], Mapping[str, bytes]]
    ) -> Artifact:
        """As `find`; one that is not complete is made, by file name. `make` may keep checkpoints in it."""
        artifact = self.find(name, kind, facts, last)
        if not artifact.complete:
            artifact.publish(make(artifact))
        return artifact

    def publish(self) -> bool:
        """Store the record, once all is learned. False where another's was first, which names other artifacts: then these
        are to be used."""
        if self.recorded or self.record is None:
            return True
        self.store.put_first(self.record, canonical(self.used))
        self.recorded = dict(self.store.json(self.record))
        return self.recorded == self.used
