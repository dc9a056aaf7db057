"""The order of the filters, by cost over power: first the one that drops most images in the least time, then the one that
does so of what is left (the rank of predicates in Hellerstein and Stonebraker, SIGMOD 1993).

A filter judges an image alone, so the order changes neither what is kept nor its scores: only which filter drops an image
that several would drop, and how long that takes.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Protocol

from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Verdict
from pipelines.store import keys
from pipelines.store.canonical import canonical

IMAGES = 64  # of the version's first, which every filter judges


class Judge(Protocol):
    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]: ...


class FilterOrder:
    """That of a version. It is stored: of several workers the first decides for all that come later."""

    def __init__(self, resources: Resources, filters: Mapping[str, Judge]) -> None:
        self.resources, self.filters = resources, filters
        self.seconds = dict.fromkeys(filters, inf)  # of an image, by filter, in its fastest batch
        self.dropped: list[frozenset[str]] = []  # of each image, the filters that drop it
        store, key = resources.store, keys.filter_order(resources.root)
        self.names: list[str] | None = store.json(key)["order"] if store.exists(key) else None  # None: not measured yet

    def measure(self, candidates: Sequence[Candidate]) -> dict[str, list[Verdict]]:
        """The verdicts of every filter on all candidates; once there are enough, the order is decided."""
        verdicts = {}
        for name, filter_ in self.filters.items():
            began = time.perf_counter()
            verdicts[name] = filter_.judge(candidates)
            self.seconds[name] = min(self.seconds[name], (time.perf_counter() - began) / max(1, len(candidates)))
        for number in range(len(candidates)):
            self.dropped.append(frozenset(name for name, own in verdicts.items() if not own[number].kept))
        if len(self.dropped) >= IMAGES:
            self.decide()
        return verdicts

    def decide(self) -> None:
        facts = {
            "order": ordered(self.seconds, self.dropped),
            "milliseconds": {name: round(1000 * seconds, 3) for name, seconds in self.seconds.items()},
            "dropped": {name: sum(name in filters for filters in self.dropped) for name in self.filters},
            "images": len(self.dropped),
        }
        store, key = self.resources.store, keys.filter_order(self.resources.root)
        store.put_first(key, canonical(facts))
        self.names = list(store.json(key)["order"])


def ordered(seconds: Mapping[str, float], dropped: Collection[Collection[str]]) -> list[str]:
    """Filters by their seconds over the share that they drop of what those before them keep; the others as listed."""
    order, left, images = list[str](), list(seconds), list(dropped)
    while left:
        power = {name: sum(name in filters for filters in images) for name in left}
        order.append(min(left, key=lambda name: seconds[name] / power[name] if power[name] else inf))
        left.remove(order[-1])
        images = [filters for filters in images if order[-1] not in filters]
    return order
