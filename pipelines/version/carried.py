"""The samples that a refresh carries over, as training data: of the classifier that says what there is still to learn."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.progress import step
from pipelines.records import Examples, Image
from pipelines.source.decode import decode
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import Plan
from pipelines.vision.source_view import SourceView


@dataclass(frozen=True)
class CarriedSamples:
    """In the order of the plan's parts. A file is read whole, one after another."""

    store: Store
    view: SourceView
    plan: Plan

    def rows(self) -> Iterator[dict[str, Any]]:
        for part in self.plan.carried:
            step()
            yield from rows.read(rows.carried(self.store.get(part.key), part, self.view.source.classes))

    @cached_property
    def facts(self) -> list[tuple[str, str]]:
        """SHA-256 and label of each."""
        classes = self.view.source.classes
        return [(hashlib.sha256(row["image"]).hexdigest(), classes[row["label"]]) for row in self.rows()]

    def examples(self) -> Examples:
        """At the classifier's side."""
        facts = {"kind": "carried", "samples": [sha256 for sha256, _ in self.facts], "framing": self.view.framing}
        pixels = self.view.cache.get_or_make(facts, self.view.side, len(self.facts), self.images)
        return Examples(pixels, [label for _, label in self.facts], [None] * len(self.facts))

    def images(self) -> Iterator[Image]:
        for row in self.rows():
            yield self.view.fit(decode(row["image"], allow_synthetic=True), self.view.side)
