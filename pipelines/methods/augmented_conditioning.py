"""Augmentation-conditioning: images from pure noise, conditioned on augmented real ones of their class and on text.

Augmented Conditioning Is Enough (arXiv 2502.04475): two real images of a class are cut and pasted (CutMix, arXiv
1905.04899) or blended (MixUp, arXiv 1710.09412), as pixels or as embeddings, and dropout is applied to the embedding:
between the few real images lie many that a class could have. The checkpoint takes image prompts by an IP-Adapter, or is an
unCLIP one, as the paper's.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2, RandomResizedCrop
from numpy.typing import NDArray
from torch import Tensor

from pipelines.backbones.image_prompts import ImageEncoder
from pipelines.chance import derive
from pipelines.errors import SpecError
from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.methods.image_guidance import clip_probabilities, clip_scale, nearest_classes
from pipelines.records import Image, ImagePrompt, Item, Mask, PlannedImage, Problem, Request
from pipelines.spec import AugmentedConditioning
from pipelines.tensors import images, tensor

PIXELS = ("cutmix", "mixup")
PAIR = torch.tensor([1, 0])  # each of two images is mixed with the other


def mixed_pixels(first: Image, second: Image, mix: str, alpha: float, seed: int) -> Image:
    """Random crops of two images, and the second cut into the first, or blended with it."""
    pair = (tensor([first, second]) + 1) / 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        pair = RandomResizedCrop(pair.shape[-2:])(pair)
        if mix == "cutmix":
            mixer = RandomCutMixV2(beta=alpha, data_keys=["input"], use_correct_lambda=True)
            parameters = mixer.forward_parameters(pair.shape) | {"mix_pairs": PAIR[None]}
        else:
            mixer = RandomMixUpV2(data_keys=["input"])
            share = torch.distributions.Beta(alpha, alpha).sample()
            parameters = mixer.forward_parameters(pair.shape) | {"mixup_pairs": PAIR, "mixup_lambdas": 1 - share.expand(2)}
        blend: Tensor = mixer(pair, params=parameters)
    return images(blend[:1] * 2 - 1)[0]


def mixed_embeddings(first: NDArray[np.float32], second: NDArray[np.float32], mix: str, share: float) -> NDArray[np.float32]:
    """Two embeddings (width,) as one: a `share` of the first, cut along their length, or blended."""
    if mix == "embed_mixup":
        return (share * first + (1 - share) * second).astype(np.float32)
    cut = round((1 - share) * len(first))
    return np.concatenate([second[:cut], first[cut:]])


def dropout(embedding: NDArray[np.float32], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Each element set to zero with probability `share`; the others are not rescaled."""
    return np.where(rng.random(embedding.shape) < share, 0, embedding).astype(np.float32)


class AugmentedConditioningMethod:
    def __init__(self, resources: Resources, spec: AugmentedConditioning) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if there are any, load the adapter, and embed the pool. Raises ModelError, and SpecError where
        there is no other class to lead away from."""
        if self.spec.negative == "nearest_class" and len(self.pool) < 2:
            raise SpecError("method.negative: nearest_class is another class, and the source has one alone; give none")
        self.concepts.learn()
        self.encoder  # noqa: B018  (loaded on first use)
        if self.spec.mix not in PIXELS or self.spec.negative == "nearest_class":
            self.embeddings  # noqa: B018
        if self.spec.scale == "by_clip":
            self.probabilities  # noqa: B018

    @property
    def encoder(self) -> ImageEncoder:
        """The image encoder of the backbone's image prompts."""
        return self.resources.models.image_conditioning.encoder

    @cached_property
    def pool(self) -> dict[str, list[Item]]:
        """The images of each class to condition on: the first `shots`; no other is ever read."""
        source = self.resources.source
        return {label: source.of(label)[: self.spec.shots] for label in source.classes}

    @cached_property
    def embeddings(self) -> dict[str, NDArray[np.float32]]:
        """Image embeddings (width,) of the pool, by item id."""
        view, items = self.resources.view, [item for items in self.pool.values() for item in items]
        embeddings = view.features(
            "image_prompts",
            "embeddings",
            lambda: {"encoder": self.resources.models.image_encoder_revision},
            items,
            lambda batch: self.encoder.embed(view.images(batch)).numpy(),
        )
        return {item.id: row for item, row in zip(items, embeddings, strict=True)}

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """CLIP's zero-shot probability of the class of each image of the pool, by item id."""
        return clip_probabilities(self.resources, [item for items in self.pool.values() for item in items])

    @cached_property
    def negatives(self) -> dict[str, NDArray[np.float32]]:
        """What guidance leads the images of each class away from, (width,)."""
        return nearest_classes({label: [self.embeddings[item.id] for item in items] for label, items in self.pool.items()})

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    def pair(self, planned: PlannedImage, seed: int) -> tuple[Item, Item]:
        """Two real images of the class: each is the first equally often, the second is another where there is one."""
        pool = self.pool[planned.label]
        first = planned.rank % len(pool)
        step = 1 + derive(seed, "partner") % (len(pool) - 1) if len(pool) > 1 else 0
        return pool[first], pool[(first + step) % len(pool)]

    def mix(self, pairs: Sequence[tuple[Item, Item]], seeds: Sequence[int]) -> list[NDArray[np.float32]]:
        """The embedding of each pair, mixed, after dropout."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        mix, alpha = self.spec.mix, self.spec.alpha
        if mix in PIXELS:
            items = {item.id: item for pair in pairs for item in pair}
            read = dict(zip(items, self.resources.view.images(list(items.values())), strict=True))
            mixes = [mixed_pixels(read[a.id], read[b.id], mix, alpha, s) for (a, b), s in zip(pairs, seeds, strict=True)]
            embeddings = list(self.encoder.embed(mixes).numpy())
        elif mix == "none":
            embeddings = [self.embeddings[first.id] for first, _ in pairs]
        else:
            ends = [(self.embeddings[first.id], self.embeddings[second.id]) for first, second in pairs]
            embeddings = [mixed_embeddings(*e, mix, rng.beta(alpha, alpha)) for e, rng in zip(ends, rngs, strict=True)]
        return [dropout(embedding, self.spec.dropout, rng) for embedding, rng in zip(embeddings, rngs, strict=True)]

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        seeds = [self.concepts.seed(image, attempt) for image in planned]
        pairs = [self.pair(image, seed) for image, seed in zip(planned, seeds, strict=True)]
        return [
            self.concepts.request(image, attempt, source=pair[0], image_prompt=self.image_prompt(embedding, pair, seed))
            for image, pair, seed, embedding in zip(planned, pairs, seeds, self.mix(pairs, seeds), strict=True)
        ]

    def image_prompt(self, embedding: NDArray[np.float32], pair: tuple[Item, Item], seed: int) -> ImagePrompt:
        first, second = pair
        return ImagePrompt(
            embedding,
            negative=self.negatives[first.label] if self.spec.negative == "nearest_class" else None,
            partner=None if self.spec.mix == "none" else second,
            scale=self.scale(first, seed),
            noise_level=self.spec.noise_level,
        )

    def scale(self, item: Item, seed: int) -> float:
        """That of the image prompt that begins with this image."""
        if self.spec.scale != "by_clip":
            return self.spec.scale
        rng = np.random.default_rng(derive(seed, "scale"))
        return clip_scale(self.probabilities[item.id], len(self.pool[item.label]), rng)
