"""Is a model trained on the version better? The same classifier, trained by every arm and seed, on real test images."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from pipelines import parallel
from pipelines.chance import derive
from pipelines.evaluation.additions import ADDITIONS
from pipelines.evaluation.data import EvaluationData
from pipelines.evaluation.notes import few_tests, incomplete, notes, shortfall
from pipelines.evaluation.probe import probe_auc
from pipelines.evaluation.train import Training, train_and_score
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.parallel import Call
from pipelines.records import Examples
from pipelines.source.requirements import check_evaluation
from pipelines.spec import Evaluation
from pipelines.spec.arms import ARMS, BASELINE, CEILING, VERSION
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.tensors import choose_device
from pipelines.training.metrics import group_name, summary
from pipelines.training.selection import set_apart
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

    def parts(self, arm: str) -> tuple[Examples | None, Examples | None]:
        """What an arm adds: to train on, and to choose checkpoints by where the spec says so."""
        added, name = self.addition(arm), ARMS[arm].addition
        if added is None or self.spec.checkpoint != "generated":
            return added, None
        return set_apart(added, self.data.kinds if name == "version" else added.labels, self.resources.spec.seed)

    def steps(self, arm: str) -> int:
        """Optimisation steps of an arm."""
        return self.resources.spec.classifier.steps * ARMS[arm].lengthening

    def missing(self, arm: str) -> dict[str, int]:
        """By class, how many images fewer an arm has added than the version holds."""
        name = ARMS[arm].addition
        return {} if name is None else shortfall(self.added[name], self.data.sizes)

    def arguments(self, arm: str, seed: int) -> tuple[Training]:
        """Of the training of one arm with one seed."""
        resources, data = self.resources, self.data
        added, apart = self.parts(arm)
        training = Training(
            arm=arm,
            classes=resources.source.classes,
            real=data.real,
            twins=data.twins(arm),
            added=added,
            apart=apart,
            validation=data.validation,
            test=data.test,
            classifier=resources.spec.classifier.model_copy(update={"steps": self.steps(arm)}),
            evaluation=self.spec,
            seed=derive(seed, "arm") % 2**31,
            device=resources.models.machine.device,
            precision=resources.models.machine.precision,
        )
        return (training,)

    def run(self) -> dict[str, list[dict[str, Any]]]:
        """The scores of every arm and seed; those that were stored before are not trained again."""
        self.data.fence = self.resources.fence
        self.train(trainings(self.spec))
        return {arm: [self.result(arm, seed) for seed in self.spec.seeds] for arm in self.spec.arms}

    def key(self, arm: str, seed: int) -> str:
        return keys.run(self.resources.root, arm, seed)

    def result(self, arm: str, seed: int) -> dict[str, Any]:
        """The stored scores of one training."""
        return dict(self.resources.store.json(self.key(arm, seed)))

    def train(self, runs: Sequence[tuple[str, int]]) -> None:
        """Train arms with seeds, but for those that were, and store their scores: of several workers the first wins."""
        resources = self.resources
        pending = [run for run in runs if not resources.store.exists(self.key(*run))]
        if not pending:
            return
        # Last comes what is generated first: the others are trained beside that.
        pending.sort(key=lambda run: ARMS[run[0]].addition == "text_to_image")
        calls = [
            Call(train_and_score, partial(self.arguments, arm, seed), f"train: {arm}, seed {seed}", self.steps(arm))
            for arm, seed in pending
        ]
        results = parallel.run(calls, choose_device(resources.models.machine.device).type, resources.progress)
        for (arm, seed), result in zip(pending, results, strict=True):
            missing = self.missing(arm)
            resources.store.put_first(self.key(arm, seed), canonical({**result, "missing": missing} if missing else result))

    def run_unit(self, number: int) -> dict[str, Any]:
        """One of the `units` of the evaluation, unless it was done before; return its report."""
        runs, fence = trainings(self.spec), self.resources.fence
        if number == len(runs):
            return {"probe_auc": self.probe()}
        # A lease's fence counts for its unit alone; this one for all of them.
        self.data.fence = None if fence is None else fence * units(self.spec) + number
        arm, seed = runs[number]
        self.train([(arm, seed)])
        result = self.result(arm, seed)
        return {"arm": arm, "seed": seed, "average": result["average"], "worst_group": result["worst_group"]}

    def probe(self) -> float | None:
        """How well real and repainted images of one class, on its own scenes, can be told apart; None if too few. Computed
        once."""
        key = keys.probe(self.resources.root)
        if not self.resources.store.exists(key):
            self.resources.store.put_first(key, canonical({"auc": self.probed()}))
        auc: float | None = self.resources.store.json(key)["auc"]
        return auc

    def probed(self) -> float | None:
        classes = self.resources.source.classes
        repainted = [number for number, row in enumerate(self.data.kept) if row["origin"] == classes[row["label"]]]
        if not repainted:
            return None
        generated = self.data.examples(self.data.samples).pick(repainted)
        real = self.resources.view.examples("train")
        return probe_auc(real, generated, self.resources.spec.seed, self.resources.stage)


def trainings(spec: Evaluation) -> list[tuple[str, int]]:
    """Every arm with every seed."""
    return [(arm, seed) for arm in spec.arms for seed in spec.seeds]


def units(spec: Evaluation) -> int:
    """Into how many units an evaluation is divided: its trainings, and the probe."""
    return len(trainings(spec)) + 1


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
    resources = evaluator.resources
    key = keys.evaluation(resources.root)
    if not resources.store.exists(key):
        runs = evaluator.run()
        arms = aggregate(runs)
        tests = Counter(group_name(item.label, item.group) for item in resources.source.splits["test"])
        result = {
            "arms": arms,
            "gap_closed": gap_closed(arms),
            "probe_auc": evaluator.probe(),
            "test_images": tests,
            "notes": [*notes(resources.spec, runs), *few_tests(tests)],
        }
        resources.store.put_first(key, canonical(result))
    return dict(resources.store.json(key))
