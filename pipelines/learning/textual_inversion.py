"""Textual inversion (Gal et al. 2022, arXiv 2208.01618): learn the embedding vectors of a new token, and nothing else.

Two losses: inside the object's mask, the denoising loss; outside, the distance from the model's own prediction for the plain
word. So what always stands behind a class is not learned with it, and the token does not spill over the object's edge.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.errors import SpecError
from pipelines.learning.trainer import Trainer, noised_batch
from pipelines.prompts import TEMPLATES, fill, token_phrase
from pipelines.records import Image, Mask
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifact
from pipelines.tensors import mask_tensor, tensor

EMBEDS, CURVE = "learned_embeds.safetensors", "curve.json"
CLIP_NAMES = ["clip_l", "clip_g"]  # of the vectors of two text encoders, as files of others name them


@dataclass(frozen=True, slots=True)
class Token:
    """A learned token."""

    name: str  # in prompts: "<boot>"
    key: str  # of its embedding in the store
    vectors: list[Tensor]  # float32 (n, width), of each text encoder
    losses: list[float]  # one a step


def initial_vectors(backbone: Backbone, word: str, vectors: int) -> list[Tensor]:
    """The embedding of `word` in each text encoder, repeated: float32 (vectors, width). Raises SpecError unless the word is
    a single token."""
    rows = []
    for encoder in backbone.text_encoders:
        row = encoder.embedding_of(word)
        if row is None:
            count = len(encoder.tokenizer(word, add_special_tokens=False).input_ids)
            raise SpecError(
                f"method.inversion.initializer: {word!r} is {count} tokens of {backbone.name}, and one starts from one; "
                "give one of its words as initializer (left out, it is the superclass)"
            )
        rows.append(row.repeat(vectors, 1))
    return rows


def weighted_mean(errors: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """Mean of errors (n, channels, h, w) with weights (n, 1, h, w) that sum up, with those of other parts, to `total`."""
    return (errors.mean(dim=1, keepdim=True) * weight).sum() / total.clamp(min=1e-6)


class TokenLearner(ABC):
    """Training of one token by some loss: its vectors, float32 (n, width) of each text encoder, begin as a word."""

    def __init__(self, backbone: Backbone, name: str, word: str, spec: Inversion, seed: int) -> None:
        self.backbone, self.name, self.spec = backbone, name, spec
        self.phrase = token_phrase(name, spec.vectors, word)
        self.vectors = [each.requires_grad_() for each in initial_vectors(backbone, spec.initializer or word, spec.vectors)]
        backbone.set_token(name, [each.detach() for each in self.vectors])
        names = ["vectors"] if len(self.vectors) == 1 else CLIP_NAMES
        parameters = dict(zip(names, self.vectors, strict=True))
        self.trainer = Trainer(
            parameters, self.losses, lambda step: spec.learning_rate, seed, backbone.dtype, spec.batch, backbone.recompute
        )

    @abstractmethod
    def losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """Of each part of one batch."""

    def encode_prompts(self, prompts: list[str]) -> PromptEmbeds:
        """Prompt embeddings with the vectors being trained in the places of the token, so that gradients reach them."""
        with ExitStack() as stack:
            for encoder, vectors in zip(self.backbone.text_encoders, self.vectors, strict=True):
                stack.enter_context(encoder.embedding(self.name, vectors))
            return self.backbone.encode_prompts(prompts)

    def result(self) -> list[Tensor]:
        """The vectors that the token is to have."""
        return self.vectors

    def files(self, facts: dict[str, object], losses: list[float]) -> dict[str, bytes]:
        """The trained token as plain diffusers loads it, and the record of its training."""
        record = {
            **facts,
            "token": self.name,
            "learning_rate_effective": self.spec.learning_rate,
            "images_seen": len(losses) * self.spec.batch,
            "losses": losses,
        }
        return {
            EMBEDS: encode_token(self.name, self.result()),
            CURVE: (json.dumps(record, sort_keys=True) + "\n").encode(),
        }


class TextualInversion(TokenLearner):
    """Training of one token on images of a class; `masks` of the object in each, None to learn from whole images."""

    def __init__(
        self,
        backbone: Backbone,
        images: Sequence[Image],
        masks: Sequence[Mask] | None,
        name: str,
        word: str,
        spec: Inversion,
        seed: int,
        templates: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """`templates` are of the prompts of each image, as many of one as of another; None: the same ones of all."""
        super().__init__(backbone, name, word, spec, seed)
        self.word, self.templates = word, templates or [TEMPLATES] * len(images)
        self.plain_prompts = list(dict.fromkeys(fill(one, word) for own in self.templates for one in own))
        with torch.no_grad():
            self.latents = backbone.encode_images(tensor(images))
            whole = torch.ones_like(self.latents[:, :1])
            self.plain_embeds = backbone.encode_prompts(self.plain_prompts)
            # The weight of a latent is the share of its cell that the object covers.
            self.weight = whole if masks is None else F.avg_pool2d(mask_tensor(masks), backbone.vae_scale_factor).to(whole)

    def losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """Of each part of one batch: the denoising loss inside the masks and, if `masked`, the distance to the plain word's
        outside."""
        batch = noised_batch(self.backbone, self.latents, self.spec.batch, generator, len(self.templates[0]))
        weights = self.weight[batch.rows]
        inside, outside = weights.sum(), (1 - weights).sum()
        for part in batch.split(parts):
            weight = self.weight[part.rows]
            drawn = zip(part.rows.tolist(), part.templates.tolist(), strict=True)
            templates = [self.templates[row][number] for row, number in drawn]
            prompt_embeds = self.encode_prompts([fill(template, self.phrase) for template in templates])
            prediction = self.backbone.predict(part.xt, part.t, prompt_embeds)
            loss = weighted_mean((prediction - part.target).square(), weight, inside)
            if self.spec.masked:
                numbers = torch.tensor([self.plain_prompts.index(fill(template, self.word)) for template in templates])
                with torch.no_grad():
                    plain = self.backbone.predict(part.xt, part.t, self.plain_embeds.rows(numbers))
                loss = loss + weighted_mean((prediction - plain).square(), 1 - weight, outside)
            yield loss


def encode_token(name: str, vectors: Sequence[Tensor]) -> bytes:
    """The vectors of a token, of each text encoder, as plain diffusers loads them."""
    names = [name] if len(vectors) == 1 else CLIP_NAMES
    return save({key: each.detach().cpu().clone() for key, each in zip(names, vectors, strict=True)})


def decode_token(name: str, data: bytes) -> list[Tensor]:
    state = load(data)
    return [state[key] for key in ([name] if name in state else CLIP_NAMES)]


def load_token(artifact: Artifact) -> Token:
    """A finished token from the store."""
    record = json.loads(artifact.get(CURVE))
    name = record["token"]
    return Token(name, artifact.key(EMBEDS), decode_token(name, artifact.get(EMBEDS)), record["losses"])
