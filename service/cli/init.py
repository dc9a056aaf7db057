"""`counterpoise init`: a commented spec for a folder of images, by what is in it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipelines.errors import CounterpoiseError, SpecError
from pipelines.spec import FolderSource, ParquetSource, WebDatasetSource, parse
from pipelines.spec.models import BUILTIN, CROSS_ATTENTION
from pipelines.spec.sources import PathSource
from service.cli.output import console

if TYPE_CHECKING:
    from pipelines.backbones.inspection import Inspection
    from pipelines.source.source import Source

Situation = Literal["spurious", "long-tail", "few-shot"]
TAIL = 5  # times that the largest class is as large as the smallest, from which on classes are balanced
STEPS = 25
LISTED = 12  # classes, at most, whose words are proposed one by one
HEADLINES: dict[Situation, str] = {
    "spurious": "The images have groups: each class is repainted on the backgrounds of the others.",
    "long-tail": "Some classes are {ratio:.0f} times as large as others: each is filled up to the largest, by variations.",
    "few-shot": "The classes are of like sizes: new images of each, by a token that is learned from its own.",
}
AMOUNTS: dict[Situation, str] = {
    "spurious": "  per_class: 200            # or total, multiply, or balance: groups",
    "long-tail": "  balance: classes          # or per_class, total, multiply",
    "few-shot": "  per_class: 100            # or total, multiply",
}


def source_of(folder: Path) -> PathSource:
    """The spec of a folder by what lies in it. Raises SpecError where it is none."""
    if not folder.is_dir():
        raise SpecError(f"{folder} is no folder; give the one that holds a folder of images for each class")
    path = str(folder.resolve())
    tables = [path for pattern in ("*.parquet", "*/*.parquet") for path in folder.glob(pattern)]
    if any(path.name.lower() != "metadata.parquet" for path in tables):  # which is a table beside images
        return ParquetSource(type="parquet", path=path)
    if any(folder.glob("*.tar")):
        return WebDatasetSource(type="webdataset", path=path)
    return FolderSource(type="folder", path=path)


def situation_of(counts: Mapping[str, Mapping[str | None, int]]) -> tuple[Situation, float]:
    """What a dataset lacks, by its training images of each class by group; and how many times its largest class is as large
    as its smallest."""
    sizes = [sum(groups.values()) for groups in counts.values()]
    ratio = max(sizes) / min(sizes)
    groups = {group for by_group in counts.values() for group in by_group if group is not None}
    if len(groups) > 1:
        return "spurious", ratio
    return ("long-tail" if ratio >= TAIL else "few-shot"), ratio


def method_lines(
    situation: Situation,
    limits: Mapping[str, str],
    superclass: str,
    most_steps: int | None,
    *,
    masked: bool,
    by_class: Mapping[str, str],
) -> list[str]:
    """The method's lines, within what the checkpoint can do: it learns a token a class, `masked` from objects alone, else a
    LoRA, else nothing. `by_class`: words for each class, where the superclass is a guess."""
    kind = {"spurious": "spurious_removal", "long-tail": "image_variation", "few-shot": "text_to_image"}[situation]
    if kind == "image_variation" and "image_to_image" in limits:
        kind = "text_to_image"
    lines = [f"  type: {kind}"]
    if kind != "spurious_removal" and "inversion" not in limits:
        lines.append("# type: subpopulation       # or this, where a classifier leans on something that nobody can name")
    if kind == "spurious_removal" or "inversion" not in limits:
        change = ": a guess, change it" if by_class else ""
        lines.append(f"  superclass: {superclass:<15} # ONE word for what all classes are{change}")
        if 0 < len(by_class) <= LISTED:
            lines.append(f"# superclass: {json.dumps(by_class)}   # or one for each class, where no word is all classes'")
    if "inversion" not in limits:
        lines.append(f"  inversion: {{vectors: 4, steps: 500, batch: 4{'' if masked else ', masked: false'}}}")
    elif kind == "spurious_removal":
        lines.append("  inversion: null")
    if "inversion" in limits and "lora" not in limits:
        lines.append("  lora: {rank: 8, steps: 500, batch: 2}")
    if most_steps is not None:
        lines.append("  guidance: 1               # the checkpoint is distilled to few steps without")
    return [*lines, f"  steps: {most_steps or STEPS}"]


def model_lines(model: str, limits: Mapping[str, str], situation: Situation) -> list[str]:
    if model == BUILTIN:
        return [
            "# models:                   # left out: the bundled one, which knows small pictures of garments alone",
            "#   text_to_image: /path/to/a/checkpoint",
        ]
    lines = ["models:", f"  text_to_image: {json.dumps(model)}"]
    if situation == "spurious" or not {"inversion", "cross_attention"} & limits.keys():  # objects are segmented
        lines.append(f"  segmenter: {CROSS_ATTENTION if 'cross_attention' not in limits else 'CIDAS/clipseg-rd64-refined'}")
    return lines


def lacks(source: "Source", split: str) -> bool:
    """Whether any class has no images of a split."""
    return not all(source.of(label, split) for label in source.classes)


def cuts_validation(source: "Source") -> bool:
    """Whether there are training and test images alone, so that some of the former are to validate."""
    return not source.splits["validation"] and not lacks(source, "test")


def evaluation_lines(source: "Source") -> list[str]:
    """An evaluation, where every class has images to evaluate with."""
    if lacks(source, "test") or (lacks(source, "validation") and not cuts_validation(source)):
        return ["# evaluation: needs validation and test images of every class, which these are not"]
    return [
        "evaluation:                 # does a classifier gain by the version? leave it out, and nothing is trained",
        "  arms: [erm, classical, counterpoise]",
        "  seeds: [0, 1, 2]",
    ]


def compose(
    name: str,
    source: "Source",
    spec: PathSource,
    model: str,
    inspection: "Inspection",
    superclass: str,
    by_class: Mapping[str, str],
) -> str:
    """The spec, as YAML with comments. A superclass that is guessed, with words `by_class` beside it, may be in no image,
    and is not segmented."""
    situation, ratio = situation_of(source.counts)
    masked = situation == "spurious" or not (by_class or "cross_attention" in inspection.limits)
    classes = ", ".join(f"{sum(groups.values())} {label}" for label, groups in source.counts.items())
    lines = [
        f"# {classes}.",
        f"# {HEADLINES[situation].format(ratio=ratio)}",
        "# Check it: counterpoise validate. Every field: counterpoise schema.",
        f"name: {name}",
        "source:",
        f"  type: {spec.type}",
        f"  path: {json.dumps(spec.path)}",
        "# classes: [..]             # some of them alone",
        "# shots: 8                  # so many training images of each alone",
        *(["  validation_share: 0.15    # of the training images, as there are none"] if cuts_validation(source) else []),
        *model_lines(model, inspection.limits, situation),
        "method:",
        *method_lines(situation, inspection.limits, superclass, inspection.most_steps, masked=masked, by_class=by_class),
        "amount:",
        AMOUNTS[situation],
        "filters:                    # what is dropped is generated again, max_attempts times",
        "  - {type: quality}",
        "  - {type: near_duplicate}",
        *([] if model == BUILTIN else ["# classifier: {checkpoint: microsoft/resnet-50}   # from scratch it knows little"]),
        *evaluation_lines(source),
        "seed: 0",
    ]
    return "\n".join(lines) + "\n"


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the images.")],
    model: Annotated[str, typer.Option(help="The text-to-image checkpoint: a path, or an id of the hub.")] = BUILTIN,
    superclass: Annotated[str, typer.Option(help="One word for what all classes are: bird.")] = "",
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("spec.yaml"),
) -> None:
    """Write a commented spec for a folder of images, by what is in it: few shots, a long tail or a shortcut."""
    if out.exists():
        raise CounterpoiseError(f"--out: {out} is there already; name another file, or remove it")
    import yaml

    from pipelines.backbones.capabilities import check_models
    from pipelines.backbones.inspection import inspect
    from pipelines.backbones.vocabulary import single_tokens, suggestions
    from pipelines.builtin.checkpoints import resolve
    from pipelines.source.open import open_source

    path = str(Path(model).resolve()) if Path(model).exists() else model
    inspection = inspect(resolve(path, "model"), path)
    spec = source_of(folder)
    source = open_source(spec)
    tokens = single_tokens(inspection.folder)
    word = superclass or next(iter(suggestions("object", tokens)), "object")
    by_class = {} if superclass else {label: next(iter(suggestions(label, tokens)), label) for label in source.classes}
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "images"
    text = compose(name, source, spec, path, inspection, word, by_class)
    document: Any = yaml.safe_load(text)
    check_models(parse(document))  # what is written is valid
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CounterpoiseError(f"--out: {out} cannot be written ({error.strerror}); name another file") from None
    for line in source.summary:
        console.print(line, markup=False, soft_wrap=True)
    if not superclass and document["method"].get("superclass"):
        console.print(f"superclass: {word!r} is a guess; change it in {out}, or give --superclass", soft_wrap=True)
    console.print(f"Written: {out}. Read it, then: counterpoise validate {out}", soft_wrap=True)
