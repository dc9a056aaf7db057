"""LoRAs (Hu et al. 2021, arXiv 2106.09685) of a denoiser and of text encoders, one a row of a batch: rows of different ones
share a forward.

The low-rank matrices of all LoRAs are stacked in every layer that has any; those of the rows are gathered, and multiplied as
a batch (Punica, Chen et al. 2023, arXiv 2310.18547).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN, UP = "lora_A.weight", "lora_B.weight"  # as diffusers names them, after the layer


class LoraLinear(nn.Linear):
    """A linear layer with LoRAs: `down` (loras, rank, in) and `up` (loras, out, rank), their weights A and B. The first is
    the one of rows without any: zeros, and so is what lower ranks lack of the highest."""

    down: Tensor
    up: Tensor

    def __init__(self, linear: nn.Linear, batch: "RowLoras", loras: int) -> None:
        """With so many LoRAs of rank 0."""
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias, self.batch = linear.weight, linear.bias, batch
        self.train(linear.training)
        self.register_buffer("down", self.weight.new_zeros(loras, 0, self.in_features), persistent=False)
        self.register_buffer("up", self.weight.new_zeros(loras, self.out_features, 0), persistent=False)

    def append(self, down: Tensor, up: Tensor, loras: int) -> None:
        """Add the LoRA of weights (rank, in) and (out, rank) after the first so many: what an addition that memory did not
        suffice for has left behind them is lost."""
        rank = max(len(down), self.down.shape[1])
        downs, ups = (self.down[:loras], down[None].to(self.down)), (self.up[:loras], up[None].to(self.up))
        self.down = torch.cat([F.pad(each, (0, 0, 0, rank - each.shape[1])) for each in downs])
        self.up = torch.cat([F.pad(each, (0, rank - each.shape[2])) for each in ups])

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, in) to (n, tokens, out)."""
        output, rows = super().forward(x), self.batch.rows
        if rows is None:
            return output
        return output.baddbmm_(torch.bmm(x, self.down[rows].mT), self.up[rows].mT)


class RowLoras:
    """The LoRAs of a checkpoint: layers become `LoraLinear` with the first LoRA that has weights for them.

    Attributes: `of_prompts`, whether any has weights of a text encoder: then what a prompt's embeddings are depends on it.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """`parts` are modules by what the names of their weights begin with, the denoiser first."""
        self.parts, self.device = dict(parts), next(iter(parts.values())).device
        self.indices: dict[str, int] = {}  # by key, the place in the stacks
        self.linears: dict[str, nn.Linear] = {}  # by name, the layers as they were
        self.rows: Tensor | None = None  # int64 (n,): the indices of the batch in `of_rows`; None: no row has any
        self.of_prompts = False

    def owner(self, name: str) -> tuple[Any, str]:
        """The module of a layer, and the layer's name in it. Raises KeyError for a name of none."""
        for prefix, module in self.parts.items():
            if name.startswith(f"{prefix}."):
                return module, name.removeprefix(f"{prefix}.")
        raise KeyError(name)

    def add(self, key: str, weights: Mapping[str, Tensor]) -> None:
        """Add a LoRA, of weights named as diffusers saves them, and whose alpha is its rank."""
        if key in self.indices:
            return
        loras = 1 + len(self.indices)
        for name in {name.removesuffix(f".{DOWN}") for name in weights if name.endswith(DOWN)} - self.linears.keys():
            module, inner = self.owner(name)
            self.linears[name] = module.get_submodule(inner)
            module.set_submodule(inner, LoraLinear(self.linears[name], self, loras))
            self.of_prompts |= module is not next(iter(self.parts.values()))
        for name in self.linears:
            module, inner = self.owner(name)
            layer = module.get_submodule(inner)
            layer.append(weights.get(f"{name}.{DOWN}", layer.down[0]), weights.get(f"{name}.{UP}", layer.up[0]), loras)
        self.indices[key] = loras

    def clear(self) -> None:
        """Remove all: the modules have the layers of their checkpoint again."""
        for name, linear in self.linears.items():
            module, inner = self.owner(name)
            module.set_submodule(inner, linear)
        self.indices.clear()
        self.linears.clear()
        self.of_prompts = False

    @contextmanager
    def of_rows(self, keys: Sequence[str | None]) -> Iterator[None]:
        """Inside the block, row n of a batch, of latents or of prompts, goes through the LoRA `keys[n]`, or none; outside of
        it, no row does."""
        indices = [0 if key is None else self.indices[key] for key in keys]
        self.rows = torch.tensor(indices, device=self.device) if any(indices) else None
        try:
            yield
        finally:
            self.rows = None
