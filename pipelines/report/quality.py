"""The quality report as the page displays it: four questions, their findings, figures and guilty images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GUILTY = 6  # images of a finding that are displayed
Pictures = Mapping[tuple[str, str], Any]  # by kind and id: their pixels, or what else a page displays them by
QUESTIONS = {
    "unrealistic": "Do samples look real?",
    "unvaried": "Are they varied?",
    "unoriginal": "Are they new?",
    "unrepresentative": "Do they show what was asked for?",
}
NAMES = {
    "probe_auc": "Real or generated: AUC of a probe",
    "striking": "Share that looks less real than 99 % of real images",
    "frechet_distance": "Fréchet distance",
    "cmmd": "CMMD",
    "kid": "KID within a class",
    "quality_dropped": "Share that the filter quality dropped",
    "vendi_ratio": "Vendi score over that of real images, worst class",
    "close_pairs": "Share with another nearer than 99 % of real images have",
    "repeats": "Share that nearly repeats another sample",
    "coverage": "Coverage",
    "recall": "Recall",
    "copies": "Share that nearly repeats training images",
    "memorisation": "Share nearer to training than to held-out images",
    "leaks": "Share that nearly repeats validation or test images",
    "wrong_labels": "Share whose label is doubtful",
    "class_share": "Samples of those asked for, worst class",
    "shortcut": "Share of a class on groups of its own, with real images",
    "missing_words": "Share of words without a sample",
    "missing_groups": "Share of groups without a sample",
    "precision": "Precision",
    "density": "Density",
}
KINDS = {"sample": "another sample", "train": "training image", "held-out": "validation or test image"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A guilty image, or what it is to be looked at with."""

    image: Any = field(compare=False)  # as Pictures has it
    caption: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a measure found, its worst class where it has classes, and pairs of images, or images alone."""

    text: str
    images: list[list[Picture]]


@dataclass(frozen=True, slots=True)
class Question:
    """A question's part of the page."""

    title: str
    found: bool
    headline: str
    findings: list[Finding]
    rows: list[tuple[str, str, str, str]]  # measure, value, of real images, limit


def solid(text: str) -> str:
    """Keeps numbers, their arrow and their percent signs on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" → ", "\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def limit(measure: Mapping[str, Any]) -> str:
    """'≤ 0.7'."""
    return "" if measure["limit"] is None else f"{'≥' if measure['below'] else '≤'} {number(measure['limit'])}"


def findings(measures: Sequence[Mapping[str, Any]], pictures: Pictures) -> list[Finding]:
    """What the measures of a question found. Of two with the same images, the first displays them."""
    found: list[Finding] = []
    for measure in measures:
        if measure["found"]:
            images = pairs(measure, pictures)
            again = any(images and images == earlier.images for earlier in found)
            found.append(Finding(measure["text"], [] if again else images))
    return found


def pairs(measure: Mapping[str, Any], pictures: Pictures) -> list[list[Picture]]:
    """The guilty images of a measure that are at hand, each with what it is to be looked at with."""
    images = []
    for guilty in measure["images"][:GUILTY]:
        beside, own = guilty["beside"], pictures.get(("sample", guilty["id"]))
        if own is None:
            continue
        pair = [Picture(own, f"{guilty['label']}, sample {guilty['id']}: {guilty['note']}")]
        if beside and (other := pictures.get((beside["kind"], beside["id"]))) is not None:
            pair.append(Picture(other, f"{KINDS[beside['kind']]} of {beside['label']}: {beside['id']}"))
        images.append(pair)
    return images


def questions(report: Mapping[str, Any], pictures: Pictures) -> list[Question]:
    """The four parts, of a quality report; none where it could not be made."""
    return [
        Question(
            title=title,
            found=section["found"],
            headline=section["headline"],
            findings=findings(section["measures"], pictures),
            rows=[
                (NAMES.get(m["name"], m["name"]), number(m["value"]), number(m["real"]), limit(m))
                for m in section["measures"]
            ],
        )
        for name, title in QUESTIONS.items()
        if (section := report["sections"].get(name))
    ]


def title(name: str) -> str:
    """Of what is otherwise than in the version before."""
    named = {**NAMES, "candidates_per_sample": "Candidates of a sample"}
    return named.get(name, f"Share that the filter {name.removesuffix('_dropped')} dropped")


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Sentences above the questions: of how many images, what a sample took, and what is otherwise than before."""
    images, spent = report["images"], report["yield"]
    lines = list(report["notes"])
    if images:
        counts = f"{images['measured']:,} of {images['samples']:,} samples, beside {images['train']:,} training images and"
        lines.append(f"Of {counts} {images['held_out']:,} held-out ones, by CLIP ({report['clip']}) and by their pixels.")
    if spent["candidates_per_sample"]:
        took = f"A sample took {spent['candidates_per_sample']:.2f} candidates and {spent['seconds_per_sample']:.2g} seconds"
        drops = ", ".join(f"{name} dropped {100 * part['share']:.0f} %" for name, part in spent["filters"].items())
        lines.append(f"{took}; {drops}." if drops else f"{took}.")
    moved = [
        f"{title(name)} {number(part['before'])} → {number(part['after'])}"
        for name, part in (report["changes"] or {}).items()
        if number(part["before"]) != number(part["after"])
    ]
    return [*lines, f"Since the version before: {'; '.join(moved)}."] if moved else lines
