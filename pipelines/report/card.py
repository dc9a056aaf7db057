"""The dataset card of a version, for Hugging Face."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from pipelines.report.card_evaluation import MEASURED_LATER, evaluation, harm
from pipelines.report.markdown import table, text
from pipelines.report.shortfall import shortfalls
from pipelines.spec import Models, VersionSpec
from pipelines.spec.base import quantity
from pipelines.spec.helpers import warnings

COLUMNS: dict[str, str] = {
    "image": "the generated image",
    "label": "what it was made to show: an index into the classes",
    "group": "the spurious attribute, carried over from the source image: its background, say; null if unknown or new",
    "box": "of the object it was made to show, in pixels: left, top, width, height; null where all of it was generated",
    "mask": "of that object, one bit a pixel: the region repainted for it, or a real object's outline; null likewise",
    "index": "its place in the plan",
    "attempt": "which try this was, from 0; earlier ones were dropped",
    "group_id": "of samples that belong together, as siblings of one prompt do; null if it belongs to none",
    "seed": "of its noise, derived from the version's seed, index and attempt",
    "origin": "class of the source image it was painted on, or shown; null if none was used",
    "source_id": "that image in the source; null if none was used",
    "source_sha256": "of that image's encoded bytes; null if none was used",
    "object_id": "another image that went into it: a real object's, or one mixed with the source; null if there was none",
    "object_sha256": "of that image's encoded bytes; null if there was none",
    "method": "how it was made",
    "prompt": "what the model was asked for",
    "concept": "address of the learned token in the store; null if none was used",
    "lora": "address of the learned LoRA in the store, of several that are fused joined by +; null if none was used",
    "strength": "share of the noise schedule that was run, above 0 up to 1",
    "guidance": "classifier-free guidance scale; 1 is off",
    "steps": "denoising steps of the full schedule",
    "model": "the text-to-image checkpoint",
    "revision": "of that checkpoint; null if unknown",
    "scores": 'every filter\'s score as JSON text: {"filter.score": value}',
    "reason": "why it was dropped; null if it was kept",
}
FILES = {"default": "data/*.parquet", "rejected": "rejected/*.parquet"}
WARNING = "These images are synthetic. Do not use them as real ones: not as a source, not for validation, not for tests."


def meaning(model: BaseModel) -> str:
    """The docstring of a part of the spec, with links to its papers."""
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text(type(model).__doc__ or ""))


def settings(model: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting, in order: name, value, description. Those of an inner model have its name as prefix."""
    rows = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += [(prefix + name, "", meaning(value)), *settings(value, f"{prefix}{name}.")]
        elif name != "type":
            written = ", ".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else value
            rows.append((prefix + name, text(written), text(field.description or "")))
    return rows


def front_matter(spec: VersionSpec, kept: int, title: str, licence: str | None) -> str:
    """The YAML metadata that the Hugging Face Hub reads."""
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    value = {
        "pretty_name": title,
        **({"license": licence} if licence else {}),
        "task_categories": ["image-classification"],
        "size_categories": [next((name for limit, name in sizes if kept < limit), "1M<n<10M")],
        "annotations_creators": ["machine-generated"],
        "tags": ["synthetic", "counterpoise", spec.method.type],
        "configs": [{"config_name": name, "data_files": [{"split": "train", "path": glob}]} for name, glob in FILES.items()],
    }
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def generators(models: Models, revisions: Sequence[str]) -> str:
    """The checkpoints that generate, each with its revision, where it is known, and its share of the images, where others
    generate, too: a sentence."""
    of_each = [f", revision {text(revision)}" for revision in revisions] or [""] * len(models.shares)
    parts = [text(name) + own for name, own in zip(models.generators.values(), of_each, strict=True)]
    if len(parts) == 1:
        return f"Model: {parts[0]}."
    return f"Models: {'; '.join(f'{part}, {share:.0%}' for part, share in zip(parts, models.shares, strict=True))}."


def card(
    spec: VersionSpec,
    counts: Mapping[str, Any],
    quality: Mapping[str, Any],
    classes: Sequence[str],
    *,
    version: int | None = None,
    revisions: Sequence[str] = (),
    licence: str | None = None,
) -> str:
    """README.md of a version. `counts` is as in its summary; `quality` may hold `mean_scores`, and `arms` with what goes
    with them; `revisions` are of the checkpoints that generate, in the order of the spec; none: unknown."""
    title = spec.name if version is None else f"{spec.name}, version {version}"
    filters = "\n".join(
        f"- **{filter_.type}**: {meaning(filter_)} {'; '.join(f'{name} {value}' for name, value, _ in settings(filter_))}"
        for filter_ in spec.filters
    )
    carried = counts.get("carried", 0)
    total = counts["kept"] + carried
    elsewhere = (
        "\n\nSome files may lie with earlier versions: `manifest.json` gives the `key` of each of them in the store.\n"
        "`counterpoise pull` puts all into one folder."
    )
    outcomes = {
        **({"carried over from an earlier version": carried} if carried else {}),
        "kept": counts["kept"],
        **dict(sorted(counts["reasons"].items(), key=lambda reason: (-reason[1], reason))),
    }
    skipped = [(f"source image skipped: {text(reason)}", f"{n:,}") for reason, n in sorted(counts["skipped"].items())]
    labels = counts.get("labels", {})
    scores = table(("score", "mean of the kept"), ((text(k), f"{v:.3g}") for k, v in quality.get("mean_scores", {}).items()))
    short = "\n".join(f"- {text(line)}" for line in shortfalls(counts))
    doubts = "".join(f"- {text(line)}\n" for line in warnings(spec))
    sheet = "\n![Kept images](figures/samples.png)\n" if total else ""
    return f"""---
{front_matter(spec, total, title, licence)}---

# {title}

{harm(counts, quality)}> **{WARNING}**

{quantity(total, "generated image")} of {len(classes)} classes, made by Counterpoise to train an image classifier on,
together with the real images of the source.
{sheet}
## Is a model trained on it better?

{evaluation(spec, counts, quality)}

What is wrong with it, with guilty images, is in `report/quality_report.json` and `report/report.html`, once they are there.

## What is in it

- `data/*.parquet`: the images, their labels and how each was made
- `rejected/*.parquet`: what was dropped, and why; the same columns

{table(("label", "class", "images"), ((str(i), text(c), f"{labels.get(c, 0):,}") for i, c in enumerate(classes)))}

{table(("outcome", "images"), [*((text(name), f"{n:,}") for name, n in outcomes.items()), *skipped])}

{quantity(counts["planned"], "image")} planned, {counts["generated"]:,} generated: a dropped image is tried again, at most
{quantity(spec.max_attempts, "time")} in all.

{short}

{table(("column", "meaning"), ((f"`{name}`", text(what)) for name, what in COLUMNS.items()))}

## How to load it

```python
from datasets import load_dataset

images = load_dataset("parquet", data_files="data/*.parquet", split="train")
images.features["label"].names
```

The same works with `streaming=True`, and with the full address of the files, such as
`s3://bucket/datasets/{spec.name}/v{version or 1}/data/*.parquet`.{elsewhere if carried else ""}

## How it was made

**{spec.method.type}**: {meaning(spec.method)}

{table(("setting", "value", "meaning"), settings(spec.method))}

{generators(spec.models, revisions)} Seed: {spec.seed}; every random
choice derives from it.

Images are stored as {spec.encoding}. {meaning(spec.encoding)}

### Source

**{spec.source.type}**: {meaning(spec.source)}

{table(("setting", "value", "meaning"), settings(spec.source))}

### Filters, in this order

{filters or "None: every image was kept."}

{scores if quality.get("mean_scores") else ""}

## Limits

- A label is what an image was made to show. The filters checked it; no person did.
- Whatever the model and the source are biased towards, these images are too.
- Where a source image was painted on, the pixels around the repainted region are its own: its licence, and the privacy of
  whoever it shows, extend to this dataset. So may the licence of the model.
- Trained on alone, without the real images, they are likely to do worse.
- The Counterpoise service refuses them as a real source: models that feed on their own images degrade.
{doubts}"""


def evaluated(published: str, spec: VersionSpec, summary: Mapping[str, Any]) -> str:
    """The card of a version with its evaluation, if it has any, which it was published without."""
    counts, warning = summary["counts"], f"> **{WARNING}**"
    measured = published.replace(MEASURED_LATER, evaluation(spec, counts, summary), 1)
    return measured.replace(warning, harm(counts, summary) + warning, 1)
