"""One shard, from its slots to its report. The file to read first.

    slots -> method.requests -> engine -> filters -> keep | try again -> Parquet -> report, last

A shard is done when its report is in the store; until then it can be run again, and gives the same bytes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines import paths, rows
from pipelines.diffusion.engine import Engine
from pipelines.filters import Panel
from pipelines.methods import Method
from pipelines.plan import Carried, Plan
from pipelines.records import Request, Sample, Slot
from pipelines.store import canonical
from pipelines.workbench import Workbench


@dataclass(frozen=True)
class Outcome:
    """What became of a shard's slots: at most one kept sample each, and every sample that was dropped on the way."""

    kept: list[Sample]
    dropped: list[Sample]


def requests(method: Method, slots: list[Slot], attempt: int, ahead: int) -> Iterator[Request]:
    """The slots' requests, prepared a few at a time, so that memory does not grow with the shard."""
    for start in range(0, len(slots), ahead):
        yield from method.requests(slots[start : start + ahead], attempt)


def make(bench: Workbench, method: Method, engine: Engine, panel: Panel, slots: list[Slot]) -> Outcome:
    """Generate and judge; make again only what was dropped, at most `max_attempts` times."""
    stage = bench.progress.stage("generate", len(slots))
    kept: list[Sample] = []
    dropped: list[Sample] = []
    for attempt in range(bench.spec.max_attempts):
        made = list(engine.run(requests(method, slots, attempt, engine.slots)))
        made.sort(key=lambda candidate: candidate.request.index)
        if [candidate.request.index for candidate in made] != sorted(slot.index for slot in slots):
            raise RuntimeError(f"asked for {len(slots)} images, got {len(made)}: the engine lost or repeated some")
        samples = panel.judge(made, [sample.candidate for sample in kept])
        kept += [sample for sample in samples if sample.verdict.kept]
        dropped += [sample for sample in samples if not sample.verdict.kept]
        stage(len(slots) - sum(not sample.verdict.kept for sample in samples))
        again = {sample.candidate.request.index for sample in samples if not sample.verdict.kept}
        slots = [slot for slot in slots if slot.index in again]
        if not slots:
            break
    stage(len(slots))
    kept.sort(key=lambda sample: sample.candidate.request.index)
    return Outcome(kept, dropped)


def report(number: int, planned: int, outcome: Outcome) -> dict[str, Any]:
    """Counts of a shard that was generated. generated = kept + dropped; kept <= planned; nothing is carried."""
    reasons = Counter(sample.verdict.reason for sample in outcome.dropped)
    labels = Counter(sample.candidate.request.label for sample in outcome.kept)
    return {
        "shard": number,
        "planned": planned,
        "generated": len(outcome.kept) + len(outcome.dropped),
        "kept": len(outcome.kept),
        "dropped": len(outcome.dropped),
        "carried": 0,
        "reasons": dict(sorted((str(k), v) for k, v in reasons.items())),
        "labels": dict(sorted(labels.items())),
    }


def carried_report(number: int, part: Carried) -> dict[str, Any]:
    """Counts of a shard that was carried from an earlier version: no work was done on its samples."""
    return {
        **report(number, 0, Outcome([], [])),
        "carried": sum(part.labels.values()),
        "labels": dict(sorted(part.labels.items())),
    }


def run_shard(bench: Workbench, plan: Plan, number: int, method: Method, engine: Engine, panel: Panel) -> dict[str, Any]:
    """Make one shard, unless its report says that it is made already; return the report."""
    key = paths.report(bench.root, number)
    if bench.store.exists(key):
        return dict(bench.store.json(key))
    slots = plan.shard(number)
    outcome = make(bench, method, engine, panel, slots)
    bench.store.put(plan.data(bench.root, number), rows.parquet(outcome.kept, bench))
    bench.store.put(plan.rejects(bench.root)[number], rows.parquet(outcome.dropped, bench))
    made = report(number, len(slots), outcome)
    bench.store.create(key, canonical(made))
    return made


def rewrite_shard(bench: Workbench, plan: Plan, number: int, part: Carried) -> dict[str, Any]:
    """Write a carried shard again without what is gone, unless its report says that this was done; return the report."""
    key, made = paths.report(bench.root, number), carried_report(number, part)
    if not bench.store.exists(key):
        left = rows.without(bench.store.get(part.key), frozenset(part.without), bench.source.classes)
        bench.store.put(plan.data(bench.root, number), left)
        bench.store.create(key, canonical(made))
    return made
