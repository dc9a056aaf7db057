"""Deep features of the rows of a batch, from one tick for the next ones: see `backbones.feature_cache`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from pipelines.backbones.feature_cache import FeatureCache

RowFeatures = tuple[Tensor, ...]  # (c, h, w), and once more of a row that is predicted twice


@contextmanager
def caching(
    cache: FeatureCache | None, features: Sequence[RowFeatures], rows: int, twice: Sequence[int], computed: list[RowFeatures]
) -> Iterator[None]:
    """Inside the block a forward is of so many rows, then of those predicted twice again. It takes their features; where
    there are none, it appends those that it computes to `computed`. Without a cache it does neither."""
    if cache is None:
        yield
    elif features:
        with cache.recalling(torch.stack([*(row[0] for row in features), *(features[row][1] for row in twice)])):
            yield
    else:
        with cache.recording() as recorder:
            yield
            assert recorder.features is not None, "the forward has run"
            deep, places = recorder.features, {row: rows + place for place, row in enumerate(twice)}
        computed += [(deep[row], deep[places[row]]) if row in places else (deep[row],) for row in range(rows)]
