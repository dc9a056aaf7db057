"""One version of a dataset, in the pieces that different processes may do. Each can be done again, with the same bytes."""

from functools import cached_property
from typing import Any

from pipelines import needs, paths
from pipelines.diff import compare
from pipelines.diffusion.engine import Engine
from pipelines.filters import Panel
from pipelines.finalize import finalize
from pipelines.methods import Method, open_method
from pipelines.plan import Plan, make_plan, read_plan
from pipelines.progress import Progress
from pipelines.refresh import Base, listed, make_refresh, open_base, unchanged
from pipelines.report.gather import gather
from pipelines.report.page import render
from pipelines.report.strip import strip
from pipelines.shard import rewrite_shard, run_shard
from pipelines.spec import VersionSpec
from pipelines.store import Store, canonical, digest
from pipelines.training.evaluate import Evaluator, evaluate
from pipelines.workbench import Workbench


class Job:
    """What a piece needs is opened when it is first needed: a planner loads no model."""

    def __init__(
        self, spec: VersionSpec, store: Store, progress: Progress, number: int = 1, previous: int | None = None
    ) -> None:
        """`previous` is the version that this one refreshes."""
        self.spec, self.store, self.previous = spec, store, previous
        self.bench = Workbench(spec, store, progress, number)

    @cached_property
    def base(self) -> Base | None:
        """The version that is refreshed. Raises StoreError when it is gone."""
        return None if self.previous is None else open_base(self.store, self.spec.name, self.previous)

    @property
    def unchanged(self) -> bool:
        """Whether there is nothing that the version which is refreshed has not. Raises SourceError, StoreError."""
        return self.base is not None and unchanged(self.spec, self.bench.source, self.base)

    @cached_property
    def plan(self) -> Plan:
        """The plan, put into the store with spec and source. Raises SourceError when the source cannot be read."""
        document, source, root = self.spec.model_dump(mode="json"), self.bench.source, self.bench.root
        asked, found = (digest(document), source.fingerprint), read_plan(self.store, root)
        if found is not None and (found.spec, found.source) == asked:
            return found
        if self.base is None:
            plan = make_plan(self.spec, *asked, source.counts)
        else:
            plan = make_refresh(self.spec, asked[0], source, self.base)
        # Until something was made, a spec that proved wrong can be put right; then never again.
        write = self.store.create if self.store.keys(paths.reports(root)) else self.store.put
        write(paths.spec(root), canonical(document))
        write(paths.source(root), canonical(listed(source)))
        write(paths.plan(root), canonical(plan.as_json()))
        return plan

    @cached_property
    def method(self) -> Method:
        self.bench.tokens = self.plan.tokens
        return open_method(self.bench)

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.bench.model)

    @cached_property
    def panel(self) -> Panel:
        return Panel(self.bench)

    @cached_property
    def evaluator(self) -> Evaluator | None:
        """Raises SpecError or SourceError when the evaluation that was asked for lacks something."""
        return None if self.spec.evaluation is None else Evaluator(self.bench, self.plan, self.method, self.spec.evaluation)

    def check(self) -> None:
        """Find out now what could not be done at the end. Raises SpecError or SourceError."""
        needs.check(self.spec, self.bench.source)

    def learn(self) -> None:
        self.method.learn()

    def generate(self, shard: int) -> dict[str, Any]:
        """Make a shard; return its report."""
        if part := self.plan.part(shard):
            return rewrite_shard(self.bench, self.plan, shard, part)
        self.learn()  # in another process, perhaps: what the engine opened in inference mode could not be differentiated
        return run_shard(self.bench, self.plan, shard, self.method, self.engine, self.panel)

    def finalize(self) -> dict[str, Any]:
        """Publish the version; return its manifest."""
        return finalize(self.bench, self.plan, self.method)

    def evaluate(self) -> dict[str, Any]:
        """Train with and without the version; return what came of it."""
        if self.evaluator is None:
            return {"arms": {}, "gap_closed": None, "probe_auc": None}
        return evaluate(self.evaluator)

    def compare(self) -> dict[str, Any] | None:
        """What this version has that the one it refreshes had not; None of a version that refreshes none."""
        return None if self.previous is None else compare(self.store, self.spec.name, self.bench.number, self.previous)

    def report(self, evaluation: dict[str, Any], seconds: dict[str, float]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The summary of a published version, and its files to look at, by name."""
        counts, number = self.finalize()["counts"], self.bench.number
        summary = {"name": self.spec.name, "version": number, **evaluation, "counts": counts, "seconds": seconds}
        page = gather(self.bench, self.plan, self.method, summary)
        files = {"summary.json": canonical(summary), "report.html": render(page).encode()}
        picture = strip(page.samples)
        return summary, files if picture is None else {**files, "samples.png": picture}
