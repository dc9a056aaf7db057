"""What a process computes on: settings of its machine, not of a spec. The same job on another card is the same spec."""

import re
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.errors import absent_device
from pipelines.spec.base import Strict

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def known_device(name: str) -> str:
    """Raises ValueError."""
    if not DEVICE.fullmatch(name):
        raise ValueError("there is no such device; give auto, cpu, mps, cuda, or a card by its number, cuda:1")
    return name


def check_build(device: str) -> None:
    """Raises ModelError for CUDA where the installed PyTorch is built without it; known without its slow import."""
    if device.startswith("cuda") and version("torch").endswith("+cpu"):
        raise absent_device(device, "PyTorch is built without CUDA")


Device = Annotated[str, AfterValidator(known_device)]
Precision = Literal["auto", "bf16", "fp16", "fp32"]


class Machine(Strict):
    """Device, precision and memory; and what else is reached from it."""

    device: Device = Field("auto", description="auto, cpu, mps, cuda, cuda:1, ...; auto: CUDA where there is a card.")
    precision: Precision = Field(
        "auto", description="What the backbone computes in; auto: bf16 where the card has it, else fp16, fp32 on a CPU."
    )
    capacity: int = Field(
        32, ge=1, le=4096, description="Images that are denoised at a time; halved when the card's memory runs out."
    )
    offload: bool = Field(
        False, description="Keep a T5 text encoder, 9 GiB, in the CPU's memory but for the moments in which it is used."
    )
    compile: bool = Field(
        False, description="Compile the denoiser: minutes for the first image of a size, then faster, on a GPU."
    )
    cache_dir: str = Field(
        "",
        description="Folder on this machine's disk for training images at a classifier's size; empty: a temporary one.",
    )
    cache_bytes: int = Field(
        32 * 2**30, gt=0, description="Bytes of that folder above which goes what was not used for a day, the oldest first."
    )
    language_model_url: str = Field(
        "",
        description="Address of an OpenAI-compatible endpoint, https://HOST/v1, by which specs may have words written; "
        "empty: none.",
    )
    language_model_name: str = Field("", description="The model that is asked for there.")
    language_model_key: str = Field(
        "", description="Name of the environment variable that holds its key, which is stored nowhere; empty: no key."
    )
