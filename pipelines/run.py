"""A whole version in one process, in the order in which a service would call the same pieces."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import paths
from pipelines.diffusion.engine import Engine
from pipelines.filters import Panel
from pipelines.finalize import finalize
from pipelines.methods import open_method
from pipelines.plan import make_plan
from pipelines.progress import Progress
from pipelines.report.gather import gather
from pipelines.report.page import render
from pipelines.report.strip import strip
from pipelines.shard import run_shard
from pipelines.spec import VersionSpec
from pipelines.store import Store, canonical, digest
from pipelines.training.evaluate import Evaluator, evaluate
from pipelines.workbench import Workbench


class Clock:
    """Seconds spent in each stage, summed over the runs that it took, kept in the store."""

    def __init__(self, store: Store, root: str) -> None:
        self.store, self.key = store, paths.seconds(root)
        self.spent: dict[str, float] = store.json(self.key) if store.exists(self.key) else {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.monotonic() - began
            self.store.put(self.key, canonical(self.spent))

    @property
    def seconds(self) -> dict[str, float]:
        stages = {stage: round(self.spent.get(stage, 0.0), 1) for stage in ("learn", "generate", "train")}
        return {"total": round(sum(self.spent.values()), 1), **stages}


def run(spec: VersionSpec, out: Path, progress: Progress) -> dict[str, Any]:
    """Make version 1 of `spec.name` in the folder `out`, evaluate it and report on it; return the summary.

    Stopped anywhere and run again, it goes on where it was and ends with the same bytes.
    """
    store = Store.open(out)
    bench = Workbench(spec, store, progress)
    clock = Clock(store, bench.root)
    document = spec.model_dump(mode="json")
    store.create(paths.spec(bench.root), canonical(document))
    with clock.time("plan"):
        plan = make_plan(spec, digest(document), bench.source.fingerprint, bench.source.classes)
        store.create(paths.plan(bench.root), canonical(plan.as_json()))
    evaluator = None if spec.evaluation is None else Evaluator(bench, plan, spec.evaluation)
    method = open_method(bench)
    with clock.time("learn"):
        method.learn()
    with clock.time("generate"):
        engine, panel = Engine(bench.model), Panel(bench)
        for number in range(plan.shards):
            run_shard(bench, plan, number, method, engine, panel)
        manifest = finalize(bench, plan, method)
    found: dict[str, Any] = {"arms": {}, "gap_closed": None, "probe_auc": None}
    if evaluator is not None:
        with clock.time("train"):
            found = evaluate(evaluator)
    summary = {"name": spec.name, "version": 1, **found, "counts": manifest["counts"], "seconds": clock.seconds}
    (out / "summary.json").write_bytes(canonical(summary))
    page = gather(bench, plan, method, summary)
    (out / "report.html").write_text(render(page), encoding="utf-8")
    picture = strip(page.samples)
    if picture is not None:
        (out / "samples.png").write_bytes(picture)
    return summary
