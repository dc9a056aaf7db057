"""Train the inpainting twin of the bundled text-to-image model: its UNet, fine-tuned to see what surrounds a region.

As in Stable Diffusion's inpainting checkpoints the UNet takes nine channels: latents, a mask, and the latents of the masked
image (`Backbone.inpainting`). The new ones start at zero. Text encoder and autoencoder stay as they are, so that a token
that was learned on the one means the same to the other.
"""

import random
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from pipelines.backbones.layout import inpainting_channels, vae_scale_factor
from pipelines.builtin.checkpoints import resolve
from pipelines.builtin.train.language import prompts, token_ids
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.masks import draw_kinds, repaint
from pipelines.builtin.train.pictures import Pictures, pictures
from pipelines.builtin.train.shapes import levels
from pipelines.builtin.train.text_to_image import weighted_errors
from pipelines.engine.batch import changing_latents
from pipelines.spec.models import BUILTIN
from pipelines.tensors import mask_tensor


class Batch(NamedTuple):
    """Pictures to repaint, and what is random about it."""

    rows: Tensor  # int64 (n,), of the pictures
    ids: Tensor  # int64 (n, 32), of their captions
    mask: Tensor  # bool (n, 1, 64, 64), true where pixels are repainted
    changing: Tensor  # float32 (n, 1, 16, 16), 1 where latents are
    noise: Tensor  # float32 (n, 4, 16, 16)
    t: Tensor  # int64 (n,), timesteps


def widened(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with the input channels of an inpainting one. The new ones have no weight yet: it predicts as before."""
    channels = unet.config.in_channels
    wide = UNet2DConditionModel.from_config(unet.config, in_channels=inpainting_channels(channels))
    state = unet.state_dict()
    first = torch.zeros_like(wide.conv_in.weight)
    first[:, :channels] = state["conv_in.weight"]
    wide.load_state_dict({**state, "conv_in.weight": first})
    return wide


def draw_batch(
    generator: torch.Generator,
    data: Pictures,
    shapes: NDArray[np.int8],
    tokenizer: CLIPTokenizer,
    batch: int,
    scale_factor: int,
) -> Batch:
    """Pictures with captions, of which one in ten is empty, and a region of any kind for each."""
    rows = torch.randint(len(data.images), (batch,), generator=generator)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    rng, masks = random.Random(seed), data.masks[rows.numpy()]
    ids = token_ids(tokenizer, prompts(rng, data.factors[rows.numpy()], shapes[rows.numpy()]))
    draw = np.random.default_rng(seed)
    pairs = zip(draw_kinds(draw, batch), masks, np.roll(masks, 1, axis=0), strict=True)
    regions, kept = (mask_tensor(part) for part in zip(*(repaint(draw, *pair) for pair in pairs), strict=True))
    changing = changing_latents(regions, kept, scale_factor)
    noise = torch.randn((batch, 4, *changing.shape[-2:]), generator=generator)
    t = torch.randint(1000, (batch,), generator=generator)
    return Batch(rows, ids, regions > kept, changing, noise, t)


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 8000,
    batch: int = 512,
    seed: int = 6,
    lr: float = 5e-4,
    device: str = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that prepare batches beside the training.")] = 0,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, 0)
    shapes = levels(data)
    torch.manual_seed(seed)
    base = StableDiffusionPipeline.from_pretrained(resolve(BUILTIN, "model"), dtype=torch.float32, safety_checker=None)
    unet = widened(base.unet)
    if device == "cpu":  # where the backward pass of the fused attention is slower in bfloat16 than these plain products
        unet.set_attn_processor(AttnProcessor())
    vae, text_encoder = (part.to(device).eval().requires_grad_(False) for part in (base.vae, base.text_encoder))
    alphas = base.scheduler.alphas_cumprod.to(device)
    images = torch.from_numpy(data.images).to(device)
    scale_factor = vae_scale_factor(vae.config)

    def prepare(generator: torch.Generator) -> Batch:
        return draw_batch(generator, data, shapes, base.tokenizer, batch, scale_factor)

    def loss(drawn: Batch) -> Tensor:
        rows, ids, mask, changing, noise, t = (part.to(device) for part in drawn)
        with torch.no_grad(), torch.autocast(torch.device(device).type, enabled=False):
            pixels = images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
            x0, masked = vae.encode(pixels).latents, vae.encode(pixels * ~mask).latents
            context = text_encoder(ids).last_hidden_state

        def predict(xt: Tensor, t: Tensor) -> Tensor:
            output: Tensor = unet(torch.cat([xt, changing, masked], dim=1), t, context).sample
            return output

        errors = weighted_errors(predict, x0, noise, t, alphas).mean(dim=1, keepdim=True)
        # Latents that change count twice: the others can be copied.
        total: Tensor = errors.mean() + (errors * changing).sum() / changing.sum()
        return total

    train(
        "inpainting",
        work,
        {"unet": unet},
        loss,
        steps=steps,
        lr=lr,
        seed=seed,
        decay=0.9995,
        weight_decay=1e-3,
        bfloat16=bfloat16,
        prepare=prepare,
        workers=workers,
        device=device,
    )
    parts = {**base.components, "unet": unet}
    for part in (unet, vae):
        part.register_to_config(_name_or_path=BUILTIN)  # not a path of this machine
    twin = StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)
    twin.to("cpu", torch.float16).save_pretrained(work / "inpainting")


if __name__ == "__main__":
    typer.run(main)
