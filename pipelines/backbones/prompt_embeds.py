"""Prompts as a denoiser takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PromptEmbeds:
    """The embeddings of n prompts, in the dtype of the denoiser."""

    tokens: Tensor  # (n, length, width): one embedding a token
    pooled: Tensor | None = None  # (n, width): one embedding a prompt, for families that take it

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Tensor | slice) -> "PromptEmbeds":
        """Some of the rows, by their numbers or a slice."""
        return PromptEmbeds(self.tokens[index], None if self.pooled is None else self.pooled[index])

    def expand(self, count: int) -> "PromptEmbeds":
        """The only row, `count` times."""
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        return PromptEmbeds(self.tokens.expand(count, -1, -1), pooled)

    @classmethod
    def cat(cls, parts: Sequence["PromptEmbeds"]) -> "PromptEmbeds":
        """The rows of all parts, one after the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return cls(torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None)
