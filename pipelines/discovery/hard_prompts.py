"""Hard prompts (PEZ, Hard Prompts Made Easy, NeurIPS 2023, arXiv 2302.03668): words for images that no list has.

A prompt of whole words of CLIP's vocabulary is optimised so that its embedding is nearer to a class's images than to the
others'. Soft embeddings are projected to the nearest words at every step, and the gradient there moves the soft ones.
What it finds fits the images that it was found on; whether it says anything is measured on others.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pipelines.discovery.suspects import HardPrompt
from pipelines.discovery.words import LEAST, welch
from pipelines.progress import step
from pipelines.records import Image
from pipelines.vision.clip import Clip

TOKENS = 8  # the paper's 8 to 16
RATE, DECAY = 0.1, 0.1  # of AdamW, the paper's
WORD = re.compile(r"[a-z]{3,}</w>")  # a token that is a whole word, as the byte-pair encoding of CLIP has it
END = "</w>"


class Vocabulary:
    """The whole words of a CLIP tokenizer, and their embeddings (words, width)."""

    def __init__(self, clip: Clip) -> None:
        tokens = clip.processor.tokenizer.get_vocab()
        self.words = sorted(token for token in tokens if WORD.fullmatch(token))
        self.numbers = torch.tensor([tokens[word] for word in self.words])
        self.layer = clip.model.text_model.get_input_embeddings()
        self.table = self.layer.weight.detach()[self.numbers.to(clip.device)]

    def nearest(self, soft: Tensor) -> Tensor:
        """The row of the word that is nearest to each embedding (n, width), by their cosine: (n,)."""
        return (F.normalize(soft, dim=1) @ F.normalize(self.table, dim=1).T).argmax(dim=1)

    def text(self, rows: Sequence[int]) -> str:
        return " ".join(self.words[row].removesuffix(END) for row in rows)


def embedding(clip: Clip, vocabulary: Vocabulary, rows: Tensor, soft: Tensor) -> Tensor:
    """The unit embedding (width,) of a prompt of these words, whose gradient goes to `soft` (n, width) in their places."""
    tokenizer = clip.processor.tokenizer
    ends = torch.tensor([tokenizer.bos_token_id]), torch.tensor([tokenizer.eos_token_id])
    numbers = torch.cat([ends[0], vocabulary.numbers[rows.cpu()], ends[1]])[None].to(clip.device)

    def place(_module: object, _inputs: object, output: Tensor) -> Tensor:
        return torch.cat([output[:, :1], soft[None], output[:, -1:]], dim=1)

    hook = vocabulary.layer.register_forward_hook(place)
    try:
        features: Tensor = clip.model.get_text_features(numbers).pooler_output[0]
    finally:
        hook.remove()
    return F.normalize(features, dim=0)


def hard_prompt(clip: Clip, own: Tensor, other: Tensor, steps: int, seed: int = 0) -> str:
    """The prompt that is nearer, by the mean cosine, to some images' embeddings (n, width) than to others'."""
    vocabulary = Vocabulary(clip)
    direction = (own.mean(dim=0) - other.mean(dim=0)).to(clip.device)
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(len(vocabulary.words), (TOKENS,), generator=generator).to(clip.device)
    soft = vocabulary.table[first].clone().requires_grad_()
    optimizer = torch.optim.AdamW([soft], lr=RATE, weight_decay=DECAY)
    best, text = float("-inf"), ""
    for _ in range(steps):
        step()
        rows = vocabulary.nearest(soft.detach())
        projected = vocabulary.table[rows].clone().requires_grad_()
        fit = embedding(clip, vocabulary, rows, projected) @ direction
        (soft.grad,) = torch.autograd.grad(-fit, projected)
        if fit.item() > best:
            best, text = fit.item(), vocabulary.text(rows.tolist())
        optimizer.step()
    return text


def area(own: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Under the ROC curve: the share of pairs of which the first is the larger."""
    greater, equal = (own[:, None] > other[None]).mean(), (own[:, None] == other[None]).mean()
    return float(greater + equal / 2)


def separating(
    clip: Clip,
    images: Mapping[str, Sequence[Image]],
    held_out: Mapping[str, Sequence[Image]],
    steps: int,
    named: Collection[str] = (),
) -> dict[str, HardPrompt]:
    """A hard prompt for each class's images, where it fits held-out ones better than the others' (Welch's statistic).
    Classes that are `named` already need none."""
    train = {label: clip.embed_images(some) for label, some in images.items() if len(some) > 1}
    test = {label: clip.embed_images(some) for label, some in held_out.items() if len(some) > 1}
    prompts = {}
    for label in (train.keys() & test.keys()) - set(named):
        others = [[rows for name, rows in part.items() if name != label] for part in (train, test)]
        if not all(others):
            continue
        text = hard_prompt(clip, train[label], torch.cat(others[0]), steps)
        words = clip.embed_prompts([[text]])[0]
        own, other = (test[label] @ words).numpy(), (torch.cat(others[1]) @ words).numpy()
        if welch(own[:, None], other[:, None])[0] >= LEAST:
            prompts[label] = HardPrompt(text, area(own, other))
    return dict(sorted(prompts.items()))
