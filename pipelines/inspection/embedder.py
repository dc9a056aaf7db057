"""Embeddings of images by a CLIP checkpoint, or by an image classifier without its last layer."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F

from pipelines.backbones.files import CONFIG
from pipelines.backbones.locate import CLASSIFIER, CLIP, locate, model_type
from pipelines.builtin.checkpoints import resolve
from pipelines.records import Image
from pipelines.source.frames import centre, cut
from pipelines.tensors import choose_device
from pipelines.vision.classifier import Classifier
from pipelines.vision.clip import Clip

Embedder = Callable[[Sequence[Image]], NDArray[np.float32]]  # unit vectors (n, width)
SIDE = 224  # pixels a side of what a classifier is given that names no size


def open_embedder(checkpoint: str, device: str = "auto") -> Embedder:
    """`checkpoint` is 'builtin', a path or an id of the hub. Raises ModelError that names --features."""
    value = resolve(checkpoint, "clip")
    folder = locate("--features", value, CLASSIFIER, weights=True)
    if model_type(folder / CONFIG) == CLIP.model_type:
        clip = Clip(str(folder), device)
        return lambda images: clip.embed_images(images).numpy()
    classifier = Classifier(("", "other"), str(folder)).to(choose_device(device))
    side = classifier.side or SIDE

    def embed(images: Sequence[Image]) -> NDArray[np.float32]:
        features = classifier.features([cut(image, centre(*image.shape[:2]), side) for image in images])
        unit: NDArray[np.float32] = F.normalize(features.flatten(1), dim=1).numpy()
        return unit

    return embed
