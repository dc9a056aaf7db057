"""One image of a version: for some samples, the source, the region, and the repainted result."""

import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
from PIL import ImageOps

from pipelines.records import Image
from pipelines.report.page import DisplayedSample, overlay

KEPT, DROPPED = (46, 160, 67), (207, 34, 46)
SIDE, GAP, COLUMNS = 128, 8, 4


def resampling(image: Image) -> PIL.Image.Resampling:
    """Small images are enlarged as they are; larger ones are smoothed."""
    return PIL.Image.Resampling.LANCZOS if max(image.shape) > SIDE else PIL.Image.Resampling.NEAREST


def triplet(sample: DisplayedSample) -> Image:
    """Source, region and result side by side, the result framed in green if kept and red if not."""
    assert sample.source is not None
    parts = [sample.source, sample.source if sample.mask is None else overlay(sample.source, sample.mask), sample.generated]
    large = [PIL.Image.fromarray(p).resize((SIDE, SIDE), resampling(p)) for p in parts]
    large[2] = ImageOps.expand(large[2].crop((4, 4, SIDE - 4, SIDE - 4)), 4, KEPT if sample.kept else DROPPED)
    return np.concatenate([np.asarray(p) for p in large], axis=1)


def triplets(samples: Sequence[DisplayedSample]) -> bytes | None:
    """A PNG of triplets, kept ones first; None when no sample was painted on a source."""
    painted = sorted((s for s in samples if s.source is not None), key=lambda s: not s.kept)
    if not painted:
        return None
    blank = np.full((SIDE, 3 * SIDE, 3), 255, np.uint8)
    cells = [np.pad(t, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for t in map(triplet, painted)]
    cells += [np.pad(blank, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)] * (-len(cells) % COLUMNS)
    grid = [np.concatenate(cells[i : i + COLUMNS], axis=1) for i in range(0, len(cells), COLUMNS)]
    data = io.BytesIO()
    PIL.Image.fromarray(np.concatenate(grid)).quantize(128).save(data, "PNG", optimize=True)
    return data.getvalue()
