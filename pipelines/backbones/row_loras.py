"""LoRAs (Hu et al. 2021, arXiv 2106.09685) of a denoiser and of text encoders, one a row of a batch: rows of different ones
share a forward.

The low-rank matrices of all LoRAs are stacked in every layer that has any; those of the rows are gathered, and multiplied as
a batch (Punica, Chen et al. 2023, arXiv 2310.18547).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN, UP = "lora_A.weight", "lora_B.weight"  # as diffusers names them, after the layer
AND = "+"  # between the keys of LoRAs that are fused
LOADED = 64  # LoRAs that are kept of those that can be loaded again

Weights = Mapping[str, Tensor]  # named as diffusers saves them; their alpha is their rank


def fused(keys: Iterable[str]) -> str:
    """The key of several LoRAs that are fused: their effects are averaged, as LoFT does (arXiv 2505.11703)."""
    return AND.join(keys)


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

    def put(self, index: int, down: Tensor, up: Tensor) -> None:
        """Set the LoRA at a place, of weights (rank, in) and (out, rank): at one that is there, or at the next. What an
        addition that memory did not suffice for has left there is lost."""
        rank = max(len(down), self.down.shape[1])
        down, up = down.to(self.down), up.to(self.up)
        down, up = F.pad(down, (0, 0, 0, rank - len(down))), F.pad(up, (0, rank - up.shape[1]))
        missing = rank - self.down.shape[1]
        if index < len(self.down) and not missing:
            self.down[index], self.up[index] = down, up
            return
        downs, ups = F.pad(self.down, (0, 0, 0, missing)), F.pad(self.up, (0, missing))
        self.down = torch.cat([downs[:index], down[None], downs[index + 1 :]])
        self.up = torch.cat([ups[:index], up[None], ups[index + 1 :]])

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, in) to (n, tokens, out)."""
        output, rows, shares = super().forward(x), self.batch.rows, self.batch.shares
        if rows is None:
            return output
        # The sum of several LoRAs' products is the product of their matrices side by side.
        down, up = self.down[rows].flatten(1, 2), self.up[rows].movedim(1, 2).flatten(2)
        up = up if shares is None else up * shares.to(up)
        return output.baddbmm_(torch.bmm(x, down.mT), up.mT)


class RowLoras:
    """The LoRAs of a checkpoint: layers become `LoraLinear` with the first LoRA that has weights for them.

    Attributes: `of_prompts`, whether any has weights of a text encoder: then what a prompt's embeddings are depends on it.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """`parts` are modules by what the names of their weights begin with, the denoiser first."""
        self.parts, self.device = dict(parts), next(iter(parts.values())).device
        self.indices: dict[str, int] = {}  # by key, the place in the stacks; what was used last is last
        self.free: list[int] = []  # places whose LoRA is not needed any more
        self.loaders: dict[str, Callable[[], Weights]] = {}  # by key, of those that are loaded when a row needs them
        self.linears: dict[str, nn.Linear] = {}  # by name, the layers as they were
        self.rows: Tensor | None = None  # int64 (n, most): the indices of a batch in `of_rows`; None: no row has any
        self.shares: Tensor | None = None  # float32 (n, 1, 1): what each LoRA of a row counts; None: no row has several
        self.of_prompts = False

    def owner(self, name: str) -> tuple[Any, str]:
        """The module of a layer, and the layer's name in it. Raises KeyError for a name of none."""
        for prefix, module in self.parts.items():
            if name.startswith(f"{prefix}."):
                return module, name.removeprefix(f"{prefix}.")
        raise KeyError(name)

    def add(self, key: str, weights: Weights) -> None:
        """Add a LoRA."""
        if key in self.indices:
            return
        places = 1 + len(self.indices) + len(self.free)
        index = self.free[-1] if self.free else places
        for name in {name.removesuffix(f".{DOWN}") for name in weights if name.endswith(DOWN)} - self.linears.keys():
            module, inner = self.owner(name)
            self.linears[name] = module.get_submodule(inner)
            module.set_submodule(inner, LoraLinear(self.linears[name], self, places))
            self.of_prompts |= module is not next(iter(self.parts.values()))
        for name in self.linears:
            module, inner = self.owner(name)
            layer = module.get_submodule(inner)
            layer.put(index, weights.get(f"{name}.{DOWN}", layer.down[0]), weights.get(f"{name}.{UP}", layer.up[0]))
        self.free, self.indices[key] = self.free[:-1], index

    def offer(self, key: str, load: Callable[[], Weights], of_prompts: bool) -> None:
        """Have a LoRA loaded whenever a row needs it: of very many, few are in memory. `of_prompts`, whether it has weights
        of a text encoder."""
        self.loaders[key] = load
        self.of_prompts |= of_prompts

    def load(self, keys: Collection[str]) -> None:
        """Load those of a batch that are offered and not there, in place of those that were used longest ago. At most LOADED
        stay, or as many as one batch has."""
        for key in [key for key in keys if key in self.indices]:
            self.indices[key] = self.indices.pop(key)
        for key in [key for key in keys if key not in self.indices]:
            loaded = [other for other in self.indices if other in self.loaders]
            idle = next((other for other in loaded if other not in keys), None)
            if len(loaded) >= LOADED and idle is not None:
                self.free.append(self.indices.pop(idle))
            with torch.inference_mode(False), torch.no_grad():  # learning runs through these layers, too
                self.add(key, self.loaders[key]())

    def clear(self) -> None:
        """Remove all: the modules have the layers of their checkpoint again."""
        for name, linear in self.linears.items():
            module, inner = self.owner(name)
            module.set_submodule(inner, linear)
        for known in (self.indices, self.free, self.loaders, self.linears):
            known.clear()
        self.of_prompts = False

    @contextmanager
    def of_rows(self, keys: Sequence[str | None]) -> Iterator[None]:
        """Inside the block, row n of a batch, of latents or of prompts, goes through the LoRA `keys[n]`, or those that are
        fused in it, or none; outside of it, no row does."""
        several = [[] if key is None else key.split(AND) for key in keys]
        most = max(map(len, several), default=0)
        if most:
            self.load(dict.fromkeys(key for row in several for key in row))
            indices = [[*(self.indices[key] for key in row), *[0] * (most - len(row))] for row in several]
            self.rows = torch.tensor(indices, device=self.device)
        if most > 1:
            self.shares = torch.tensor([1 / max(1, len(row)) for row in several], device=self.device).view(-1, 1, 1)
        try:
            yield
        finally:
            self.rows = self.shares = None
