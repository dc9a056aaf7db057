"""Integrated gradients from an original to its repainted version (Sundararajan et al. 2017, arXiv 1703.01365)."""

from collections.abc import Sequence

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from pipelines.records import Image, Mask
from pipelines.tensors import mask_tensor, tensor
from pipelines.vision.classifier import Classifier


def attribution(
    classifier: Classifier,
    originals: Sequence[Image],
    generated: Sequence[Image],
    masks: Sequence[Mask],
    targets: Sequence[str],
    steps: int,
    batch: int = 32,
) -> Tensor:
    """How far the change inside each mask moved the logit of its target class: float32 (n,), in logits.

    The three images of a row are aligned pixel by pixel: all went through the same deterministic transform.
    """
    classifier.eval()
    device = next(classifier.parameters()).device
    method = IntegratedGradients(classifier)
    parts = []
    for start in range(0, len(generated), batch):
        rows = slice(start, start + batch)
        index = torch.tensor([classifier.classes.index(t) for t in targets[rows]], device=device)
        gradients = method.attribute(
            tensor(generated[rows]).to(device),
            baselines=tensor(originals[rows]).to(device),
            target=index,
            n_steps=steps,
            method="riemann_middle",  # a network's gradient has jumps, which a Gaussian rule gains nothing on
            internal_batch_size=8 * batch,
        )
        parts.append((gradients * mask_tensor(masks[rows]).to(device)).sum(dim=(1, 2, 3)).float().detach().cpu())
    return torch.cat(parts) if parts else torch.zeros(0)
