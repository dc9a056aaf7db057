"""Deep features of a transformer, kept from some steps for others: what the blocks between its first and its last add.

Transformers have no skip connection past their deep layers; but every block adds to its tokens, and the sum of what the deep
ones add changes as little with the steps (Delta-DiT, Chen et al. 2024, arXiv 2406.01125).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.backbones.feature_cache import NOTHING
from pipelines.errors import ModelError

LISTS = ("transformer_blocks", "single_transformer_blocks")  # of blocks, in the order in which they run


def joined(encoder_hidden_states: Tensor, hidden_states: Tensor) -> Tensor:
    """Tokens of the text, then of the image: (n, tokens, width)."""
    return torch.cat([encoder_hidden_states, hidden_states], dim=1)


class First(nn.Module):
    """The first block, which notes what it gives."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.output = block, NOTHING

    def forward(self, *arguments: Any, **options: Any) -> Any:
        result = self.block(*arguments, **options)
        self.output = joined(*result)
        return result


class Last(nn.Module):
    """The last block, and the deep features: what was added between the first block's output and its input."""

    def __init__(self, block: nn.Module, first: First) -> None:
        super().__init__()
        self.block, self.first, self.features = block, [first], NOTHING  # in a list: no submodule

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, **options: Any) -> Any:
        self.features = joined(encoder_hidden_states, hidden_states) - self.first[0].output
        return self.block(hidden_states=hidden_states, encoder_hidden_states=encoder_hidden_states, **options)


class Recall(nn.Module):
    """In place of all deep blocks: adds the deep features that are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.features = NOTHING

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        text = encoder_hidden_states.shape[1]
        return encoder_hidden_states + self.features[:, :text], hidden_states + self.features[:, text:]


class TransformerCache:
    """Of one transformer, whose own forward runs with other blocks inside of these contexts. It keeps no features."""

    def __init__(self, transformer: nn.Module) -> None:
        """Raises ModelError for one of fewer than three blocks."""
        self.transformer, self.recall = transformer, Recall()
        self.lists = {name: blocks for name in LISTS if (blocks := getattr(transformer, name, None))}
        if sum(map(len, self.lists.values())) < 3:
            raise ModelError("method.cache_interval: the checkpoint's transformer has no deep blocks; set it to 1")

    @contextmanager
    def replaced(self, blocks: dict[str, list[nn.Module]]) -> Iterator[None]:
        """Inside the block the transformer has these blocks, by list."""
        for name in self.lists:
            setattr(self.transformer, name, nn.ModuleList(blocks[name]))
        try:
            yield
        finally:
            for name, own in self.lists.items():
                setattr(self.transformer, name, own)

    @contextmanager
    def recording(self) -> Iterator[Last]:
        """Inside the block a forward leaves its deep features with what is yielded."""
        blocks = {name: list(own) for name, own in self.lists.items()}
        names = list(blocks)
        first = First(blocks[names[0]][0])
        last = Last(blocks[names[-1]][-1], first)
        blocks[names[0]][0], blocks[names[-1]][-1] = first, last
        with self.replaced(blocks):
            yield last

    @contextmanager
    def recalling(self, features: Tensor) -> Iterator[None]:
        """Inside the block a forward takes these deep features, a row for each of its batch."""
        lists = list(self.lists.values())
        kept = {name: list[nn.Module]() for name in self.lists}
        names = list(kept)
        kept[names[0]] += [lists[0][0], self.recall]
        kept[names[-1]].append(lists[-1][-1])
        self.recall.features = features
        try:
            with self.replaced(kept):
                yield
        finally:
            self.recall.features = NOTHING
