"""Stable Diffusion 1 and 2, and StableUnCLIP."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import CLIPImageProcessorPil, CLIPTextModel

from tests.checkpoints.parts import NOISE, autoencoder_kl, text_config, unet, vision_tower


def build(
    folder: Path,
    *,
    inpainting: bool = False,
    unclip: bool = False,
    editing: bool = False,
    kl: bool = False,
    prediction: str = "v_prediction",
) -> Path:
    """A Stable Diffusion checkpoint of 32x32 pictures, 8x8x4 latents and an 8 wide text encoder, or a StableUnCLIP one, or
    InstructPix2Pix, for editing.

    `kl`: with the autoencoder and the scheduler that Stable Diffusion 1.5 is published with.
    """
    torch.manual_seed(0)
    tokenizer, text = text_config(8)
    classes = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16} if unclip else {}
    denoiser = unet(inpainting, 8, **classes)
    if editing:
        denoiser = UNet2DConditionModel.from_config({**denoiser.config, "in_channels": 8})
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
    kind = StableDiffusionInstructPix2PixPipeline if editing else kind
    kind(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=denoiser, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder
