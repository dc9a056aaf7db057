"""Is a model trained on the version better? The same classifier, trained by every arm and seed, on real test images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import Any

from pipelines import parallel
from pipelines.chance import derive
from pipelines.evaluation.additions import ADDITIONS
from pipelines.evaluation.amounts import balanced_order, beginning, curve
from pipelines.evaluation.data import EvaluationData
from pipelines.evaluation.notes import few_tests, incomplete, notes, shortfall
from pipelines.evaluation.probe import probe_auc
from pipelines.evaluation.runs import Run, shares, trainings, units
from pipelines.evaluation.shift import accuracy_by_shift, group_counts
from pipelines.evaluation.train import Training, train_and_score
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import UNDIVIDED
from pipelines.methods import Method
from pipelines.parallel import Call
from pipelines.records import Examples
from pipelines.source.requirements import check_evaluation
from pipelines.spec import Evaluation
from pipelines.spec.arms import ARMS, BASELINE, CEILING, VERSION
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.tensors import choose_device
from pipelines.training.metrics import group_name, summary, summed
from pipelines.training.selection import part, rows_apart
from pipelines.version.plan import Plan

WHOLE = ("average", "worst_group", "ece", "macro_std")  # figures of all test images; older releases have not all of them
PARTS = ("groups", "classes", "shots")  # figures of parts of them


class Evaluator:
    """Trains and scores the arms of one version."""

    def __init__(self, resources: Resources, plan: Plan, method: Method, spec: Evaluation) -> None:
        """Raises SpecError or SourceError when the evaluation lacks something."""
        self.resources, self.spec = resources, spec
        self.data = EvaluationData(resources, plan, method, spec)
        self.added: dict[str, Examples] = {}  # by addition: decoded once, for all seeds
        check_evaluation(spec, resources.source)

    def addition(self, arm: str) -> Examples | None:
        """All that an arm has beside the real images; None: nothing."""
        name = ARMS[arm].addition
        if name is None:
            return None
        if name not in self.added:
            self.added[name] = ADDITIONS[name](self.data)
            if missing := self.missing(arm):
                self.resources.progress.say(incomplete(arm, missing))
        return self.added[name] if len(self.added[name]) else None

    @cached_property
    def order(self) -> list[int]:
        """That of the version's samples of which shares are the beginning."""
        return balanced_order(self.data.kept, self.resources.spec.seed)

    def parts(self, run: Run) -> tuple[Examples | None, Examples | None]:
        """What is trained on beside the real images; and where the spec says so, what checkpoints are chosen by instead, of
        all shares the same."""
        added, apart = self.addition(run.arm), None
        if added is None:
            return None, None
        if self.spec.recipe == "contrastive":  # which tells backgrounds apart by the classes that come with them
            added = replace(added, groups=self.data.origins(ARMS[run.arm].addition, len(added)))
        if self.spec.recipe == "multi_positive":  # which takes siblings for one thing
            added = replace(added, groups=self.data.siblings(ARMS[run.arm].addition, len(added)))
        rows = list(range(len(added)))
        if self.spec.checkpoint == "generated":
            kinds = self.data.kinds if ARMS[run.arm].addition == "version" else added.labels
            chosen = rows_apart(added.labels, kinds, self.resources.spec.seed)
            rows = sorted(set(rows) - set(chosen))
            added, apart = part(added, rows, added.groups), part(added, chosen, kinds)
        if run.share < 1:
            place = {row: number for number, row in enumerate(rows)}
            added = beginning(added, [place[row] for row in self.order if row in place], run.share)
        return added, apart

    def steps(self, arm: str) -> int:
        """Optimisation steps of an arm."""
        return self.resources.spec.classifier.steps * ARMS[arm].lengthening

    def missing(self, arm: str) -> dict[str, int]:
        """By class, how many images fewer an arm has added than the version holds."""
        name = ARMS[arm].addition
        return {} if name is None else shortfall(self.added[name], self.data.sizes)

    def arguments(self, run: Run) -> tuple[Training]:
        """Of one training."""
        resources, data = self.resources, self.data
        added, apart = self.parts(run)
        training = Training(
            arm=run.arm,
            classes=resources.source.classes,
            real=data.real,
            twins=data.twins(run.arm),
            weights=data.weights(run.arm),
            added=added,
            apart=apart,
            validation=data.validation_for(run.arm),
            test=data.test,
            classifier=resources.spec.classifier.model_copy(update={"steps": self.steps(run.arm)}),
            evaluation=self.spec,
            seed=derive(run.seed, "arm") % 2**31,
            device=resources.models.machine.device,
            precision=resources.models.machine.precision,
        )
        return (training,)

    def run(self) -> dict[str, list[dict[str, Any]]]:
        """The scores of every arm and seed; those that were stored before are not trained again."""
        self.data.fence = self.resources.fence
        self.train(trainings(self.spec))
        return {arm: self.results(arm) for arm in self.spec.arms}

    def key(self, run: Run) -> str:
        return keys.run(self.resources.root, run.arm, run.seed, run.share)

    def result(self, run: Run) -> dict[str, Any]:
        """The stored scores of one training."""
        return dict(self.resources.store.json(self.key(run)))

    def results(self, arm: str, share: float = 1.0) -> list[dict[str, Any]]:
        """Those of every seed."""
        return [self.result(Run(arm, seed, share)) for seed in self.spec.seeds]

    def train(self, runs: Sequence[Run]) -> None:
        """Do trainings, but for those that were done, and store their scores: of several workers the first wins."""
        resources = self.resources
        pending = [run for run in runs if not resources.store.exists(self.key(run))]
        if not pending:
            return
        # Last comes what is generated first: the others are trained beside that.
        pending.sort(key=lambda run: ARMS[run.arm].addition == "text_to_image")
        calls = [Call(train_and_score, partial(self.arguments, run), run.title, self.steps(run.arm)) for run in pending]
        results = parallel.run(calls, choose_device(resources.models.machine.device).type, resources.progress)
        for run, result in zip(pending, results, strict=True):
            missing = self.missing(run.arm)
            resources.store.put_first(self.key(run), canonical({**result, "missing": missing} if missing else result))

    def run_unit(self, number: int) -> dict[str, Any]:
        """One of the `units` of the evaluation, unless it was done before; return its report."""
        runs, fence = trainings(self.spec), self.resources.fence
        if number == len(runs):
            return {"probe_auc": self.probe()}
        # A lease's fence counts for its unit alone; this one for all of them.
        self.data.fence = None if fence is None else fence * units(self.spec) + number
        run = runs[number]
        self.train([run])
        result = self.result(run)
        return {**asdict(run), "average": result["average"], "worst_group": result["worst_group"]}

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

    def amounts(self) -> dict[str, Any] | None:
        """Accuracy by amount; None unless real images alone and all samples are compared."""
        if not {BASELINE, VERSION} <= set(self.spec.arms):
            return None
        runs = {share: self.results(VERSION, share) for share in (*shares(self.spec), 1.0)}
        return curve({0.0: self.results(BASELINE), **runs}, len(self.resources.source.splits["train"]))


def aggregate(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Mean, spread and values of every figure of every arm, and its confusion matrix, summed over the seeds."""
    return {
        arm: {
            **{kind: summary([r[kind] for r in results]) for kind in WHOLE if all(kind in r for r in results)},
            **{kind: {k: summary([r[kind][k] for r in results]) for k in results[0][kind]} for kind in PARTS},
            "confusion": summed([r.get("confusion", {}) for r in results]),  # those of an older release have none
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
        composition = group_counts(resources.source.splits["test"])
        result = {
            "arms": arms,
            "amounts": evaluator.amounts(),
            "shift": accuracy_by_shift(runs, resources.source.counts, composition),
            "gap_closed": gap_closed(arms),
            "probe_auc": evaluator.probe(),
            "test_images": tests,
            "notes": [*notes(resources.spec, runs), *few_tests(tests), *([UNDIVIDED] if evaluator.data.undivided else [])],
        }
        resources.store.put_first(key, canonical(result))
    return dict(resources.store.json(key))
