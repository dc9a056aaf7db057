"""Is a model trained on the version truly better? The same classifier, trained with and without it, on real test images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import torch

from pipelines import paths, rows
from pipelines.chance import derive
from pipelines.diffusion.engine import Engine, paste
from pipelines.errors import SourceError
from pipelines.filters import Panel
from pipelines.methods import Method
from pipelines.methods.text_to_image import TextToImageMethod
from pipelines.needs import check_evaluation
from pipelines.plan import Plan
from pipelines.records import Cell, Image, Item
from pipelines.shard import make
from pipelines.source import decode
from pipelines.spec import Arm, Evaluation, TextToImage
from pipelines.store import canonical
from pipelines.tensors import images, tensor
from pipelines.training.fit import Examples, Feed, fit
from pipelines.training.metrics import score, shots, summary
from pipelines.training.probe import probe_auc
from pipelines.vision.features import Clip
from pipelines.workbench import Workbench

Row = dict[str, Any]
PARTS = ("groups", "classes", "shots")  # figures of parts of the test images


class Evaluator:
    """Holds what the arms share: the kept samples, and the real images with their re-encoded twins."""

    def __init__(self, bench: Workbench, plan: Plan, method: Method, spec: Evaluation) -> None:
        self.bench, self.plan, self.method, self.spec = bench, plan, method, spec
        check_evaluation(spec, bench.source)

    @cached_property
    def kept(self) -> list[Row]:
        return rows.read_shards(self.bench.store, self.bench.root, self.plan)

    @cached_property
    def test(self) -> Examples:
        return self.bench.examples("test")

    @cached_property
    def real(self) -> Examples:
        return self.bench.examples("train")

    @cached_property
    def coded(self) -> list[Image]:
        """The real training images, once through the generator's autoencoder."""
        pixels = self.real.images
        with torch.inference_mode():
            parts = [self.bench.model.encode(tensor(pixels[i : i + 64])) for i in range(0, len(pixels), 64)]
            return [image for part in parts for image in images(self.bench.model.decode(part))]

    @cached_property
    def repainted(self) -> list[Image]:
        """The real training images, coded inside the region that the method would paint."""
        regions = self.method.regions(self.bench.source.splits["train"])
        triples = zip(self.real.images, self.coded, regions, strict=True)
        return [real if mask is None else paste(real, coded, mask) for real, coded, mask in triples]

    def twins(self, arm: Arm) -> Sequence[Image] | None:
        """The real training images as the generator would have left them: coded where the arm's images are painted."""
        if not self.spec.reencode or arm not in ("text_to_image", "counterpoise"):
            return None
        return self.coded if arm == "text_to_image" else self.repainted

    def examples(self, found: Sequence[Row]) -> Examples:
        names = self.bench.source.classes
        pixels = [decode(row["image"], allow_synthetic=True) for row in found]
        return Examples(pixels, [names[row["label"]] for row in found], [row["group"] for row in found])

    @cached_property
    def plain(self) -> list[Row]:
        """As many images of each class as the version holds, by plain text to image, unfiltered."""
        bench = self.bench
        key = f"{bench.root}/evaluation/text_to_image.parquet"
        if not bench.store.exists(key):
            counts = Counter(row["label"] for row in self.kept)
            cells = tuple(Cell(name, None, counts[n]) for n, name in enumerate(bench.source.classes) if counts[n])
            plan = Plan("", "", cells, sum(counts.values()))
            method = TextToImageMethod(bench, TextToImage(type="text_to_image", steps=bench.spec.method.steps))
            unfiltered = Panel(bench)
            unfiltered.filters = {}
            outcome = make(bench, method, Engine(bench.model), unfiltered, plan.shard(0))
            bench.store.create(key, rows.parquet(outcome.kept, bench))
        return rows.read(bench.store.get(key))

    @cached_property
    def balanced(self) -> Examples:
        """Real images of the same classes on the same groups, one for each kept sample: the ceiling.

        A sample of no group is any group's.
        """
        wanted = Counter((self.bench.source.classes[row["label"]], row["group"]) for row in self.kept)
        chosen = []
        for (label, group), count in sorted(wanted.items(), key=str):
            pool = [i for i in self.bench.source.splits.get("reserve", []) if i.label == label and group in (None, i.group)]
            if len(pool) < count:
                raise SourceError(
                    f"evaluation.arms: real_balanced needs {count} unused real images of {label} on {group}, "
                    f"the source has {len(pool)}; leave the arm out, or ask for fewer images"
                )
            chosen += pool[:count]
        return Examples(self.bench.images(chosen), [i.label for i in chosen], [i.group for i in chosen])

    @cached_property
    def retrieved(self) -> Examples:
        """Real images of an unlabelled pool, as many as the version has of each class, by CLIP (arXiv 2406.05184).

        An image is a candidate for the class whose real images it is most like, and the most alike are taken. Its own
        label is never looked at.
        """
        bench, classes = self.bench, self.bench.source.classes
        pool = bench.source.splits["pool"]
        clip = Clip(bench.spec.models.clip, bench.spec.models.device)
        shown = clip.shown([bench.images(bench.source.of(label)) for label in classes])
        alike = clip.images(bench.images(pool)) @ shown.T
        counts = Counter(row["label"] for row in self.kept)
        chosen: list[tuple[Item, str]] = []
        for number, label in enumerate(classes):
            mine = [row for row in range(len(pool)) if int(alike[row].argmax()) == number]
            mine.sort(key=lambda row: (-float(alike[row, number]), row))
            chosen += [(pool[row], label) for row in mine[: counts[number]]]
        return Examples(bench.images([item for item, _ in chosen]), [label for _, label in chosen], [None] * len(chosen))

    def added(self, arm: Arm) -> Examples | None:
        """What an arm trains on beside the real images."""
        if arm == "text_to_image":
            return self.examples(self.plain)
        if arm == "counterpoise":
            return self.examples(self.kept)
        if arm == "retrieved":
            return self.retrieved
        return self.balanced if arm == "real_balanced" else None

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Train one arm with one seed, unless that was done before."""
        bench, classes = self.bench, self.bench.source.classes
        key = paths.run(bench.root, arm, seed)
        if bench.store.exists(key):
            return dict(bench.store.json(key))
        extra = self.added(arm)
        stage = bench.progress.stage(f"train: {arm}, seed {seed}", bench.spec.classifier.steps)
        model = fit(
            bench.spec.classifier,
            classes,
            Feed(self.real, classes, self.twins(arm), self.spec.reencode),
            None if extra is None or not len(extra) else Feed(extra, classes),
            bench.validation,
            gamma=self.spec.gamma,
            recipe=self.spec.recipe,
            classical=arm == "classical",
            seed=derive(seed, "arm") % 2**31,
            device=bench.spec.models.device,
            progress=stage,
        )
        figures = score(model.scores(self.test.images), classes, self.test.labels, self.test.groups)
        sizes = Counter(self.real.labels)
        found = {**asdict(figures), "shots": shots(figures.classes, sizes)}
        bench.store.create(key, canonical(found))
        return found

    def probe(self) -> float | None:
        """How well real and repainted pictures of one class, on its own scenes, can be told apart; None if too few."""
        repainted = [row for row in self.kept if row["origin"] == self.bench.source.classes[row["label"]]]
        return probe_auc(self.real, self.examples(repainted), self.bench.spec.seed) if repainted else None


def aggregate(runs: dict[Arm, list[dict[str, Any]]]) -> dict[str, Any]:
    """Mean, spread and values of every figure of every arm."""
    return {
        arm: {
            "average": summary([r["average"] for r in found]),
            "worst_group": summary([r["worst_group"] for r in found]),
            "ece": summary([r["ece"] for r in found]),
            **{kind: {k: summary([r[kind][k] for r in found]) for k in found[0][kind]} for kind in PARTS},
        }
        for arm, found in runs.items()
    }


def gap_closed(arms: dict[str, Any]) -> float | None:
    """The share of the worst-group gap between `erm` and `real_balanced` that `counterpoise` closes."""
    if not {"erm", "counterpoise", "real_balanced"} <= arms.keys():
        return None
    low, mid, high = (arms[a]["worst_group"]["mean"] for a in ("erm", "counterpoise", "real_balanced"))
    return float((mid - low) / (high - low)) if high > low else None


def evaluate(evaluator: Evaluator) -> dict[str, Any]:
    """Run every arm and seed that has not been run; return, and store, the evaluation."""
    bench, spec = evaluator.bench, evaluator.spec
    if not bench.store.exists(paths.evaluation(bench.root)):
        arms = aggregate({arm: [evaluator.run(arm, seed) for seed in spec.seeds] for arm in spec.arms})
        found = {"arms": arms, "gap_closed": gap_closed(arms), "probe_auc": evaluator.probe()}
        bench.store.create(paths.evaluation(bench.root), canonical(found))
    return dict(bench.store.json(paths.evaluation(bench.root)))
