"""The map of a published version: the embeddings that its quality report measures, in two dimensions.

By t-SNE (van der Maaten and Hinton 2008) in n log n steps (van der Maaten 2014, arXiv 1301.3342), as scikit-learn has it.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from pipelines.chance import derive
from pipelines.learning.resources import Resources
from pipelines.progress import with_steps
from pipelines.quality.comparison import Comparison
from pipelines.quality.features import Features, features
from pipelines.quality.read import DROPPED, sample_rows, samples
from pipelines.report.embedding_map import FILE, KINDS, SIDE, EmbeddingMap, encode
from pipelines.store import keys
from pipelines.version.plan import Plan

POINTS = 3000  # on a map, at most
FEWEST = 5  # images of which there is a map
PERPLEXITY = 30.0  # about as many neighbours count, or a third of all where they are few
ITERATIONS = 500
SPREAD = 0.98 * SIDE  # of the points: none lies on the edge
NO_PLACE = (-1, -1)


def balanced(cells: Sequence[Hashable], most: int, seed: int) -> NDArray[np.int64]:
    """Rows of no more than `most` images, in their order, from every cell as nearly equally many as it has. The same for the
    same seed."""
    taken: Counter[Hashable] = Counter()
    ranks = []
    for row in np.random.default_rng(derive(seed, "map")).permutation(len(cells)).tolist():
        ranks.append((taken[cells[row]], row))
        taken[cells[row]] += 1
    return np.array(sorted(row for _, row in sorted(ranks, key=itemgetter(0))[:most]), np.int64)


def projected(embeddings: NDArray[np.float16], seed: int) -> NDArray[np.float32]:
    """float32 (n, 2), 0..SIDE, of (n, width), n at least FEWEST. The same for the same
    embeddings: one thread sums up in one order."""
    vectors = embeddings.astype(np.float32)
    if not np.ptp(vectors, axis=0).any():
        return np.full((len(vectors), 2), SIDE / 2, np.float32)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    method = TSNE(perplexity=perplexity, max_iter=ITERATIONS, init="pca", random_state=derive(seed, "t-SNE") % 2**32)

    def fit() -> NDArray[np.float32]:
        with threadpool_limits(1):
            return np.asarray(method.fit_transform(vectors), np.float32)

    plane = with_steps(fit)
    low, high = plane.min(axis=0), plane.max(axis=0)
    span = np.where(high > low, high - low, 1)  # each direction fills the square
    return np.asarray((plane - (low + high) / 2) * SPREAD / span + SIDE / 2, np.float32)


def drawn_map(
    parts: Mapping[str, Features], classes: Sequence[str], totals: Mapping[str, int], seed: int
) -> tuple[EmbeddingMap, NDArray[np.float16]]:
    """The map of images of each kind, and the embeddings of its points."""
    every = [(kind, facts) for kind in KINDS for facts in parts[kind].facts]
    rows = balanced([(kind, facts.label) for kind, facts in every], POINTS, seed)
    chosen = [every[row] for row in rows]
    embeddings = np.concatenate([parts[kind].embeddings for kind in KINDS])[rows].astype(np.float16)
    return EmbeddingMap(
        kinds=np.array([kind for kind, _ in chosen]),
        ids=np.array([facts.id for _, facts in chosen]),
        labels=np.array([classes[facts.label] for _, facts in chosen]),
        places=np.array([facts.place or NO_PLACE for _, facts in chosen], np.int64),
        points=projected(embeddings, seed),
        totals=totals,
    ), embeddings


def publish_map(resources: Resources, plan: Plan, comparison: Comparison, counts: Mapping[str, Any]) -> None:
    """Put the map into the store, unless there is one or there are fewer than FEWEST images. `counts` is the manifest's."""
    done = resources.stage("quality: map", min(counts["dropped"], DROPPED))
    rejected = sample_rows(resources, plan, counts["dropped"], "rejected")
    dropped = features(samples(resources, rejected, []), resources.models.clip, done)
    parts = {"kept": comparison.measured, "dropped": dropped, "real": comparison.real}
    real = sum(len(resources.source.splits[split]) for split in ("train", "validation", "test"))
    totals = {"kept": sum(comparison.present.values()), "dropped": counts["dropped"], "real": real}
    if sum(map(len, parts.values())) >= FEWEST:
        file = encode(*drawn_map(parts, comparison.classes, totals, comparison.seed))
        resources.store.put_first(keys.report_file(resources.root, FILE), file)
