"""LoRA (Hu et al. 2021, arXiv 2106.09685): low-rank weights beside the denoiser's attention, trained on a source's images.

DataDream (ECCV 2024, arXiv 2407.10910) trains those of the text encoder, too; here that is an option.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.learning.trainer import Trainer, noised_batch
from pipelines.records import Image
from pipelines.spec import Lora
from pipelines.tensors import tensor

WEIGHTS, CURVE = "pytorch_lora_weights.safetensors", "curve.json"
ADAPTER = "learning"  # name of the weights among a module's adapters while they are trained
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")  # the projections of a text encoder's attention


def learning_rate(step: int, spec: Lora) -> float:
    """Linear warm-up over a tenth of the steps, then a cosine to zero."""
    warm = max(1, spec.steps // 10)
    if step < warm:
        return spec.learning_rate * (step + 1) / warm
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, spec.steps - warm)))


class LoraTraining:
    """Training of one LoRA on images with their prompts."""

    def __init__(self, backbone: Backbone, images: Sequence[Image], prompts: Sequence[str], spec: Lora, seed: int) -> None:
        self.backbone, self.prompts, self.spec = backbone, list(prompts), spec
        self.parts = backbone.lora_parts if spec.text_encoder else {backbone.component: backbone.denoiser}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for prefix, module in self.parts.items():
                targets = backbone.lora_targets if prefix == backbone.component else TEXT_TARGETS
                config = LoraConfig(
                    r=spec.rank, lora_alpha=spec.rank, init_lora_weights="gaussian", target_modules=[*targets]
                )
                inject_adapter_in_model(config, module, ADAPTER)
        self.adapters = {
            f"{prefix}.{name.replace(f'.{ADAPTER}.', '.')}": weight
            for prefix, module in self.parts.items()
            for name, weight in module.named_parameters()
            if f".{ADAPTER}." in name
        }
        for weight in self.adapters.values():
            weight.data = weight.data.float()
        self.trainer = Trainer(
            self.adapters,
            self.losses,
            lambda step: learning_rate(step, spec),
            seed,
            backbone.dtype,
            spec.batch,
            backbone.recompute,
        )
        with torch.no_grad():
            self.latents = backbone.encode_images(tensor(images))

    def losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """The denoising loss of one batch, of each of its parts."""
        backbone = self.backbone
        batch = noised_batch(backbone, self.latents, self.spec.batch, generator)
        for part in batch.split(parts):
            with torch.set_grad_enabled(self.spec.text_encoder):
                prompt_embeds = backbone.encode_prompts([self.prompts[row] for row in part.rows])
            with torch.autocast(part.xt.device.type, backbone.dtype, enabled=backbone.dtype != torch.float32):
                prediction = backbone.predict(part.xt, part.t, prompt_embeds)
            yield (prediction - part.target).square().mean() * (len(part) / len(batch))

    def weights(self) -> dict[str, Tensor]:
        """Take the trained weights out of the model, named as diffusers' `load_lora_weights` reads them."""
        weights = {name: weight.detach().cpu().clone().contiguous() for name, weight in self.adapters.items()}
        self.stop()
        return weights

    def stop(self) -> None:
        """Leave the model as it was, whether or not the training came to its end."""
        for module in self.parts.values():
            recurse_remove_peft_layers(module)
            vars(module).pop("peft_config", None)
