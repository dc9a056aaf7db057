"""Train the IP-Adapter (Ye et al. 2023, arXiv 2308.06721): image prompts for the bundled text-to-image model.

Four tokens projected from a picture's CLIP embedding get keys and values of their own beside the text's in every
cross-attention; UNet and CLIP are frozen. Caption and embedding are each dropped at random, for classifier-free guidance.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipelines.backbones.image_prompts import ImageEncoder
from pipelines.builtin.checkpoints import ADAPTER, resolve
from pipelines.builtin.train.language import DROPPED
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import Pictures, pictures
from pipelines.builtin.train.shapes import levels
from pipelines.builtin.train.text_to_image import Batch, draw_batch, encode, weighted_errors

TOKENS = 4


def install(unet: UNet2DConditionModel, width: int) -> nn.ModuleDict:
    """Add a new adapter for image embeddings (n, width) to the UNet; return its trainable parts.

    Weights of keys and values start as the text's.
    """
    cross = unet.config.cross_attention_dim
    places = {n: name.removesuffix(".processor") for n, name in enumerate(unet.attn_processors)}
    state = {
        "image_proj": {
            "proj.weight": torch.randn(TOKENS * cross, width) * width**-0.5,
            "proj.bias": torch.zeros(TOKENS * cross),
            "norm.weight": torch.ones(cross),
            "norm.bias": torch.zeros(cross),
        },
        "ip_adapter": {
            f"{number}.to_{part}_ip.weight": unet.get_submodule(f"{place}.to_{part}").weight.clone()
            for number, place in places.items()
            if place.endswith("attn2")
            for part in "kv"
        },
    }
    unet._load_ip_adapter_weights([state])
    return trained(unet)


def trained(unet: UNet2DConditionModel) -> nn.ModuleDict:
    """The adapter's parts inside a UNet: the projection, and each processor with keys and values of its own."""
    parts = {str(n): p for n, p in enumerate(unet.attn_processors.values()) if isinstance(p, nn.Module)}
    return nn.ModuleDict({"image_proj": unet.encoder_hid_proj.image_projection_layers[0], **parts})


def exported(adapter: nn.ModuleDict) -> dict[str, Tensor]:
    """The adapter's state dict, as diffusers' `load_ip_adapter` reads it."""
    weights = {}
    for key, weight in adapter.state_dict().items():
        own = key.replace("image_embeds.", "proj.").replace("_ip.0.", "_ip.")
        weights[own if own.startswith("image_proj.") else f"ip_adapter.{own}"] = weight.half().contiguous()
    return weights


def embed(work: Path, encoder: ImageEncoder, data: Pictures) -> Tensor:
    """All pictures as CLIP embeddings, float32 (n, width), cached in `work`."""
    file = work / f"embeddings-{len(data.images)}.npy"
    if not file.exists():
        starts = track(range(0, len(data.images), 2048), "embeddings")
        parts = [encoder.embed(list(data.images[start : start + 2048])) for start in starts]
        np.save(file, torch.cat(parts).numpy())
    return torch.from_numpy(np.load(file))


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 1_700,
    batch: int = 96,
    seed: int = 5,
    lr: float = 1e-3,
    device: str = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that prepare batches beside the training.")] = 0,
    bfloat16: bool = False,
) -> None:
    data = pictures(work, count, 0)
    pipeline = StableDiffusionPipeline.from_pretrained(resolve("builtin", "model"), dtype=torch.float32, safety_checker=None)
    unet, text_encoder = pipeline.unet, pipeline.text_encoder.to(device).eval()
    alphas = pipeline.scheduler.alphas_cumprod.to(device)
    latents = encode(work, pipeline.vae.to(device), data)
    encoder = ImageEncoder.load(resolve("builtin", "clip"), torch.device(device))
    embeddings = embed(work, encoder, data).to(device)
    shapes = levels(data)
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    adapter = install(unet, encoder.model.config.projection_dim).requires_grad_(True)
    unet.to(device)

    def prepare(generator: torch.Generator) -> tuple[Batch, Tensor]:
        drawn = draw_batch(generator, data.factors, shapes, pipeline.tokenizer, batch)
        return drawn, torch.rand(batch, 1, generator=generator)

    def loss(drawn: tuple[Batch, Tensor]) -> Tensor:
        rows, ids, noise, t = (part.to(device) for part in drawn[0])
        image_embeds = embeddings[rows] * (drawn[1].to(device) >= DROPPED)
        with torch.no_grad():
            context = text_encoder(ids).last_hidden_state

        def predict(xt: Tensor, t: Tensor) -> Tensor:
            # On CPUs the backward pass of the fused attention is slower in bfloat16 than plain products.
            with sdpa_kernel(SDPBackend.MATH):
                output: Tensor = unet(xt, t, context, added_cond_kwargs={"image_embeds": [image_embeds[:, None]]}).sample
            return output

        return weighted_errors(predict, latents[rows].float(), noise, t, alphas).mean()

    train(
        "adapter",
        work,
        {"adapter": adapter},
        loss,
        steps=steps,
        lr=lr,
        seed=seed,
        weight_decay=1e-2,
        bfloat16=bfloat16,
        prepare=prepare,
        workers=workers,
        device=device,
    )
    (work / "adapter").mkdir(exist_ok=True)
    save_file(exported(adapter.cpu()), work / "adapter" / ADAPTER)


if __name__ == "__main__":
    typer.run(main)
