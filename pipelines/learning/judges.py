"""Judges: plain classifiers of the real images (ERM), shortcut and all. They rank the source and judge candidates.

No group label plays a part in their training.
"""

from collections.abc import Callable
from dataclasses import dataclass

from safetensors.torch import load, save

from pipelines import spec
from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.progress import Progress
from pipelines.records import Examples, Item
from pipelines.regions import isolate
from pipelines.store.artifacts import Artifact, Artifacts
from pipelines.tensors import choose_device
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.vision.classifier import Classifier, probabilities
from pipelines.vision.source_view import SourceView

FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class JudgeTraining:
    """What a judge is trained with. Each is trained once for a source, a view of it, a resolution and a classifier."""

    view: SourceView
    classifier: spec.Classifier
    device: str
    seed: int

    def of_images(self, artifacts: Artifacts, progress: Progress) -> Classifier:
        """The judge of whole images."""
        return self.train("image", None, lambda: self.view.examples("train"), artifacts, progress)

    def of_objects(self, word: str, artifacts: Artifacts, progress: Progress) -> Classifier:
        """The judge of objects alone, isolated by the segmenter, so that the background is no evidence for a class."""
        return self.train("object", word, lambda: isolated_examples(self.view, word), artifacts, progress)

    def train(
        self, kind: str, word: str | None, examples: Callable[[], Examples], artifacts: Artifacts, progress: Progress
    ) -> Classifier:
        classes = self.view.source.classes
        facts = {
            "source": self.view.source.fingerprint,
            "view": kind,
            "segmenter": None if word is None else self.view.models.segmenter.revision,
            "superclass": word,
            "side": self.view.resolution,
            "spec": self.classifier.model_dump(),
            "seed": self.seed,
        }

        def make(_: Artifact) -> dict[str, bytes]:
            stage = progress.stage(f"learn: judge of the {kind}", self.classifier.steps)
            feed, seed = Feed(examples(), classes), derive(self.seed, "judge", kind) % 2**31
            judge = fit(self.classifier, classes, feed, None, None, gamma=1, seed=seed, device=self.device, progress=stage)
            return {FILE: save({name: weight.cpu().contiguous() for name, weight in judge.state_dict().items()})}

        artifact = artifacts.get_or_make("classifier", facts, FILE, make)
        judge = Classifier(classes, self.classifier.checkpoint)
        judge.load_state_dict(load(artifact.get(FILE)))
        return judge.eval().to(choose_device(self.device))


def isolated_examples(view: SourceView, word: str) -> Examples:
    """The training images in which `word` is detected, their objects on grey. Raises SourceError where it never is."""
    items = view.source.splits["train"]
    masks = view.object_masks(items, word)
    pairs = [(i, isolate(x, m)) for i, x, m in zip(items, view.images(items), masks, strict=True) if m is not None]
    if not pairs:
        raise SourceError(f"method.superclass: no {word!r} was found in any training image; choose another word")
    return Examples([image for _, image in pairs], [item.label for item, _ in pairs], [item.group for item, _ in pairs])


def rank(view: SourceView, judge: Classifier) -> dict[str, list[tuple[Item, float]]]:
    """Training images of each class with the judge's probability of their own class, most typical first."""
    ranking = {}
    for number, label in enumerate(view.source.classes):
        items = view.source.of(label)
        own = probabilities(judge.scores(view.images(items)))[:, number]
        ranking[label] = sorted(zip(items, own.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0].id))
    return ranking
