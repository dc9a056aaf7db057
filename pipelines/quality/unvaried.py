"""Are samples as varied as real images? Within each class, beside as many real ones."""

from typing import Any

import numpy as np

from pipelines.quality.comparison import FEWEST, Comparison, Rows
from pipelines.quality.distances import nearest_others
from pipelines.quality.likeness import Likeness
from pipelines.quality.measures import Guilty, Measure, listed, percent, sample, section
from pipelines.quality.variety import NEIGHBOURS, prdc, vendi_score

LEAST = 0.75  # of the real images' Vendi score
CLOSE = 0.01  # quantile of real images' distances to their nearest, below which two samples are too alike
MARGIN = 0.05  # share of samples with one too alike, above that of real images, which is a finding
SIGMAS = 3.0  # standard deviations by which it must be above that, too
REPEATED = 0.01  # share of samples that repeat another, above that of training images, which is a finding


def centre_of_cluster(comparison: Comparison, rows: Rows) -> list[Guilty]:
    """The samples of a class with the nearest neighbours: where it collapses to."""
    x = comparison.samples.embeddings[rows].astype(np.float64)
    distances = np.sort(np.sqrt(np.maximum(0, 2 - 2 * x @ x.T)), axis=1)[:, 1 : NEIGHBOURS + 1].mean(axis=1)
    facts = [comparison.samples.facts[row] for row in rows]
    return listed([
        (-d, Guilty(one.id, comparison.classes[one.label], float(d), f"mean distance to its {NEIGHBOURS} nearest: {d:.3f}"))
        for d, one in zip(distances, facts, strict=True)
    ])  # fmt: skip


def vendi(comparison: Comparison) -> Measure:
    """The effective number of different samples in a class, over that of as many real images; of the worst class."""
    samples, real = comparison.samples.embeddings, comparison.real.embeddings
    ratios, null = {}, {}
    for label, alike in comparison.alike.items():
        reference = vendi_score(real[alike.reference])
        ratios[label] = vendi_score(samples[alike.samples]) / reference
        null[label] = vendi_score(real[alike.others]) / reference
    if not ratios:
        return Measure("vendi_ratio", "There are too few images to say how varied they are.", None)
    worst = min(ratios, key=lambda label: ratios[label])
    name, value, between_real = comparison.classes[worst], ratios[worst], min(null.values())
    text = f"The samples of {name} have {percent(value)} of the variety of as many real images (Vendi score)."
    guilty = centre_of_cluster(comparison, comparison.alike[worst].samples)
    by_class = {comparison.classes[label]: ratio for label, ratio in ratios.items()}
    return Measure("vendi_ratio", text, value, between_real, LEAST * min(1.0, between_real), True, by_class, guilty)


def close_pairs(comparison: Comparison) -> Measure | None:
    """Samples that have another one of their class nearer than real images have."""
    samples, real = comparison.samples, comparison.real.embeddings
    if not comparison.alike:
        return None
    parts = comparison.alike.values()
    reference = np.concatenate([nearest_others(real[alike.reference])[0] for alike in parts])
    others = np.concatenate([nearest_others(real[alike.others])[0] for alike in parts])
    limit, shares, pairs = float(np.quantile(reference, CLOSE)), {}, {}
    close = [np.zeros(0, np.bool_)]
    for label, alike in comparison.alike.items():
        distances, rows = nearest_others(samples.embeddings[alike.samples])
        close.append(distances < limit)
        shares[comparison.classes[label]] = float(close[-1].mean())
        for row, distance, other in zip(alike.samples, distances, alike.samples[rows], strict=True):
            pairs[frozenset((int(row), int(other)))] = distance
    guilty = []
    for pair, distance in pairs.items():
        one, other = (samples.facts[row] for row in sorted(pair))
        beside = sample(other, comparison.classes)
        if distance < limit:
            own = Guilty(one.id, comparison.classes[one.label], float(distance), f"distance {distance:.3f}", beside)
            guilty.append((-distance, own))
    value, between_real = float(np.concatenate(close).mean()), float((others < limit).mean())
    text = f"{percent(value)} of the samples have another of their class nearer than 99 % of the real images have."
    pooled = (value + between_real) / 2
    chance = float(np.sqrt(pooled * (1 - pooled) * 4 / len(others)))  # of two shares, of images that come in pairs
    beyond = between_real + max(MARGIN, SIGMAS * chance)
    return Measure("close_pairs", text, value, between_real, beyond, classes=shares, images=listed(guilty))


def repeats(comparison: Comparison) -> Measure:
    """Samples that nearly repeat another sample, whatever its class: of all that were measured, however many.

    Two that were painted on one image share most of it, and do not count.
    """
    samples, train = comparison.samples, comparison.train
    likeness = Likeness.measure(train, comparison.held_out)
    between_real = float(likeness.copies(train, train, np.arange(len(train)))[0].mean())
    copies, ratio, rows = likeness.copies(samples, samples, np.arange(len(samples)))
    if comparison.repainted:
        sources = np.array([facts.source for facts in samples.facts])
        copies &= sources != sources[rows]
    guilty = []
    for row in np.flatnonzero(copies).tolist():
        one, other = samples.facts[row], samples.facts[rows[row]]
        note = f"at {percent(float(ratio[row]))} of the distance of a copy"
        beside = sample(other, comparison.classes)
        guilty.append((-ratio[row], Guilty(one.id, comparison.classes[one.label], float(ratio[row]), note, beside)))
    value = float(copies.mean())
    text = f"{int(copies.sum())} of {len(samples):,} samples ({percent(value)}) nearly repeat another sample."
    return Measure("repeats", text, value, between_real, between_real + REPEATED, images=listed(guilty))


def covering(comparison: Comparison, names: dict[str, str]) -> list[Measure]:
    """Some of precision, recall, density and coverage: means of the classes."""
    samples, real = comparison.samples.embeddings, comparison.real.embeddings
    own, null = {}, {}
    for label, alike in comparison.alike.items():
        if len(alike.samples) >= max(FEWEST, NEIGHBOURS + 1):
            own[label] = prdc(real[alike.reference], samples[alike.samples])
            null[label] = prdc(real[alike.reference], real[alike.others])
    if not own:
        return []
    measures = []
    for name, meaning in names.items():
        value, between_real = (float(np.mean([part[name] for part in values.values()])) for values in (own, null))
        classes = {comparison.classes[label]: part[name] for label, part in own.items()}
        text = f"{name.capitalize()} {value:.2f}: {meaning}; of real images {between_real:.2f}."
        measures.append(Measure(name, text, value, between_real, classes=classes))
    return measures


COVERING = {"coverage": "share of real images with a sample near", "recall": "share of real images among the samples"}


def unvaried(comparison: Comparison) -> dict[str, Any]:
    if not len(comparison.samples):
        return section([], "There are no samples.")
    pairs = close_pairs(comparison)
    measures = [vendi(comparison), *([pairs] if pairs else []), repeats(comparison), *covering(comparison, COVERING)]
    return section(measures, "In every class, samples are about as varied as real images.")
