"""The subpopulations of a source: each class's training images in clusters, as proxies for what the class comes with.

SAGE (2026) clusters CLIP embeddings. Here the default is the class that a plain classifier (ERM) which was not trained on an
image takes it for: that varies with what it leans on, and with nothing else (as JTT's errors, arXiv 2107.09044, of a
classifier that has not seen them). No group label is read.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load

from pipelines import parallel, spec
from pipelines.chance import derive
from pipelines.learning.judges import FILE, Weights, train_judge
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
SMALLEST = 5  # images of a cluster: fewer are likely noise, or wrong labels, and are its class's largest cluster's
BATCH = 64  # images in memory at a time
UNDIVIDED = (
    "Every class is one subpopulation: held out, hardly an image is taken for another class, so nothing is to be balanced. "
    "If there is a shortcut, the classifier has not learned it: give classifier.steps more, or method.features: clip; "
    "`counterpoise discover` says what a classifier leans on."
)

Vectors = NDArray[np.float64]


def undivided(contexts: Mapping[str, Sequence[str]]) -> bool:
    """Whether no class has more than one cluster."""
    return all(len(own) == 1 for own in contexts.values())


class Subpopulations:
    """Of the method that draws them, by the features that it says; of any other, by a plain classifier."""

    def __init__(self, resources: Resources) -> None:
        method = resources.spec.method
        self.resources, self.method = resources, method if isinstance(method, Subpopulation) else None
        self.by_clip = self.method is not None and self.method.features == "clip"

    @cached_property
    def items(self) -> list[Item]:
        """The training images, class by class."""
        return [item for label in self.resources.source.classes for item in self.resources.source.of(label)]

    @cached_property
    def stored(self) -> dict[str, Any]:
        """The clusters: "numbers" of the images' own among those of their class, and "contexts", by class what
        they are called. Computed now, or taken from the store."""
        facts = self.facts()

        def make(_artifact: Artifact) -> dict[str, bytes]:
            numbers, contexts = self.compute()
            if undivided(contexts):
                self.resources.progress.say(UNDIVIDED)
            document = {"numbers": numbers.tolist(), "contexts": contexts}
            return {CLUSTERS: canonical(document), FACTS: canonical(facts)}

        artifact = self.resources.artifacts.get_or_make("subpopulations", "clusters", lambda: facts, FACTS, make)
        return dict(artifact.json(CLUSTERS))

    @property
    def contexts(self) -> dict[str, list[str]]:
        """By class, what each cluster comes with: the class that it is taken for; of embeddings, a name of its own."""
        return dict(self.stored["contexts"])

    @cached_property
    def members(self) -> dict[str, list[list[Item]]]:
        """The clusters of each class, the largest first."""
        members: dict[str, list[list[Item]]] = {label: [[] for _ in own] for label, own in self.contexts.items()}
        for item, number in zip(self.items, self.stored["numbers"], strict=True):
            members[item.label][number].append(item)
        return members

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each image's cluster, by id."""
        clusters = [(number, own) for members in self.members.values() for number, own in enumerate(members)]
        return {item.id: number for number, own in clusters for item in own}

    def weights(self) -> list[float]:
        """How often each training image, in the order of the source, is drawn that all clusters are drawn as often, and with
        them all classes; they sum to 1."""
        members, sizes = self.members, dict[str, float]()
        for clusters in members.values():
            sizes |= {item.id: len(members) * len(clusters) * len(own) for own in clusters for item in own}
        return [1 / sizes[item.id] for item in self.resources.source.splits["train"]]

    def of(self, examples: Examples) -> list[str]:
        """The class that the judge, a plain classifier of the training images, takes each of other images for; fewer than
        SMALLEST of a class are of that class's largest cluster, as among the training images."""
        classes, labels = self.resources.source.classes, np.array(examples.labels)
        numbers = self.resources.judge.scores(examples.images).argmax(dim=1).numpy()
        names = np.empty(len(labels), object)
        for label in classes:
            ranks, order = by_size(numbers[labels == label])
            names[labels == label] = [classes[order[rank]] for rank in ranks]
        return list(names)

    def facts(self) -> dict[str, object]:
        """What the clusters depend on."""
        resources, view, by_clip = self.resources, self.resources.view, self.by_clip
        return {
            "images": [item.sha256 for item in self.items],
            "labels": [item.label for item in self.items],
            "features": resources.models.clip_revision if by_clip else resources.spec.classifier.model_dump(),
            "side": view.resolution if by_clip else view.side,
            "framing": view.framing,
            "clusters": self.method.clusters if self.method is not None and by_clip else None,
            "smallest": SMALLEST,
            "seed": resources.spec.seed,
        }

    def compute(self) -> tuple[NDArray[np.int64], dict[str, list[str]]]:
        """The number of each image's cluster among those of its class, int64 (n,), and by class what they are called."""
        begun = self.resources.stage("learn: clusters", len(self.items))  # a preview learns nothing: it stops here
        labels, classes = np.array([item.label for item in self.items]), self.resources.source.classes
        numbers, contexts = self.alike() if self.by_clip else self.held_out_logits().argmax(axis=1), dict[str, list[str]]()
        for label in classes:
            own = labels == label
            numbers[own], order = by_size(numbers[own])
            contexts[label] = [f"{label}/{n}" if self.by_clip else classes[number] for n, number in enumerate(order)]
            begun(int(own.sum()))
        return numbers, contexts

    def alike(self) -> NDArray[np.int64]:
        """Clusters of embeddings by k-means, class by class: int64 (n,)."""
        assert self.method is not None
        vectors, labels = self.embeddings(), np.array([item.label for item in self.items])
        numbers = np.zeros(len(labels), np.int64)
        for label in self.resources.source.classes:
            own, rng = labels == label, np.random.default_rng(derive(self.resources.spec.seed, "clusters", label))
            numbers[own] = kmeans(vectors[own], self.method.clusters, rng)
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
            def arguments() -> tuple[spec.Classifier, tuple[str, ...], Examples, int, str, spec.Precision, Weights]:
                rest = items(folds != fold)
                examples = Examples(view.pixels(rest, view.side), [item.label for item in rest], [None] * len(rest))
                seed = derive(resources.spec.seed, "fold", fold) % 2**31
                return classifier, classes, examples, seed, machine.device, machine.precision, None

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


def by_size(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """Clusters (n,) renumbered, the largest 0, which takes in those that are too small; and what their numbers were."""
    sizes = np.bincount(numbers)
    rank = np.zeros(len(sizes), np.int64)
    order = [int(number) for number in np.argsort(-sizes, kind="stable")]
    order = order[:1] + [number for number in order[1:] if sizes[number] >= SMALLEST]
    rank[order] = np.arange(len(order))
    return rank[numbers], order
