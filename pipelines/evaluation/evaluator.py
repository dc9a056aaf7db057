"""Is a model trained on the version better? The same classifier, trained by every arm and seed, on real test images."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from pipelines.chance import derive
from pipelines.evaluation.additions import ADDITIONS
from pipelines.evaluation.data import EvaluationData
from pipelines.evaluation.notes import incomplete, notes, shortfall
from pipelines.evaluation.probe import probe_auc
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.records import Examples
from pipelines.source.requirements import check_evaluation
from pipelines.spec import Evaluation
from pipelines.spec.arms import ARMS, BASELINE, CEILING, VERSION
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.training.metrics import score, shots, summary
from pipelines.version.plan import Plan

PARTS = ("groups", "classes", "shots")  # figures of parts of the test images


class Evaluator:
    """Trains and scores the arms of one version."""

    def __init__(self, resources: Resources, plan: Plan, method: Method, spec: Evaluation) -> None:
        """Raises SpecError or SourceError when the evaluation lacks something."""
        self.resources, self.spec = resources, spec
        self.data = EvaluationData(resources, plan, method, spec)
        self.added: dict[str, Examples] = {}  # by addition: decoded once, for all seeds
        check_evaluation(spec, resources.source)

    def addition(self, arm: str) -> Examples | None:
        """What an arm trains on beside the real images; None: nothing."""
        name = ARMS[arm].addition
        if name is None:
            return None
        if name not in self.added:
            self.added[name] = ADDITIONS[name](self.data)
            if missing := self.missing(arm):
                self.resources.progress.say(incomplete(arm, missing))
        return self.added[name] if len(self.added[name]) else None

    def missing(self, arm: str) -> dict[str, int]:
        """By class, how many images fewer an arm has added than the version holds."""
        name, classes = ARMS[arm].addition, self.resources.source.classes
        if name is None:
            return {}
        return shortfall(self.added[name], Counter(classes[row["label"]] for row in self.data.kept))

    def run(self, arm: str, seed: int) -> dict[str, Any]:
        """Train one arm with one seed and score it, unless that was done before."""
        resources, classes, data = self.resources, self.resources.source.classes, self.data
        key = keys.run(resources.root, arm, seed)
        if resources.store.exists(key):
            return dict(resources.store.json(key))
        added = self.addition(arm)
        steps = resources.spec.classifier.steps * ARMS[arm].lengthening
        stage = resources.progress.stage(f"train: {arm}, seed {seed}", steps)
        classifier = fit(
            resources.spec.classifier.model_copy(update={"steps": steps}),
            classes,
            Feed(data.real, classes, data.twins(arm), self.spec.reencode),
            None if added is None else Feed(added, classes),
            resources.view.validation,
            gamma=self.spec.gamma,
            recipe=self.spec.recipe,
            training=ARMS[arm].training,
            checkpoint=self.spec.checkpoint,
            seed=derive(seed, "arm") % 2**31,
            device=resources.spec.models.device,
            progress=stage,
        )
        figures = score(classifier.scores(data.test.images), classes, data.test.labels, data.test.groups)
        result = {**asdict(figures), "shots": shots(figures.classes, Counter(data.real.labels))}
        if missing := self.missing(arm):
            result["missing"] = missing
        resources.store.put_first(key, canonical(result))
        return dict(resources.store.json(key))

    def probe(self) -> float | None:
        """How well real and repainted images of one class, on its own scenes, can be told apart; None if too few."""
        classes = self.resources.source.classes
        repainted = [row for row in self.data.kept if row["origin"] == classes[row["label"]]]
        return probe_auc(self.data.real, self.data.examples(repainted), self.resources.spec.seed) if repainted else None


def aggregate(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Mean, spread and values of every figure of every arm."""
    return {
        arm: {
            "average": summary([r["average"] for r in results]),
            "worst_group": summary([r["worst_group"] for r in results]),
            "ece": summary([r["ece"] for r in results]),
            **{kind: {k: summary([r[kind][k] for r in results]) for k in results[0][kind]} for kind in PARTS},
        }
        for arm, results in runs.items()
    }


def gap_closed(arms: dict[str, Any]) -> float | None:
    """The share of the worst-group gap between ERM and the ceiling that the version closes."""
    if not {BASELINE, VERSION, CEILING} <= arms.keys():
        return None
    low, mid, high = (arms[arm]["worst_group"]["mean"] for arm in (BASELINE, VERSION, CEILING))
    return float((mid - low) / (high - low)) if high > low else None


def evaluate(evaluator: Evaluator) -> dict[str, Any]:
    """Run every arm and seed that has not been run; return, and store, the evaluation."""
    resources, spec = evaluator.resources, evaluator.spec
    key = keys.evaluation(resources.root)
    if not resources.store.exists(key):
        runs = {arm: [evaluator.run(arm, seed) for seed in spec.seeds] for arm in spec.arms}
        arms = aggregate(runs)
        result = {
            "arms": arms,
            "gap_closed": gap_closed(arms),
            "probe_auc": evaluator.probe(),
            "notes": notes(resources.spec, runs),
        }
        resources.store.put_first(key, canonical(result))
    return dict(resources.store.json(key))
