"""A latent diffusion or flow matching checkpoint, taken apart: what its families share. Each is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pipelines.backbones.adapter_files import AdapterFiles
from pipelines.backbones.families import Family
from pipelines.backbones.feature_cache import FeatureCache
from pipelines.backbones.image_prompts import IpAdapter, UnClip
from pipelines.backbones.layout import VAE_PIXELS
from pipelines.backbones.negative_merging import NegativeMerging
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.row_loras import RowLoras
from pipelines.backbones.schedule import Schedule
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.errors import ModelError


class Backbone(ABC):
    """Prompts to embeddings, pixels to latents and back, one forward of the denoiser for rows that differ in everything.

    Attributes: `denoiser`, a UNet or a transformer, and `vae`, as in diffusers; `text_encoders`, those that tokens can be
    learned in; `schedule`; `layout`, and of it `vae_scale_factor`, `latent_channels`, `resolution` and `inpainting`;
    `image_conditioning`, an IP-Adapter or unCLIP's, None where there is neither; `loras`, those that are learned.
    """

    family: ClassVar[Family]
    component: ClassVar[str]  # diffusers' name of the denoiser
    lora_targets: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")  # the projections of its attention
    classifier_free: ClassVar[bool] = True  # guidance is a second, unconditional prediction
    editing: ClassVar[bool] = False  # whether the denoiser takes an image beside the latents, and edits it

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        """`pipeline` is diffusers' of the checkpoint, in `dtype`; `name` is what errors call it. Raises ModelError."""
        self.name, self.device, self.dtype = name, device, dtype
        self.denoiser = getattr(pipeline, self.component).to(device).eval().requires_grad_(False)
        # Some autoencoders overflow in fp16, and say so.
        upcast = dtype == torch.float16 and bool(pipeline.vae.config.get("force_upcast"))
        self.vae_dtype = torch.float32 if upcast else dtype
        self.vae = pipeline.vae.to(device, self.vae_dtype, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.text_encoders = self.open_text_encoders(pipeline)
        self.schedule = self.read_schedule(pipeline.scheduler)
        self.layout = self.family.layout(self.denoiser.config, self.vae.config)
        self.vae_scale_factor, self.latent_channels = self.layout.vae_scale_factor, self.layout.latent_channels
        self.resolution, self.inpainting = self.layout.resolution, self.layout.inpainting
        self.image_conditioning: IpAdapter | UnClip | None = None
        self.loras = RowLoras(self.lora_parts)
        self.compiled = False
        self.empty: dict[tuple[int, ...], Tensor] = {}  # by size, what `empty_image` gave

    @classmethod
    @abstractmethod
    def read_schedule(cls, scheduler: SchedulerMixin) -> Schedule:
        """The noise schedule of a checkpoint's scheduler. Raises ModelError for one of another kind."""

    @abstractmethod
    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        """The text encoders of a pipeline that tokens can be learned in."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """One row a prompt. Raises ModelError for a prompt that is too long."""

    @abstractmethod
    def feature_cache(self) -> FeatureCache:
        """For deep features of the denoiser. Raises ModelError for one that has none."""

    @property
    def negative_merging(self) -> NegativeMerging:
        """For pushing tokens away from those of other rows. Raises ModelError for a denoiser in which that is not done."""
        raise ModelError(f"method.negative_merging: {self.name!r} has no UNet whose tokens could be pushed; leave it out")

    @abstractmethod
    def predict(
        self,
        xt: Tensor,
        t: Tensor,
        prompt_embeds: PromptEmbeds,
        image_embeds: Tensor | None = None,
        image_scale: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """The denoiser's prediction, float32, shaped as the latents in xt: xt has an inpainting one's further channels, too.

        Rows of `image_embeds`: `image_conditioning.embeds`, or zeros. `image_scale` (n,), 0 of rows without an image prompt;
        None: 1. `guidance` (n,), of checkpoints that take the scale as an input; None: 1. Rows go through their LoRAs inside
        `loras.of_rows`, as prompts do.
        """

    def load_ip_adapter(self, files: AdapterFiles) -> IpAdapter | UnClip:
        """Condition on image prompts by an IP-Adapter. Raises ModelError."""
        raise ModelError(f"models.adapter: {self.name!r} takes no image prompts; use another method or checkpoint")

    def reads_as(self, other: "Backbone") -> bool:
        """Whether prompts have the same embeddings, up to rounding, here and there."""
        here, there = (backbone.encode_prompts(["a photo of a cat"]).tokens.float() for backbone in (self, other))
        return here.shape == there.shape and torch.allclose(here, there, rtol=0.05, atol=0.05)

    @property
    def lora_parts(self) -> dict[str, Any]:
        """The modules that LoRAs are of, by what the names of their weights begin with: diffusers' names."""
        encoders = zip(("text_encoder", "text_encoder_2"), self.text_encoders, strict=False)
        return {self.component: self.denoiser, **{f"{name}.text_model": encoder.transformer for name, encoder in encoders}}

    @property
    def unconditional(self) -> PromptEmbeds:
        """The one row of classifier-free guidance's other prediction: of the empty prompt."""
        return self.encode_prompts([""])

    def compile(self) -> None:
        """Compile the denoiser, when it is first run: minutes, for each number of rows that it is given."""
        self.denoiser.compile()
        self.compiled = True

    def offload(self) -> None:  # noqa: B027  (most families have nothing of the kind)
        """Keep in the CPU's memory what is seldom used, and large: of families that have it, T5."""

    def recompute(self) -> bool:
        """Have activations computed again for gradients, instead of kept (arXiv 1604.06174): slower, in less memory. False
        where they are already."""
        if self.denoiser.is_gradient_checkpointing:
            return False
        self.denoiser.enable_gradient_checkpointing()
        return True

    def patches(self, latents: Tensor) -> int:
        """How many patches an image of these latents (..., h, w) has."""
        return latents.shape[-2] * latents.shape[-1] // self.layout.patch_size**2

    def remove_loras(self) -> None:
        """Remove every LoRA: denoiser and text encoders have the layers of their checkpoint again."""
        self.loras.clear()

    def set_token(self, name: str, vectors: Sequence[Tensor]) -> None:
        """Add a token with embedding vectors, float32 (n, width), for each text encoder. Raises ModelError."""
        if len(vectors) != len(self.text_encoders):
            raise ModelError(
                f"token {name}: it is of {len(vectors)} text encoders, {self.name} has {len(self.text_encoders)}"
            )
        for encoder, each in zip(self.text_encoders, vectors, strict=True):
            encoder.set_token(name, each)

    def vae_batch(self, pixels: int) -> int:
        """Images of so many pixels that the autoencoder takes at a time; one that is too large for it is taken in tiles."""
        self.vae.use_tiling = pixels > VAE_PIXELS
        return max(1, VAE_PIXELS // pixels)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels in -1..1 to latents, float32 (n, channels, h / factor, w / factor): the mode, without sampling."""
        parts, config = [], self.vae.config
        for part in torch.split(pixels, self.vae_batch(pixels[0, 0].numel())):
            encoded = self.vae.encode(part.to(self.device, self.vae_dtype))
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
            parts.append((latents.float() - (config.get("shift_factor") or 0.0)) * config.scaling_factor)
        return torch.cat(parts)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents to pixels, about -1..1."""
        config = self.vae.config
        scaled = (latents / config.scaling_factor + (config.get("shift_factor") or 0.0)).to(self.vae_dtype)
        size = self.vae_batch(latents[0, 0].numel() * self.vae_scale_factor**2)
        return torch.cat([self.vae.decode(part).sample.float() for part in torch.split(scaled, size)])

    def empty_image(self, like: Tensor) -> Tensor:
        """What an inpainting denoiser takes beside latents (n, c, h, w) where everything is painted: a mask of ones, and the
        latents of an image of which nothing is left, (n, 1 + c, h, w)."""
        size = tuple(side * self.vae_scale_factor for side in like.shape[-2:])
        if size not in self.empty:
            with torch.inference_mode(False), torch.no_grad():  # learning uses it, too
                nothing = self.encode_images(torch.zeros(1, 3, *size))
                self.empty[size] = torch.cat([torch.ones_like(nothing[:, :1]), nothing], dim=1)
        return self.empty[size].expand(len(like), -1, -1, -1)

    def everywhere(self, xt: Tensor) -> Tensor:
        """Latents as the denoiser takes them where everything is painted: with an inpainting one's further channels."""
        return torch.cat([xt, self.empty_image(xt)], dim=1) if self.inpainting else xt
