"""The subpopulations of a source: each class's training images in clusters, as proxies for what the class comes with.

SAGE (2026) clusters CLIP embeddings. Here the default is what a plain classifier (ERM) makes of images that it was not
trained on: that varies with what it leans on, and not with what tells no class. No group label is read.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load

from pipelines import parallel, spec
from pipelines.chance import derive
from pipelines.learning.judges import FILE, train_judge
from pipelines.learning.kmeans import kmeans
from pipelines.learning.resources import Resources
from pipelines.parallel import Call
from pipelines.records import Examples, Item
from pipelines.spec import Subpopulation
from pipelines.store.artifacts import Artifact
from pipelines.store.canonical import canonical
from pipelines.tensors import choose_device
from pipelines.vision.classifier import Classifier

CLUSTERS, FACTS = "clusters.json", "facts.json"
FOLDS = 2  # of the images, each looked at by the classifier of the others
BATCH = 64  # images in memory at a time

Vectors = NDArray[np.float64]


class Subpopulations:
    def __init__(self, resources: Resources, method: Subpopulation) -> None:
        self.resources, self.method = resources, method

    @cached_property
    def items(self) -> list[Item]:
        """The training images, class by class."""
        return [item for label in self.resources.source.classes for item in self.resources.source.of(label)]

    @cached_property
    def members(self) -> dict[str, list[list[Item]]]:
        """The clusters of each class, the largest first: computed now, or taken from the store."""
        facts = self.facts()

        def make(_artifact: Artifact) -> dict[str, bytes]:
            return {CLUSTERS: canonical(self.compute().tolist()), FACTS: canonical(facts)}

        artifact = self.resources.artifacts.get_or_make("subpopulations", "clusters", lambda: facts, FACTS, make)
        pairs = list(zip(self.items, artifact.json(CLUSTERS), strict=True))
        members: dict[str, list[list[Item]]] = {}
        for label in self.resources.source.classes:
            own = [(item, number) for item, number in pairs if item.label == label]
            count = 1 + max(number for _, number in own)
            members[label] = [[item for item, number in own if number == cluster] for cluster in range(count)]
        return members

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each image's cluster, by id."""
        clusters = [(number, own) for members in self.members.values() for number, own in enumerate(members)]
        return {item.id: number for number, own in clusters for item in own}

    def facts(self) -> dict[str, object]:
        """What the clusters depend on."""
        resources, view = self.resources, self.resources.view
        by_clip = self.method.features == "clip"
        return {
            "images": [item.sha256 for item in self.items],
            "labels": [item.label for item in self.items],
            "features": resources.models.clip_revision if by_clip else resources.spec.classifier.model_dump(),
            "side": view.resolution if by_clip else view.side,
            "framing": view.framing,
            "clusters": self.method.clusters,
            "seed": resources.spec.seed,
        }

    def compute(self) -> NDArray[np.int64]:
        """The number of each image's cluster among those of its class: int64 (n,)."""
        begun = self.resources.stage("learn: clusters", len(self.items))  # a preview learns nothing: it stops here
        vectors = self.embeddings() if self.method.features == "clip" else self.held_out_logits()
        numbers, labels = np.zeros(len(self.items), np.int64), np.array([item.label for item in self.items])
        for label in self.resources.source.classes:
            own, rng = labels == label, np.random.default_rng(derive(self.resources.spec.seed, "clusters", label))
            numbers[own] = by_size(kmeans(vectors[own], self.method.clusters, rng))
            begun(int(own.sum()))
        return numbers

    def embeddings(self) -> Vectors:
        """Unit vectors by CLIP, (n, width)."""
        view, clip, starts = self.resources.view, self.resources.models.clip, range(0, len(self.items), BATCH)
        return np.concatenate([clip.embed_images(view.images(self.items[s : s + BATCH])).double().numpy() for s in starts])

    def folds(self) -> NDArray[np.int64]:
        """The fold of each image, drawn, every class as evenly as can be: int64 (n,)."""
        rng, labels = np.random.default_rng(derive(self.resources.spec.seed, "folds")), [i.label for i in self.items]
        order = rng.permutation(len(labels))
        order = order[np.argsort([labels[row] for row in order], kind="stable")]
        folds = np.empty(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % FOLDS
        return folds

    def held_out_logits(self) -> Vectors:
        """The logits of images, less their mean, each by the classifier that was not trained on it: (n, classes)."""
        resources, view, folds = self.resources, self.resources.view, self.folds()
        classes, classifier, machine = resources.source.classes, resources.spec.classifier, resources.models.machine

        def items(rows: NDArray[np.bool_]) -> list[Item]:
            return [self.items[row] for row in np.flatnonzero(rows)]

        def call(fold: int) -> Call:
            def arguments() -> tuple[spec.Classifier, tuple[str, ...], Examples, int, str, spec.Precision]:
                rest = items(folds != fold)
                examples = Examples(view.pixels(rest, view.side), [item.label for item in rest], [None] * len(rest))
                seed = derive(resources.spec.seed, "fold", fold) % 2**31
                return classifier, classes, examples, seed, machine.device, machine.precision

            return Call(train_judge, arguments, f"learn: classifier of fold {fold + 1}", classifier.steps)

        device, logits = choose_device(machine.device), np.zeros((len(self.items), len(classes)))
        results = parallel.run([call(fold) for fold in range(FOLDS)], device.type, resources.progress)
        for fold, files in enumerate(results):
            judge = Classifier(classes, classifier.checkpoint, classifier.resolution)
            judge.load_state_dict(load(files[FILE]))
            images = view.pixels(items(folds == fold), view.side)
            logits[folds == fold] = judge.eval().to(device).scores(images).double().numpy()
        centred: Vectors = logits - logits.mean(axis=1, keepdims=True)
        return centred


def by_size(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters (n,) renumbered, the largest 0."""
    sizes = np.bincount(numbers)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[numbers]
