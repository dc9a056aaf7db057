"""The map as a picture: SVG whose points differ in colour by class or by kind, and in shape by kind always."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from pipelines.report.embedding_map import KINDS, SIDE, EmbeddingMap
from pipelines.report.lasso import Corner

Colouring = Literal["class", "kind"]
# Of Okabe and Ito (2008), which the colour-blind can tell apart, but for yellow, which is faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor")
GREY = "#8a949e"  # of classes beyond these, and of what is not highlighted
MARGIN = 12  # around the points
# A point of a kind, as the rest of a path that begins at its middle, and how the path is drawn.
SHAPES = {
    "kept": ("h0", 'stroke-width="11" stroke-linecap="round"'),
    "dropped": ("m-5-5l10 10m0-10l-10 10", 'stroke-width="2.5"'),
    "real": ("m-4.5-4.5h9v9h-9z", 'stroke-width="2"'),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend."""

    name: str  # a class or a kind
    colour: str
    count: int  # points
    kind: str = "kept"  # whose shape it has

    @property
    def glyph(self) -> Markup:
        """Its colour and shape, in small."""
        shape, look = SHAPES[self.kind]
        path = Markup('<path d="M0 0{}" fill="none" stroke="{}" ').format(shape, self.colour) + Markup(f"{look}/>")
        frame = Markup('<svg class="glyph" viewBox="-8 -8 16 16" width="14" height="14" aria-hidden="true">{}</svg>')
        return frame.format(path)


def legend(drawn: EmbeddingMap, by: Colouring) -> list[Entry]:
    """The classes, or the kinds, in the colours of the picture."""
    names, values = (KINDS, drawn.kinds) if by == "kind" else (drawn.classes, drawn.labels)
    colours = [*COLOURS, *[GREY] * len(names)]
    counts = [int((values == name).sum()) for name in names]
    shapes = KINDS if by == "kind" else ["kept"] * len(names)
    return [Entry(*entry) for entry in zip(names, colours, counts, shapes, strict=False)]


def shapes(drawn: EmbeddingMap) -> list[Entry]:
    """The kinds without colours, beside which those of the classes stand."""
    return [replace(entry, colour="currentColor") for entry in legend(drawn, "kind")]


def path(points: NDArray[np.float32], kind: str, colour: str, opacity: float) -> Markup:
    """Points of one look as one element."""
    shape, look = SHAPES[kind]
    steps = "".join(f"M{x} {y}{shape}" for x, y in points.round().astype(int).tolist())
    return Markup('<path d="{}" stroke="{}" opacity="{}" ').format(steps, colour, opacity) + Markup(f"{look}/>")


def picture(
    drawn: EmbeddingMap, by: Colouring = "class", highlighted: str | None = None, region: Sequence[Corner] = ()
) -> Markup:
    """The map. `highlighted` is the class that has a colour alone; `region` is outlined."""
    values = drawn.kinds if by == "kind" else drawn.labels
    paths: list[Markup] = []
    for kind in reversed(KINDS):  # the samples above the real images
        for entry in legend(drawn, by):
            own = (drawn.kinds == kind) & (values == entry.name)
            lit = own if highlighted is None else own & (drawn.labels == highlighted)
            if (faint := own & ~lit).any():
                paths.insert(0, path(drawn.points[faint], kind, GREY, 0.3))
            if lit.any():
                paths.append(path(drawn.points[lit], kind, entry.colour, 0.8))
    outline = " ".join(f"{x:g},{y:g}" for x, y in region)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in drawn.counts.items())
    return Markup(
        '<svg class="map" viewBox="{0} {0} {1} {1}" role="img" aria-label="Map of {2:,} images: {3}"><g fill="none">{4}</g>'
        '<polygon data-outline points="{5}" fill="currentColor" fill-opacity=".12" fill-rule="evenodd"'
        ' stroke="currentColor" stroke-width="3"/></svg>'
    ).format(-MARGIN, SIDE + 2 * MARGIN, len(drawn), escape(counts), Markup("").join(paths), outline)
