"""About how much GPU memory a checkpoint needs in half precision: from its configuration and the headers of its files.

Weights, and activations: of UNets by what was measured of Stable Diffusion 1.5 and SDXL in bf16; of transformers by what the
classes of Stable Diffusion 3, 3.5 and Flux keep at full size, simulated, not measured on a card (docs/real-checkpoints.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pipelines.backbones.files import CONFIG, INDEX, configuration, files_read, header, names
from pipelines.backbones.layout import VAE_PIXELS, vae_scale_factor
from pipelines.backbones.parameters import COUNTS
from pipelines.backbones.single_file import UNET, VAE
from pipelines.spec.models import WEIGHTS_SUFFIX

GIB = 2**30
HALF, FULL = 2, 4  # bytes a number: denoiser and autoencoder, and text encoders
FORWARD, INVERSION, LORA = 96, 585, 1000  # bytes a latent cell, row and channel of the UNet's first block
# Of transformers, bytes a token, row and number of its width: of a forward, of a block in a step of learning, and of what is
# kept of each block, whose activations are computed again.
TOKEN_FORWARD = {"SD3Transformer2DModel": 27, "FluxTransformer2DModel": 35}
TOKEN_BLOCK = {"SD3Transformer2DModel": 64, "FluxTransformer2DModel": 86}
KEPT = 2
TEXT_TOKENS = {"SD3Transformer2DModel": 77 + 256, "FluxTransformer2DModel": 512}
PATCH = 2  # latent cells a side
PIXEL, PAIR = 2700, 22  # bytes of decoding: a pixel, and a pair of cells of an image in the autoencoder's attention


@dataclass(frozen=True, slots=True)
class Memory:
    """What the memory depends on."""

    halves: int  # parameters in half precision
    fulls: int  # parameters in float32
    side: int  # pixels of an image
    cell: int  # pixels of a latent cell
    prediction: int  # bytes of a row of a forward
    predictions: int  # of an image in a step: two with classifier-free guidance
    inversion: int  # bytes of an image in a step of learning tokens
    lora: int  # the same of a LoRA

    @property
    def weights(self) -> float:
        """GiB."""
        return (HALF * self.halves + FULL * self.fulls) / GIB

    def generating(self, rows: int) -> float:
        """GiB for a batch of this many images, decoded."""
        together = min(rows, max(1, VAE_PIXELS // self.side**2))
        cells = (self.side // self.cell) ** 2
        decoding = together * (self.side**2 * PIXEL + cells**2 * PAIR)
        return self.weights + max(self.predictions * rows * self.prediction, decoding) / GIB

    def learning_tokens(self, batch: int) -> float:
        """GiB for a step of optimisation."""
        return self.weights + batch * self.inversion / GIB

    def learning_lora(self, batch: int) -> float:
        return self.weights + batch * self.lora / GIB


def memory_of(checkpoint: Path, folder: Path, side: int) -> Memory | None:
    """For images of this side, by a checkpoint's folder, or by a single file with the configurations of `folder`.

    None for a checkpoint that is run whole, and where the weights of a UNet are not here or a configuration lacks a field.
    """
    try:
        index = configuration(folder / INDEX)
        cell = vae_scale_factor(configuration(folder / "vae" / CONFIG))
        denoiser = (index.get("transformer") or [None, None])[1]
        if denoiser in TOKEN_FORWARD:
            return transformer_memory(folder, index, denoiser, side, cell)
        channels = int(configuration(folder / "unet" / CONFIG)["block_out_channels"][0])
        sizes = parameters(checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    halves = sum(count for name, count in sizes.items() if name.startswith(("unet/", "vae/", UNET, VAE)))
    return unet_memory(halves, sum(sizes.values()) - halves, channels, side, cell) if halves else None


def unet_memory(halves: int, fulls: int, channels: int, side: int, cell: int) -> Memory:
    """`channels` are those of the UNet's first block."""
    numbers = (side // cell) ** 2 * channels
    return Memory(halves, fulls, side, cell, numbers * FORWARD, 2, numbers * INVERSION, numbers * LORA)


def transformer_memory(folder: Path, index: Mapping[str, Any], denoiser: str, side: int, cell: int) -> Memory:
    """By the configurations of all parts. Raises OSError, ValueError or KeyError where they do not say it."""
    counts = {
        part: COUNTS[value[1]](configuration(folder / part / CONFIG))
        for part, value in index.items()
        if isinstance(value, list) and value[1] in COUNTS
    }
    # CLIP's encoders are in float32, T5 stays in the precision of the rest.
    fulls = sum(count for part, count in counts.items() if str(index[part][1]).startswith("CLIPText"))
    config = configuration(folder / "transformer" / CONFIG)
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    blocks = int(config["num_layers"]) + int(config.get("num_single_layers") or 0)
    numbers = ((side // (cell * PATCH)) ** 2 + TEXT_TOKENS[denoiser]) * width
    learning = numbers * (TOKEN_BLOCK[denoiser] + KEPT * blocks)
    predictions = 1 if denoiser.startswith("Flux") else 2  # its guidance is distilled
    forward = numbers * TOKEN_FORWARD[denoiser]
    return Memory(sum(counts.values()) - fulls, fulls, side, cell, forward, predictions, learning, learning)


def parameters(checkpoint: Path) -> dict[str, int]:
    """Numbers in the weights of a checkpoint: by file and name, of a single file by name."""
    if checkpoint.is_file():
        return {name: prod(weight) for name, weight in header(checkpoint).items()}
    files = [name for name in files_read(checkpoint, names(checkpoint)) if name.endswith(WEIGHTS_SUFFIX)]
    return {f"{file}:{name}": prod(weight) for file in files for name, weight in header(checkpoint / file).items()}
