"""Images (uint8, height x width x 3) to tensors (float32, n x 3 x height x width, -1..1) and back; devices."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.errors import ModelError, absent_device
from pipelines.records import Image, Mask

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def tensor(images: Sequence[Image] | NDArray[np.uint8]) -> Tensor:
    """float32 (n, 3, h, w) in -1..1."""
    return torch.from_numpy(np.stack([*images])).permute(0, 3, 1, 2).float() / 127.5 - 1


def images(batch: Tensor) -> list[Image]:
    """Back from -1..1, clipped and rounded."""
    pixels = ((batch.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())


def mask_tensor(masks: Sequence[Mask]) -> Tensor:
    """float32 (n, 1, h, w), 0 or 1."""
    return torch.from_numpy(np.stack(masks))[:, None].float()


def choose_device(name: str) -> torch.device:
    """'auto' is CUDA when there is one. Raises ModelError for a device that is not there."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise absent_device(name, str(error).splitlines()[0]) from None
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of a precision; 'auto': bf16 where a card has it, fp16 on other cards, fp32 on a CPU. Raises ModelError."""
    if precision == "auto":
        if device.type == "cpu":
            return torch.float32
        native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if precision not in PRECISIONS:
        raise ModelError(f"precision: {precision!r} does not exist; give auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def out_of_memory(stage: str) -> ModelError:
    """Of a stage in which not even one image fits."""
    return ModelError(
        f"{stage}: the card's memory does not suffice for a single image; choose a smaller models.resolution, half "
        "precision, or a card with more"
    )
