"""Do samples show what was asked for, and as much of it? Labels, the balance of classes and groups, and words."""

from typing import Any

import numpy as np

from pipelines.quality.comparison import FEWEST, Comparison, balance
from pipelines.quality.features import Features
from pipelines.quality.measures import Guilty, Measure, listed, percent, section
from pipelines.quality.unvaried import covering
from pipelines.spec.base import quantity
from pipelines.training import out_of_fold

DOUBTFUL = 0.01  # share of real images whose label the judge doubts: the threshold of doubt
MARGIN, SIGMAS = 0.015, 3.0  # share of samples with a doubtful label, above that of real ones, which is a finding
LEAST = 0.8  # of what was planned of a class
DRIFT = 0.15  # share of a class that stands on other groups than the classes on average, above that of real images
EXPECTED = 10  # samples in which a word would stand if all stood in as many, below which its absence says nothing


def labels(comparison: Comparison) -> Measure:
    """Samples whose label a judge of real images doubts more than it doubts 99 % of the real ones, out of fold."""
    samples, real, classes = comparison.samples, comparison.real, comparison.classes
    judge = out_of_fold.train(real.embeddings, real.labels, len(classes), comparison.seed, balance(real.facts))
    of_real = judge.out_of_fold(real.embeddings)
    own = of_real[np.arange(len(real)), real.labels]
    shares, truth = judge.of_others(samples.embeddings), samples.labels
    score, guess = shares[np.arange(len(samples)), truth], shares.argmax(axis=1)
    threshold = float(np.quantile(own, DOUBTFUL))
    doubtful = (score < threshold) & (guess != truth)
    guilty = []
    for row in np.flatnonzero(doubtful).tolist():
        one, share = samples.facts[row], float(np.exp(score[row]))
        guilty.append((-share, Guilty(one.id, classes[one.label], share, f"looks like {classes[guess[row]]}")))
    value = float(doubtful.mean())
    between_real = float(((own < threshold) & (of_real.argmax(axis=1) != real.labels)).mean())
    chance = (DOUBTFUL * (1 - DOUBTFUL) * (1 / len(samples) + 1 / len(real))) ** 0.5
    limit = between_real + max(MARGIN, SIGMAS * chance)
    by_class = {name: float(doubtful[truth == n].mean()) for n, name in enumerate(classes) if (truth == n).any()}
    text = f"{percent(value)} of the samples seem to have a wrong label, by a classifier of CLIP's features of real images."
    return Measure("wrong_labels", text, value, between_real, limit, classes=by_class, images=listed(guilty))


def class_balance(comparison: Comparison) -> Measure:
    """How much of what was planned of a class is there; of the worst class."""
    shares = {name: comparison.present.get(name, 0) / count for name, count in comparison.planned.items() if count}
    if not shares:
        return Measure("class_share", "Nothing was planned.", None)
    worst = min(shares, key=lambda name: shares[name])
    there, planned = comparison.present.get(worst, 0), comparison.planned[worst]
    text = f"The version has {quantity(there, 'sample')} of {worst}, where {planned:,} were asked for."
    return Measure("class_share", text, shares[worst], 1.0, LEAST, True, shares)


def group_shares(comparison: Comparison, images: Features) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """By class, the share of each group in its images."""
    names = comparison.group_names
    result = {}
    for label in range(len(comparison.classes)):
        groups = [names.index(str(images.facts[row].group)) for row in images.of(label)]
        if len(groups) >= FEWEST:
            result[label] = np.bincount(groups, minlength=len(names)) / len(groups)
    return result


def drift(shares: dict[int, Any]) -> dict[int, float]:
    """By class, the share of its images that would have to stand on another group for it to be as the mean class."""
    mean = np.mean(list(shares.values()), axis=0)
    return {label: float(np.abs(share - mean).sum() / 2) for label, share in shares.items()}


def shortcut(comparison: Comparison) -> Measure | None:
    """Whether a class stands on groups of its own in what a classifier would be trained on, real images and samples: more
    than in the real training images alone. None where groups are unknown."""
    if not comparison.group_names:
        return None
    both = group_shares(comparison, comparison.train.followed_by(comparison.samples))
    alone = group_shares(comparison, comparison.train)
    own, null = drift(both) if both else {}, drift(alone) if alone else {}
    if not own:
        return None
    worst = max(own, key=lambda label: own[label] - null.get(label, 0.0))
    excess = both[worst] - np.mean(list(both.values()), axis=0)
    name, group = comparison.classes[worst], comparison.group_names[int(excess.argmax())]
    rows = [row for row in comparison.samples.of(worst) if comparison.samples.facts[row].group == group]
    guilty = [(0.0, Guilty(comparison.samples.facts[row].id, name, 1.0, f"{name} on {group}")) for row in rows]
    size = len(comparison.train.of(worst)) + len(comparison.samples.of(worst))
    chance = float(np.sqrt(len(comparison.group_names) / size))
    value, between_real = own[worst], null.get(worst, 0.0)
    text = f"With the samples, {name} stands on {group} more than the other classes do: for {percent(value)} of its images."
    by_class = {comparison.classes[label]: share for label, share in own.items()}
    limit = between_real + max(DRIFT, chance)
    return Measure("shortcut", text, value, between_real, limit, classes=by_class, images=listed(guilty))


def missing_words(comparison: Comparison) -> Measure | None:
    """Words that stand in no prompt of a sample, though each of its list was to stand in as many."""
    prompts = comparison.prompts
    due = [
        (name, word) for name, words in comparison.words.items() if len(prompts) >= EXPECTED * len(words) for word in words
    ]
    if not due:
        return None
    missing = [f"{name} {word!r}" for name, word in due if not any(word in prompt for prompt in prompts)]
    text = f"No sample was drawn with {', '.join(missing[:5])}." if missing else "Every word of the spec is in some sample."
    return Measure("missing_words", text, len(missing) / len(due), 0.0, 0.0)


def missing_groups(comparison: Comparison) -> Measure | None:
    """Groups of the real images that no sample seems to have."""
    names = comparison.group_names
    if len(comparison.samples) < EXPECTED * len(names) or not names:
        return None
    missing = sorted(set(names) - {str(facts.group) for facts in comparison.samples.facts})
    text = f"No sample is on {', '.join(missing[:5])}." if missing else "Every group of the real images is in some sample."
    return Measure("missing_groups", text, len(missing) / len(names), 0.0)


COVERING = {"precision": "share of samples among the real images", "density": "how many real images a sample is near"}


def unrepresentative(comparison: Comparison) -> dict[str, Any]:
    measures = [labels(comparison)] if len(comparison.samples) else []
    others = (shortcut(comparison), missing_words(comparison), missing_groups(comparison))
    measures += [class_balance(comparison), *(measure for measure in others if measure)]
    return section([*measures, *covering(comparison, COVERING)], "Labels, classes and groups are as they were asked for.")
