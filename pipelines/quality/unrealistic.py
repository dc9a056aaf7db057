"""Do samples look like real images? How well they can be told apart, and how far their distributions are from each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipelines.quality.comparison import FEWEST, Comparison
from pipelines.quality.distances import Set, cmmd, frechet_distance, kid
from pipelines.quality.features import Facts, Features
from pipelines.quality.measures import Guilty, Measure, listed, percent, section
from pipelines.training import out_of_fold

TELLING = 0.7  # area under the ROC curve up to which a probe is no finding
MARGIN = 0.1  # above that of real images
STRIKING = 0.05  # share of samples that stand out, above that of real images, which is a finding
QUANTILE = 0.99  # of real images' scores, beyond which a sample stands out

Kind = tuple[int, str | None]  # class and group


def auc(negative: NDArray[Any], positive: NDArray[Any]) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative."""
    ranks = rankdata(np.concatenate([negative, positive]))[len(negative) :]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(negative) * len(positive)))


@dataclass(frozen=True)
class Probe:
    """What a classifier says that was trained to tell real from other images, of those it was not trained on."""

    auc: float  # within a class and group
    striking: float  # share of the others that score higher than 99 % of real ones
    scores: NDArray[np.float64]  # of each of the others: log-odds of being none of the real ones
    classes: dict[int, float]  # the AUC by class


def inputs(images: Features) -> NDArray[np.float32]:
    return np.concatenate([images.embeddings, images.statistics], axis=1)


def probe(real: Features, others: Features, kind: Callable[[Facts], Kind], seed: int) -> Probe | None:
    """None where too few have counterparts of their kind: class and group. In training both weigh the same in each kind."""
    facts = [*real.facts, *others.facts]
    kinds: dict[Kind, tuple[list[int], list[int]]] = {k: ([], []) for k in dict.fromkeys(map(kind, facts))}
    for row, one in enumerate(facts):
        kinds[kind(one)][row >= len(real)].append(row)
    matched = {k: (np.array(a), np.array(b)) for k, (a, b) in kinds.items() if a and b}
    size = {k: min(len(a), len(b)) for k, (a, b) in matched.items()}
    if sum(size.values()) < FEWEST:
        return None
    weights = np.zeros(len(facts))
    for k, pair in matched.items():
        for rows in pair:
            weights[rows] = size[k] / len(rows)
    x, y = np.concatenate([inputs(real), inputs(others)]), np.arange(len(facts)) >= len(real)
    shares = out_of_fold.train(x, y.astype(np.int64), 2, seed, weights).out_of_fold(x)
    scores = shares[:, 1] - shares[:, 0]
    areas = {k: auc(scores[a], scores[b]) for k, (a, b) in matched.items()}

    def mean(chosen: Sequence[Kind]) -> float:
        return float(np.average([areas[k] for k in chosen], weights=[size[k] for k in chosen]))

    labels = sorted({label for label, _ in matched})
    beyond = [np.zeros(0, np.bool_)]
    for label in labels:
        a, b = (np.concatenate([pair[part] for k, pair in matched.items() if k[0] == label]) for part in (0, 1))
        beyond.append(scores[b] > np.quantile(scores[a], QUANTILE))
    by_class = {label: mean([k for k in matched if k[0] == label]) for label in labels}
    return Probe(mean(list(matched)), float(np.concatenate(beyond).mean()), scores[len(real) :], by_class)


def probes(comparison: Comparison) -> list[Measure]:
    classes = comparison.classes
    own = probe(comparison.real, comparison.samples, comparison.kind, comparison.seed)
    null = probe(comparison.train, comparison.held_out, comparison.kind, comparison.seed)
    if own is None:
        return [Measure("probe_auc", "There are too few images to tell real from generated ones.", None)]
    guilty = [
        (score, Guilty(one.id, classes[one.label], float(score), f"log-odds of being generated: {score:.1f}"))
        for score, one in zip(own.scores, comparison.samples.facts, strict=True)
    ]
    area, striking = (null.auc, null.striking) if null else (0.5, 1 - QUANTILE)
    told = f"A probe tells samples from real images of one class with an AUC of {own.auc:.2f} (0.5: not)."
    out = f"{percent(own.striking)} of the samples look less real than 99 % of the real images."
    return [
        Measure("probe_auc", told, own.auc, area if null else None, max(TELLING, area + MARGIN), images=listed(guilty),
                classes={classes[label]: value for label, value in own.classes.items()}),
        Measure("striking", out, own.striking, striking if null else None, striking + STRIKING, images=listed(guilty)),
    ]  # fmt: skip


def distances(comparison: Comparison) -> list[Measure]:
    """Of equally many images, beside the distance of as many other real images. KID is the mean of the classes'."""
    alike = comparison.alike.values()
    if not alike:
        return []
    samples, real = comparison.samples.embeddings, comparison.real.embeddings
    pairs = [(samples[a.samples], real[a.reference], real[a.others]) for a in alike]
    own, reference, others = (np.concatenate(part) for part in zip(*pairs, strict=True))

    def measure(name: str, title: str, distance: Callable[[Set, Set], float]) -> Measure:
        value, between_real = distance(own, reference), distance(others, reference)
        text = f"{title} {value:.3g}; between real images {between_real:.3g}."
        return Measure(name, text, value, between_real)

    inside, inside_real = (float(np.mean([kid(pair[k], pair[1]) for pair in pairs])) for k in (0, 2))
    return [
        measure("frechet_distance", "Fréchet distance", frechet_distance),
        measure("cmmd", "CMMD", cmmd),
        Measure("kid", f"KID within a class {inside:.3g}; between real images {inside_real:.3g}.", inside, inside_real),
    ]


def filtered(counts: Mapping[str, Any]) -> list[Measure]:
    """The share of what was generated that the filter `quality` dropped."""
    if not counts["generated"]:
        return []
    dropped = sum(n for reason, n in counts["reasons"].items() if reason.split(":")[0] == "quality")
    share = dropped / counts["generated"]
    return [Measure("quality_dropped", f"The filter quality dropped {percent(share)} of what was generated.", share)]


def unrealistic(comparison: Comparison, counts: Mapping[str, Any]) -> dict[str, Any]:
    measures = [*probes(comparison), *distances(comparison), *filtered(counts)]
    return section(measures, "Samples and real images of one class are hardly told apart.")
