"""The one training loop of the bundle: seeded, resumable, cosine-decayed, with a bar and a log of what it took."""

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

SAVE_EVERY = 60.0  # seconds


def schedule(step: int, steps: int, warmup: int = 100) -> float:
    """Linear warm-up, then cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Average:
    """Exponential moving average of parameters, short at first: decay min(d, (1 + n) / (10 + n))."""

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay, self.count = decay, 0
        self.live = [p for m in modules for p in m.parameters()]
        self.shadow = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        weight = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.live], weight)

    @torch.no_grad()
    def copy_to_live(self) -> None:
        for live, shadow in zip(self.live, self.shadow, strict=True):
            live.copy_(shadow)


@dataclass(frozen=True, slots=True)
class Batches(Dataset[Any]):
    """The batches of a training by step: each a function of the seed and its step alone."""

    prepare: Callable[[torch.Generator], Any]
    seed: int

    def __getitem__(self, step: int) -> Any:
        return self.prepare(torch.Generator().manual_seed(self.seed * 1_000_003 + step))

    def from_step(self, step: int, steps: int, workers: int) -> Iterable[Any]:
        """The batches of the steps from `step` on, in order, prepared ahead in `workers` processes, or in this one for 0."""
        return DataLoader(self, batch_size=None, sampler=range(step, steps), num_workers=workers, collate_fn=unchanged)


def unchanged(batch: Any) -> Any:
    return batch


def train(
    name: str,
    folder: Path,
    modules: dict[str, nn.Module],
    loss: Callable[[Any], Tensor],
    *,
    steps: int,
    lr: float,
    seed: int,
    decay: float = 0.999,
    weight_decay: float = 0.0,
    bfloat16: bool = False,
    prepare: Callable[[torch.Generator], Any] = unchanged,
    workers: int = 0,
    device: str = "cpu",
) -> None:
    """Minimise `loss(prepare(generator))`; on return the modules hold the averaged weights, on `device`.

    `bfloat16` computes in mixed precision: nearly twice as fast on a processor with AVX512-BF16, far slower on others.
    `prepare` draws the batch of a step, on the CPU, ahead of its turn in `workers` processes; `loss` moves it to `device`.

    State is saved to `folder/name.pt` every minute, and a rerun goes on from there. The random numbers of a step
    depend on the seed and the step alone. `folder/name.json` records steps, seconds and the curve of the loss.
    """
    torch.manual_seed(seed)
    for module in modules.values():
        module.to(device)
    parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    kind = torch.device(device).type
    if kind == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99), fused=kind == "cuda")
    average = Average(modules.values(), decay)
    state_file, log_file = folder / f"{name}.pt", folder / f"{name}.json"
    step, seconds, curve = 0, 0.0, []
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location="cpu")
        for key, module in modules.items():
            module.load_state_dict(state["modules"][key])
        optimizer.load_state_dict(state["optimizer"])
        average.shadow, average.count = [p.to(device) for p in state["shadow"]], state["step"]
        step, seconds, curve = state["step"], state["seconds"], state["curve"]

    def save() -> None:
        state = {
            "modules": {key: module.state_dict() for key, module in modules.items()},
            "optimizer": optimizer.state_dict(),
            "shadow": average.shadow,
            "step": step,
            "seconds": seconds,
            "curve": curve,
        }
        torch.save(state, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)
        log_file.write_text(json.dumps({"steps": step, "seconds": round(seconds), "seed": seed, "curve": curve[-200:]}))

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
    recent = torch.tensor(curve[-1][1] if curve else float("nan"), device=device)
    saved = time.monotonic()
    with Progress(*columns) as bar:
        task = bar.add_task(name, total=steps, completed=step, loss="")
        began = time.monotonic()
        for batch in Batches(prepare, seed).from_step(step, steps, workers):
            for group in optimizer.param_groups:
                group["lr"] = lr * schedule(step, steps)
            with torch.autocast(kind, torch.bfloat16, enabled=bfloat16):
                value = loss(batch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average.update()
            step += 1
            recent = torch.where(recent.isnan(), value.detach(), recent.lerp(value.detach().to(recent), 0.02))
            if step % 50 == 0:  # no more often: reading the loss waits for the GPU
                curve.append([step, round(recent.item(), 5)])
                bar.update(task, completed=step, loss=f"loss {curve[-1][1]:.4f}")
            now = time.monotonic()
            seconds, began = seconds + now - began, now
            if now - saved > SAVE_EVERY:
                save()
                saved = now
        save()
    average.copy_to_live()
