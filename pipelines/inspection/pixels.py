"""Blank images, and images whose size is very unlike the others'."""

import numpy as np
from numpy.typing import NDArray

from pipelines.inspection.findings import Finding
from pipelines.inspection.measure import Measurements

BLANK = 0.02  # standard deviation of a channel, 0..1, that a picture of something exceeds
UNLIKE = 4.0  # times that a side is as long, or as short, as the median
LONG = 4.0  # times that an image is as long as wide, or as wide as long


def blank(measured: Measurements) -> NDArray[np.bool_]:
    """Which images are of one colour, but for grain."""
    return measured.contrasts < BLANK


def blank_findings(measured: Measurements) -> list[Finding]:
    findings = []
    for row in np.flatnonzero(blank(measured)):
        one, contrast = measured.items[row], measured.contrasts[row]
        text = f"{one.item.label} in {one.split}: of one colour, contrast {contrast:.3f}"
        findings.append(Finding("blank", text, -float(contrast), (one,)))
    return findings


def size_findings(measured: Measurements) -> list[Finding]:
    """Images whose shorter side is far from the median, or that are long strips."""
    shorter, longer = measured.sizes.min(axis=1), measured.sizes.max(axis=1)
    median = float(np.median(shorter))
    ratios = np.maximum(shorter / median, median / shorter)
    findings = []
    for row in np.flatnonzero((ratios >= UNLIKE) | (longer >= LONG * shorter)):
        one, (height, width) = measured.items[row], measured.sizes[row]
        text = f"{one.item.label} in {one.split}: {width}x{height} pixels, where the median shorter side is {median:.0f}"
        severity = max(float(ratios[row]), float(longer[row] / shorter[row]))
        findings.append(Finding("sizes", text, severity, (one,)))
    return findings
