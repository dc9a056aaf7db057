"""Charts as SVG text. They take the text colour of the page around them, or of the reader's light or dark mode."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image as Pillow

from pipelines.records import Image
from pipelines.report.worst import worst_part
from pipelines.spec.arms import ARMS, VERSION


class Spread(TypedDict):
    mean: float
    std: float
    values: list[float]  # one a seed


class ArmResult(TypedDict):
    """Accuracies, 0..1, of the classifiers of one arm."""

    average: Spread
    worst_group: Spread
    groups: dict[str, Spread]


INK = "#010203"  # stands for the reader's text colour until the SVG is written
STRONG, SOFT = "#0d9488", "#94a3b8"
COLOURS = ("#0d9488", "#e07a3f", "#6d7fd8", "#c2528b", "#b08a1e", "#3f9bd1", "#8f5fc4", "#5f9e3a", "#d1495b", "#7b8794")
WIDTH = 4.0  # inches: narrow, so that the text stays readable on a phone
LARGEST = 192  # pixels a side of an image on a contact sheet
POINTS = 400  # of a curve are drawn at most
# Text stays text, set in the reader's own font; DejaVu, which comes with matplotlib, measures it the same everywhere.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.6,
}
THEME = ":where(.chart){color:#1f2933}@media(prefers-color-scheme:dark){:where(.chart){color:#d9dee5}}"


def title(arm: str) -> str:
    """The arm's title; its name where the table has no such arm, as in evaluations of other versions of the software."""
    return ARMS[arm].title if arm in ARMS else arm


def ordered(arms: Mapping[str, ArmResult]) -> list[str]:
    """The arms in the order of `ARMS`, then any other by name."""
    return [*(arm for arm in ARMS if arm in arms), *sorted(set(arms) - set(ARMS))]


def percent(spread: Spread) -> str:
    """'78.9 ± 2.1 %', without the spread when there is but one seed."""
    spread_of = f" ± {100 * spread['std']:.1f}" if len(spread["values"]) > 1 else ""
    return f"{100 * spread['mean']:.1f}{spread_of} %"


def axes(height: float, grid: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    plot = figure.add_subplot()
    plot.set_axisbelow(True)
    plot.grid(axis="x" if grid == "x" else "y")
    plot.tick_params(length=0)
    for side in ("top", "right", "left", "bottom"):
        plot.spines[side].set_visible(side == "bottom" and grid == "y")
    return figure, plot


def svg(figure: Figure, name: str, says: str) -> str:
    """The figure as one <svg> element: deterministic, transparent, `says` as its text alternative."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = re.sub(r' id="(?![mpch][0-9a-f]{10})[^"]*"', "", text[text.index("<svg") :])  # several charts share a page
    text = re.sub(r"\*\{[^}]*\}", THEME, text, count=1).replace(INK, "currentColor")
    text = text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")
    return text.replace("<svg", f'<svg class="chart" role="img" aria-label="{escape(says)}"', 1)


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred moving average over a tenth of the curve; its ends average over fewer points."""
    window = np.ones(max(1, len(values) // 10))
    smoothed: NDArray[np.float64] = np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")
    return smoothed


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """The heights moved up as little as it takes to be `gap` from one another."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    return moved


@rc_context(STYLE)
def learning_curves(curves: dict[str, list[tuple[int, float]]]) -> str:
    """One line a learned token: the loss at each (step, loss), smoothed, the raw values faint behind."""
    height = max(2.0, 0.6 + 0.18 * len(curves))
    figure, plot = axes(height, "y")
    ends: list[tuple[str, str, float, float]] = []
    for number, (token, points) in enumerate(curves.items()):
        finite = np.array([p for p in points if np.isfinite(p[1])][:: max(1, len(points) // POINTS)], dtype=float)
        if not len(finite):
            continue
        steps, losses, colour = finite[:, 0], finite[:, 1], COLOURS[number % len(COLOURS)]
        plot.plot(steps, losses, color=colour, alpha=0.22, linewidth=0.8)
        plot.plot(steps, smooth(losses), color=colour, linewidth=1.8, solid_capstyle="round")
        ends.append((token, colour, steps[-1], float(smooth(losses)[-1])))
    bottom, top = plot.get_ylim()
    right = max((end[2] for end in ends), default=1.0)
    places = apart([end[3] for end in ends], gap=0.12 / (height - 0.5) * (top - bottom))
    for (token, colour, _, _), place in zip(ends, places, strict=True):
        plot.annotate(
            token, (right, place), (5, 0), textcoords="offset points", color=colour, weight="bold", va="center",
            annotation_clip=False,
        )  # fmt: skip
    plot.set_ylim(bottom, max([top, *places]))
    plot.set_xlabel("step")
    plot.set_ylabel("loss")
    return svg(figure, "learning-curves", f"Learning curves of {', '.join(curves) or 'no token'}")


@rc_context(STYLE)
def arms(arms: Mapping[str, ArmResult]) -> str:
    """Average and worst-group accuracy of each arm: means as bars, standard deviations as whiskers, seeds as dots."""
    names = ordered(arms)
    figure, plot = axes(0.55 + 0.62 * max(1, len(names)), "x")
    for row, arm in enumerate(names):
        weight = "bold" if arm == VERSION else "normal"
        plot.text(0, 3 * row - 0.85, title(arm), weight=weight, va="center")
        for at, spread, colour in (
            (3 * row, arms[arm]["worst_group"], STRONG),
            (3 * row + 0.85, arms[arm]["average"], SOFT),
        ):
            mean, values = spread["mean"], spread["values"]
            several = len(values) > 1
            plot.barh(at, mean, height=0.72, color=colour, xerr=spread["std"] if several else None,
                      error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2, "alpha": 0.75})  # fmt: skip
            if several:
                plot.scatter(values, [at] * len(values), s=6, color="white", edgecolors=INK, linewidths=0.7, zorder=3)
            end = max([mean + spread["std"], *values]) if several else mean
            plot.text(end + 0.018, at, f"{100 * mean:.1f} %", va="center", weight=weight)
    plot.set_xlim(0, 1.16)
    plot.set_ylim(3 * len(names) - 1.4, -1.5)
    plot.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    plot.set_yticks([])
    worst = worst_part(arms)
    keys = [Patch(color=STRONG, label=worst), Patch(color=SOFT, label="average")]
    figure.legend(handles=keys, loc="outside upper left", ncols=2, frameon=False, handlelength=1, handleheight=1)
    says = "; ".join(
        f"{title(arm)}: {worst} {percent(arms[arm]['worst_group'])}, average {percent(arms[arm]['average'])}"
        for arm in names
    )
    return svg(figure, "arms", f"Accuracy. {says}" if says else "Not evaluated")


@rc_context(STYLE)
def reasons(counts: dict[str, int]) -> str:
    """Images by outcome: 'kept', then each reason for which images were dropped, the most frequent first."""
    dropped = sorted(counts.keys() - {"kept"}, key=lambda reason: (-counts[reason], reason))
    names = [*(["kept"] if "kept" in counts else []), *dropped]
    figure, plot = axes(0.2 + 0.36 * max(1, len(names)), "x")
    widest = max(counts.values(), default=0) or 1
    for row, name in enumerate(names):
        plot.text(0, row - 0.4, name, va="center", weight="bold" if name == "kept" else "normal")
        plot.barh(row, counts[name], height=0.34, color=STRONG if name == "kept" else SOFT)
        plot.text(counts[name] + 0.015 * widest, row, f"{counts[name]:,}", va="center")
    plot.set_xlim(0, 1.14 * widest)
    plot.set_ylim(len(names) - 0.6, -0.7)
    plot.grid(False)
    plot.set_xticks([])
    plot.set_yticks([])
    return svg(figure, "reasons", "Images: " + "; ".join(f"{name} {counts[name]}" for name in names))


def shrunk(image: Image, largest: int) -> Image:
    """An image of so many pixels a side at most; a smaller one as it is."""
    if max(image.shape[:2]) <= largest:
        return image
    small = Pillow.fromarray(image)
    small.thumbnail((largest, largest), Pillow.Resampling.LANCZOS)
    return np.asarray(small)


def thumbnail(image: Image, scale: int) -> Pillow.Image:
    """An image `scale` times enlarged, where that has no more than LARGEST pixels a side; else shrunk to as many."""
    height, width = image.shape[:2]
    if scale * max(height, width) <= LARGEST:
        return Pillow.fromarray(image).resize((scale * width, scale * height), Pillow.Resampling.NEAREST)
    return Pillow.fromarray(shrunk(image, LARGEST))


def contact_sheet(images: Sequence[Image], columns: int, scale: int = 2) -> bytes:
    """The images row by row, each `scale` times enlarged if it is small, as one PNG with transparent gaps."""
    pictures, gap = [thumbnail(image, scale) for image in images], 2 * scale
    height = max((picture.height for picture in pictures), default=scale) + gap
    width = max((picture.width for picture in pictures), default=scale) + gap
    across = max(1, min(columns, len(images)))
    down = max(1, -(-len(images) // across))
    sheet = Pillow.new("RGBA", (across * width - gap, down * height - gap))
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % across * width, place // across * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
