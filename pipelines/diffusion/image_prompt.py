"""Image prompts: what a picture says to the UNet beside the text, as one embedding of its CLIP encoder.

Two kinds of checkpoint listen. An IP-Adapter (Ye et al. 2023, arXiv 2308.06721) gives any UNet a second cross-attention.
An unCLIP UNet (Ramesh et al. 2022, arXiv 2204.06125) takes the embedding with its time step, noised to a level it is told.
Both know an embedding of zeros as "no picture": that is what guidance leads away from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from diffusers.models.embeddings import get_timestep_embedding
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

from pipelines.builtin.bundle import ADAPTER, resolve
from pipelines.errors import ModelError
from pipelines.records import Image

BATCH = 64


class PictureTower(CLIPVisionModelWithProjection):  # type: ignore[misc]
    """Loads from a whole CLIP without a word about the other half."""

    _keys_to_ignore_on_load_unexpected = (r"^text_", r"^logit_scale$")


class ImageEncoder:
    """The picture's half of a CLIP: images to embeddings, float32 (n, width), on the CPU."""

    def __init__(self, model: CLIPVisionModelWithProjection, processor: Any) -> None:
        self.model, self.processor = model.eval().requires_grad_(False), processor

    @classmethod
    def load(cls, path: str, device: torch.device, subfolder: str = "") -> "ImageEncoder":
        """From a CLIP checkpoint, or its picture's half alone. Raises OSError or ValueError."""
        model = PictureTower.from_pretrained(path, subfolder=subfolder, dtype=torch.float32).to(device)
        try:
            processor = CLIPImageProcessorPil.from_pretrained(path, subfolder=subfolder)
        except OSError:  # IP-Adapter's own encoders come without: CLIP's usual way, at the encoder's size
            side = model.config.image_size
            processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        return cls(model, processor)

    @torch.no_grad()
    def embed(self, images: Sequence[Image]) -> Tensor:
        parts = []
        for start in range(0, len(images), BATCH):
            pictures = [PIL.Image.fromarray(image) for image in images[start : start + BATCH]]
            pixels = self.processor(images=pictures, return_tensors="pt").pixel_values
            parts.append(self.model(pixels.to(self.model.device, self.model.dtype)).image_embeds.float().cpu())
        return torch.cat(parts)


class Adapter:
    """An IP-Adapter inside a UNet. Rows without a picture are as they were without it."""

    def __init__(self, unet: Any, checkpoint: str, device: torch.device) -> None:
        """Load FOLDER/FILE.safetensors, its encoder in FOLDER/image_encoder, or 'builtin'. Raises ModelError."""
        self.unet = unet
        try:
            file, encoder, subfolder = located(checkpoint)
            unet._load_ip_adapter_weights([parted(load_file(file))])
            self.encoder = ImageEncoder.load(encoder, device, subfolder)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"models.adapter: {checkpoint!r} is no IP-Adapter for this checkpoint ({error}); give one that is made "
                "for it, FOLDER/FILE.safetensors, with its encoder in FOLDER/image_encoder"
            ) from None
        unet.requires_grad_(False)

    def condition(self, embedding: Tensor, level: int, generator: torch.Generator) -> Tensor:
        """What the UNet is shown for an embedding (width,): itself."""
        return embedding

    def arguments(self, shown: Tensor | None, rows: int, scale: float) -> dict[str, Any]:
        """Keyword arguments of the UNet for embeddings (rows, width); None: pictures play no part."""
        for processor in self.unet.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                processor.scale = [0.0 if shown is None else scale]
        if shown is None:
            shown = torch.zeros(rows, self.encoder.model.config.projection_dim, device=self.unet.device)
        return {"added_cond_kwargs": {"image_embeds": [shown[:, None].to(self.unet.dtype)]}}


def located(checkpoint: str) -> tuple[str, str, str]:
    """An adapter's file, and its encoder's checkpoint and folder in that; fetched from the hub if it is no path."""
    if checkpoint == "builtin":
        return f"{resolve(checkpoint, 'adapter')}/{ADAPTER}", resolve("builtin", "clip"), ""
    folder, _, name = checkpoint.rpartition("/")
    if Path(checkpoint).exists() or folder.count("/") == 0:
        return checkpoint, f"{folder}/image_encoder", ""
    organisation, repository, *parts = folder.split("/")
    identity, inner = f"{organisation}/{repository}", "/".join(parts)
    file = hf_hub_download(identity, "/".join([*parts, name]))
    return file, identity, f"{inner}/image_encoder".lstrip("/")


def parted(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A file's weights as diffusers wants them: `image_proj` and `ip_adapter` apart. Raises ValueError."""
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
    """The image encoder and noise of a StableUnCLIP checkpoint."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self.unet = pipeline.unet
        self.encoder = ImageEncoder(pipeline.image_encoder.to(device), pipeline.feature_extractor)
        self.normalizer, self.schedule = pipeline.image_normalizer.float().cpu(), pipeline.image_noising_scheduler

    def condition(self, embedding: Tensor, level: int, generator: torch.Generator) -> Tensor:
        """An embedding (width,) noised to `level`, and the level itself: (2 width,)."""
        noise = torch.randn(embedding.shape, generator=generator)[None]
        when = torch.tensor([level])
        noised = self.schedule.add_noise(self.normalizer.scale(embedding[None].float()), timesteps=when, noise=noise)
        said = get_timestep_embedding(when, embedding.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
        return torch.cat([self.normalizer.unscale(noised), said], dim=1)[0]

    def arguments(self, shown: Tensor | None, rows: int, scale: float) -> dict[str, Any]:
        """Keyword arguments of the UNet for what `condition` made; None: no picture."""
        if shown is None:
            shown = torch.zeros(rows, 2 * self.encoder.model.config.projection_dim, device=self.unet.device)
        return {"class_labels": shown.to(self.unet.dtype)}
