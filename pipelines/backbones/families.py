"""The families of checkpoints as users know them, and what each cannot do: the columns of `counterpoise families`."""

from collections.abc import Mapping

from diffusers import PixArtSigmaPipeline, QwenImagePipeline

from pipelines.backbones.flux import Flux
from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.backbones.stable_diffusion_3 import StableDiffusion3
from pipelines.backbones.stable_diffusion_xl import StableDiffusionXL
from pipelines.backbones.whole import whole_limits

# By name, what `check_capabilities` refuses of it: by the names of `features`, the reason.
FAMILIES: dict[str, Mapping[str, str]] = {
    "SD 1, 2": StableDiffusion.limits,
    "SD inpainting": StableDiffusion.limits,
    "StableUnCLIP": StableDiffusion.limits,
    "SDXL": StableDiffusionXL.limits,
    "SDXL inpainting": StableDiffusionXL.limits,
    "SD 3": StableDiffusion3.limits,
    "Flux": Flux.limits,
    "PixArt, Sana, Lumina 2, CogView 4": whole_limits(PixArtSigmaPipeline),
    "Qwen-Image, Z-Image": whole_limits(QwenImagePipeline),
}
