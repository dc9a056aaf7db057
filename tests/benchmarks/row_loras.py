"""What rows of different LoRAs cost: a forward of the denoiser with a hundred in one batch, with one, and with none.

python -m tests.benchmarks.row_loras
"""

import statistics
import time
from collections.abc import Sequence

import torch
import typer

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import resolve


def random_lora(backbone: Backbone, rank: int) -> dict[str, torch.Tensor]:
    """Weights for all layers that LoRAs are learned for."""
    weights = {}
    for name, module in backbone.denoiser.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(backbone.lora_targets):
            weights[f"{backbone.component}.{name}.lora_A.weight"] = torch.randn(rank, module.in_features) * 0.01
            weights[f"{backbone.component}.{name}.lora_B.weight"] = torch.randn(module.out_features, rank) * 0.01
    return weights


def main(checkpoint: str = "builtin", rows: int = 32, loras: int = 100, rank: int = 16, repeats: int = 15) -> None:
    backbone = open_backbone(resolve(checkpoint, "model"))
    for number in range(loras):
        backbone.loras.add(str(number), random_lora(backbone, rank))
    side = backbone.resolution // backbone.vae_scale_factor
    x = backbone.everywhere(torch.randn(rows, backbone.latent_channels, side, side, device=backbone.device))
    t, prompts = torch.full((rows,), 500, device=backbone.device), backbone.encode_prompts(["a photo of a shoe"] * rows)

    @torch.inference_mode()
    def seconds(keys: Sequence[str | None]) -> float:
        began = time.perf_counter()
        with backbone.loras.of_rows(keys):
            backbone.predict(x, t, prompts).sum().item()
        return time.perf_counter() - began

    arms: dict[str, list[str | None]] = {
        "none": [None] * rows,
        "one": ["0"] * rows,
        "different": [str(n * loras // rows) for n in range(rows)],
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats + 2):  # the first two warm up
        for name, keys in arms.items():
            times[name].append(seconds(keys)) if repeat > 1 else seconds(keys)
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.4f} s a forward of {rows} rows, {medians['one'] / median:.2f} of the speed with one LoRA")


if __name__ == "__main__":
    typer.run(main)
