"""A T5 text encoder of a checkpoint (Raffel et al. 2020, arXiv 1910.10683), with its tokenizer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.backbones.text_encoder import check_length

CACHED = 512  # prompts whose embeddings are kept: of Flux, four megabytes each


class T5Encoder:
    """It stays in the dtype that it was loaded in, since the published one has 4.7 billion parameters; nothing is trained.

    It knows no learned token. `length` is how many tokens of a prompt it reads: prompts are padded to as many. Embeddings
    are kept in the CPU's memory, and with `offload` so is the encoder, but for the moments in which it reads new prompts.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device, length: int) -> None:
        """`name` is that of the checkpoint, in errors."""
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.name, self.device, self.length = tokenizer, name, device, length
        self.offload = False
        self.cache: dict[str, Tensor] = {}  # by prompt, (length, width); the latest last

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(n, length, width). Raises ModelError for a prompt that is too long."""
        check_length(prompts, self.tokenizer, self.length, self.name)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.cache]
        if new:
            self.cache |= dict(zip(new, self.read(new), strict=True))
        embeds = torch.stack([self.cache[prompt] for prompt in prompts]).to(self.device)
        for prompt in list(self.cache)[: max(0, len(self.cache) - CACHED)]:
            del self.cache[prompt]
        return embeds

    def read(self, prompts: Sequence[str]) -> Tensor:
        """The encoder's output for prompts, on the CPU."""
        batch = self.tokenizer(list(prompts), padding="max_length", max_length=self.length, return_tensors="pt")
        with torch.inference_mode(False), torch.no_grad():  # learning may use what is kept, too
            embeds: Tensor = self.model.to(self.device)(batch.input_ids.to(self.device))[0].cpu()
        if self.offload:
            self.model.to("cpu")
        return embeds
