"""Train the text-to-image model: a UNet on 16x16x4 latents and its CLIP text encoder, together.

v-prediction with zero terminal signal (Lin et al. 2023, arXiv 2305.08891); the loss on x0 is weighted by
min(SNR + 1, 5), after Min-SNR (Hang et al. 2023, arXiv 2303.09556); one caption in ten is empty (classifier-free guidance).
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import typer
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.builtin.train.language import MAX_LENGTH, build_tokenizer, captions, token_ids
from pipelines.builtin.train.loop import train
from pipelines.builtin.train.pictures import Pictures, pictures
from pipelines.builtin.train.shapes import levels
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


@torch.no_grad()
def encode(work: Path, vae: AutoencoderTiny, data: Pictures) -> NDArray[np.float16]:
    """All pictures as latents, float16 (n, 4, 16, 16), cached in `work`."""
    file = work / "latents.npy"
    if not file.exists():
        latents = np.empty((len(data.images), 4, 16, 16), np.float16)
        for start in track(range(0, len(latents), 64), "latents"):
            x = tensor(data.images[start : start + 64])
            latents[start : start + 64] = vae.encode(x).latents.numpy()
        np.save(file, latents)
    stored: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return stored


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


def denoising_loss(
    predict: Callable[[Tensor, Tensor], Tensor], latents: NDArray[np.float16], alphas: Tensor, generator: torch.Generator
) -> Tensor:
    """The weighted loss of a v-prediction `predict(xt, t)` on latents (n, 4, 16, 16), at timesteps drawn uniformly."""
    x0 = torch.from_numpy(latents.astype(np.float32))
    noise = torch.randn(x0.shape, generator=generator)
    t = torch.randint(len(alphas), (len(x0),), generator=generator)
    return weighted_errors(predict, x0, noise, t, alphas).mean()


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
    bfloat16: bool = False,
) -> None:
    """`start`: a folder with a trained model to go on from, such as the bundle's own."""
    data = pictures(work, count, 0)
    vae = AutoencoderTiny.from_pretrained(work / "vae").eval()
    latents = encode(work, vae, data)
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    text_encoder = build_text_encoder(len(tokenizer), tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    unet = build_unet()
    if start is not None:
        go_on_from(start, unet, text_encoder, tokenizer)
    # On CPUs the backward pass of the fused attention is slower in bfloat16 than these plain products.
    unet.set_attn_processor(AttnProcessor())
    scheduler = build_scheduler()
    alphas = scheduler.alphas_cumprod
    shapes = levels(data)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(latents), (batch,), generator=generator).numpy()
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        prompts = [text if rng.random() >= 0.1 else "" for text in captions(rng, data.factors[rows], shapes[rows])]
        context = text_encoder(token_ids(tokenizer, prompts)).last_hidden_state
        return denoising_loss(lambda xt, t: unet(xt, t, context).sample, latents[rows], alphas, generator)

    modules = {"unet": unet, "text_encoder": text_encoder}
    train(
        "text_to_image",
        work,
        modules,
        loss,
        steps=steps,
        lr=lr,
        seed=seed,
        decay=0.9995,
        weight_decay=1e-3,
        bfloat16=bfloat16,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(dtype=torch.float16).save_pretrained(work / "model")


if __name__ == "__main__":
    typer.run(main)
