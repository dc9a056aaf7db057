"""LoRA (Hu et al. 2021, arXiv 2106.09685): low-rank weights beside the denoiser's attention, trained on a source's images.

DataDream (ECCV 2024, arXiv 2407.10910) trains those of the text encoder, too; here that is an option.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.schedule import Levels, add_noise
from pipelines.engine.solver import predicted_x0
from pipelines.learning.diversity import diversity_loss
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
        """The denoising loss of one batch, of each of its parts; then, if the spec keeps diversity, that of another one."""
        batch = noised_batch(self.backbone, self.latents, self.spec.batch, generator)
        for part in batch.split(parts):
            prediction = self.predict(part.xt, part.t, part.rows)
            yield (prediction - part.target).square().mean() * (len(part) / len(batch))
        if self.spec.keep_diversity:
            yield from self.diversity_losses(generator, parts)

    def predict(self, xt: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        """The model's prediction for noised latents of these images."""
        backbone = self.backbone
        with torch.set_grad_enabled(self.spec.text_encoder and torch.is_grad_enabled()):
            prompt_embeds = backbone.encode_prompts([self.prompts[row] for row in rows])
        with torch.autocast(xt.device.type, backbone.dtype, enabled=backbone.dtype != torch.float32):
            return backbone.predict(xt, t, prompt_embeds)

    def diversity_losses(self, generator: torch.Generator, parts: int) -> Iterator[Tensor]:
        """DomainStudio's losses of different images at one noise level, of each part of them, and of the distances in it."""
        backbone, schedule = self.backbone, self.backbone.schedule
        every = torch.randperm(len(self.latents), generator=generator)[: self.spec.batch]
        t, (level,) = schedule.draw(1, backbone.patches(self.latents), generator)
        noise = torch.randn(self.latents[every].shape, generator=generator)
        for rows, eps in zip(every.tensor_split(parts), noise.tensor_split(parts), strict=True):
            if not len(rows):
                continue
            x0 = self.latents[rows]
            levels, times = Levels.of([level] * len(rows), x0), t.to(x0.device).expand(len(rows))
            xt = add_noise(x0, eps.to(x0), levels)
            with torch.no_grad(), self.without():
                before = self.predict(backbone.everywhere(xt), times, rows)
            after = self.predict(backbone.everywhere(xt), times, rows)
            adapted, original = (predicted_x0(xt, output, levels, schedule.prediction) for output in (after, before))
            yield self.spec.keep_diversity * diversity_loss(adapted, original, x0) * (len(rows) / len(every))

    @contextmanager
    def without(self) -> Iterator[None]:
        """Inside the block the model is the original one."""
        layers = [layer for part in self.parts.values() for layer in part.modules() if isinstance(layer, BaseTunerLayer)]
        for layer in layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in layers:
                layer.enable_adapters(True)

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
