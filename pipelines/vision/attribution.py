"""How far a change of an image moved the logit of a class, pixel by pixel, by three measures of a classifier's evidence."""

from collections.abc import Callable, Sequence

import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.errors import ModelError
from pipelines.records import Image, Mask
from pipelines.spec import Saliency
from pipelines.tensors import mask_tensor, tensor
from pipelines.vision.classifier import Classifier

NOISE = 0.15  # standard deviation of SmoothGrad's noise, as a share of the pixels' range: the paper's are 0.1 to 0.2
Measure = Callable[[Classifier, Tensor, Tensor, Tensor, int, Sequence[int]], Tensor]


def integrated_gradients(
    classifier: Classifier, before: Tensor, after: Tensor, target: Tensor, steps: int, seeds: Sequence[int]
) -> Tensor:
    """Along the line from one image to the other (Sundararajan et al., ICML 2017, arXiv 1703.01365)."""
    parts: Tensor = IntegratedGradients(classifier).attribute(
        after,
        baselines=before,
        target=target,
        n_steps=steps,
        method="riemann_middle",  # a network's gradient has jumps, which a Gaussian rule gains nothing on
        internal_batch_size=256,
    )
    return parts


def smoothgrad(
    classifier: Classifier, before: Tensor, after: Tensor, target: Tensor, steps: int, seeds: Sequence[int]
) -> Tensor:
    """The change times the mean gradient at `steps` noisy copies of the changed image (Smilkov et al., arXiv 1706.03825)."""
    generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
    total, scale = torch.zeros_like(after), NOISE * 2  # pixels are in -1..1
    for _ in range(steps):
        noise = torch.stack([torch.randn(after.shape[1:], generator=generator) for generator in generators])
        noisy = (after + scale * noise.to(after)).requires_grad_()
        logits = classifier(noisy).gather(1, target[:, None])
        total += torch.autograd.grad(logits.sum(), noisy)[0]
    return (after - before) * total / steps


def grad_cam(
    classifier: Classifier, before: Tensor, after: Tensor, target: Tensor, steps: int, seeds: Sequence[int]
) -> Tensor:
    """By the last feature map, channels weighted by their mean gradient (Selvaraju et al., ICCV 2017, arXiv 1610.02391): the
    changed image's evidence less the other's. Evidence against the class counts, too, so that the parts add up."""
    method = LayerGradCam(classifier, feature_layer(classifier, after[:1]))
    evidence = [method.attribute(x, target=target, relu_attributions=False) for x in (after, before)]
    difference = evidence[0] - evidence[1]
    size = after.shape[-2:]
    share = difference.shape[-2] * difference.shape[-1] / (size[0] * size[1])
    pixels: Tensor = F.interpolate(difference, size, mode="bilinear") * share
    return pixels


MEASURES: dict[Saliency, Measure] = {
    "integrated_gradients": integrated_gradients,
    "smoothgrad": smoothgrad,
    "grad_cam": grad_cam,
}


def feature_layer(classifier: Classifier, picture: Tensor) -> nn.Module:
    """The layer that gives the last feature map of a picture (1, 3, h, w). Raises ModelError for a network without one."""
    layers: list[nn.Module | None] = []

    def note(layer: nn.Module, _: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if output.ndim == 4 and output.shape[-1] * output.shape[-2] > 1:
            layers.append(layer)
        elif output.ndim == 3 and output.shape[1] > 1:
            layers.append(None)  # a sequence of tokens

    hooks = [module.register_forward_hook(note) for module in classifier.net.modules()]
    try:
        with torch.no_grad():
            classifier(picture)
    finally:
        for hook in hooks:
            hook.remove()
    last = layers[-1] if layers else None
    if last is None:
        raise ModelError(
            f"filters.attribution.saliency: 'grad_cam' needs a classifier that ends in a feature map, and "
            f"{type(classifier.net).__name__} does not; give integrated_gradients, or a classifier.checkpoint such as "
            "microsoft/resnet-50"
        )
    return last


def attribution(
    classifier: Classifier,
    originals: Sequence[Image],
    generated: Sequence[Image],
    masks: Sequence[Mask],
    targets: Sequence[str],
    steps: int,
    batch: int = 32,
    saliency: Saliency = "integrated_gradients",
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """How far the change inside each mask moved the logit of its target class: float32 (n,), in logits.

    The three images of a row are aligned pixel by pixel: all went through the same deterministic transform. `seeds`: of each
    row's noise.
    """
    classifier.eval()
    device = next(classifier.parameters()).device
    parts = []
    for start in range(0, len(generated), batch):
        rows = slice(start, start + batch)
        index = torch.tensor([classifier.classes.index(t) for t in targets[rows]], device=device)
        before, after = tensor(originals[rows]).to(device), tensor(generated[rows]).to(device)
        pixels = MEASURES[saliency](classifier, before, after, index, steps, (seeds or range(len(generated)))[rows])
        parts.append((pixels * mask_tensor(masks[rows]).to(device)).sum(dim=(1, 2, 3)).float().detach().cpu())
    return torch.cat(parts) if parts else torch.zeros(0)
