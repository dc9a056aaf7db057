"""What rows of different LoRAs cost: a forward of the denoiser with a hundred in one batch, and with one."""

from collections.abc import Sequence
from functools import partial

import torch

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import resolve
from pipelines.experiments.engine.timing import Measurement, Size, alternate, ratio
from pipelines.progress import Progress

RANK = 16
FORWARDS = 4  # more rounds than of other measurements: a forward is short


def random_lora(backbone: Backbone, rank: int) -> dict[str, torch.Tensor]:
    """Weights for all layers that LoRAs are learned for."""
    weights = {}
    for name, module in backbone.denoiser.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(backbone.lora_targets):
            weights[f"{backbone.component}.{name}.lora_A.weight"] = torch.randn(rank, module.in_features) * 0.01
            weights[f"{backbone.component}.{name}.lora_B.weight"] = torch.randn(module.out_features, rank) * 0.01
    return weights


def loras(size: Size, progress: Progress) -> Measurement:
    """Seconds of a forward whose rows all have the same LoRA, over those of one whose rows have one each; as many rows as
    LoRAs. And of rows without any."""
    backbone, rows = open_backbone(resolve(size.checkpoint, "model")), size.loras
    for number in range(size.loras):
        backbone.loras.add(str(number), random_lora(backbone, RANK))
    side = backbone.resolution // backbone.vae_scale_factor
    x = backbone.everywhere(torch.randn(rows, backbone.latent_channels, side, side, device=backbone.device))
    t, prompts = torch.full((rows,), 500, device=backbone.device), backbone.encode_prompts(["a photo of a shoe"] * rows)

    @torch.inference_mode()
    def forward(keys: Sequence[str | None]) -> None:
        with backbone.loras.of_rows(keys):
            backbone.predict(x, t, prompts).sum().item()

    keys: dict[str, list[str | None]] = {
        "no LoRA": [None] * rows, "one LoRA": ["0"] * rows, f"{size.loras} LoRAs": [str(n) for n in range(rows)]
    }  # fmt: skip
    arms = {name: partial(forward, each) for name, each in keys.items()}
    alternate(arms, 1, lambda done: None)  # the first forward is slower
    count = FORWARDS * size.rounds
    seconds = alternate(arms, count, progress.stage("loras", count * len(arms)))
    return Measurement({"loras": ratio(seconds["one LoRA"], seconds[f"{size.loras} LoRAs"])}, seconds)
