"""Can real and generated be told apart? If so, a network may learn "generated" instead of the class.

This is the bias that From Fake to Real names (ECCV 2024, arXiv 2308.04553).
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torch.nn import functional as F

from pipelines.progress import SILENT, Stage
from pipelines.records import Examples
from pipelines.tensors import tensor
from pipelines.training.batches import augment
from pipelines.vision.classifier import Classifier

STEPS, BATCH = 150, 64
PAIRS = 1024  # at most, of one real and one generated image: all of them are in memory


def probe_auc(
    real: Examples, generated: Examples, seed: int, stage: Callable[[str, int], Stage] = SILENT.stage
) -> float | None:
    """Area under the ROC curve of a small network on unseen halves: 0.5 cannot be told apart, 1 always can.

    Only real images of the same classes and groups as the generated ones are used, equally many of each kind. None when
    that leaves fewer than two pairs: one to learn from, one to test on. `stage` begins a stage of the progress.
    """
    rng = np.random.default_rng(seed)
    pairs: list[tuple[int, int]] = []
    for kind in sorted(set(zip(generated.labels, map(str, generated.groups), strict=True))):
        same = [
            [i for i, k in enumerate(zip(e.labels, map(str, e.groups), strict=True)) if k == kind] for e in (real, generated)
        ]
        pairs += list(zip(rng.permutation(same[0]), rng.permutation(same[1]), strict=False))
    if len(pairs) < 2:
        return None
    pairs = [pairs[n] for n in rng.permutation(len(pairs))[:PAIRS]]
    x = np.stack([image for own, other in pairs for image in (real.images[own], generated.images[other])])
    y = torch.tensor([0, 1] * len(pairs))
    steps = min(STEPS, 10 * len(pairs))
    half = len(pairs) // 2 * 2
    torch.manual_seed(seed)
    model = Classifier(["real", "generated"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    done = stage("probe: real or generated", steps)
    for _ in range(steps):
        batch = torch.randint(half, (BATCH,), generator=generator)
        loss = F.cross_entropy(model(augment(tensor(x[batch.numpy()]), generator)), y[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        done(1)
    logits = model.scores(list(x[half:]))
    value = logits[:, 1] - logits[:, 0]
    fake, true = value[y[half:] == 1].numpy(), value[y[half:] == 0].numpy()
    return float(mannwhitneyu(fake, true).statistic / (len(fake) * len(true)))
