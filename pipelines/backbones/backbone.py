"""A latent diffusion checkpoint with a UNet, taken apart: what its families share. Each family is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pipelines.backbones.image_prompts import AdapterFiles, IpAdapter, UnClip
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Schedule
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.errors import ModelError

VAE_PIXELS = 2**22  # encoded or decoded at a time: 16 images at 512 pixels a side, 4 at 1024, all at 64


def vae_scale_factor(config: Mapping[str, Any]) -> int:
    """Pixels a latent cell, of an autoencoder's configuration."""
    channels = config.get("block_out_channels") or config["encoder_block_out_channels"]
    return int(2 ** (len(channels) - 1))


def inpainting_channels(latent_channels: int) -> int:
    """Input channels of an inpainting UNet: latents, a mask, and the latents of the masked image."""
    return 2 * latent_channels + 1


class Backbone(ABC):
    """Prompts to embeddings, pixels to latents and back, one forward of the UNet for rows that differ in everything.

    Attributes: `unet` and `vae` as in diffusers; `text_encoders`; `schedule`; `vae_scale_factor`, pixels a latent cell;
    `latent_channels`; `resolution`, pixels a side; `inpainting`, true when the UNet takes a mask and a masked image beside
    the latents; `image_conditioning`, an IP-Adapter or unCLIP's, None where there is neither.
    """

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        """`pipeline` is diffusers' of the checkpoint, in `dtype`; `name` is what errors call it. Raises ModelError."""
        self.name, self.device, self.dtype = name, device, dtype
        self.unet = pipeline.unet.to(device).eval().requires_grad_(False)
        # Some autoencoders overflow in fp16, and say so.
        upcast = dtype == torch.float16 and bool(pipeline.vae.config.get("force_upcast"))
        self.vae_dtype = torch.float32 if upcast else dtype
        self.vae = pipeline.vae.to(device, self.vae_dtype).eval().requires_grad_(False)
        self.text_encoders = self.open_text_encoders(pipeline)
        self.schedule = Schedule.of(pipeline.scheduler)
        self.vae_scale_factor = vae_scale_factor(self.vae.config)
        self.latent_channels = int(self.vae.config.latent_channels)
        self.resolution = int(self.unet.config.sample_size) * self.vae_scale_factor
        self.inpainting = self.unet.config.in_channels == inpainting_channels(self.latent_channels)
        unclip = hasattr(pipeline, "image_normalizer") and hasattr(pipeline, "image_encoder")
        self.image_conditioning: IpAdapter | UnClip | None = UnClip(pipeline, device) if unclip else None
        self.loras: dict[str, str] = {}  # key in the store -> name among the UNet's adapters
        self.empty: dict[tuple[int, ...], Tensor] = {}  # by size, what `empty_image` gave
        if device.type == "cpu":
            self.unet.to(memory_format=torch.channels_last)

    @abstractmethod
    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        """The text encoders of a pipeline."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """One row a prompt. Raises ModelError for a prompt that is too long."""

    @abstractmethod
    def prompt_arguments(self, prompt_embeds: PromptEmbeds, xt: Tensor) -> dict[str, Any]:
        """What the UNet takes beside latents, timesteps and the embeddings of tokens."""

    def reads_as(self, other: "Backbone") -> bool:
        """Whether prompts have the same embeddings, up to rounding, here and there."""
        here, there = (backbone.encode_prompts(["a photo of a cat"]).tokens.float() for backbone in (self, other))
        return here.shape == there.shape and torch.allclose(here, there, rtol=0.05, atol=0.05)

    @property
    def unconditional(self) -> PromptEmbeds:
        """The one row of classifier-free guidance's other prediction: of the empty prompt."""
        return self.encode_prompts([""])

    def load_ip_adapter(self, files: AdapterFiles) -> IpAdapter | UnClip:
        """Condition on image prompts by an IP-Adapter, unless the checkpoint is an unCLIP one. Raises ModelError."""
        if self.image_conditioning is None:
            self.image_conditioning = IpAdapter(self.unet, files, self.device)
        return self.image_conditioning

    def add_lora(self, key: str, weights: Mapping[str, Tensor]) -> None:
        """Add a LoRA of the UNet, weights named as diffusers saves them, for `lora_enabled(key)`."""
        if key not in self.loras:
            name = f"lora_{len(self.loras)}"
            self.unet.load_lora_adapter(dict(weights), prefix="unet", adapter_name=name)
            self.unet.requires_grad_(False)
            self.unet.disable_adapters()
            self.loras[key] = name

    def remove_loras(self) -> None:
        """Remove every LoRA: the UNet has the weights of its checkpoint again."""
        for name in self.loras.values():
            self.unet.delete_adapters(name)
        self.loras.clear()

    @contextmanager
    def lora_enabled(self, key: str | None) -> Iterator[None]:
        """Only the LoRA of this key is enabled inside the block; none is outside of it, nor with None."""
        if key is None:
            yield
            return
        self.unet.enable_adapters()
        self.unet.set_adapter(self.loras[key])
        try:
            yield
        finally:
            self.unet.disable_adapters()

    def set_token(self, name: str, vectors: Sequence[Tensor]) -> None:
        """Add a token with embedding vectors, float32 (n, width), for each text encoder. Raises ModelError."""
        if len(vectors) != len(self.text_encoders):
            raise ModelError(
                f"token {name}: it is of {len(vectors)} text encoders, {self.name} has {len(self.text_encoders)}"
            )
        for encoder, each in zip(self.text_encoders, vectors, strict=True):
            encoder.set_token(name, each)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels in -1..1 to latents, float32 (n, channels, h / factor, w / factor): the mode, without sampling."""
        parts = []
        for part in torch.split(pixels, max(1, VAE_PIXELS // pixels[0, 0].numel())):
            encoded = self.vae.encode(part.to(self.device, self.vae_dtype))
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
            parts.append(latents.float() * self.vae.config.scaling_factor)
        return torch.cat(parts)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents to pixels, about -1..1."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae_dtype)
        size = max(1, VAE_PIXELS // (latents[0, 0].numel() * self.vae_scale_factor**2))
        return torch.cat([self.vae.decode(part).sample.float() for part in torch.split(scaled, size)])

    def empty_image(self, like: Tensor) -> Tensor:
        """What an inpainting UNet takes beside latents (n, c, h, w) where everything is painted: a mask of ones, and the
        latents of an image of which nothing is left, (n, 1 + c, h, w)."""
        size = tuple(side * self.vae_scale_factor for side in like.shape[-2:])
        if size not in self.empty:
            with torch.inference_mode(False), torch.no_grad():  # learning uses it, too
                nothing = self.encode_images(torch.zeros(1, 3, *size))
                self.empty[size] = torch.cat([torch.ones_like(nothing[:, :1]), nothing], dim=1)
        return self.empty[size].expand(len(like), -1, -1, -1)

    def everywhere(self, xt: Tensor) -> Tensor:
        """Latents as the UNet takes them where everything is painted: with the further channels of an inpainting one."""
        return torch.cat([xt, self.empty_image(xt)], dim=1) if self.inpainting else xt

    def predict(
        self,
        xt: Tensor,
        t: Tensor,
        prompt_embeds: PromptEmbeds,
        image_embeds: Tensor | None = None,
        image_scale: float = 1.0,
    ) -> Tensor:
        """The UNet's prediction, float32, shaped as the latents in xt: xt has an inpainting UNet's further channels, too.

        Rows of `image_embeds`: `image_conditioning.embeds`, or zeros.
        """
        xt = xt.to(self.dtype)
        if self.device.type == "cpu":
            xt = xt.contiguous(memory_format=torch.channels_last)
        arguments = self.prompt_arguments(prompt_embeds, xt)
        if self.image_conditioning is not None:
            more = self.image_conditioning.unet_arguments(image_embeds, len(xt), image_scale)
            added = {**arguments.get("added_cond_kwargs", {}), **more.pop("added_cond_kwargs", {})}
            arguments = {**arguments, **more, **({"added_cond_kwargs": added} if added else {})}
        prediction: Tensor = self.unet(xt, t, prompt_embeds.tokens, **arguments).sample
        return prediction.float()
