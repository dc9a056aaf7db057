"""Checkpoints of the real classes with random weights: tiny ones for tests, full-size ones for measuring speed and memory.

Everything but the pictures is as in a trained one.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipelines.builtin.train.language import build_tokenizer


def vision_tower() -> CLIPVisionModelWithProjection:
    """The picture's half of a CLIP, 8 wide, of 32x32 pictures."""
    torch.manual_seed(1)
    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=8,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def text_config(width: int) -> tuple[CLIPTokenizer, CLIPTextConfig]:
    """A tokenizer of 32 tokens a prompt, and the configuration of a text encoder for it."""
    tokenizer = build_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, projection_dim=8, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    return tokenizer, config


def unet(inpainting: bool, width: int, **conditioning: Any) -> UNet2DConditionModel:
    """A UNet for 8x8x4 latents and embeddings `width` wide."""
    return UNet2DConditionModel(
        sample_size=8, in_channels=9 if inpainting else 4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2, cross_attention_dim=width, norm_num_groups=4, **conditioning,
    )  # fmt: skip


def autoencoder_kl(**config: Any) -> AutoencoderKL:
    """An autoencoder of the published class, for 32x32 images."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4, norm_num_groups=4, sample_size=32, **config,
    )  # fmt: skip


NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def build(
    folder: Path, *, inpainting: bool = False, unclip: bool = False, kl: bool = False, prediction: str = "v_prediction"
) -> Path:
    """A Stable Diffusion checkpoint of 32x32 pictures, 8x8x4 latents and an 8 wide text encoder, or a StableUnCLIP one.

    `kl`: with the autoencoder and the scheduler that Stable Diffusion 1.5 is published with.
    """
    torch.manual_seed(0)
    tokenizer, text = text_config(8)
    classes = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16} if unclip else {}
    denoiser = unet(inpainting, 8, **classes)
    vae: AutoencoderKL | AutoencoderTiny = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 3, decoder_block_out_channels=(8,) * 3, num_encoder_blocks=(0, 1, 1),
        num_decoder_blocks=(1, 1, 0), latent_channels=4,
    )  # fmt: skip
    scheduler: DDIMScheduler | PNDMScheduler = DDIMScheduler(
        **NOISE, prediction_type=prediction, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, rescale_betas_zero_snr=prediction == "v_prediction",
    )  # fmt: skip
    if kl:
        vae = autoencoder_kl()
        scheduler = PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1, prediction_type=prediction)
    if unclip:
        size = {"size": {"height": 32, "width": 32}, "crop_size": {"height": 32, "width": 32}}
        normalizer = StableUnCLIPImageNormalizer(8)
        normalizer.mean.data, normalizer.std.data = torch.randn(1, 8), torch.rand(1, 8) + 0.5
        StableUnCLIPImg2ImgPipeline(
            feature_extractor=CLIPImageProcessorPil(**size), image_encoder=vision_tower(), image_normalizer=normalizer,
            image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), tokenizer=tokenizer,
            text_encoder=CLIPTextModel(text), unet=denoiser, scheduler=scheduler, vae=vae,
        ).save_pretrained(folder)  # fmt: skip
        return folder
    kind = StableDiffusionInpaintPipeline if inpainting else StableDiffusionPipeline
    kind(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=denoiser, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def build_xl(folder: Path, *, inpainting: bool = False, variant: str | None = None) -> Path:
    """A Stable Diffusion XL checkpoint, as small, with text encoders that are 8 and 12 wide; `variant` of its files."""
    torch.manual_seed(0)
    (tokenizer, text), (tokenizer_2, text_2) = text_config(8), text_config(12)
    denoiser = unet(
        inpainting, 20, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 8,
    )  # fmt: skip
    kind = StableDiffusionXLInpaintPipeline if inpainting else StableDiffusionXLPipeline
    kind(
        vae=autoencoder_kl(scaling_factor=0.13025, force_upcast=True), text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text_2), tokenizer=tokenizer, tokenizer_2=tokenizer_2, unet=denoiser,
        scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1), add_watermarker=False,
    ).save_pretrained(folder, variant=variant)  # fmt: skip
    return folder


def full_size(xl: bool, folder: Path, device: torch.device, dtype: torch.dtype) -> Path:
    """A checkpoint of the size and layout of Stable Diffusion 1.5, 512 pixels a side, or of SDXL's base, 1024."""
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 77
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    common = {"vocab_size": 49408, "max_position_embeddings": 77}
    common |= {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    text = CLIPTextConfig(
        **common, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
    )
    text_2 = CLIPTextConfig(
        **common, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
        projection_dim=1280, hidden_act="gelu",
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=1024 if xl else 512,
            scaling_factor=0.13025 if xl else 0.18215, force_upcast=xl,
        )  # fmt: skip
        if xl:
            denoiser = UNet2DConditionModel(
                sample_size=128, block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time",
                addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
            )  # fmt: skip
            pipeline: Any = StableDiffusionXLPipeline(
                vae=vae, text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text_2),
                tokenizer=tokenizer, tokenizer_2=tokenizer, unet=denoiser, add_watermarker=False,
                scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1),
            )  # fmt: skip
        else:
            pipeline = StableDiffusionPipeline(
                vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, safety_checker=None, feature_extractor=None,
                unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
                scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1), requires_safety_checker=False,
            )  # fmt: skip
    pipeline.to(dtype=dtype).save_pretrained(folder)
    return folder
