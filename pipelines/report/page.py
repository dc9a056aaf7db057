"""The report page of one version: self-contained HTML, every image and chart inside."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image as Pillow

from pipelines.prompts import token_note
from pipelines.records import Image, Mask
from pipelines.report import figures
from pipelines.report.amounts import advice, class_rows, points
from pipelines.report.confusion import confusion_change, most_changed
from pipelines.report.curve import accuracy_by_amount, accuracy_by_shift
from pipelines.report.embedding_map import EmbeddingMap
from pipelines.report.figures import Spread, title
from pipelines.report.harm import harms
from pipelines.report.headline import carried, caveats, headline
from pipelines.report.map_picture import legend, picture, shapes
from pipelines.report.quality import questions, solid, summary_lines
from pipelines.report.shortfall import shortfalls
from pipelines.report.worst import worst_part
from pipelines.spec.arms import BASELINE, VERSION
from pipelines.spec.base import duration

LARGEST = 256  # pixels a side; a larger image is shrunk for the page
CLASSES = 20  # those that gain and lose most by a version
LOSSLESS = 96  # pixels a side up to which an image is displayed as it is
QUALITY = 85  # of larger ones, 0..100
TINT = np.array([255, 0, 170], dtype=np.uint8)  # a colour that few photographs have


@dataclass(frozen=True, slots=True)
class DisplayedSample:
    """One judged candidate, as the page displays it."""

    source: Image | None
    mask: Mask | None  # where the source was repainted
    generated: Image
    label: str
    origin: str | None  # class of the source image
    kept: bool
    reason: str | None  # "filter: why", of a dropped one
    scores: Mapping[str, float]  # "filter.score" -> value
    prompt: str
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    summary: Mapping[str, Any]  # summary.json
    samples: Sequence[DisplayedSample]
    curves: dict[str, list[tuple[int, float]]]  # token -> (step, loss)
    spec_yaml: str
    quality: Mapping[str, Any] | None = None  # quality_report.json
    pictures: Mapping[tuple[str, str], Image] = field(default_factory=dict)  # that it speaks of: by kind and id
    map: EmbeddingMap | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The images dropped for one reason: how many, and some of them."""

    reason: str
    count: int
    samples: list[DisplayedSample]


def tiles(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The figures below the headline: name, value, what it means."""
    arms, counts, probe = summary["arms"], summary["counts"], summary["probe_auc"]
    figures_ = []
    compared = (BASELINE, VERSION) if counts["kept"] or counts.get("carried") else (BASELINE,)
    averages = [f"{100 * arms[arm]['average']['mean']:.1f}" for arm in compared if arm in arms]
    if averages:
        figures_.append(("Average accuracy", " → ".join(averages) + " %", "on real test images"))
    figures_.append(
        (
            "Images kept",
            f"{counts['kept']:,}",
            f"of {counts['generated']:,} generated, {counts['planned']:,} planned{carried(counts)}",
        )
    )
    if probe is not None:
        figures_.append(("Real or generated?", f"{probe:.2f}", "AUC of a probe; 0.5: cannot be told apart"))
    return [*figures_, ("Time", duration(summary["seconds"]["total"]), "from plan to report")]


def cell(spread: Spread | None) -> tuple[str, str]:
    """Mean and standard deviation in percent; one seed has no deviation."""
    if spread is None:
        return "-", ""
    return f"{100 * spread['mean']:.1f}", f"± {100 * spread['std']:.1f}" if len(spread["values"]) > 1 else ""


def table(arms: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Rows of the accuracy table: name -> a cell an arm, in the order of the chart."""
    order = [arms[arm] for arm in figures.ordered(arms)]
    groups = dict.fromkeys(group for arm in order for group in arm.get("groups", {}))
    return {
        worst_part(arms).capitalize(): [cell(arm["worst_group"]) for arm in order],
        "Average": [cell(arm["average"]) for arm in order],
        **{group: [cell(arm.get("groups", {}).get(group)) for arm in order] for group in groups},
    }


def dropped(summary: Mapping[str, Any], samples: Sequence[DisplayedSample]) -> list[Group]:
    """Every reason with its count, the most frequent first, even when no image of it is at hand."""
    by_reason: dict[str, list[DisplayedSample]] = {reason: [] for reason in summary["counts"]["reasons"]}
    for sample in samples:
        if not sample.kept:
            by_reason.setdefault(sample.reason or "no reason given", []).append(sample)
    counts = {reason: summary["counts"]["reasons"].get(reason, len(by_reason[reason])) for reason in by_reason}
    return [Group(reason, counts[reason], by_reason[reason]) for reason in sorted(by_reason, key=lambda r: (-counts[r], r))]


def overlay(source: Image, mask: Mask) -> Image:
    """The source, the region to repaint tinted and outlined, the rest faded to grey."""
    thick = max(1, max(mask.shape) // 96)
    inner = mask.copy()
    for axis in (0, 1):
        for step in range(-thick, thick + 1):
            inner &= np.roll(np.pad(mask, thick), step, axis)[thick:-thick, thick:-thick]
    grey = source.mean(axis=2, keepdims=True)
    tinted: Image = np.where(mask[..., None], 0.6 * source + 0.4 * TINT, 0.25 * source + 0.75 * grey).astype(np.uint8)
    tinted[mask & ~inner] = TINT
    return tinted


def amounts(summary: Mapping[str, Any], advised: Mapping[str, Any]) -> dict[str, Any]:
    """The part about how many images are enough."""
    curve, worst = points(summary), worst_part(summary["arms"])
    enough = None if harms(summary) else max(advised["enough"].values())
    chart = accuracy_by_amount(curve, worst, enough)
    return {
        "amounts": curve,
        "advice": advised,
        "worst": worst,
        "amount_rows": class_rows(curve),
        "amounts_chart": Markup(chart),
    }


def uri(image: Image) -> str:
    """The image as a data URI: a photograph is compressed, or a hundred would be megabytes."""
    buffer, small = io.BytesIO(), figures.shrunk(image, LARGEST)
    if max(small.shape) <= LOSSLESS:
        Pillow.fromarray(small).save(buffer, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    Pillow.fromarray(small).save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"uri": uri, "duration": duration, "solid": solid}
TEMPLATES.globals |= {"overlay": overlay}


def render(page: Page) -> str:
    """The whole page. Same page, same bytes."""
    summary, counts = page.summary, page.summary["counts"]
    arms, changes, advised = summary["arms"], confusion_change(summary), advice(summary)
    return TEMPLATES.get_template("page.html.j2").render(
        page=page,
        counts=counts,
        seconds=summary["seconds"],
        headline=headline(summary),
        caveats=[*caveats(summary), *shortfalls(counts)],
        tiles=tiles(summary),
        token_note=token_note(sample.prompt for sample in page.samples),
        arms={arm: title(arm) for arm in figures.ordered(arms)},
        rows=table(arms),
        harmed=bool(harms(summary)),
        **(amounts(summary, advised) if advised else {"amounts": []}),
        shift_chart=Markup(accuracy_by_shift(summary["shift"])) if summary.get("shift") else None,
        confusion=changes,
        class_changes=most_changed(changes.classes, CLASSES) if changes else [],
        questions=questions(page.quality, page.pictures) if page.quality else [],
        quality_lines=summary_lines(page.quality) if page.quality else [],
        map_picture=picture(page.map) if page.map else None,
        map_kinds=shapes(page.map) if page.map else [],
        map_classes=legend(page.map, "class") if page.map else [],
        kept=[sample for sample in page.samples if sample.kept],
        dropped=dropped(summary, page.samples),
        arms_chart=Markup(figures.arms(arms)),  # our own SVG, in which matplotlib escaped every name
        reasons_chart=Markup(figures.reasons({"kept": counts["kept"], **counts["reasons"]})),
        curves_chart=Markup(figures.learning_curves(page.curves)),
    )
