"""Choosing a checkpoint on generated images: a part of them is set apart from training, and no group label is read.

Synthetic Data for Model Selection (Shoshan et al., ICML 2023, arXiv 2105.00717), balanced as in SAGE: every kind that the
plan tells apart counts as much, whatever the real images hold few of. Not in it: the paper's weights of generated images,
which are fitted to labelled real ones.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.records import Examples
from pipelines.vision.pixels import Subset

SHARE = 0.2  # of the generated images that are set apart, where every kind has enough


def rows_apart(labels: Sequence[str], kinds: Sequence[str], seed: int) -> list[int]:
    """The numbers of generated images to choose checkpoints by.

    A kind is a class with all else that the plan varies. As many of each are set apart, drawn by the seed, but of none more
    than half. Raises SourceError where that leaves a class with none to choose by.
    """
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        members[label, kind].append(row)
    rng, count = np.random.default_rng(derive(seed, "selection")), round(SHARE * len(kinds) / max(1, len(members)))
    apart: set[int] = set()
    for _, rows in sorted(members.items()):
        apart |= set(rng.choice(rows, min(max(1, count), len(rows) // 2), replace=False).tolist())
    missing = set(labels) - {labels[row] for row in apart}
    if missing:
        raise SourceError(
            "evaluation.checkpoint: generated needs two generated images of a kind, one to train on and one to choose by, "
            f"and of {min(missing)!r} there is only one; give a larger amount, or checkpoint: average"
        )
    return sorted(apart)


def part(examples: Examples, rows: Sequence[int], groups: Sequence[str | None]) -> Examples:
    """Those of these numbers, with their `groups`."""
    labels, strengths = [examples.labels[row] for row in rows], examples.strengths_of(rows)
    return Examples(Subset(examples.images, rows), labels, [groups[row] for row in rows], strengths)
