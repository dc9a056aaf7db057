"""Textual inversion (Gal et al. 2022, arXiv 2208.01618): learn the embedding vectors of a new token, and nothing else.

Two losses: inside the object's mask, the denoising loss; outside, the distance from the model's own prediction for the plain
word. So what always stands behind a class is not learned with it, and the token does not spill over the object's edge.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.errors import SpecError
from pipelines.learning.trainer import Trainer, noised_batch
from pipelines.prompts import TEMPLATES, token_names, token_phrase
from pipelines.records import Image, Mask
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifact
from pipelines.tensors import mask_tensor, tensor

EMBEDS, CURVE = "learned_embeds.safetensors", "curve.json"


@dataclass(frozen=True, slots=True)
class Token:
    """A learned token."""

    name: str  # in prompts: "<boot>"
    key: str  # of its embedding in the store
    vectors: Tensor  # float32 (n, width)
    losses: list[float]  # one a step


def initial_vectors(backbone: StableDiffusion, word: str, vectors: int) -> Tensor:
    """The embedding of `word`, repeated: float32 (vectors, width). Raises SpecError unless the word is a single token."""
    ids = backbone.tokenizer(word, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise SpecError(
            f"method.inversion.initializer: {word!r} is {len(ids)} tokens of {backbone.name}, and one starts from one; "
            "give one of its words as initializer (left out, it is the superclass)"
        )
    row: Tensor = backbone.text_encoder.get_input_embeddings().weight[ids[0]]
    return row.detach().float().repeat(vectors, 1)


def weighted_mean(errors: Tensor, weight: Tensor) -> Tensor:
    """Mean of errors (n, channels, h, w) with weights (n, 1, h, w)."""
    return (errors.mean(dim=1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1e-6)


class TextualInversion:
    """Training of one token on images of a class; `masks` of the object in each, None to learn from whole images."""

    def __init__(
        self,
        backbone: StableDiffusion,
        images: Sequence[Image],
        masks: Sequence[Mask] | None,
        name: str,
        word: str,
        spec: Inversion,
        seed: int,
    ) -> None:
        self.backbone, self.name, self.word, self.spec = backbone, name, word, spec
        self.vectors = initial_vectors(backbone, spec.initializer or word, spec.vectors).requires_grad_()
        backbone.set_token(name, self.vectors.detach())
        self.ids = backbone.tokenizer.convert_tokens_to_ids(token_names(name, spec.vectors))
        self.trainer = Trainer({"vectors": self.vectors}, self.loss, lambda step: spec.learning_rate, seed, backbone.dtype)
        with torch.no_grad():
            self.latents = backbone.encode_images(tensor(images))
            whole = torch.ones_like(self.latents[:, :1])
            self.plain_embeds = backbone.encode_prompts([template.format(word) for template in TEMPLATES])
            # The weight of a latent is the share of its cell that the object covers.
            self.weight = whole if masks is None else F.avg_pool2d(mask_tensor(masks), backbone.vae_scale_factor).to(whole)

    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """Prompt embeddings with the vectors being trained in the places of the token, so that gradients reach them."""
        ids = self.backbone.tokenize(prompts)

        def substitute(_module: object, _inputs: object, embedded: Tensor) -> Tensor:
            for row, number in zip(self.vectors, self.ids, strict=True):
                embedded = torch.where((ids == number)[..., None], row, embedded)
            return embedded

        hook = self.backbone.text_encoder.get_input_embeddings().register_forward_hook(substitute)
        try:
            embeddings: Tensor = self.backbone.text_encoder(ids)[0]
        finally:
            hook.remove()
        return embeddings.to(self.backbone.dtype)

    def loss(self, generator: torch.Generator) -> Tensor:
        """Of one batch: the denoising loss inside the masks and, if `masked`, the distance to the plain word's outside."""
        batch = noised_batch(self.backbone, self.latents, self.spec.batch, generator, len(TEMPLATES))
        phrase, weight = token_phrase(self.name, self.spec.vectors, self.word), self.weight[batch.rows]
        prompt_embeds = self.encode_prompts([TEMPLATES[i].format(phrase) for i in batch.templates])
        prediction = self.backbone.predict(batch.xt, batch.t, prompt_embeds)
        loss = weighted_mean((prediction - batch.target).square(), weight)
        if self.spec.masked:
            with torch.no_grad():
                plain = self.backbone.predict(batch.xt, batch.t, self.plain_embeds[batch.templates])
            loss = loss + weighted_mean((prediction - plain).square(), 1 - weight)
        return loss

    def files(self, facts: dict[str, object], losses: list[float]) -> dict[str, bytes]:
        """The trained token as plain diffusers loads it, and the record of its training."""
        record = {
            **facts,
            "token": self.name,
            "learning_rate_effective": self.spec.learning_rate,
            "images_seen": self.spec.steps * self.spec.batch,
            "losses": losses,
        }
        vectors = self.vectors.detach().cpu().clone()
        return {EMBEDS: save({self.name: vectors}), CURVE: (json.dumps(record, sort_keys=True) + "\n").encode()}


def load_token(artifact: Artifact) -> Token:
    """A finished token from the store."""
    record = json.loads(artifact.get(CURVE))
    vectors = load(artifact.get(EMBEDS))[record["token"]]
    return Token(record["token"], artifact.key(EMBEDS), vectors, record["losses"])
