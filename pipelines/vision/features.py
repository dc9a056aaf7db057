"""CLIP (Radford et al. 2021, arXiv 2103.00020): images and words as directions in one space."""

from collections.abc import Sequence

import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

from pipelines.builtin.bundle import resolve
from pipelines.errors import ModelError
from pipelines.prompts import TEMPLATES
from pipelines.records import Image
from pipelines.tensors import choose_device

BATCH = 64


class Clip:
    """Features are unit vectors, float32 (n, width), on the CPU."""

    def __init__(self, checkpoint: str = "builtin", device: str = "auto") -> None:
        path = resolve(checkpoint, "clip")
        self.device = choose_device(device)
        try:
            self.model = CLIPModel.from_pretrained(path, dtype=torch.float32).eval().to(self.device)
            self.processor = CLIPProcessor.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise ModelError(f"models.clip: {checkpoint!r} is no CLIP checkpoint ({error})") from None

    @torch.inference_mode()
    def images(self, images: Sequence[Image]) -> Tensor:
        parts = []
        for start in range(0, len(images), BATCH):
            pictures = [PIL.Image.fromarray(image) for image in images[start : start + BATCH]]
            inputs = self.processor(images=pictures, return_tensors="pt").to(self.device)
            parts.append(F.normalize(self.model.get_image_features(**inputs).pooler_output, dim=1).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.model.config.projection_dim)

    @torch.inference_mode()
    def words(self, words: Sequence[str]) -> Tensor:
        """One direction a word: the mean over all templates."""
        directions = []
        for word in words:
            prompts = [template.format(word) for template in TEMPLATES]
            inputs = self.processor(text=prompts, return_tensors="pt", padding=True, truncation=True).to(self.device)
            every = F.normalize(self.model.get_text_features(**inputs).pooler_output, dim=1)
            directions.append(F.normalize(every.mean(dim=0), dim=0).cpu())
        return torch.stack(directions)

    def shown(self, examples: Sequence[Sequence[Image]]) -> Tensor:
        """One direction for each group of images: their mean."""
        return F.normalize(torch.stack([self.images(images).mean(dim=0) for images in examples]), dim=1)

    def shares(self, features: Tensor, directions: Tensor) -> Tensor:
        """How a picture is divided among directions: softmax of the scaled cosines, float32 (n, directions)."""
        scale = self.model.logit_scale.detach().exp().cpu()
        cosines: Tensor = scale * features @ directions.T
        return cosines.softmax(dim=1)
