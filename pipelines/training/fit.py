"""Fit a classifier on real images, alone or with generated ones by one of several recipes."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.progress import Stage
from pipelines.records import Examples
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.spec import Recipe
from pipelines.tensors import choose_device
from pipelines.training.batches import Feed
from pipelines.training.classical import Classical
from pipelines.training.metrics import Score, score
from pipelines.training.recipes import SHARES, mixed, prior
from pipelines.vision.classifier import Classifier

CHECKS = 10  # times that a fit looks at the validation images


def fit(
    spec: ClassifierSpec,
    classes: Sequence[str],
    real: Feed,
    generated: Feed | None,
    validation: Examples | None,
    *,
    gamma: float | Mapping[str, float],
    seed: int,
    device: str,
    progress: Stage,
    recipe: Recipe = "mixed",
    classical: bool = False,
) -> Classifier:
    """Train for `spec.steps`; return the checkpoint that did best on the validation images, or the last without them.

    In a batch of real and `generated` images, the loss of a generated one counts `gamma` times, or as often as `gamma`
    says for its class (DDB, arXiv 2503.17226). Of a recipe with two parts, only the second's checkpoints are chosen from.
    `classical`: with the strong augmentations that need no generator.
    """
    torch.manual_seed(seed)
    where = choose_device(device)
    model = Classifier(classes, spec.checkpoint).to(where)
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.learning_rate, total_steps=spec.steps)
    generator = torch.Generator().manual_seed(seed)
    gammas = torch.tensor([gamma[c] if isinstance(gamma, Mapping) else gamma for c in classes], dtype=torch.float32)
    shares = (0.0, 0.0) if generated is None else SHARES[recipe]
    heavier = Classical() if classical else None
    best: tuple[Score, dict[str, Tensor]] | None = None
    for step in range(1, spec.steps + 1):
        second = step > spec.steps // 2
        model.train()
        if recipe == "last_layer" and generated is not None and second:
            model.train_head(anew=step == spec.steps // 2 + 1)
        x, y, weight = mixed(real, generated, spec.batch, gammas, generator, shares[second])
        if heavier is not None:
            x, y = heavier(x, y, len(classes))
        logits = model(x.to(where))
        if recipe == "balanced_softmax":
            logits = logits + prior(real, generated, gammas, shares[second]).log().to(where)
        losses = F.cross_entropy(logits, y.to(where), reduction="none", label_smoothing=0.05)
        loss = (losses * weight.to(where)).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(1)
        if shares[0] != shares[1] and not second:
            continue
        if validation is not None and (step % max(1, spec.steps // CHECKS) == 0 or step == spec.steps):
            now = score(model.scores(validation.images), classes, validation.labels, validation.groups)
            if best is None or now.choice > best[0].choice:
                best = now, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best[1])
    return model.eval()
