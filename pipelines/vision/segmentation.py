"""Language segmentation: where in the picture is the shoe? Three ways to ask, one answer: a mask, or None."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.ndimage import binary_dilation, label
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    AutoTokenizer,
    CLIPSegForImageSegmentation,
    SamModel,
    SamProcessor,
)

from pipelines.builtin.bundle import resolve
from pipelines.diffusion.model import DiffusionModel, fingerprint
from pipelines.errors import ModelError
from pipelines.records import Image, Mask
from pipelines.tensors import choose_device, tensor
from pipelines.vision.attention import word_attention

LEAST_AREA = 0.01  # share of the picture below which a region is no detection
SPECK = 0.2  # share of the largest part below which a part is none
PREFIX = "a photo of a {}"


class Segmenter(Protocol):
    revision: str  # of the weights: what was learned from its masks depends on them

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        """The region that `word` names in each image, at the image's size; None where there is none."""


def accepted(mask: Mask) -> Mask | None:
    """A mask without its specks, which would blow up the box around it; None if next to nothing is left."""
    parts, count = label(mask)
    if count > 1:
        areas = np.bincount(parts.ravel())[1:]
        mask = np.isin(parts, 1 + np.flatnonzero(areas >= SPECK * areas.max()))
    return mask if mask.mean() >= LEAST_AREA else None


class ClipSeg:
    """CLIPSeg (Lueddecke and Ecker, CVPR 2022, arXiv 2112.10003)."""

    def __init__(self, checkpoint: str, device: str = "auto", threshold: float = 0.5) -> None:
        path = resolve(checkpoint, "segmenter")
        self.device = choose_device(device)
        try:
            self.model = CLIPSegForImageSegmentation.from_pretrained(path, dtype=torch.float32).eval().to(self.device)
            self.tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise ModelError(f"models.segmenter: {checkpoint!r} is no CLIPSeg checkpoint ({error})") from None
        self.threshold, self.revision = threshold, fingerprint(self.model)
        self.side = int(self.model.config.vision_config.image_size)
        builtin = checkpoint == "builtin"
        self.mean = torch.tensor([0.5] * 3 if builtin else [0.485, 0.456, 0.406], device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor([0.5] * 3 if builtin else [0.229, 0.224, 0.225], device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image], word: str) -> Tensor:
        """float32 (n, h, w) in 0..1, at the images' size."""
        pictures = (tensor(images).to(self.device) + 1) / 2
        small = F.interpolate(pictures, (self.side, self.side), mode="bilinear", antialias=True)
        tokens = self.tokenizer([PREFIX.format(word)] * len(images), return_tensors="pt", padding=True).to(self.device)
        logits = self.model(pixel_values=(small - self.mean) / self.std, **tokens).logits.view(-1, 1, self.side, self.side)
        return F.interpolate(logits, pictures.shape[-2:], mode="bilinear")[:, 0].sigmoid()

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        found = self.probabilities(images, word) > self.threshold
        return [accepted(mask) for mask in found.cpu().numpy()]


class CrossAttention:
    """The diffusion model's own cross-attention to the word (after DAAM, Tang et al. 2023, arXiv 2210.04885)."""

    def __init__(self, model: DiffusionModel) -> None:
        self.model, self.revision = model, model.revision

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        maps = word_attention(self.model, tensor(images), PREFIX.format(word), word)
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        found = (maps - low) / (high - low).clamp(min=1e-8) > 0.5
        return [accepted(mask) for mask in found.cpu().numpy()]


class GroundedSam:
    """Boxes by GroundingDINO (Liu et al. 2024), outlines by SAM (Kirillov et al. 2023): the best box alone."""

    def __init__(self, detector: str, sam: str, device: str = "auto", threshold: float = 0.3) -> None:
        self.device, self.threshold = choose_device(device), threshold
        try:
            self.detector_processor = AutoProcessor.from_pretrained(detector)
            self.detector = AutoModelForZeroShotObjectDetection.from_pretrained(detector).eval().to(self.device)
            self.sam_processor = SamProcessor.from_pretrained(sam)
            self.sam = SamModel.from_pretrained(sam).eval().to(self.device)
        except (OSError, ValueError) as error:
            raise ModelError(f"models.segmenter: cannot load {detector!r} + {sam!r} ({error})") from None
        self.revision = fingerprint(self.detector) + fingerprint(self.sam)

    @torch.inference_mode()
    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        return [self.one(image, word) for image in images]

    def one(self, image: Image, word: str) -> Mask | None:
        inputs = self.detector_processor(images=image, text=f"{word}.", return_tensors="pt").to(self.device)
        detected = self.detector_processor.post_process_grounded_object_detection(
            self.detector(**inputs), inputs.input_ids, threshold=self.threshold, target_sizes=[image.shape[:2]]
        )[0]
        if len(detected["scores"]) == 0:
            return None
        box = detected["boxes"][detected["scores"].argmax()].tolist()
        prompt = self.sam_processor(image, input_boxes=[[box]], return_tensors="pt").to(self.device)
        outlined = self.sam(**prompt)
        masks = self.sam_processor.image_processor.post_process_masks(
            outlined.pred_masks.cpu(), prompt.original_sizes.cpu(), prompt.reshaped_input_sizes.cpu()
        )[0][0]
        best: Mask = masks[int(outlined.iou_scores[0, 0].argmax())].numpy().astype(bool)
        return accepted(best)


def open_segmenter(checkpoint: str, model: DiffusionModel, device: str) -> Segmenter:
    """'cross-attention', 'detector+sam', or a CLIPSeg checkpoint."""
    if checkpoint == "cross-attention":
        return CrossAttention(model)
    if "+" in checkpoint:
        detector, sam = checkpoint.split("+", 1)
        return GroundedSam(detector, sam, device)
    return ClipSeg(checkpoint, device)


def region(mask: Mask, shape: str, grow: float) -> Mask:
    """The part of the image to repaint: the square around the object, its outline, or everything.

    `grow` widens it on each side by that share of the object's longer side.
    """
    if shape == "whole":
        return np.ones_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    margin = round(grow * longer)
    if shape == "mask":
        return binary_dilation(mask, iterations=margin) if margin else mask
    side = min(longer + 2 * margin, min(mask.shape))
    top = min(max(0, int(rows[0] + rows[-1] + 1 - side) // 2), mask.shape[0] - side)
    left = min(max(0, int(columns[0] + columns[-1] + 1 - side) // 2), mask.shape[1] - side)
    square = np.zeros_like(mask)
    square[top : top + side, left : left + side] = True
    return square
