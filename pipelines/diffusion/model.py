"""The one file that loads a diffusers checkpoint."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from pipelines.builtin.bundle import resolve
from pipelines.diffusion.image_prompt import Adapter, UnClip
from pipelines.diffusion.solver import Schedule
from pipelines.errors import ModelError
from pipelines.prompts import token_names
from pipelines.tensors import choose_device


class DiffusionModel:
    """A latent text-to-image checkpoint of the Stable Diffusion family, taken apart.

    Attributes: `unet`, `vae`, `text_encoder`, `tokenizer` as in diffusers; `schedule`; `scale` pixels a latent cell;
    `channels` of a latent; `resolution` pixels a side; `inpainting` true when the UNet takes mask and masked image too;
    `sight` what lets it see image prompts, None where nothing does.
    """

    def __init__(self, checkpoint: str, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        path = resolve(checkpoint, "model")
        try:
            pipeline: Any = DiffusionPipeline.from_pretrained(path, dtype=self.dtype, safety_checker=None)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"models.text_to_image: {checkpoint!r} is no diffusers checkpoint ({error})") from None
        if not all(hasattr(pipeline, part) for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")):
            raise ModelError(
                f"models.text_to_image: {checkpoint!r} is a {type(pipeline).__name__}; give one with unet, vae, "
                "text_encoder and tokenizer, such as Stable Diffusion 1.x or 2.x"
            )
        self.unet = pipeline.unet.to(self.device).eval().requires_grad_(False)
        self.vae = pipeline.vae.to(self.device).eval().requires_grad_(False)
        # The token embeddings are trained in float32 even where the rest runs in half precision.
        self.text_encoder = pipeline.text_encoder.to(self.device, torch.float32).eval().requires_grad_(False)
        self.tokenizer = pipeline.tokenizer
        self.schedule = Schedule.of(pipeline.scheduler)
        self.scale = 2 ** (len(self.vae.config.get("block_out_channels") or self.vae.config.encoder_block_out_channels) - 1)
        self.channels = int(self.vae.config.latent_channels)
        self.resolution = int(self.unet.config.sample_size) * self.scale
        self.inpainting = self.unet.config.in_channels == 2 * self.channels + 1
        self.name = checkpoint
        self.revision = fingerprint(self.unet)
        unclip = hasattr(pipeline, "image_normalizer") and hasattr(pipeline, "image_encoder")
        self.sight: Adapter | UnClip | None = UnClip(pipeline, self.device) if unclip else None
        self.loras: dict[str, str] = {}  # address -> name among the UNet's adapters
        if self.device.type == "cpu":
            self.unet.to(memory_format=torch.channels_last)

    def see(self, adapter: str) -> Adapter | UnClip:
        """Let the model see image prompts, by an IP-Adapter unless it is an unCLIP one. Raises ModelError."""
        if self.sight is None:
            self.sight = Adapter(self.unet, adapter, self.device)
        return self.sight

    def set_lora(self, address: str, weights: Mapping[str, Tensor]) -> None:
        """Add a LoRA of the UNet, as diffusers saves one, for `using(address)`."""
        if address not in self.loras:
            name = f"lora_{len(self.loras)}"
            self.unet.load_lora_adapter(dict(weights), prefix="unet", adapter_name=name)
            self.unet.requires_grad_(False)
            self.unet.disable_adapters()
            self.loras[address] = name

    @contextmanager
    def using(self, lora: str | None) -> Iterator[None]:
        """Work with one of the LoRAs inside the block; outside of it, and with None, the UNet is as it was loaded."""
        if lora is None:
            yield
            return
        self.unet.enable_adapters()
        self.unet.set_adapter(self.loras[lora])
        try:
            yield
        finally:
            self.unet.disable_adapters()

    def set_token(self, name: str, vectors: Tensor) -> None:
        """Make `name` a token of `vectors`, float32 (n, width), new or instead of an earlier one of that name."""
        table = self.text_encoder.get_input_embeddings()
        if vectors.shape[1] != table.weight.shape[1]:
            raise ModelError(f"token {name}: {vectors.shape[1]} wide, the text encoder takes {table.weight.shape[1]}")
        names = token_names(name, len(vectors))
        self.tokenizer.add_tokens(names)
        if len(self.tokenizer) > len(table.weight):
            self.text_encoder.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
            table = self.text_encoder.get_input_embeddings().requires_grad_(False)
        table.weight[self.tokenizer.convert_tokens_to_ids(names)] = vectors.to(table.weight)

    def token_ids(self, texts: list[str]) -> Tensor:
        """int64 (n, length), padded and cut as diffusers does."""
        length = self.tokenizer.model_max_length
        batch = self.tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return torch.as_tensor(batch.input_ids, device=self.device)

    def read(self, texts: list[str]) -> Tensor:
        """Prompts as the UNet's context: (n, length, width), in the UNet's type. Raises ModelError for too long ones."""
        for text, ids in zip(texts, self.tokenizer(texts).input_ids, strict=True):
            if len(ids) > self.tokenizer.model_max_length:
                raise ModelError(
                    f"method: the prompt {text[:60]!r} is {len(ids)} tokens long, and {self.name} reads "
                    f"{self.tokenizer.model_max_length}; say it in fewer words, or what comes last is lost"
                )
        states: Tensor = self.text_encoder(self.token_ids(texts))[0]
        return states.to(self.dtype)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures in -1..1 as latents, float32 (n, channels, h / scale, w / scale): the mode, so without chance."""
        encoded = self.vae.encode(pictures.to(self.device, self.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        return latents.float() * self.vae.config.scaling_factor  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents as pictures, about -1..1."""
        picture: Tensor = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return picture.float()

    def predict(self, xt: Tensor, t: Tensor, context: Tensor, shown: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """The UNet's output in float32. `shown`: what each row sees, as `sight.condition` made it; zeros: nothing."""
        xt = xt.to(self.dtype)
        if self.device.type == "cpu":
            xt = xt.contiguous(memory_format=torch.channels_last)
        more = {} if self.sight is None else self.sight.arguments(shown, len(xt), scale)
        output: Tensor = self.unet(xt, t, context, **more).sample
        return output.float()


def fingerprint(module: torch.nn.Module) -> str:
    """First 16 hex digits of the sha256 of all weights, in order of their names: the revision that is recorded."""
    total = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        total.update(name.encode())
        total.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]
