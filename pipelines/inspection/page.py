"""The page of an inspection: self-contained HTML, the worst of each kind with their images side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader

from pipelines.inspection.findings import KINDS, Finding, Inspection, SplitItem
from pipelines.records import Image, Item
from pipelines.report import figures
from pipelines.report.page import TEMPLATES

DISPLAYED = 96  # images of a kind, in as many findings; inspect.json has all
IMAGES = 6  # of a finding
SIDE = 160  # pixels: with these the largest page has some four megabytes


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a finding."""

    image: Image
    split_item: SplitItem


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A finding with its images, the first ones if there are many."""

    finding: Finding
    pictures: list[Picture]


def displayed(findings: Sequence[Finding]) -> list[Finding]:
    """The first findings, as many as have DISPLAYED images; one without an image counts as one."""
    ends = list(accumulate(max(1, min(len(finding.images), IMAGES)) for finding in findings))
    return [finding for finding, end in zip(findings, ends, strict=True) if end <= DISPLAYED]


def render(inspection: Inspection, read: Callable[[Item], Image]) -> str:
    """The whole page; images are read again for it. Same source, same bytes."""

    def exhibit(finding: Finding) -> Exhibit:
        pictures = [Picture(figures.shrunk(read(one.item), SIDE), one) for one in finding.images[:IMAGES]]
        return Exhibit(finding, pictures)

    own = Path(__file__).parent
    loader = ChoiceLoader([FileSystemLoader(own), FileSystemLoader(Path(figures.__file__).parent)])
    return (
        TEMPLATES.overlay(loader=loader)
        .get_template("inspection.html.j2")
        .render(
            inspection=inspection,
            kinds=KINDS,
            counts=inspection.counts,
            exhibits={kind: [exhibit(finding) for finding in displayed(inspection.of(kind))] for kind in KINDS},
        )
    )
