"""InstructPix2Pix (CVPR 2023, arXiv 2211.09800): a Stable Diffusion that edits an image as its prompt says.

Beside the latents its UNet takes those of the image, as the autoencoder gives them, unscaled. Guidance is by the prompt and
by the image: a third prediction knows neither.
"""

from pipelines.backbones.families import INSTRUCT_PIX2PIX
from pipelines.backbones.stable_diffusion import StableDiffusion


class InstructPix2Pix(StableDiffusion):
    family = INSTRUCT_PIX2PIX
    editing = True
