"""What the configurations of a checkpoint's denoiser and autoencoder say of the images that it takes and gives: of the
denoiser's family, a function that reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.errors import ModelError

VAE_PIXELS = 2**22  # encoded or decoded at a time: 16 images at 512 pixels a side, 4 at 1024, all at 64
FLUX_PATCH = 2  # latent cells a side, packed into one


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


def unet_layout(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Layout:
    """Raises ModelError for a UNet that takes other inputs."""
    factor, latents, channels = vae_scale_factor(vae), int(vae["latent_channels"]), int(denoiser["in_channels"])
    inpainting = channels == inpainting_channels(latents)
    if not inpainting and channels != latents:
        raise ModelError(
            f"its UNet has {channels} input channels, and only latents ({latents}), or those with a mask and a masked "
            f"image ({inpainting_channels(latents)}), are supported; give a text-to-image or an inpainting checkpoint"
        )
    return Layout(int(denoiser["sample_size"]) * factor, factor, latents, inpainting=inpainting)


def editing_layout(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Layout:
    """Of a UNet that takes the latents of an image beside its own. Raises ModelError for another."""
    factor, latents, channels = vae_scale_factor(vae), int(vae["latent_channels"]), int(denoiser["in_channels"])
    if channels != 2 * latents:
        raise ModelError(
            f"its UNet has {channels} input channels, and to edit an image it takes {2 * latents}, latents and those of the "
            "image; give a whole InstructPix2Pix checkpoint"
        )
    return Layout(int(denoiser["sample_size"]) * factor, factor, latents)


def transformer_layout(resolution: int, channels: int, vae: Mapping[str, Any], patch_size: int) -> Layout:
    """The layout of a transformer with `channels` input channels a latent cell. Raises ModelError unless they are those of
    the latents."""
    latents = int(vae["latent_channels"])
    if channels != latents:
        raise ModelError(
            f"its transformer has {channels} input channels a latent cell, and only latents ({latents}) are supported: none "
            "for inpainting (Fill), control or editing; give a text-to-image checkpoint, which repaints parts of images, too"
        )
    return Layout(resolution, vae_scale_factor(vae), latents, patch_size)


def sd3_layout(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Layout:
    """Of Stable Diffusion 3, whose embeddings of positions end somewhere. Raises ModelError."""
    resolution = int(denoiser["sample_size"]) * vae_scale_factor(vae)
    layout = transformer_layout(resolution, int(denoiser["in_channels"]), vae, int(denoiser["patch_size"]))
    return replace(layout, largest=int(denoiser["pos_embed_max_size"]) * layout.multiple)


def flux_layout(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Layout:
    """Of Flux, whose latents go in packed. Raises ModelError."""
    if denoiser["in_channels"] % FLUX_PATCH**2:
        raise ModelError(f"its transformer has {denoiser['in_channels']} input channels, and they are not packed")
    side, channels = int(vae.get("sample_size") or 1024), denoiser["in_channels"] // FLUX_PATCH**2
    return transformer_layout(side, channels, vae, FLUX_PATCH)


def whole_layout(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Layout:
    """Of a checkpoint that is run whole; a resolution of 0 where the configurations do not say it."""
    factor = 2 ** len(vae["temperal_downsample"]) if "temperal_downsample" in vae else vae_scale_factor(vae)
    patch, side = denoiser.get("patch_size") or denoiser.get("all_patch_size") or 1, denoiser.get("sample_size")
    patch = max(patch) if isinstance(patch, Sequence) else patch
    channels = int(vae.get("latent_channels") or vae.get("z_dim") or 0)
    return Layout(side * factor if isinstance(side, int) else 0, factor, channels, patch)
