"""Train the text-to-image model: a UNet on 16x16x4 latents and its CLIP text encoder, together.

v-prediction with zero terminal signal (Lin et al. 2023, arXiv 2305.08891); the loss on x0 is weighted by
min(SNR + 1, 5), after Min-SNR (Hang et al. 2023, arXiv 2303.09556); one caption in ten is empty (classifier-free guidance).
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.builtin.train.language import MAX_LENGTH, build_tokenizer, prompts, token_ids
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import Pictures, pictures
from pipelines.builtin.train.shapes import levels
from pipelines.spec.models import BUILTIN
from pipelines.tensors import tensor

WIDTH = 128
GAMMA = 5.0


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 96, 144),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=WIDTH,
        norm_num_groups=16,
    )


def build_text_encoder(vocab_size: int, end: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=WIDTH,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )


class Batch(NamedTuple):
    """Captioned latents to denoise, and what is random about it."""

    rows: Tensor  # int64 (n,), of the pictures
    ids: Tensor  # int64 (n, MAX_LENGTH), of their captions
    noise: Tensor  # float32 (n, 4, 16, 16)
    t: Tensor  # int64 (n,), timesteps


def draw_batch(
    generator: torch.Generator, factors: NDArray[np.uint8], shapes: NDArray[np.int8], tokenizer: CLIPTokenizer, batch: int
) -> Batch:
    """Pictures with captions, of which one in ten is empty, and timesteps drawn uniformly."""
    rows = torch.randint(len(factors), (batch,), generator=generator)
    rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    ids = token_ids(tokenizer, prompts(rng, factors[rows.numpy()], shapes[rows.numpy()]))
    noise = torch.randn((batch, 4, 16, 16), generator=generator)
    return Batch(rows, ids, noise, torch.randint(1000, (batch,), generator=generator))


@torch.no_grad()
def encode(work: Path, vae: AutoencoderTiny, data: Pictures) -> Tensor:
    """All pictures as latents, float16 (n, 4, 16, 16) on the autoencoder's device, cached in `work`."""
    file = work / f"latents-{len(data.images)}.npy"
    if not file.exists():
        latents = np.empty((len(data.images), 4, 16, 16), np.float16)
        for start in track(range(0, len(latents), 64), "latents"):
            x = tensor(data.images[start : start + 64])
            latents[start : start + 64] = vae.encode(x.to(vae.device)).latents.cpu().numpy()
        np.save(file, latents)
    return torch.from_numpy(np.load(file)).to(vae.device)


@torch.no_grad()
def go_on_from(start: Path, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> None:
    """Start from a trained model, whose vocabulary may differ: words in both keep their embedding."""
    earlier = StableDiffusionPipeline.from_pretrained(start, dtype=torch.float32, safety_checker=None)
    unet.load_state_dict(earlier.unet.state_dict())
    known, table = earlier.tokenizer.get_vocab(), "embeddings.token_embedding.weight"
    weights, own = earlier.text_encoder.state_dict(), text_encoder.state_dict()
    key = next(name for name in own if name.endswith(table))
    rows = own[key].clone()
    for word, number in tokenizer.get_vocab().items():
        if word in known:
            rows[number] = weights[key][known[word]]
    text_encoder.load_state_dict({**weights, key: rows})


def weighted_errors(
    predict: Callable[[Tensor, Tensor], Tensor], x0: Tensor, noise: Tensor, t: Tensor, alphas: Tensor
) -> Tensor:
    """Squared errors of a v-prediction `predict(xt, t)`, shaped as the latents x0, weighted by their timesteps."""
    a = alphas[t][:, None, None, None]
    xt, v = a.sqrt() * x0 + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x0
    predicted = predict(xt, t).float()
    snr_plus_one = 1 / (1 - a)
    errors: Tensor = (predicted - v).square() * snr_plus_one.clamp(max=GAMMA) / snr_plus_one
    return errors


def main(
    work: Path = Path(".training"),
    count: int = 80_000,
    steps: int = 12_000,
    batch: int = 96,
    seed: int = 1,
    lr: float = 8e-4,
    start: Path | None = None,
    device: str = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that prepare batches beside the training.")] = 0,
    bfloat16: bool = False,
) -> None:
    """`start`: a folder with a trained model to go on from, such as the bundle's own."""
    data = pictures(work, count, 0)
    vae = AutoencoderTiny.from_pretrained((work if start is None else start) / "vae").to(device).eval()
    latents = encode(work, vae, data)
    shapes = levels(data)
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    text_encoder = build_text_encoder(len(tokenizer), tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    unet = build_unet()
    if start is not None:
        go_on_from(start, unet, text_encoder, tokenizer)
    if device == "cpu":  # where the backward pass of the fused attention is slower in bfloat16 than these plain products
        unet.set_attn_processor(AttnProcessor())
    scheduler = build_scheduler()
    alphas = scheduler.alphas_cumprod.to(device)

    def prepare(generator: torch.Generator) -> Batch:
        return draw_batch(generator, data.factors, shapes, tokenizer, batch)

    def loss(drawn: Batch) -> Tensor:
        rows, ids, noise, t = (part.to(device) for part in drawn)
        context = text_encoder(ids).last_hidden_state
        return weighted_errors(lambda xt, t: unet(xt, t, context).sample, latents[rows].float(), noise, t, alphas).mean()

    train(
        "text_to_image",
        work,
        {"unet": unet, "text_encoder": text_encoder},
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
    vae.register_to_config(_name_or_path=BUILTIN)  # not a path of this machine
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to("cpu", torch.float16).save_pretrained(work / "model")


if __name__ == "__main__":
    typer.run(main)
