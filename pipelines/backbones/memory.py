"""About how much GPU memory a checkpoint needs in half precision: from its configuration and the headers of its files.

Weights, and activations by what was measured of Stable Diffusion 1.5 and SDXL in bf16 (docs/real-checkpoints.md).
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pipelines.backbones.files import CONFIG, files_read, header, names
from pipelines.backbones.layout import VAE_PIXELS, vae_scale_factor
from pipelines.backbones.single_file import UNET, VAE
from pipelines.spec.models import WEIGHTS_SUFFIX

GIB = 2**30
HALF, FULL = 2, 4  # bytes a number: denoiser and autoencoder, and text encoders
FORWARD, INVERSION, LORA = 96, 585, 1000  # bytes a latent cell, row and channel of the UNet's first block
PIXEL, PAIR = 2700, 22  # bytes of decoding: a pixel, and a pair of cells of an image in the autoencoder's attention


@dataclass(frozen=True, slots=True)
class Memory:
    """What the memory depends on."""

    halves: int  # parameters in half precision
    fulls: int  # parameters in float32
    channels: int  # of the UNet's first block
    side: int  # pixels of an image
    cell: int  # pixels of a latent cell

    @property
    def weights(self) -> float:
        """GiB."""
        return (HALF * self.halves + FULL * self.fulls) / GIB

    @property
    def cells(self) -> int:
        return (self.side // self.cell) ** 2

    def generating(self, rows: int) -> float:
        """GiB for a batch of this many images with classifier-free guidance, decoded."""
        together = min(rows, max(1, VAE_PIXELS // self.side**2))
        decoding = together * (self.side**2 * PIXEL + self.cells**2 * PAIR)
        return self.weights + max(2 * rows * self.cells * self.channels * FORWARD, decoding) / GIB

    def learning(self, batch: int, bytes_each: int) -> float:
        """GiB for a step of optimisation; `bytes_each` is INVERSION or LORA."""
        return self.weights + batch * self.cells * self.channels * bytes_each / GIB


def memory_of(checkpoint: Path, folder: Path, side: int) -> Memory | None:
    """For images of this side, by a checkpoint's folder, or by a single file with the configurations of `folder`.

    None where it has no UNet, or its weights are not here.
    """
    unet, vae = (folder / part / CONFIG for part in ("unet", "vae"))
    sizes = parameters(checkpoint)
    halves = sum(count for name, count in sizes.items() if name.startswith(("unet/", "vae/", UNET, VAE)))
    if not unet.exists() or not halves:
        return None
    channels = json.loads(unet.read_text(encoding="utf-8"))["block_out_channels"][0]
    cell = vae_scale_factor(json.loads(vae.read_text(encoding="utf-8")))
    return Memory(halves, sum(sizes.values()) - halves, channels, side, cell)


def parameters(checkpoint: Path) -> dict[str, int]:
    """Numbers in the weights of a checkpoint: by file and name, of a single file by name."""
    if checkpoint.is_file():
        return {name: prod(weight) for name, weight in header(checkpoint).items()}
    files = [name for name in files_read(checkpoint, names(checkpoint)) if name.endswith(WEIGHTS_SUFFIX)]
    return {f"{file}:{name}": prod(weight) for file in files for name, weight in header(checkpoint / file).items()}
