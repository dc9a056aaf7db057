"""CLIP (Radford et al. 2021, arXiv 2103.00020): images and texts as embeddings in one space."""

from collections.abc import Sequence

import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

from pipelines.backbones.locate import CLIP, locate
from pipelines.errors import ModelError
from pipelines.progress import step
from pipelines.prompts import TEMPLATES, fill
from pipelines.records import Image
from pipelines.tensors import choose_device

BATCH = 64


class Clip:
    """Embeddings are unit vectors, float32 (n, width), on the CPU."""

    def __init__(self, checkpoint: str, device: str = "auto") -> None:
        self.device, folder = choose_device(device), locate("models.clip", checkpoint, CLIP, weights=True)
        try:
            self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval().to(self.device)
            self.processor = CLIPProcessor.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ModelError(f"models.clip: {checkpoint!r} is no CLIP checkpoint ({error})") from None

    @property
    def side(self) -> int:
        """Pixels a side of the images that it sees."""
        return int(self.model.config.vision_config.image_size)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[Image]) -> Tensor:
        """One embedding an image."""
        parts = []
        for start in range(0, len(images), BATCH):
            step()
            batch = [PIL.Image.fromarray(image) for image in images[start : start + BATCH]]
            inputs = self.processor(images=batch, return_tensors="pt").to(self.device)
            parts.append(F.normalize(self.model.get_image_features(**inputs).pooler_output, dim=1).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.model.config.projection_dim)

    def embed_words(self, words: Sequence[str]) -> Tensor:
        """One embedding a word: the mean over all prompt templates."""
        return self.embed_prompts([[fill(template, word) for template in TEMPLATES] for word in words])

    @torch.inference_mode()
    def embed_prompts(self, groups: Sequence[Sequence[str]]) -> Tensor:
        """One embedding for the prompts of each group: their mean."""
        embeddings = []
        for prompts in groups:
            inputs = self.processor(text=list(prompts), return_tensors="pt", padding=True, truncation=True).to(self.device)
            of_prompts = F.normalize(self.model.get_text_features(**inputs).pooler_output, dim=1)
            embeddings.append(F.normalize(of_prompts.mean(dim=0), dim=0).cpu())
        return torch.stack(embeddings)

    def prototypes(self, classes: Sequence[Sequence[Image]]) -> Tensor:
        """One embedding for the images of each class: their mean."""
        return F.normalize(torch.stack([self.embed_images(images).mean(dim=0) for images in classes]), dim=1)

    def probabilities(self, images: Tensor, classes: Tensor) -> Tensor:
        """Zero-shot classification of embeddings: softmax of the scaled cosines, float32 (images, classes)."""
        scale = self.model.logit_scale.detach().exp().cpu()
        cosines: Tensor = scale * images @ classes.T
        return cosines.softmax(dim=1)
