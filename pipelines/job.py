"""One version of a dataset, in the pieces that different processes may do. Each can be done again, with the same bytes."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from pipelines.backbones.capabilities import check_models
from pipelines.engine.open import AnyEngine, open_engine
from pipelines.errors import SourceError
from pipelines.evaluation.evaluator import Evaluator, evaluate
from pipelines.evaluation.runs import units
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import Method, open_method
from pipelines.progress import Progress
from pipelines.quality.pictures import pictures
from pipelines.quality.report import FILE, quality_report
from pipelines.report.card import evaluated
from pipelines.report.conclusions import conclusions
from pipelines.report.embedding_map import read_map
from pipelines.report.hold import hold
from pipelines.report.page import render
from pipelines.report.quality import GUILTY
from pipelines.report.sample_sheet import sample_sheet
from pipelines.source import requirements
from pipelines.spec import VersionSpec, parse
from pipelines.spec.helpers import warnings
from pipelines.store import keys
from pipelines.store.canonical import canonical, digest
from pipelines.store.object_store import Store
from pipelines.store.version_artifacts import VersionArtifacts
from pipelines.version.carried import CarriedSamples
from pipelines.version.diff import compare
from pipelines.version.finalize import finalize
from pipelines.version.plan import Plan, make_plan, read_plan
from pipelines.version.refresh import Base, make_refresh, obeyed, open_base, source_listing, unchanged
from pipelines.version.shard import rewrite_shard, run_shards
from pipelines.version.showcase import showcase
from pipelines.version.verdicts import HumanVerdict, encoded
from pipelines.vision.models import Models


class Job:
    """The pieces of one version. Source, models and store are opened on first use: a planner loads no model."""

    def __init__(
        self,
        spec: VersionSpec,
        store: Store,
        progress: Progress,
        number: int = 1,
        previous: int | None = None,
        models: Models | None = None,
    ) -> None:
        """`previous` is the version that this one refreshes; `models` those that are loaded, of the same `spec.models`."""
        self.spec, self.store, self.previous = spec, store, previous
        self.resources = Resources(spec, store, progress, number, models)
        self.begin()

    def begin(self) -> None:
        """Begin with the artifacts that the version's record names, and nothing in memory but models."""
        self.resources.artifacts = VersionArtifacts(self.store, keys.learned(self.resources.root))
        self.resources.models.forget_loras()

    @cached_property
    def base(self) -> Base | None:
        """The version that is refreshed. Raises StoreError when it is gone."""
        if self.previous is None:
            return None
        return open_base(self.store, self.spec.name, self.previous, obeyed(self.store, self.resources.root))

    def obey(self, verdicts: Sequence[HumanVerdict]) -> None:
        """Store people's verdicts on the version that is refreshed, for the plan: what is stored first holds. What changes
        nothing is not stored: the number of a version that ends as unchanged is given again. Raises StoreError."""
        if self.previous is not None and open_base(self.store, self.spec.name, self.previous, verdicts).decided:
            self.store.put_first(keys.obeyed(self.resources.root), encoded(verdicts))

    @property
    def unchanged(self) -> bool:
        """Whether a refresh would give the same version again, by spec and images. Raises SourceError, StoreError."""
        return self.base is not None and unchanged(self.spec, self.resources.source, self.base)

    @cached_property
    def plan(self) -> Plan:
        """The plan, put into the store with spec and source. Raises SourceError when the source cannot be read.

        By a lease the first plan wins, and SourceError is raised when the source has changed since. In one process spec and
        source can still be corrected until a report is stored.
        """
        source, root = self.resources.source, self.resources.root
        alone = self.resources.fence is None
        fixed = alone and bool(self.store.keys(keys.reports(root)))
        if alone and not fixed:
            self.store.delete(keys.learned(root))  # of a checkpoint that may have been replaced since
        stored = read_plan(self.store, root)
        # Compared as specs, not by digest: an older one lacks fields that have their default now.
        same_source = stored is not None and stored.source == source.fingerprint
        if stored is not None and same_source and parse(self.store.json(keys.spec(root))) == self.spec:
            return stored
        document, listing = canonical(self.spec.model_dump(mode="json")), source_listing(source)
        if not alone:
            if stored is not None or self.store.put_first(keys.source(root), listing) != listing:
                raise SourceError("source: it has changed since this version was planned; ask for a new version")
            self.store.put_first(keys.spec(root), document)
            plan = self.new_plan()
            self.store.put_first(keys.plan(root), canonical(plan.as_json()))
            return plan
        plan = self.new_plan()
        write = self.store.create if fixed else self.store.put
        write(keys.spec(root), document)
        write(keys.source(root), listing)
        if not fixed:
            self.store.delete(keys.skipped(root))  # by another spec, other images were
            self.store.delete(keys.early_verdict(root))
        write(keys.plan(root), canonical(plan.as_json()))
        return plan

    def new_plan(self) -> Plan:
        """The plan of spec and source. Raises SpecError when the amount means nothing for this source."""
        source, spec = self.resources.source, digest(self.spec.model_dump(mode="json"))
        if self.base is None:
            return make_plan(self.spec, spec, source.fingerprint, source.counts)
        return make_refresh(self.spec, spec, source, self.base)

    @cached_property
    def method(self) -> Method:
        self.resources.reused_tokens = self.plan.tokens
        if self.plan.carried:
            self.resources.pool = CarriedSamples(self.store, self.resources.view, self.plan)
        return open_method(self.resources)

    @cached_property
    def engine(self) -> AnyEngine:
        method, capacity = self.spec.method, self.resources.models.machine.capacity
        learner = self.resources.learner if method.entropy_guidance else None
        return open_engine(self.resources.painter, capacity, method.cache_interval, learner, self.resources.models.further)

    @cached_property
    def panel(self) -> Panel:
        return Panel(self.resources)

    @cached_property
    def evaluator(self) -> Evaluator | None:
        """The evaluation of the spec, if any. Raises SpecError or SourceError when an arm's requirements are not met."""
        return (
            None if self.spec.evaluation is None else Evaluator(self.resources, self.plan, self.method, self.spec.evaluation)
        )

    def check(self) -> None:
        """Check what the spec requires of checkpoints and source. Raises SpecError, SourceError or ModelError."""
        check_models(self.spec)
        requirements.check(self.spec, self.resources.source)

    def learn(self) -> None:
        """Compute what is taken from the source - judges, ranking, masks, tokens, LoRAs, thresholds - or take it from the
        store. Store the record of it, and which source images cannot be used.

        Of several that learn, on whatever cards, the first record wins: the others go on with what it names.
        """
        self.method.concepts.check()  # this and the next raise before anything is trained
        self.method.concepts.check_detected()
        self.method.learn()
        if self.spec.method.entropy_guidance:
            self.resources.learner  # noqa: B018  (trained on first use)
        self.panel.learn([label for label, count in self.plan.per_class.items() if count])
        if not self.resources.artifacts.publish():
            self.begin_again()
            self.learn()
        skipped = canonical([asdict(problem) for problem in self.method.skipped])
        self.store.put_first(keys.skipped(self.resources.root), skipped)

    def begin_again(self) -> None:
        """Forget what was computed, but for models."""
        old = self.resources
        self.resources = Resources(self.spec, self.store, old.progress, old.number, old.models)
        self.resources.fence = old.fence
        for name in ("method", "engine", "panel", "evaluator"):
            vars(self).pop(name, None)
        self.begin()

    def generate(self, shards: Sequence[int]) -> list[dict[str, Any]]:
        """Generate shards, or carry them over; return their reports."""
        parts = {number: part for number in shards if (part := self.plan.carried_part(number))}
        generated = [number for number in shards if number not in parts]
        reports: list[dict[str, Any]] = []
        if generated:
            self.learn()  # before the engine is opened: tensors made in inference mode have no gradients
            reports += run_shards(self.resources, self.plan, generated, self.method, self.engine, self.panel)
        return reports + [rewrite_shard(self.resources, self.plan, number, part) for number, part in parts.items()]

    def finalize(self) -> dict[str, Any]:
        """Publish the version; return its manifest."""
        return finalize(self.resources, self.plan)

    def evaluate(self) -> dict[str, Any]:
        """Train the classifiers of every arm and seed; return the evaluation."""
        if self.evaluator is None:
            return self.unevaluated()
        return evaluate(self.evaluator)

    @property
    def evaluation_units(self) -> int:
        """Into how many units the evaluation is divided; 0 without one."""
        return 0 if self.spec.evaluation is None else units(self.spec.evaluation)

    def evaluate_unit(self, number: int) -> dict[str, Any]:
        """Do one unit of the evaluation; return its report. All that is left for `evaluate` is to sum them up."""
        assert self.evaluator is not None
        return self.evaluator.run_unit(number)

    def unevaluated(self, *notes: str) -> dict[str, Any]:
        """In place of an evaluation: why there is none, if one was asked for."""
        return {"arms": {}, "gap_closed": None, "probe_auc": None, "notes": [*notes, *warnings(self.spec)]}

    def compare(self) -> dict[str, Any] | None:
        """The diff against the version that it refreshes; None if it refreshes none, or that was deleted meanwhile."""
        if self.previous is None or not self.store.exists(keys.manifest(keys.version(self.spec.name, self.previous))):
            return None
        return compare(self.store, self.spec.name, self.resources.number, self.previous)

    def report(
        self, evaluation: dict[str, Any], seconds: dict[str, float], latest: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The summary of a published version, and its report files, name to bytes. `latest` is the evaluation of the version
        that it would replace."""
        counts, number = self.finalize()["counts"], self.resources.number
        summary = {"name": self.spec.name, "version": number, **evaluation, "counts": counts, "seconds": seconds}
        margin = None if self.spec.evaluation is None else self.spec.evaluation.margin
        summary |= {**conclusions(summary), "held": hold(summary, margin, latest)}
        published = self.store.get(keys.card(self.resources.root)).decode()
        quality = quality_report(self.resources, self.plan, counts, seconds)
        page = replace(
            showcase(self.resources, self.plan, self.method, summary),
            quality=quality,
            map=read_map(self.store, self.resources.root),
            pictures=pictures(self.resources, quality, GUILTY),
        )
        files = {
            "summary.json": canonical(summary),
            FILE: canonical(quality),
            "report.html": render(page).encode(),
            "card.md": evaluated(published, self.spec, summary).encode(),
        }
        if (picture := sample_sheet(page.samples)) is not None:
            files["samples.png"] = picture
        return summary, files
