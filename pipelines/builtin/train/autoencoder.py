"""Train the autoencoder: AutoencoderTiny, 64x64x3 -> 16x16x4, L1 on pixels and on their gradients.

The latents are pushed to zero mean and unit variance a channel, so that the scaling factor is 1. (8x8x16 holds as many
numbers and costs the UNet a quarter of the positions, but 32 channels cannot carry them: mortar and collars blurred.)
"""

from pathlib import Path

import torch
import typer
from diffusers import AutoencoderTiny
from torch import Tensor

from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import pictures
from pipelines.tensors import tensor

CHANNELS = 32
LATENTS = 4


def build() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(CHANNELS,) * 3,
        decoder_block_out_channels=(CHANNELS,) * 3,
        num_encoder_blocks=(0, 2, 3),
        num_decoder_blocks=(3, 2, 0),
        latent_channels=LATENTS,
        upsampling_scaling_factor=2,
        scaling_factor=1.0,
    )


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction(y: Tensor, x: Tensor) -> Tensor:
    edges = sum((a - b).abs().mean() for a, b in zip(gradients(y), gradients(x), strict=True))
    return (y - x).abs().mean() + edges


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 8000,
    batch: int = 32,
    seed: int = 0,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, seed)
    torch.manual_seed(seed)
    model = build().to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (batch,), generator=generator).numpy()
        x = tensor(data.images[rows]).contiguous(memory_format=torch.channels_last)
        z = model.encoder(x).float()
        noise = 0.05 * torch.randn(z.shape, generator=generator)
        spread = z.mean(dim=(0, 2, 3)).square().mean() + (z.std(dim=(0, 2, 3)) - 1).square().mean()
        total: Tensor = reconstruction(model.decoder(z + noise).float(), x) + 0.02 * spread
        return total

    train("autoencoder", work, {"vae": model}, loss, steps=steps, lr=1.5e-3, seed=seed, bfloat16=bfloat16)
    model.save_pretrained(work / "vae")


if __name__ == "__main__":
    typer.run(main)
