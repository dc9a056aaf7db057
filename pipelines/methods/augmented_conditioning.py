"""Augmentation-conditioning: each image is drawn from pure noise, shown an augmented real one of its class beside the text.

Augmented Conditioning Is Enough (arXiv 2502.04475): two real images of a class are cut and pasted (CutMix, arXiv
1905.04899) or blended (MixUp, arXiv 1710.09412), as pixels or as embeddings, and some of the embedding's numbers are
dropped: between the few real images lie many that a class could have. The checkpoint sees by an IP-Adapter, or is an unCLIP
one, as the paper's.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2, RandomResizedCrop
from numpy.typing import NDArray
from torch import Tensor

from pipelines.chance import derive
from pipelines.concepts import Concepts
from pipelines.diffusion.image_prompt import Adapter, UnClip
from pipelines.records import Image, ImagePrompt, Item, Mask, Problem, Request, Slot
from pipelines.spec import AugmentedConditioning
from pipelines.tensors import images, tensor
from pipelines.workbench import Workbench

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
            chosen = mixer.forward_parameters(pair.shape) | {"mix_pairs": PAIR[None]}
        else:
            mixer = RandomMixUpV2(data_keys=["input"])
            share = torch.distributions.Beta(alpha, alpha).sample()
            chosen = mixer.forward_parameters(pair.shape) | {"mixup_pairs": PAIR, "mixup_lambdas": 1 - share.expand(2)}
        blend: Tensor = mixer(pair, params=chosen)
    return images(blend[:1] * 2 - 1)[0]


def mixed_embeddings(first: NDArray[np.float32], second: NDArray[np.float32], mix: str, share: float) -> NDArray[np.float32]:
    """Two embeddings (width,) as one: a `share` of the first, cut along their length, or blended."""
    if mix == "embed_mixup":
        return (share * first + (1 - share) * second).astype(np.float32)
    cut = round((1 - share) * len(first))
    return np.concatenate([second[:cut], first[cut:]])


def dropped(embedding: NDArray[np.float32], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Each number set to zero with probability `share`; the others stay as they are."""
    return np.where(rng.random(embedding.shape) < share, 0, embedding).astype(np.float32)


class AugmentedConditioningMethod:
    def __init__(self, bench: Workbench, spec: AugmentedConditioning) -> None:
        self.bench, self.spec = bench, spec
        self.concepts = Concepts(bench, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if any are asked for, and let the model see. Raises ModelError if it cannot."""
        self.concepts.learn()
        self.sight  # noqa: B018  (opened on first use)

    @property
    def sight(self) -> Adapter | UnClip:
        return self.bench.model.see(self.bench.spec.models.adapter)

    @cached_property
    def pool(self) -> dict[str, list[Item]]:
        """What images may be conditioned on: k shots are k images, and no other is ever read."""
        return {label: self.bench.source.of(label)[: self.spec.shots] for label in self.bench.source.classes}

    @cached_property
    def embedded(self) -> dict[str, NDArray[np.float32]]:
        """The embeddings of the pool, by the images' names."""
        items = [item for items in self.pool.values() for item in items]
        found = self.sight.encoder.embed(self.bench.images(items)).numpy()
        return {item.id: row for item, row in zip(items, found, strict=True)}

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """Everywhere."""
        return self.bench.objects(items, None)

    def chosen(self, slot: Slot, seed: int) -> tuple[Item, Item]:
        """Two real images of the slot's class: each is the first as often, the second is another where there is one."""
        pool = self.pool[slot.label]
        first = slot.rank % len(pool)
        step = 1 + derive(seed, "partner") % (len(pool) - 1) if len(pool) > 1 else 0
        return pool[first], pool[(first + step) % len(pool)]

    def prompts(self, pairs: Sequence[tuple[Item, Item]], seeds: Sequence[int]) -> list[NDArray[np.float32]]:
        """The embedding of each pair, mixed, and with some of its numbers dropped."""
        rngs = [np.random.default_rng(seed) for seed in seeds]
        mix, alpha = self.spec.mix, self.spec.alpha
        if mix in PIXELS:
            read = {item.id: item for pair in pairs for item in pair}
            seen = dict(zip(read, self.bench.images(list(read.values())), strict=True))
            mixes = [mixed_pixels(seen[a.id], seen[b.id], mix, alpha, s) for (a, b), s in zip(pairs, seeds, strict=True)]
            found = list(self.sight.encoder.embed(mixes).numpy())
        elif mix == "none":
            found = [self.embedded[first.id] for first, _ in pairs]
        else:
            ends = [(self.embedded[first.id], self.embedded[second.id]) for first, second in pairs]
            found = [mixed_embeddings(*e, mix, rng.beta(alpha, alpha)) for e, rng in zip(ends, rngs, strict=True)]
        return [dropped(each, self.spec.dropout, rng) for each, rng in zip(found, rngs, strict=True)]

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        seeds = [self.concepts.seed(slot, attempt) for slot in slots]
        pairs = [self.chosen(slot, seed) for slot, seed in zip(slots, seeds, strict=True)]
        return [
            self.concepts.request(slot, attempt, source=first, shown=self.shown(embedding, second))
            for slot, (first, second), embedding in zip(slots, pairs, self.prompts(pairs, seeds), strict=True)
        ]

    def shown(self, embedding: NDArray[np.float32], second: Item) -> ImagePrompt:
        partner = None if self.spec.mix == "none" else second
        return ImagePrompt(embedding, partner, self.spec.scale, self.spec.noise_level)
