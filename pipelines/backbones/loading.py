"""Opens a diffusers checkpoint as a backbone of its family. The one place that loads one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel

from pipelines.backbones.additions import add_embeddings, fuse_loras
from pipelines.backbones.backbone import Backbone, inpainting_channels, vae_scale_factor
from pipelines.backbones.files import names, variant_of
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.backbones.single_file import SingleFile
from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.backbones.stable_diffusion_xl import StableDiffusionXL
from pipelines.errors import ModelError
from pipelines.spec import EmbeddingFile, LoraFile, Precision
from pipelines.tensors import choose_device, choose_dtype

FAMILIES = "Stable Diffusion 1.x, 2.x or XL, plain or inpainting, or StableUnCLIP"
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")


def open_backbone(
    checkpoint: str,
    device: str = "auto",
    name: str = "",
    precision: Precision = "auto",
    field: str = "models.text_to_image",
    config: str | None = None,
    loras: Sequence[LoraFile] = (),
    embeddings: Sequence[EmbeddingFile] = (),
) -> Backbone:
    """Load a path or hub id, with @REVISION if need be; `name` and `field` are what errors call it. Raises ModelError.

    `config`: the diffusers checkpoint whose configurations and tokenizers a single file takes; `loras` and `embeddings` are
    added to it.
    """
    name, place = name or checkpoint, choose_device(device)
    inspection, dtype = inspect(checkpoint, name, field, config), choose_dtype(precision, place)
    path = locate(field, checkpoint, DIFFUSERS, weights=True)
    if path.is_file():
        pipeline: Any = SingleFile(path, field, name, config).load(inspection.kind, dtype)
    else:
        try:
            pipeline = DiffusionPipeline.from_pretrained(
                path, dtype=dtype, safety_checker=None, use_safetensors=True, variant=variant_of(names(path))
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{field}: {name!r} cannot be loaded ({error})") from None
    fuse_loras(pipeline, loras)
    backbone = inspection.family(pipeline, name, place, dtype)
    add_embeddings(backbone, embeddings)
    return backbone


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the configuration of a checkpoint says."""

    kind: str  # its pipeline in diffusers
    family: type[Backbone]
    resolution: int  # pixels a side
    inpainting: bool
    folder: Path  # of its configurations


def inspect(checkpoint: str, name: str = "", field: str = "models.text_to_image", config: str | None = None) -> Inspection:
    """Read the configuration of a checkpoint, and no weight. Raises ModelError for one that cannot be used."""
    name, folder = name or checkpoint, locate(field, checkpoint, DIFFUSERS)
    if folder.is_file():
        single = SingleFile(folder, field, name, config)
        return replace(inspect(str(single.folder), field="models.config"), inpainting=single.inpainting)
    try:
        index = DiffusionPipeline.load_config(folder)
        parts = {part: index[part][1] for part in (*PARTS, "text_encoder_2") if index.get(part)}  # classes, None: left out
        if not all(parts.get(part) for part in PARTS):
            raise ModelError(f"{field}: {name!r} is a {index['_class_name']}; give one of {FAMILIES}")
        unet = UNet2DConditionModel.load_config(folder, subfolder="unet")
        vae = AutoencoderKL.load_config(folder, subfolder="vae")
    except (OSError, ValueError) as error:
        raise ModelError(f"{field}: {name!r} is no diffusers checkpoint ({str(error).splitlines()[0]})") from None
    if parts["scheduler"] in FEW_STEP_SCHEDULERS or unet.get("time_cond_proj_dim"):
        raise ModelError(
            f"{field}: {name!r} is distilled to a few steps of a solver of its own ({parts['scheduler']}), and "
            "another would ruin its images; give the checkpoint that it was distilled from"
        )
    family = StableDiffusionXL if parts.get("text_encoder_2") else StableDiffusion
    resolution = int(unet["sample_size"]) * vae_scale_factor(vae)
    inpainting = unet["in_channels"] == inpainting_channels(vae["latent_channels"])
    return Inspection(index["_class_name"], family, resolution, inpainting, folder)
