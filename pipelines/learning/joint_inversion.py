"""Textual inversion of several tokens together: a prompt holds more than one of them, and each learns its own share.

What all images of a token have in common, and those of the others have not, is left to it: as SAGE (2026) learns a class's
clusters, here with a token for the class itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.learning.textual_inversion import initial_vectors
from pipelines.learning.trainer import Trainer, noised_batch
from pipelines.prompts import TEMPLATES, fill
from pipelines.records import Image
from pipelines.spec import Inversion
from pipelines.tensors import tensor

BATCH = 16  # images encoded at a time


class JointTraining:
    """Training of tokens on images with their phrases, in which the tokens stand.

    Attributes: `vectors`, by token, float32 (n, width) of each text encoder.
    """

    def __init__(
        self,
        backbone: Backbone,
        images: Sequence[Image],
        rows: Sequence[int],
        phrases: Sequence[str],
        words: Mapping[str, str],
        spec: Inversion,
        seed: int,
        templates: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """`rows` are the images that are drawn, all as often: one may be in it several times. `phrases` are of the images;
        `words`, by token, what each begins as; `templates`, as many of each image, None: the same ones of all. Raises
        SpecError for a word that is not a single token."""
        self.backbone, self.spec, self.rows, self.phrases = backbone, spec, torch.tensor(rows), list(phrases)
        self.templates = templates or [TEMPLATES] * len(images)
        self.vectors = {
            token: [each.requires_grad_() for each in initial_vectors(backbone, word, spec.vectors)]
            for token, word in words.items()
        }
        for token, vectors in self.vectors.items():
            backbone.set_token(token, [each.detach() for each in vectors])
        parameters = {f"{token}.{n}": each for token, vectors in self.vectors.items() for n, each in enumerate(vectors)}
        self.trainer = Trainer(
            parameters, self.losses, lambda step: spec.learning_rate, seed, backbone.dtype, spec.batch, backbone.recompute
        )
        with torch.no_grad():
            parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
            self.latents = torch.cat([backbone.encode_images(tensor(part)) for part in parts])[self.rows]

    def encode_prompts(self, prompts: list[str]) -> PromptEmbeds:
        """Prompt embeddings with the vectors being trained in the places of their tokens, so that gradients reach them."""
        with ExitStack() as stack:
            for token, vectors in self.vectors.items():
                for encoder, each in zip(self.backbone.text_encoders, vectors, strict=True):
                    stack.enter_context(encoder.embedding(token, each))
            return self.backbone.encode_prompts(prompts)

    def losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """The denoising loss of one batch, of each of its parts."""
        batch = noised_batch(self.backbone, self.latents, self.spec.batch, generator, len(self.templates[0]))
        for part in batch.split(parts):
            chosen = zip(part.templates.tolist(), self.rows[part.rows].tolist(), strict=True)
            prompt_embeds = self.encode_prompts([fill(self.templates[row][t], self.phrases[row]) for t, row in chosen])
            prediction = self.backbone.predict(part.xt, part.t, prompt_embeds)
            yield (prediction - part.target).square().mean() * (len(part) / len(batch))
