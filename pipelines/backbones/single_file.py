"""Checkpoints in a single file: UNet, autoencoder and text encoders in the layout of Stable Diffusion's own code.

Such a file holds weights alone. Configurations and tokenizers are those of a diffusers checkpoint of the same family.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_DEFAULT_PIPELINE_PATHS,
    SingleFileComponentError,
    infer_diffusers_model_type,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipelines.backbones.layout import inpainting_channels
from pipelines.backbones.locate import CONFIGURATION, locate
from pipelines.errors import ModelError

LATENTS = 4  # channels of all these families
UNET, VAE = "model.diffusion_model.", "first_stage_model."
CONV_IN = f"{UNET}input_blocks.0.0.weight"
CROSS_ATTENTION = re.compile(rf"{re.escape(UNET)}.*\.attn2\.to_k\.weight")
FAMILIES = ("v1", "v2", "inpainting", "inpainting_v2", "xl_base", "xl_inpaint")  # as diffusers calls them
V_PREDICTION, ZERO_SNR = "v_pred", "ztsnr"  # empty weights by which files of SDXL say what they were trained for


def header(file: Path) -> dict[str, Tensor]:
    """The weights of a safetensors file by name, as tensors of their shapes alone. Raises OSError or SafetensorError."""
    with safe_open(file, "pt") as opened:
        return {name: torch.empty(opened.get_slice(name).get_shape(), device="meta") for name in opened.keys()}  # noqa: SIM118


@dataclass(frozen=True)
class SingleFile:
    """Attributes: `field` and `name` of the checkpoint, in errors; `configuration`, what `models.config` says."""

    file: Path
    field: str
    name: str
    configuration: str | None

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Shapes of the weights. Raises ModelError for a file of another kind."""
        try:
            weights = header(self.file)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{self.field}: {self.name!r} is no safetensors file ({error})") from None
        kind = infer_diffusers_model_type(weights) if CONV_IN in weights else None
        if kind not in FAMILIES or not any(map(CROSS_ATTENTION.fullmatch, weights)):
            what = f"diffusers takes it for {kind!r}" if kind else "it has no UNet: it may be a LoRA, an embedding or a part"
            raise ModelError(
                f"{self.field}: {self.name!r} is no checkpoint of Stable Diffusion 1.x, 2.x or XL in one file ({what}); "
                "give one, or the folder of a diffusers checkpoint"
            )
        return weights

    @property
    def channels(self) -> int:
        """Input channels of the UNet."""
        return int(self.weights[CONV_IN].shape[1])

    @property
    def inpainting(self) -> bool:
        return self.channels == inpainting_channels(LATENTS)

    @property
    def width(self) -> int:
        """Width of the embeddings that the UNet takes."""
        return int(next(weight.shape[1] for name, weight in self.weights.items() if CROSS_ATTENTION.fullmatch(name)))

    @cached_property
    def folder(self) -> Path:
        """The diffusers checkpoint whose configurations and tokenizers are used. Raises ModelError."""
        default = DIFFUSERS_DEFAULT_PIPELINE_PATHS[infer_diffusers_model_type(self.weights)]["pretrained_model_name_or_path"]
        if self.configuration is not None:
            folder = locate("models.config", self.configuration, CONFIGURATION)
        else:
            try:
                folder = locate(self.field, default, CONFIGURATION)
            except ModelError:
                raise ModelError(
                    f"{self.field}: {self.name!r} is a single file, without configurations and tokenizers, and {default} is "
                    "not in the hub's cache; name the folder of a diffusers checkpoint of the same family in models.config"
                ) from None
        config = UNet2DConditionModel.load_config(folder, subfolder="unet")
        if config["cross_attention_dim"] != self.width:
            raise ModelError(
                f"models.config: {self.configuration or default!r} is of another family than {self.name!r} (embeddings "
                f"{config['cross_attention_dim']} wide, not {self.width}); give a diffusers checkpoint of the same"
            )
        return folder

    def load(self, kind: str, dtype: torch.dtype) -> Any:
        """The pipeline of diffusers' class `kind`. Raises ModelError."""
        file, options = str(self.file), {"config": str(self.folder), "dtype": dtype, "local_files_only": True}
        pipeline_class = getattr(diffusers, kind)
        if not hasattr(pipeline_class, "from_single_file"):  # StableUnCLIP's
            raise self.incomplete(f"the configuration is that of a {kind}")
        unused = {"safety_checker", "feature_extractor"} & set(pipeline_class._optional_components)
        try:
            # The configuration may be that of an inpainting checkpoint, or not.
            unet = UNet2DConditionModel.from_single_file(file, subfolder="unet", in_channels=self.channels, **options)
            pipeline = pipeline_class.from_single_file(file, unet=unet, **dict.fromkeys(unused), **options)
        except (OSError, ValueError, KeyError, RuntimeError, SingleFileComponentError) as error:
            raise self.incomplete(str(error).splitlines()[0]) from None
        for name, part in pipeline.components.items():
            if isinstance(part, torch.nn.Module) and any(weight.is_meta for weight in part.parameters()):
                raise self.incomplete(f"weights of its {name} are missing")
        if V_PREDICTION in self.weights:
            trained = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": ZERO_SNR in self.weights}
            pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **trained)
        return pipeline

    def incomplete(self, reason: str) -> ModelError:
        return ModelError(
            f"{self.field}: {self.name!r} cannot be loaded ({reason}); give a file with UNet, autoencoder and text "
            "encoders, and in models.config a diffusers checkpoint of the same layers"
        )
