"""Stable Diffusion 1.x and 2.x, and unCLIP checkpoints, taken apart. The one file that loads a diffusers checkpoint."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from pipelines.backbones.image_prompts import AdapterFiles, IpAdapter, UnClip
from pipelines.backbones.schedule import Schedule
from pipelines.errors import ModelError
from pipelines.prompts import token_names
from pipelines.spec import Precision
from pipelines.tensors import choose_device, choose_dtype, fingerprint


class StableDiffusion:
    """A latent text-to-image checkpoint: prompts to embeddings, pixels to latents and back, one forward of its UNet.

    Attributes: `unet`, `vae`, `text_encoder`, `tokenizer` as in diffusers; `schedule`; `vae_scale_factor`, pixels a latent
    cell; `latent_channels`; `resolution`, pixels a side; `inpainting`, true when the UNet takes mask and masked-image
    channels too; `image_conditioning`, an IP-Adapter or unCLIP's, None where there is neither; `revision`, of its weights.
    """

    def __init__(self, checkpoint: str, device: str = "auto", name: str = "", precision: Precision = "auto") -> None:
        """Load a path or hub id; `name` is what errors call it. Raises ModelError."""
        self.name = name or checkpoint
        self.device = choose_device(device)
        self.dtype = choose_dtype(precision, self.device)
        try:
            pipeline: Any = DiffusionPipeline.from_pretrained(checkpoint, dtype=self.dtype, safety_checker=None)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"models.text_to_image: {self.name!r} is no diffusers checkpoint ({error})") from None
        if not all(hasattr(pipeline, part) for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")):
            raise ModelError(
                f"models.text_to_image: {self.name!r} is a {type(pipeline).__name__}; give one with unet, vae, "
                "text_encoder and tokenizer, such as Stable Diffusion 1.x or 2.x"
            )
        self.unet = pipeline.unet.to(self.device).eval().requires_grad_(False)
        self.vae = pipeline.vae.to(self.device).eval().requires_grad_(False)
        # The token embeddings are trained in float32 even where the rest runs in half precision.
        self.text_encoder = pipeline.text_encoder.to(self.device, torch.float32).eval().requires_grad_(False)
        self.tokenizer = pipeline.tokenizer
        self.schedule = Schedule.of(pipeline.scheduler)
        channels = self.vae.config.get("block_out_channels") or self.vae.config.encoder_block_out_channels
        self.vae_scale_factor = 2 ** (len(channels) - 1)
        self.latent_channels = int(self.vae.config.latent_channels)
        self.resolution = int(self.unet.config.sample_size) * self.vae_scale_factor
        self.inpainting = self.unet.config.in_channels == 2 * self.latent_channels + 1
        self.revision = fingerprint(self.unet)
        unclip = hasattr(pipeline, "image_normalizer") and hasattr(pipeline, "image_encoder")
        self.image_conditioning: IpAdapter | UnClip | None = UnClip(pipeline, self.device) if unclip else None
        self.loras: dict[str, str] = {}  # key in the store -> name among the UNet's adapters
        if self.device.type == "cpu":
            self.unet.to(memory_format=torch.channels_last)

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

    def set_token(self, name: str, vectors: Tensor) -> None:
        """Add a token with these embedding vectors, float32 (n, width), or replace an earlier one of that name."""
        table = self.text_encoder.get_input_embeddings()
        if vectors.shape[1] != table.weight.shape[1]:
            raise ModelError(f"token {name}: {vectors.shape[1]} wide, the text encoder takes {table.weight.shape[1]}")
        names = token_names(name, len(vectors))
        self.tokenizer.add_tokens(names)
        if len(self.tokenizer) > len(table.weight):
            self.text_encoder.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
            table = self.text_encoder.get_input_embeddings().requires_grad_(False)
        table.weight[self.tokenizer.convert_tokens_to_ids(names)] = vectors.to(table.weight)

    def tokenize(self, prompts: list[str]) -> Tensor:
        """Token ids, int64 (n, length), padded and truncated as diffusers does."""
        length = self.tokenizer.model_max_length
        batch = self.tokenizer(prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return torch.as_tensor(batch.input_ids, device=self.device)

    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """Prompt embeddings (n, length, width), in the UNet's dtype. Raises ModelError for a prompt that is too long."""
        for prompt, ids in zip(prompts, self.tokenizer(prompts).input_ids, strict=True):
            if len(ids) > self.tokenizer.model_max_length:
                raise ModelError(
                    f"method: the prompt {prompt[:60]!r} is {len(ids)} tokens long, and {self.name} reads "
                    f"{self.tokenizer.model_max_length}; say it in fewer words, or what comes last is lost"
                )
        embeddings: Tensor = self.text_encoder(self.tokenize(prompts))[0]
        return embeddings.to(self.dtype)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Pixels in -1..1 to latents, float32 (n, channels, h / factor, w / factor): the mode, without sampling."""
        encoded = self.vae.encode(pixels.to(self.device, self.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        return latents.float() * self.vae.config.scaling_factor  # type: ignore[no-any-return]

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents to pixels, about -1..1."""
        pixels: Tensor = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return pixels.float()

    def predict(
        self, xt: Tensor, t: Tensor, prompt_embeds: Tensor, image_embeds: Tensor | None = None, image_scale: float = 1.0
    ) -> Tensor:
        """The UNet's prediction, float32, shaped as xt. Rows of `image_embeds`: `image_conditioning.embeds`, or zeros."""
        xt = xt.to(self.dtype)
        if self.device.type == "cpu":
            xt = xt.contiguous(memory_format=torch.channels_last)
        conditioning = {}
        if self.image_conditioning is not None:
            conditioning = self.image_conditioning.unet_arguments(image_embeds, len(xt), image_scale)
        prediction: Tensor = self.unet(xt, t, prompt_embeds, **conditioning).sample
        return prediction.float()
