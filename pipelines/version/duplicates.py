"""Near duplicates across shards: what repeats an image of another shard is dropped before a version is published.

A shard compares its own images while they are generated, and stores what it compared them by. Once all shards are done,
these fingerprints are compared, with those of the shards that are carried from an earlier version, too. Of two images that
repeat each other the one with the larger index goes, and what has gone stands in nobody's way: so the result does not depend
on the order in which shards were generated. No pixel is decoded for it.

What goes is written down first (`duplicates.json`), then each of its shards again, under other names and with a report of
their own. Of each object the first writer wins, and who is killed anywhere is gone on from there.
"""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.filters.fingerprints import StoredFingerprints
from pipelines.filters.near_duplicate import REPEATS_ANOTHER
from pipelines.filters.neighbours import near_embeddings, near_hashes
from pipelines.learning.resources import Resources
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version import rows
from pipelines.version.contents import score_sums
from pipelines.version.files import Kind, reported
from pipelines.version.plan import Plan
from pipelines.version.reports import Report
from pipelines.version.shard import publish

REASON = f"near_duplicate: {REPEATS_ANOTHER}"
BLOCK = 2**16  # samples that are compared at a time with those before them
Repeats = dict[int, dict[str, Any]]  # by the index of a sample that goes: which it repeats (`of`), and the `scores` of that


class Gallery:
    """The fingerprints of several shards, in the order of the samples' index."""

    def __init__(self, shards: Mapping[int, StoredFingerprints], generated: int) -> None:
        """`shards` by number; those from `generated` on are carried."""
        parts = {number: part for number, part in shards.items() if len(part.indices)}
        indices = np.concatenate([part.indices for part in parts.values()])
        order = np.argsort(indices)
        self.indices = indices[order]
        self.shards = np.repeat(list(parts), [len(part.indices) for part in parts.values()])[order]
        self.hashes = np.concatenate([part.hashes for part in parts.values()])[order]
        self.embeddings = np.concatenate([part.embeddings for part in parts.values()])[order]
        self.distance, self.similarity = shards[min(shards)].limits  # on another machine, those of a calibration may differ
        self.stays = self.shards >= generated

    def pairs(self, kept: np.ndarray[Any, Any], start: int) -> list[tuple[int, int]]:
        """Pairs that repeat each other, of which the second may go: it is at `start` or after it, the first is before it and
        `kept`, or after `start`, too."""
        places = np.concatenate([kept, np.arange(start, min(start + BLOCK, len(self.indices)))])
        found = [(np.empty(0, np.intp), np.empty(0, np.intp))]
        if self.distance >= 0:
            found.append(near_hashes(self.hashes[places], len(kept), int(self.distance)))
        if np.isfinite(self.similarity):
            found.append(near_embeddings(self.embeddings, places, len(kept), self.similarity))
        first, second = (places[np.concatenate(part)] for part in zip(*found, strict=True))
        apart = (self.shards[first] != self.shards[second]) & ~self.stays[second]
        return sorted(zip(second[apart].tolist(), first[apart].tolist(), strict=True))

    def scores(self, row: int, other: int) -> dict[str, float]:
        """How near two samples are, as the filter names it."""
        scores = {"near_duplicate.to_others": float(np.bitwise_count(self.hashes[row] ^ self.hashes[other]))}
        if self.embeddings.shape[1]:
            cosine = float(np.dot(*self.embeddings[[row, other]].astype(np.float32)))
            scores["near_duplicate.to_others_cosine"] = round(cosine, 6)
        return scores

    def repeats(self) -> dict[int, Repeats]:
        """What goes, by the number of its shard."""
        repeats: defaultdict[int, Repeats] = defaultdict(dict)
        gone, kept = np.zeros(len(self.indices), np.bool_), np.empty(0, np.intp)
        for start in range(0, len(self.indices), BLOCK):
            for row, other in self.pairs(kept, start):
                if not gone[row] and not gone[other]:
                    gone[row] = True
                    facts = {"of": int(self.indices[other]), "scores": self.scores(row, other)}
                    repeats[int(self.shards[row])][int(self.indices[row])] = facts
            kept = np.flatnonzero(~gone[: start + BLOCK])
        return dict(repeats)


def stored_fingerprints(resources: Resources, plan: Plan, reports: Sequence[Report]) -> dict[int, StoredFingerprints]:
    """Of the shards whose samples were compared, by number; not of those that were written by a release before that."""
    store, result = resources.store, {}
    for number, report in enumerate(reports):
        part = plan.carried_part(number)
        if part is not None and part.whole:
            key = keys.fingerprints_beside(part.key)
            if not store.exists(key):
                continue
        elif "fingerprints" in report.get("files", {}):
            key = reported(resources.root, plan, number, report)["fingerprints"]
        else:
            continue
        result[number] = StoredFingerprints.decode(store.get(key))
    return result


def find_repeats(resources: Resources, plan: Plan, reports: Sequence[Report]) -> dict[int, Repeats]:
    """What goes of the version, by the number of its shard, as whoever is the first to write it down finds it."""
    store, key = resources.store, keys.duplicates(resources.root)
    if not store.exists(key):
        shards = stored_fingerprints(resources, plan, reports)
        several = sum(len(part.indices) > 0 for part in shards.values()) > 1
        store.put_first(key, canonical(Gallery(shards, plan.generated_shards).repeats() if several else {}))
    return {int(n): {int(i): facts for i, facts in gone.items()} for n, gone in store.json(key).items()}


def rewrite_distinct(resources: Resources, plan: Plan, number: int, report: Report, repeats: Repeats) -> Report:
    """Write a shard again, what repeats others among what was dropped, unless that was done; return its later report."""
    store, root, classes = resources.store, resources.root, resources.source.classes
    later = keys.report(root, number, distinct=True)
    if store.exists(later):
        return dict(store.json(later))
    files = reported(root, plan, number, report)
    samples, rejected = (pq.read_table(io.BytesIO(store.get(files[kind]))).to_pylist() for kind in ("data", "rejected"))
    kept = [row for row in samples if row["index"] not in repeats]
    moved = [dropped(row, repeats[row["index"]]["scores"]) for row in samples if row["index"] in repeats]
    rejected = sorted([*rejected, *moved], key=lambda row: (row["attempt"], row["index"]))
    prints = StoredFingerprints.decode(store.get(files["fingerprints"])).without(repeats)
    contents: dict[Kind, bytes] = {
        "data": rows.write_table(kept, classes),
        "rejected": rows.write_table(rejected, classes),
        "fingerprints": prints.encode(),
    }
    return publish(resources, plan, number, contents, corrected(report, kept, moved, classes), distinct=True)


def dropped(row: dict[str, Any], scores: Mapping[str, float]) -> dict[str, Any]:
    """The row of a sample that repeats another."""
    return {**row, "reason": REASON, "scores": json.dumps({**json.loads(row["scores"]), **scores}, sort_keys=True)}


def corrected(
    report: Report, kept: Sequence[dict[str, Any]], moved: Sequence[dict[str, Any]], classes: Sequence[str]
) -> Report:
    """The report of a shard of which some samples were dropped after it was done."""
    labels, gone = Counter(classes[row["label"]] for row in moved), {row["index"] for row in moved}
    reasons = report["label_reasons"]
    return {
        **report,
        "kept": report["kept"] - len(moved),
        "dropped": report["dropped"] + len(moved),
        "reasons": added(report["reasons"], len(moved)),
        "labels": {label: n - labels[label] for label, n in report["labels"].items() if n > labels[label]},
        "label_reasons": reasons | {label: added(reasons.get(label, {}), n) for label, n in labels.items()},
        "scores": score_sums(row["scores"] for row in kept),
        "thumbnails": [each for each in report["thumbnails"] if each["index"] not in gone],
    }


def added(reasons: Mapping[str, int], count: int) -> dict[str, int]:
    return {**reasons, REASON: reasons.get(REASON, 0) + count}


def distinct_reports(resources: Resources, plan: Plan, reports: Sequence[Report]) -> list[Report]:
    """The reports of a version without what repeats an image of another shard; as they are, where none are compared."""
    result = list(reports)
    if any("fingerprints" in report.get("files", {}) for report in reports[: plan.generated_shards]):
        for number, repeats in find_repeats(resources, plan, reports).items():
            result[number] = rewrite_distinct(resources, plan, number, reports[number], repeats)
    return result
