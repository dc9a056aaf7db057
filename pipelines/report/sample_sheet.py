"""One image of a version: some samples, framed in green if kept and in red if not, beside what they were painted on."""

import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
from PIL import ImageOps

from pipelines.records import Image
from pipelines.report.page import DisplayedSample, overlay

KEPT, DROPPED = (46, 160, 67), (207, 34, 46)
SIDE, GAP, COLUMNS = 128, 8, 12  # pixels of an image, and between two samples; images in a row


def resampling(image: Image) -> PIL.Image.Resampling:
    """Small images are enlarged as they are; larger ones are smoothed."""
    return PIL.Image.Resampling.LANCZOS if max(image.shape) > SIDE else PIL.Image.Resampling.NEAREST


def cell(sample: DisplayedSample, painted: bool) -> Image:
    """A framed sample with a gap around it; where samples were painted on source images, source and region before it."""
    parts = [sample.generated]
    if painted:
        assert sample.source is not None
        region = sample.source if sample.mask is None else overlay(sample.source, sample.mask)
        parts = [sample.source, region, sample.generated]
    large = [PIL.Image.fromarray(p).resize((SIDE, SIDE), resampling(p)) for p in parts]
    large[-1] = ImageOps.expand(large[-1].crop((4, 4, SIDE - 4, SIDE - 4)), 4, KEPT if sample.kept else DROPPED)
    side_by_side = np.concatenate([np.asarray(p) for p in large], axis=1)
    return np.pad(side_by_side, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def sample_sheet(samples: Sequence[DisplayedSample]) -> bytes | None:
    """A PNG of samples, kept ones first; of those painted on a source alone, where there are any. None without samples."""
    painted = [sample for sample in samples if sample.source is not None]
    ordered = sorted(painted or samples, key=lambda sample: not sample.kept)
    if not ordered:
        return None
    columns = COLUMNS // 3 if painted else COLUMNS
    cells = [cell(sample, bool(painted)) for sample in ordered]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    data = io.BytesIO()
    PIL.Image.fromarray(np.concatenate(rows)).quantize(128).save(data, "PNG", optimize=True)
    return data.getvalue()
