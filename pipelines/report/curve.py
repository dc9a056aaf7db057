"""The charts of accuracy by the number of generated images, and by the intensity of a shift of the test images."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes

from pipelines.report.figures import COLOURS, INK, SOFT, STRONG, STYLE, axes, ordered, percent, svg, title
from pipelines.spec.arms import VERSION


def in_percent(plot: Axes) -> None:
    """The accuracies beside a chart."""
    limits, ticks = plot.get_ylim(), plot.get_yticks()
    plot.set_yticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.set_ylim(limits)


@rc_context(STYLE)
def accuracy_by_amount(points: Sequence[Mapping[str, Any]], worst: str, enough: int | None) -> str:
    """Worst part and average at each amount: means joined by a line, standard deviations as a band, seeds as dots. A dotted
    line stands at the amount that is enough, if any is. The amounts lie evenly apart, whatever their distance."""
    figure, plot = axes(2.6, "y")
    places = range(len(points))
    for metric, name, colour in (("worst_group", worst, STRONG), ("average", "average", SOFT)):
        accuracies = [point[metric] for point in points]
        means = [accuracy["mean"] for accuracy in accuracies]
        low, high = ([a["mean"] + sign * a["std"] for a in accuracies] for sign in (-1, 1))
        plot.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        plot.plot(places, means, color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
        for place, accuracy in zip(places, accuracies, strict=True):
            values = accuracy["values"] if len(accuracy["values"]) > 1 else []
            plot.scatter([place] * len(values), values, s=5, color="white", edgecolors=INK, linewidths=0.6, zorder=3)
    if enough is not None:
        place = [point["images"] for point in points].index(enough)
        plot.axvline(place, color=INK, linewidth=0.8, linestyle=":", alpha=0.7)
    plot.set_xticks(places, [f"{point['images']:,}\n{point['ratio']:.2g} : 1" for point in points])
    plot.set_xlabel("generated images, and how many for each real one")
    in_percent(plot)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, handlelength=1)
    says = "; ".join(
        f"{point['images']:,} generated images: {worst} {percent(point['worst_group'])}, average {percent(point['average'])}"
        for point in points
    )
    return svg(figure, "amounts", f"Accuracy by amount. {says}")


@rc_context(STYLE)
def accuracy_by_shift(shift: Mapping[str, Any]) -> str:
    """A line an arm: means at each intensity, standard deviations as a band, the version's line thicker."""
    names, places = ordered(shift["arms"]), shift["intensities"]
    figure, plot = axes(2.6 + 0.16 * len(names), "y")
    for number, arm in enumerate(names):
        accuracies, colour = shift["arms"][arm], COLOURS[number % len(COLOURS)]
        means = [accuracy["mean"] for accuracy in accuracies]
        low, high = ([a["mean"] + sign * a["std"] for a in accuracies] for sign in (-1, 1))
        plot.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        width = 2.4 if arm == VERSION else 1.2
        plot.plot(places, means, color=colour, linewidth=width, marker="o", markersize=3, label=title(arm))
    plot.set_xticks(places, [f"{place:.2f}" for place in places])
    plot.set_xlabel("intensity of the shift: 1 - overlap with the training images")
    in_percent(plot)
    figure.legend(loc="outside upper left", frameon=False, handlelength=1)
    ends = "; ".join(f"{title(arm)}: {percent(shift['arms'][arm][0])} to {percent(shift['arms'][arm][-1])}" for arm in names)
    return svg(figure, "shift", f"Accuracy by shift intensity, {places[0]:.2f} to {places[-1]:.2f}. {ends}")
