"""The one resumable trainer, of tokens and LoRAs: AdamW on the denoising loss of a backbone.

Step k's random numbers depend on (seed, k) alone, so that a run that was stopped ends with the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.schedule import Levels, add_noise, target
from pipelines.progress import Stage, step
from pipelines.store.artifacts import Artifact
from pipelines.tensors import out_of_memory


@dataclass(frozen=True, slots=True)
class NoisedBatch:
    """A training batch of n rows."""

    rows: Tensor  # which images, int64 (n,)
    templates: Tensor  # which prompt template of each, int64 (n,)
    xt: Tensor  # noised latents, (n, channels, h, w), with the further channels of an inpainting denoiser
    t: Tensor  # timesteps, (n,)
    target: Tensor  # of the prediction, as the latents

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, parts: int) -> "list[NoisedBatch]":
        """The rows in so many batches, or as many as there are rows."""
        pieces = [torch.tensor_split(getattr(self, field.name), min(parts, len(self))) for field in fields(self)]
        return [NoisedBatch(*piece) for piece in zip(*pieces, strict=True)]


def noised_batch(
    backbone: Backbone, latents: Tensor, size: int, generator: torch.Generator, templates: int = 0
) -> NoisedBatch:
    """Draw `size` of the latents, a timestep, one of `templates` templates if there are any, and noise for each."""
    rows = torch.randint(len(latents), (size,), generator=generator)
    t, drawn = backbone.schedule.draw(size, backbone.patches(latents), generator)
    choice = torch.randint(templates, (size,), generator=generator) if templates else torch.zeros_like(rows)
    x0 = latents[rows]
    eps = torch.randn(x0.shape, generator=generator).to(x0)
    levels = Levels.of(drawn, x0)
    truth = target(x0, eps, levels, backbone.schedule.prediction)
    return NoisedBatch(rows, choice, backbone.everywhere(add_noise(x0, eps, levels)), t.to(x0.device), truth)


BatchLosses = Callable[[torch.Generator, int], Iterable[Tensor]]


class Trainer:
    """One optimisation: over `parameters`, at the learning rate of each step.

    `batch_losses` of a seeded generator and a number of parts gives the loss of each part of a batch, computed when it is
    asked for; their sum is the batch's. There is one part, and twice as many each time that the card's memory runs out:
    gradients accumulate. When there are as many as the `batch` has rows, `recompute` has activations computed again for
    them; it returns whether that is new.

    `dtype` is what the loss is computed in. In fp16 small gradients vanish: there the loss is scaled, and a step whose
    gradients overflow is left out (Micikevicius et al. 2018, arXiv 1710.03740).
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        batch_losses: BatchLosses,
        learning_rate: Callable[[int], float],
        seed: int,
        dtype: torch.dtype = torch.float32,
        batch: int = 1,
        recompute: Callable[[], bool] = lambda: False,
    ) -> None:
        self.parameters, self.batch_losses, self.learning_rate, self.seed = (
            dict(parameters),
            batch_losses,
            learning_rate,
            seed,
        )
        self.batch, self.recompute, self.parts = batch, recompute, 1
        self.buffers: dict[str, Tensor] = {}  # kept with the parameters, and not trained
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=learning_rate(0), weight_decay=1e-2)
        device = next(iter(self.parameters.values())).device.type
        self.scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
        self.losses: list[float] = []

    def step(self) -> float:
        """One step of AdamW; its loss. Raises ModelError where not even one row fits into memory."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(len(self.losses))
        loss = None
        while loss is None:
            try:
                loss = self.backward()
            except torch.OutOfMemoryError:
                self.save_memory()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.losses.append(loss)
        return loss

    def backward(self) -> float:
        """The loss of the next batch, with its gradients."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + len(self.losses))
        self.optimizer.zero_grad()
        total = 0.0
        for loss in self.batch_losses(generator, self.parts):
            step()
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def save_memory(self) -> None:
        """Take smaller parts; of one row, recompute. Raises ModelError where that is done already."""
        if self.parts < self.batch:
            self.parts *= 2
        elif not self.recompute():
            raise out_of_memory("learning")
        torch.cuda.empty_cache()

    def state(self) -> bytes:
        """Parameters, buffers, moments, losses, and the loss scale of fp16, as safetensors."""
        moments = self.optimizer.state_dict()["state"]
        kept = {f"{number}.{key}": value.clone() for number, values in moments.items() for key, value in values.items()}
        weights = {f"weight.{name}": weight.detach().clone() for name, weight in self.parameters.items()}
        buffers = {f"buffer.{name}": buffer.clone() for name, buffer in self.buffers.items()}
        scale = {f"scaler.{key}": torch.tensor(value) for key, value in self.scaler.state_dict().items()}
        return save({"losses": torch.tensor(self.losses, dtype=torch.float64), **weights, **buffers, **kept, **scale})

    def restore(self, data: bytes) -> None:
        """Go on from a state. One of other parameters, as older versions of this trainer wrote, is ignored."""
        state = load(data)
        if not {f"weight.{name}" for name in self.parameters} <= state.keys():
            return
        self.losses = state.pop("losses").tolist()
        whole, scale = self.optimizer.state_dict(), self.scaler.state_dict()
        for key, value in state.items():
            kind, _, name = key.partition(".")
            if kind == "weight":
                self.parameters[name].data.copy_(value)
            elif kind == "buffer":
                self.buffers[name].copy_(value)
            elif kind == "scaler":
                scale[name] = value.item()
            else:
                whole["state"].setdefault(int(kind), {})[name] = value
        self.optimizer.load_state_dict(whole)
        self.scaler.load_state_dict(scale)

    def run(
        self,
        steps: int,
        checkpoint_every: int,
        artifact: Artifact,
        progress: Stage,
        converged: Callable[[], bool] = lambda: False,
    ) -> list[float]:
        """Train to the end, from wherever an earlier run got to; the losses rounded to six places. `converged`, asked after
        each step, ends it early."""
        if checkpoint := artifact.load_checkpoint():
            self.restore(checkpoint)
            progress(len(self.losses))
        while len(self.losses) < steps:
            self.step()
            progress(1)
            if converged():  # before progress is saved: a run that goes on from there comes to the same end
                progress(steps - len(self.losses))
                break
            if len(self.losses) % checkpoint_every == 0:
                artifact.save_checkpoint(self.state())
        return [round(loss, 6) for loss in self.losses]
