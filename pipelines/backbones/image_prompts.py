"""Image prompts: conditioning the UNet on images beside the text, by one embedding of a CLIP image encoder.

Two kinds of checkpoint take them. An IP-Adapter (Ye et al. 2023, arXiv 2308.06721) adds a second cross-attention to any
UNet. An unCLIP UNet (Ramesh et al. 2022, arXiv 2204.06125) adds the embedding, noised to a given level, to its timestep's.
For both, an embedding of zeros is the unconditional one of classifier-free guidance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

from pipelines.backbones.adapter_files import AdapterFiles
from pipelines.errors import ModelError
from pipelines.records import Image

BATCH = 64


class ClipImageModel(CLIPVisionModelWithProjection):  # type: ignore[misc]
    """Loads from a full CLIP checkpoint without warnings about the weights of its text encoder."""

    _keys_to_ignore_on_load_unexpected = (r"^text_", r"^logit_scale$")


class ImageEncoder:
    """A CLIP image encoder: images to projected image embeddings, float32 (n, width), on the CPU."""

    def __init__(self, model: CLIPVisionModelWithProjection, processor: Any) -> None:
        self.model, self.processor = model.eval().requires_grad_(False), processor

    @classmethod
    def load(cls, path: str | Path, device: torch.device) -> "ImageEncoder":
        """From a CLIP checkpoint, or one of its image encoder alone. Raises OSError or ValueError."""
        model = ClipImageModel.from_pretrained(path, dtype=torch.float32).to(device)
        try:
            processor = CLIPImageProcessorPil.from_pretrained(path)
        except OSError:  # IP-Adapter's own encoders come without: CLIP's defaults, at the encoder's size
            side = model.config.image_size
            processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        return cls(model, processor)

    @torch.no_grad()
    def embed(self, images: Sequence[Image]) -> Tensor:
        parts = []
        for start in range(0, len(images), BATCH):
            batch = [PIL.Image.fromarray(image) for image in images[start : start + BATCH]]
            pixels = self.processor(images=batch, return_tensors="pt").pixel_values
            parts.append(self.model(pixels.to(self.model.device, self.model.dtype)).image_embeds.float().cpu())
        return torch.cat(parts)


def no_adapter(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"models.adapter: {name!r} is no IP-Adapter for this checkpoint ({error}); give one that is made for it"
    )


class IpAdapter:
    """An IP-Adapter in a UNet. Rows without an image prompt are predicted as without the adapter."""

    def __init__(self, unet: Any, files: AdapterFiles, device: torch.device) -> None:
        """Raises ModelError."""
        self.unet = unet
        try:
            unet._load_ip_adapter_weights([split_weights(load_file(files.weights))])
            self.encoder = ImageEncoder.load(files.encoder, device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise no_adapter(files.name, error) from None
        unet.requires_grad_(False)
        self.scale: Tensor | None = None  # (n,), of the rows of the batch
        for processor in self.processors:
            for values in processor.to_v_ip:
                values.register_forward_hook(self.scaled)

    @property
    def processors(self) -> list[Any]:
        """Those of the UNet's attention to image prompts."""
        return [processor for processor in self.unet.attn_processors.values() if hasattr(processor, "to_v_ip")]

    def scaled(self, layer: nn.Module, inputs: tuple[Tensor, ...], values: Tensor) -> Tensor:
        """The values of image prompts (n, 1, tokens, width) times each row's scale: attention is linear in its values."""
        return values if self.scale is None else values * self.scale.to(values)[:, None, None, None]

    def embeds(self, embedding: Tensor, noise_level: int, generator: torch.Generator) -> Tensor:
        """A row of `image_embeds` from an image embedding (width,): the same, since the UNet holds the projection."""
        return embedding

    def unet_arguments(self, image_embeds: Tensor | None, rows: int, scale: Tensor | None) -> dict[str, Any]:
        """The UNet's conditioning on `image_embeds` (rows, width), weighted by `scale` (rows,), or 1; None: no row has an
        image prompt."""
        self.scale = scale
        for processor in self.processors:
            processor.scale = [0.0 if image_embeds is None else 1.0]
        if image_embeds is None:
            image_embeds = torch.zeros(rows, self.encoder.model.config.projection_dim, device=self.unet.device)
        return {"added_cond_kwargs": {"image_embeds": [image_embeds[:, None].to(self.unet.dtype)]}}


def split_weights(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A file's weights as diffusers loads them, `image_proj` and `ip_adapter` apart. Raises ValueError."""
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, weight in state.items():
        part, _, rest = key.partition(".")
        if part not in parts:
            raise ValueError(f"unknown weight {key!r}")
        parts[part][rest] = weight
    if "proj.weight" not in parts["image_proj"]:
        raise ValueError("it is not one of those that take a single embedding")
    return parts


class UnClip:
    """The image encoder and noising of a StableUnCLIP checkpoint."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self.unet = pipeline.unet
        self.encoder = ImageEncoder(pipeline.image_encoder.to(device), pipeline.feature_extractor)
        self.normalizer, self.schedule = pipeline.image_normalizer.float().cpu(), pipeline.image_noising_scheduler

    def embeds(self, embedding: Tensor, noise_level: int, generator: torch.Generator) -> Tensor:
        """A row of `image_embeds` from an image embedding (width,): it, noised, then the level's embedding: (2 width,)."""
        noise = torch.randn(embedding.shape, generator=generator)[None]
        level = torch.tensor([noise_level])
        noised = self.schedule.add_noise(self.normalizer.scale(embedding[None].float()), timesteps=level, noise=noise)
        level_embedding = get_timestep_embedding(level, embedding.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
        return torch.cat([self.normalizer.unscale(noised), level_embedding], dim=1)[0]

    def unet_arguments(self, image_embeds: Tensor | None, rows: int, scale: Tensor | None) -> dict[str, Any]:
        """The UNet's conditioning on `image_embeds` (rows, 2 width), `scale` unused; None: no row has an image prompt."""
        if image_embeds is None:
            image_embeds = torch.zeros(rows, 2 * self.encoder.model.config.projection_dim, device=self.unet.device)
        return {"class_labels": image_embeds.to(self.unet.dtype)}
