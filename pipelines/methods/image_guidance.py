"""How much an image prompt counts against the text, and what guidance leads away from."""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipelines.learning.resources import Resources
from pipelines.records import Item

Embedding = NDArray[np.float32]  # (width,), of the backbone's image encoder
UNKNOWN = 0.3  # probability up to which CLIP does not recognise an image as its class
SPREAD = 0.05  # standard deviation of a scale, for each real image of the class
MANY = 16  # real images of a class beyond which a scale is drawn as of so many: few-shot learning's most


def clip_scale(probability: float, shots: int, rng: np.random.Generator) -> float:
    """The scale of an image prompt, 0..1, by CLIP's zero-shot probability of its class (DALDA, arXiv 2409.16949).

    High where the class's name says little; where it says much, lower, so that the text gives variety: the more so the fewer
    real images there are.
    """
    shots = min(shots, MANY)
    if probability <= UNKNOWN:
        mean, low, high = 0.7 + 0.2 * (1 - probability), 0.7, 0.9
    else:
        mean, low, high = 0.1 + 0.3 * (1 - probability), 0.1, 0.4 + 0.1 * sqrt(shots)
    return float(np.clip(rng.normal(min(mean, high), SPREAD * shots), low, high))


def clip_probabilities(resources: Resources, items: Sequence[Item]) -> dict[str, float]:
    """CLIP's zero-shot probability of each image's own class, by its id."""
    classes, names = resources.source.classes, resources.spec.method.names
    words = [names.get(label, label) for label in classes]

    def compute(batch: Sequence[Item]) -> NDArray[np.float32]:
        clip = resources.models.clip
        rows = clip.probabilities(clip.embed_images(resources.view.images(batch)), clip.embed_words(words)).numpy()
        own: NDArray[np.float32] = rows[np.arange(len(batch)), [classes.index(item.label) for item in batch], None]
        return own

    def facts() -> dict[str, object]:
        return {"clip": resources.models.clip_revision, "words": words, "labels": [item.label for item in items]}

    rows = resources.view.features("clip_probabilities", "probabilities", facts, items, compute)
    return {item.id: float(row[0]) for item, row in zip(items, rows, strict=True)}


def nearest_classes(embeddings: Mapping[str, Sequence[Embedding]]) -> dict[str, Embedding]:
    """For each of two or more classes, the mean embedding of the other class that is nearest, by the cosine of means (DIPSY,
    arXiv 2509.22635)."""
    means = {label: np.mean(own, axis=0).astype(np.float32) for label, own in embeddings.items()}

    def cosine(one: Embedding, other: Embedding) -> float:
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-12))

    return {
        label: max((other for name, other in means.items() if name != label), key=lambda other: cosine(mean, other))
        for label, mean in means.items()
    }
