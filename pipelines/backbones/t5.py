"""A T5 text encoder of a checkpoint (Raffel et al. 2020, arXiv 1910.10683), with its tokenizer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.backbones.text_encoder import check_length


class T5Encoder:
    """It stays in the dtype that it was loaded in, since the published one has 4.7 billion parameters; nothing is trained.

    It knows no learned token. `length` is how many tokens of a prompt it reads: prompts are padded to as many.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, device: torch.device, length: int) -> None:
        """`name` is that of the checkpoint, in errors."""
        self.model = model.to(device).eval().requires_grad_(False)
        self.tokenizer, self.name, self.device, self.length = tokenizer, name, device, length

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(n, length, width). Raises ModelError for a prompt that is too long."""
        check_length(prompts, self.tokenizer, self.length, self.name)
        batch = self.tokenizer(list(prompts), padding="max_length", max_length=self.length, return_tensors="pt")
        embeds: Tensor = self.model(batch.input_ids.to(self.device))[0]
        return embeds
