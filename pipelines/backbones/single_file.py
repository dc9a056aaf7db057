"""Checkpoints in a single file: UNet, autoencoder and text encoders in the layout of Stable Diffusion's own code.

Such a file holds weights alone. Configurations and tokenizers are those of a diffusers checkpoint of the same family.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.backbones.files import CONFIG, configuration, header
from pipelines.backbones.layout import inpainting_channels
from pipelines.backbones.locate import CONFIGURATION, NotReadError, locate
from pipelines.errors import ModelError

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]

LATENTS = 4  # channels of all these families
UNET, VAE = "model.diffusion_model.", "first_stage_model."
CONV_IN = f"{UNET}input_blocks.0.0.weight"
CROSS_ATTENTION = re.compile(rf"{re.escape(UNET)}.*\.attn2\.to_k\.weight")
V2 = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
# By family, as diffusers calls it, the checkpoint that it takes the configurations of.
DEFAULTS = {
    "v1": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "v2": "stabilityai/stable-diffusion-2-1",
    "inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "inpainting_v2": "stabilityai/stable-diffusion-2-inpainting",
    "xl_base": "stabilityai/stable-diffusion-xl-base-1.0",
    "xl_inpaint": "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
}
PLAYGROUND = "edm_mean"  # beside XL
OTHERS = {  # families that are not loaded from one file, by a weight that tells them, the first that fits
    "playground-v2-5": PLAYGROUND,
    "xl_refiner": "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias",
    "upscale": f"{UNET}input_blocks.10.0.skip_connection.bias",
    "controlnet": "control_model.time_embed.0.weight",
}
V_PREDICTION, ZERO_SNR = "v_pred", "ztsnr"  # empty weights by which files of SDXL say what they were trained for


def kind_of(weights: Shapes) -> str:
    """What diffusers takes a file with a UNet for, by weights that one family alone has."""
    channels = weights[CONV_IN][1]
    kind = "v2" if weights.get(V2, (0,))[-1] == 1024 else "xl_base" if XL in weights else "v1"
    if channels == inpainting_channels(LATENTS):
        return {"v1": "inpainting", "v2": "inpainting_v2", "xl_base": "xl_inpaint"}[kind]
    if kind == "v2" or (kind == "xl_base" and PLAYGROUND not in weights):
        return kind
    other = next((other for other, name in OTHERS.items() if name in weights), None)
    return other or ("instruct-pix2pix" if channels == 2 * LATENTS else "v1")


@dataclass(frozen=True)
class SingleFile:
    """Attributes: `field` and `name` of the checkpoint, in errors; `configuration`, what `models.config` says."""

    file: Path
    field: str
    name: str
    configuration: str | None

    @cached_property
    def weights(self) -> Shapes:
        """Shapes of the weights. Raises ModelError for a file of another kind."""
        try:
            weights = header(self.file)
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.field}: {self.name!r} is no safetensors file ({error})") from None
        kind = kind_of(weights) if len(weights.get(CONV_IN, ())) == 4 else None
        if kind not in DEFAULTS or not any(map(CROSS_ATTENTION.fullmatch, weights)):
            what = f"diffusers takes it for {kind!r}" if kind else "it has no UNet: it may be a LoRA, an embedding or a part"
            raise ModelError(
                f"{self.field}: {self.name!r} is no checkpoint of Stable Diffusion 1.x, 2.x or XL in one file ({what}); "
                "give one, or the folder of a diffusers checkpoint"
            )
        return weights

    @property
    def channels(self) -> int:
        """Input channels of the UNet."""
        return self.weights[CONV_IN][1]

    @property
    def inpainting(self) -> bool:
        return self.channels == inpainting_channels(LATENTS)

    @property
    def width(self) -> int:
        """Width of the embeddings that the UNet takes."""
        return next(shape[1] for name, shape in self.weights.items() if CROSS_ATTENTION.fullmatch(name))

    @cached_property
    def folder(self) -> Path:
        """The diffusers checkpoint whose configurations and tokenizers are used. Raises ModelError."""
        default = DEFAULTS[kind_of(self.weights)]
        if self.configuration is not None:
            folder = locate("models.config", self.configuration, CONFIGURATION)
        else:
            try:
                folder = locate(self.field, default, CONFIGURATION)
            except NotReadError:
                raise
            except ModelError:
                raise ModelError(
                    f"{self.field}: {self.name!r} is a single file, without configurations and tokenizers, and {default} is "
                    "not in the hub's cache; name the folder of a diffusers checkpoint of the same family in models.config"
                ) from None
        try:
            width = configuration(folder / "unet" / CONFIG).get("cross_attention_dim")
        except (OSError, ValueError) as error:
            raise ModelError(
                f"models.config: {self.configuration or default!r} has no configuration of a UNet ({error}); give a "
                f"diffusers checkpoint of the family of {self.name!r}"
            ) from None
        if width != self.width:
            raise ModelError(
                f"models.config: {self.configuration or default!r} is of another family than {self.name!r} (embeddings "
                f"{width} wide, not {self.width}); give a diffusers checkpoint of the same"
            )
        return folder

    def load(self, kind: str, dtype: "torch.dtype") -> Any:
        """The pipeline of diffusers' class `kind`. Raises ModelError."""
        import diffusers
        import torch
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import SingleFileComponentError

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
