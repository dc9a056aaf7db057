"""What the configurations of a checkpoint's denoiser and autoencoder say of the images that it takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Layout:
    resolution: int  # pixels a side that it is made for; 0: its configuration does not say
    vae_scale_factor: int  # pixels a latent cell
    latent_channels: int
    patch_size: int = 1  # latent cells a side of what the denoiser looks at one by one
    inpainting: bool = False  # whether the denoiser takes a mask and a masked image beside the latents
    largest: int | None = None  # pixels a side for which it has embeddings of positions; None: any

    @property
    def multiple(self) -> int:
        """Pixels that a side of an image must be a multiple of."""
        return self.vae_scale_factor * self.patch_size


def vae_scale_factor(config: Mapping[str, Any]) -> int:
    """Pixels a latent cell, of an autoencoder's configuration."""
    channels = config.get("block_out_channels") or config["encoder_block_out_channels"]
    return int(2 ** (len(channels) - 1))


def inpainting_channels(latent_channels: int) -> int:
    """Input channels of an inpainting UNet: the latents, a mask, and the latents of the masked image."""
    return 2 * latent_channels + 1
