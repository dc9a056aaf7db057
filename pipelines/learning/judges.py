"""Judges: plain classifiers of the real images (ERM), shortcut and all. They rank the source and judge candidates.

No group label plays a part in their training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load, save

from pipelines import parallel, spec
from pipelines.chance import derive
from pipelines.parallel import Call
from pipelines.progress import Progress, Stage
from pipelines.records import Examples, Image, Item
from pipelines.regions import isolate
from pipelines.store.artifacts import Artifact
from pipelines.store.canonical import canonical, digest
from pipelines.store.version_artifacts import Facts, VersionArtifacts
from pipelines.tensors import choose_device
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.vision.classifier import Classifier, probabilities
from pipelines.vision.object_masks import Words
from pipelines.vision.pixels import Joined
from pipelines.vision.source_view import SourceView

FILE, FACTS = "model.safetensors", "facts.json"
# What a judge learns from: whole images, objects, whole images drawn by their weights, or whole ones and the pool.
View = Literal["image", "object", "balanced", "pool"]
Weights = Sequence[float] | None  # how often each training image is drawn; None: all as often


class Pool(Protocol):
    """Generated images of earlier versions, which a judge learns from beside the real ones."""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """SHA-256 and label of each."""

    def examples(self) -> Examples: ...


@dataclass(frozen=True, slots=True)
class JudgeTraining:
    """What a judge is trained with. Each is trained once for a source, a view of it, a resolution and a classifier."""

    view: SourceView
    classifier: spec.Classifier
    device: str
    precision: spec.Precision
    seed: int
    pool: Pool | None = None
    weights: Callable[[], Sequence[float]] | None = None  # of the training images, in the order of the source

    def train(
        self, words: Mapping[View, Words | None], artifacts: VersionArtifacts, progress: Progress
    ) -> dict[View, Classifier]:
        """A judge for each view, trained side by side or taken from the store.

        That of "image" sees whole images, and has no word. That of "object" sees what its word names alone, isolated by the
        segmenter, so that the background is no evidence for a class. That of "balanced" is given images by their weights.
        That of "pool" learns from the pool, too, all images alike.
        """
        for word in words.values():
            # Of a judge that is stored, too: which masks are computed together does not depend on what was learned before.
            self.view.segment_objects(self.view.source.splits["train"], word)
        prepared = {view: self.prepare(view, word, artifacts) for view, word in words.items()}
        pending = [(artifact, facts, call) for artifact, facts, call in prepared.values() if not artifact.complete]
        results = parallel.run([call for *_, call in pending], choose_device(self.device).type, progress)
        images = sorted(item.sha256 for item in self.view.source.splits["train"])
        for (artifact, facts, _), files in zip(pending, results, strict=True):
            artifact.publish({**files, FACTS: canonical({**facts(), "images": images})})
        return {view: self.load(artifact) for view, (artifact, *_) in prepared.items()}

    def prepare(self, view: View, word: Words | None, artifacts: VersionArtifacts) -> tuple[Artifact, Facts, Call]:
        """The artifact of a judge, the facts that determine it, and the call that trains it."""
        facts = partial(self.facts, view, word)

        def arguments() -> tuple[spec.Classifier, tuple[str, ...], Examples, int, str, spec.Precision, Weights]:
            examples = self.view.examples("train", groups=False) if word is None else isolated_examples(self.view, word)
            seed = derive(self.seed, "judge", view) % 2**31
            if self.pool is not None and view == "pool":
                examples = joined(examples, self.pool.examples())
            weights = self.weights() if self.weights is not None and view == "balanced" else None
            return self.classifier, self.view.source.classes, examples, seed, self.device, self.precision, weights

        call = Call(train_judge, arguments, f"learn: judge of the {view}", self.classifier.steps)
        return artifacts.find(f"judge/{view}", "classifier", facts, FILE), facts, call

    def facts(self, view: View, word: Words | None) -> dict[str, object]:
        return {
            **({"pool": self.pool.facts} if self.pool and view == "pool" else {}),
            **({"weights": digest([*self.weights()])} if self.weights and view == "balanced" else {}),
            "source": self.view.source.fingerprint,
            "view": view,
            "segmenter": None if word is None else self.view.models.segmenter_revision,
            "superclass": word,
            "side": self.view.side,
            "resolution": self.view.resolution,
            "framing": self.view.framing,
            "spec": self.classifier.model_dump(),
            "seed": self.seed,
        }

    def load(self, artifact: Artifact) -> Classifier:
        """A trained judge from the store."""
        judge = Classifier(self.view.source.classes, self.classifier.checkpoint, self.classifier.resolution)
        judge.load_state_dict(load(artifact.get(FILE)))
        return judge.eval().to(choose_device(self.device))


def train_judge(
    classifier: spec.Classifier,
    classes: tuple[str, ...],
    examples: Examples,
    seed: int,
    device: str,
    precision: spec.Precision,
    weights: Weights,
    progress: Stage,
) -> dict[str, bytes]:
    """The file of a judge: a function of data alone, so that it can run in a process of its own."""
    judge = fit(
        classifier, classes, Feed(examples, classes).weighted(weights), None, None,
        gamma=1, seed=seed, device=device, precision=precision, progress=progress,
    )  # fmt: skip
    return {FILE: save({name: weight.cpu().contiguous() for name, weight in judge.state_dict().items()})}


def joined(*parts: Examples) -> Examples:
    """The examples of all parts. No image is read yet."""
    labels = [label for part in parts for label in part.labels]
    return Examples(Joined([part.images for part in parts]), labels, [group for part in parts for group in part.groups])


def isolated_examples(view: SourceView, words: Words) -> Examples:
    """The training images in which the object is detected, their objects on grey. Raises SourceError where it never is."""
    items = view.source.splits["train"]
    detected, _ = view.with_object(items, words)
    if not detected:
        raise view.undetected(words, len(items), None)

    def objects() -> Iterator[Image]:
        for item in detected:
            (mask,) = view.object_masks([item], words)
            assert mask is not None
            part = view.frame(view.read(item), mask)
            yield view.fit(isolate(part.image, part.mask), view.side)

    facts = {
        "kind": "objects",
        "images": [item.sha256 for item in detected],
        "segmenter": view.models.segmenter_revision,
        "superclass": words,
        "framing": view.framing,
        "resolution": view.resolution,
    }
    pixels = view.cache.get_or_make(facts, view.side, len(detected), objects)
    return Examples(pixels, [item.label for item in detected], [None] * len(detected))


def rank(view: SourceView, artifact: Artifact, judge: Callable[[], Classifier]) -> dict[str, list[tuple[Item, float]]]:
    """Training images of each class with the judge's probability of their own class, most typical first. `artifact` is the
    judge's; it is loaded by `judge` where its probabilities are not in the store."""
    items = [item for label in view.source.classes for item in view.source.of(label)]

    def own(batch: Sequence[Item]) -> NDArray[np.float64]:
        columns = [view.source.classes.index(item.label) for item in batch]
        every: NDArray[np.float64] = probabilities(judge().scores(view.images(batch)))
        return every[np.arange(len(batch)), columns]

    shares = view.features(
        "ranking", "ranking", lambda: {"judge": artifact.digest, "concepts": [artifact.key(FILE)]}, items, own
    )
    by_item = dict(zip(items, shares.tolist(), strict=True))
    ranking: dict[str, list[tuple[Item, float]]] = {label: [] for label in view.source.classes}
    for item in sorted(items, key=lambda item: (-by_item[item], item.id)):
        ranking[item.label].append((item, by_item[item]))
    return ranking
