"""Segmentation by a word: the mask of the object that it names in an image, or None. By CLIPSeg, GroundingDINO with SAM, or
the backbone's cross-attention."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    AutoTokenizer,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    SamModel,
    SamProcessor,
)

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.locate import CLIPSEG, DETECTOR, SAM, locate
from pipelines.backbones.unet import UNetBackbone
from pipelines.errors import ModelError
from pipelines.progress import step
from pipelines.prompts import fill
from pipelines.records import Image, Mask
from pipelines.spec.models import CROSS_ATTENTION
from pipelines.tensors import choose_device, tensor
from pipelines.vision.cross_attention import word_attention

MIN_AREA = 0.01  # share of the image below which a mask is no detection
SPECK = 0.2  # share of the largest component below which another is dropped
PROMPT = "a photo of a {}"


class Segmenter(Protocol):
    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        """The mask of what `word` names in each image, at the image's size; None where it is not detected."""


def without_specks(mask: Mask) -> Mask | None:
    """A mask without its small components, which would blow up the box around it; None if next to nothing is left."""
    components, count = label(mask)
    if count > 1:
        areas = np.bincount(components.ravel())[1:]
        mask = np.isin(components, 1 + np.flatnonzero(areas >= SPECK * areas.max()))
    return mask if mask.mean() >= MIN_AREA else None


class ClipSeg:
    """CLIPSeg (Lueddecke and Ecker, CVPR 2022, arXiv 2112.10003)."""

    def __init__(self, checkpoint: str, device: str = "auto", threshold: float = 0.5) -> None:
        self.device, folder = choose_device(device), locate("models.segmenter", checkpoint, CLIPSEG, weights=True)
        try:
            self.model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval().to(self.device)
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            processor = CLIPSegProcessor.from_pretrained(folder).image_processor
        except (OSError, ValueError) as error:
            raise ModelError(f"models.segmenter: {checkpoint!r} is no CLIPSeg checkpoint ({error})") from None
        self.threshold = threshold
        self.side = int(self.model.config.vision_config.image_size)
        self.mean = torch.tensor(processor.image_mean, device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor(processor.image_std, device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image], word: str) -> Tensor:
        """float32 (n, h, w) in 0..1, at the images' size."""
        pixels = (tensor(images).to(self.device) + 1) / 2
        resized = F.interpolate(pixels, (self.side, self.side), mode="bilinear", antialias=True)
        tokens = self.tokenizer([fill(PROMPT, word)] * len(images), return_tensors="pt", padding=True).to(self.device)
        logits = self.model(pixel_values=(resized - self.mean) / self.std, **tokens).logits.view(-1, 1, self.side, self.side)
        return F.interpolate(logits, pixels.shape[-2:], mode="bilinear")[:, 0].sigmoid()

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        masks = self.probabilities(images, word) > self.threshold
        return [without_specks(mask) for mask in masks.cpu().numpy()]


class CrossAttention:
    """The backbone's own cross-attention to the word (after DAAM, Tang et al. 2023, arXiv 2210.04885)."""

    def __init__(self, backbone: Backbone) -> None:
        """Raises ModelError for one that has no cross-attention."""
        if not isinstance(backbone, UNetBackbone):
            raise ModelError(f"models.segmenter: {backbone.name!r} has no UNet, and so no cross-attention; give a CLIPSeg")
        self.backbone = backbone

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        maps = word_attention(self.backbone, tensor(images), fill(PROMPT, word), word)
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        masks = (maps - low) / (high - low).clamp(min=1e-8) > 0.5
        return [without_specks(mask) for mask in masks.cpu().numpy()]


class GroundedSam:
    """Boxes by GroundingDINO (Liu et al. 2024), outlines by SAM (Kirillov et al. 2023): the best box alone."""

    def __init__(self, detector: str, sam: str, device: str = "auto", threshold: float = 0.3) -> None:
        self.device, self.threshold = choose_device(device), threshold
        boxes, outlines = (
            locate("models.segmenter", value, kind, weights=True) for value, kind in ((detector, DETECTOR), (sam, SAM))
        )
        try:
            self.detector_processor = AutoProcessor.from_pretrained(boxes)
            self.detector = AutoModelForZeroShotObjectDetection.from_pretrained(boxes).eval().to(self.device)
            self.sam_processor = SamProcessor.from_pretrained(outlines)
            self.sam = SamModel.from_pretrained(outlines).eval().to(self.device)
        except (OSError, ValueError) as error:
            raise ModelError(f"models.segmenter: cannot load {detector!r} + {sam!r} ({error})") from None

    @torch.inference_mode()
    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        return [self.one(image, word) for image in images]

    def one(self, image: Image, word: str) -> Mask | None:
        step()
        inputs = self.detector_processor(images=image, text=f"{word}.", return_tensors="pt").to(self.device)
        detected = self.detector_processor.post_process_grounded_object_detection(
            self.detector(**inputs), inputs.input_ids, threshold=self.threshold, target_sizes=[image.shape[:2]]
        )[0]
        if len(detected["scores"]) == 0:
            return None
        box = detected["boxes"][detected["scores"].argmax()].tolist()
        prompt = self.sam_processor(image, input_boxes=[[box]], return_tensors="pt").to(self.device)
        output = self.sam(**prompt)
        masks = self.sam_processor.image_processor.post_process_masks(
            output.pred_masks.cpu(), prompt.original_sizes.cpu(), prompt.reshaped_input_sizes.cpu()
        )[0][0]
        best: Mask = masks[int(output.iou_scores[0, 0].argmax())].numpy().astype(bool)
        return without_specks(best)


def open_segmenter(checkpoint: str, backbone: Callable[[], Backbone], device: str) -> Segmenter:
    """'cross-attention' of the backbone, 'detector+sam', or a CLIPSeg checkpoint. Raises ModelError."""
    if checkpoint == CROSS_ATTENTION:
        return CrossAttention(backbone())
    if "+" in checkpoint:
        detector, sam = checkpoint.split("+", 1)
        return GroundedSam(detector, sam, device)
    return ClipSeg(checkpoint, device)
