"""Are samples new? Near copies of training images, memorisation, and leaks into validation and test."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.quality.comparison import FEWEST, Comparison, Rows
from pipelines.quality.distances import nearest
from pipelines.quality.features import Features
from pipelines.quality.likeness import Likeness
from pipelines.quality.measures import Beside, Guilty, Kind, Measure, listed, percent, section

MARGIN, SIGMAS = 0.1, 3.0  # above one half, beyond which samples are nearer to training images


def own_sources(comparison: Comparison, others: Features) -> Rows:
    """The row of each sample's source image; -1 where it has none."""
    places = {facts.id: row for row, facts in enumerate(others.facts)}
    return np.array([places.get(facts.source or "", -1) for facts in comparison.samples.facts], np.int64)


def repeated(comparison: Comparison, likeness: Likeness, others: Features, kind: Kind, real: float) -> Measure:
    """Samples that repeat real images, side by side. Of one that was repainted, its own source does not count."""
    samples, classes = comparison.samples, comparison.classes
    exclude = own_sources(comparison, others) if comparison.repainted else None
    copies, ratio, rows = likeness.copies(samples, others, exclude)
    guilty = []
    for row in np.flatnonzero(copies).tolist():
        one, other = samples.facts[row], others.facts[rows[row]]
        beside = Beside(kind, other.id, classes[other.label])
        note = f"at {percent(float(ratio[row]))} of the distance of a copy"
        guilty.append((-ratio[row], Guilty(one.id, classes[one.label], float(ratio[row]), note, beside)))
    labels = samples.labels
    by_class = {name: float(copies[labels == n].mean()) for n, name in enumerate(classes) if (labels == n).any()}
    which = "training" if kind == "train" else "validation or test"
    value = float(copies.mean())
    text = f"{int(copies.sum())} of {len(samples):,} samples ({percent(value)}) nearly repeat {which} images."
    name = "copies" if kind == "train" else "leaks"
    return Measure(name, text, value, real, real, classes=by_class, images=listed(guilty))


def references(comparison: Comparison, label: int) -> tuple[Rows, Rows]:
    """Rows of equally many training and held-out images of a class, of each group as many."""
    train, held_out = (comparison.rows_by_group(part, label) for part in (comparison.train, comparison.held_out))
    chosen: list[list[Rows]] = [[np.zeros(0, np.int64)], [np.zeros(0, np.int64)]]
    for group in sorted(train.keys() & held_out.keys(), key=str):
        count = min(len(train[group]), len(held_out[group]))
        for part, rows in zip(chosen, (train[group], held_out[group]), strict=True):
            part.append(comparison.rng("references", label, group).permutation(rows)[:count])
    return np.concatenate(chosen[0]), np.concatenate(chosen[1])


def memorisation(comparison: Comparison) -> Measure:
    """The share of samples whose nearest real image is a training image, of as many training as held-out images.

    One half for images that know nothing of the training images but their distribution. Each real image that is the
    nearest of several samples counts for all of them, so chance moves it by sqrt(sum of squared shares) / 2.
    """
    classes, samples = comparison.classes, comparison.samples
    sources = own_sources(comparison, comparison.train)
    nearer, shares, guilty, total = 0, {}, [], 0
    counts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for label in range(len(classes)):
        rows, (train, held_out) = samples.of(label), references(comparison, label)
        if len(rows) < FEWEST or len(train) < FEWEST:
            continue
        place = {int(row): n for n, row in enumerate(train)}
        exclude = np.array([place.get(int(row), -1) for row in sources[rows]], np.int64)
        to_train, which = nearest(samples.embeddings[rows], comparison.train.embeddings[train], exclude)
        to_held_out, other = nearest(samples.embeddings[rows], comparison.held_out.embeddings[held_out])
        memorised = to_train < to_held_out
        nearer, total, shares[classes[label]] = nearer + int(memorised.sum()), total + len(rows), float(memorised.mean())
        counts += [np.bincount(which[memorised]), np.bincount(other[~memorised])]
        for row, ratio, near in zip(rows, to_train / np.maximum(to_held_out, 1e-9), train[which], strict=True):
            one, real = samples.facts[row], comparison.train.facts[near]
            note = f"at {percent(float(ratio))} of the distance to a held-out image"
            guilty.append(
                (-ratio, Guilty(one.id, classes[label], float(ratio), note, Beside("train", real.id, classes[label])))
            )
    if not total:
        return Measure("memorisation", "There are too few images to tell whether training images were memorised.", None)
    sigma = 0.5 * float(np.sqrt((np.concatenate(counts) ** 2).sum())) / total
    value = nearer / total
    text = f"{percent(value)} of the samples are nearer to a training image than to any of as many held-out images."
    limit = 0.5 + max(MARGIN, SIGMAS * sigma)
    return Measure("memorisation", text, value, 0.5, limit, classes=shares, images=listed(guilty))


def unoriginal(comparison: Comparison) -> dict[str, Any]:
    train, held_out = comparison.train, comparison.held_out
    if not len(comparison.samples):
        return section([], "There are no samples.")
    likeness = Likeness.measure(train, held_out)
    repeats = float(likeness.copies(held_out, train)[0].mean()) if len(held_out) else 0.0
    measures = [repeated(comparison, likeness, train, "train", repeats), memorisation(comparison)]
    if len(held_out):
        leaked = float(likeness.copies(train, held_out)[0].mean())
        measures.append(repeated(comparison, likeness, held_out, "held-out", leaked))
    return section(measures, "No sample nearly repeats a real image.")
