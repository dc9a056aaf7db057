"""Add the inpainting twin to the bundle's quality card: regions that it repaints, beside those that the plain model does.

Both repaint the square around the garment of held-out renders as another garment, through the engine, from the same noise;
the prompt names no scene. What stands around the region must tell it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from transformers import ResNetForImageClassification

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import resolve
from pipelines.builtin.oracle import Oracle
from pipelines.builtin.train.language import phrase
from pipelines.builtin.train.oracle import recognise, spoken
from pipelines.builtin.train.pictures import fresh
from pipelines.builtin.train.quality import HOME, sheet
from pipelines.builtin.world import COLOURS, WORDS
from pipelines.chance import derive
from pipelines.engine.engine import Engine
from pipelines.filters.quality import seam
from pipelines.records import Candidate, Image, Mask, Request
from pipelines.regions import bounds, region
from pipelines.spec import Machine, QualityFilter
from pipelines.spec.models import BUILTIN, BUILTIN_INPAINTING

STEPS, GUIDANCE, GROW = (10, 25), 5.0, 0.1
MAX_SEAM = QualityFilter(type="quality").max_seam
TITLE = "## Repainting a region"
SECTION = (
    TITLE
    + """

![Source, what is kept of it, repainted by the plain model, repainted by the twin](quality-inpainting.png)

Columns: a rendered picture, what is kept of it, repainted by the plain model, and by its inpainting twin
(`builtin-inpainting`), with {steps} steps. The prompt names another garment, for every second picture its colour, and never
the scene.

Of {images} pictures, whose garments no model was trained on, with guidance {guidance:.0f}:

| | {columns} |
|---|{rules}
{rows}

The scene is judged in the region alone, continued by its mirror image; the other two in the whole picture, the colour where
it was named. The seam is the change of mean colour along the inner edge of the region, 0 to 1; it passes the filter
`quality` up to {max_seam}.
{training}"""
)


@dataclass(frozen=True, slots=True)
class Task:
    """Pictures to repaint, and as what."""

    images: list[Image]
    regions: list[Mask]
    factors: NDArray[np.int64]  # (n, 3): word and colour to paint, and the scene that is there
    coloured: NDArray[np.bool_]  # (n,), whether the prompt names the colour

    def requests(self, steps: int, seed: int) -> list[Request]:
        requests = []
        for number, (word, colour, _) in enumerate(self.factors):
            prompt = f"a photo of a {phrase(WORDS[word], list(COLOURS)[colour] if self.coloured[number] else None, None)}"
            image, mask = self.images[number], self.regions[number]
            noise = derive(seed, "noise", number)
            requests.append(
                Request(number, 0, noise, WORDS[word], "", prompt, image=image, mask=mask, guidance=GUIDANCE, steps=steps)
            )
        return requests


def draw_tasks(count: int, seed: int) -> tuple[Task, Task]:
    """Held-out renders to repaint as other garments; and the same as they are, to be judged as well."""
    rng, data = np.random.default_rng(seed), fresh(seed)
    rows = rng.permutation(len(data.images))[:count]
    images, regions = list(data.images[rows]), [region(mask, "box", GROW) for mask in data.masks[rows]]
    true = spoken(data.factors[rows])
    words = (true[:, 0] + rng.integers(1, len(WORDS), size=count)) % len(WORDS)
    factors = np.column_stack([words, rng.integers(len(COLOURS), size=count), true[:, 2]])
    coloured = np.arange(count) % 2 == 0
    return Task(images, regions, factors, coloured), Task(images, regions, true, np.ones(count, np.bool_))


def repaint(backbone: Backbone, task: Task, steps: int, seed: int) -> list[Candidate]:
    finished = Engine(backbone).run(task.requests(steps, seed))
    return sorted(finished, key=lambda candidate: candidate.request.index)


def continued(image: Image, mask: Mask) -> Image:
    """The masked square alone, continued to the size of the image by mirroring: nothing of what lies around it is left."""
    rows, columns = bounds(mask)
    margins = [(part.start, side - part.stop) for part, side in zip((rows, columns), mask.shape, strict=True)]
    return np.pad(image[rows, columns], [*margins, (0, 0)], mode="symmetric")


def measure(oracle: ResNetForImageClassification, candidates: Sequence[Candidate], task: Task) -> dict[str, float]:
    """Shares of the candidates whose scene, garment and colour the oracle recognises as the task's, and their seams."""
    images = np.stack([candidate.image for candidate in candidates])
    alone = np.stack([continued(image, mask) for image, mask in zip(images, task.regions, strict=True)])
    agree = spoken(recognise(oracle, images)) == task.factors
    seams = np.array([seam(candidate) for candidate in candidates])
    return {
        "scene": round(float((recognise(oracle, alone)[:, 2] == task.factors[:, 2]).mean()), 4),
        "garment": round(float(agree[:, 0].mean()), 4),
        "colour": round(float(agree[task.coloured, 1].mean()), 4),
        "seam": round(float(seams.mean()), 4),
        "seam passes": round(float((seams <= MAX_SEAM).mean()), 4),
    }


def row(name: str, values: Sequence[float]) -> str:
    cells = [f"{value:.3f}" if name == "seam" else f"{value:.1%}" for value in values]
    return f"| {name} | {' | '.join(cells)} |"


def write(home: Path, card: dict[str, Any], log: Path) -> None:
    """Put the section in place of an earlier one in QUALITY.md, and its numbers into quality.json."""
    rates, training = card["rates"], ""
    if log.exists():
        took = json.loads(log.read_text())
        training = f"\nThe twin was trained in {took['steps']} steps, {took['seconds'] / 60:.0f} minutes.\n"
        card = {**card, "training": {key: took[key] for key in ("steps", "seconds", "seed")}}
    section = SECTION.format(
        steps=STEPS[0],
        images=card["images"],
        guidance=GUIDANCE,
        columns=" | ".join(rates),
        rules="---:|" * len(rates),
        rows="\n".join(row(name, [column[name] for column in rates.values()]) for name in rates["rendered"]),
        max_seam=MAX_SEAM,
        training=training,
    )
    file, numbers = home / "QUALITY.md", home / "quality.json"
    file.write_text(file.read_text().partition(f"\n{TITLE}")[0] + "\n" + section)
    numbers.write_text(json.dumps({**json.loads(numbers.read_text()), "inpainting": card}, indent=2) + "\n")
    print(section)


def main(
    twin: Path | None = None, work: Path = Path(".training"), images: int = 320, seed: int = 7, home: Path = HOME
) -> None:
    """`twin`: a folder with another twin than the bundle's."""
    task, original = draw_tasks(images, seed)
    oracle = Oracle().model
    rendered = [Candidate(request, image) for request, image in zip(original.requests(1, 0), original.images, strict=True)]
    rates = {"rendered": measure(oracle, rendered, original)}
    cpu = Machine(device="cpu")
    backbones = {
        "plain": open_backbone(resolve(BUILTIN, "model"), cpu),
        "twin": open_backbone(str(twin) if twin else resolve(BUILTIN_INPAINTING, "model"), cpu),
    }
    repainted: dict[str, list[Candidate]] = {}
    for steps in STEPS:
        for name, backbone in backbones.items():
            column = f"{name}, {steps} steps"
            repainted[column] = repaint(backbone, task, steps, seed)
            rates[column] = measure(oracle, repainted[column], task)
    kept = [np.where(mask[..., None], np.uint8(127), image) for image, mask in zip(task.images, task.regions, strict=True)]
    drawn = [[candidate.image for candidate in repainted[f"{name}, {STEPS[0]} steps"]] for name in backbones]
    one_a_scene = np.unique(task.factors[:, 2], return_index=True)[1]
    rows = [part[number] for number in one_a_scene for part in (task.images, kept, *drawn)]
    sheet(np.stack(rows), columns=4).save(home / "quality-inpainting.png", optimize=True)
    write(home, {"images": images, "seed": seed, "guidance": GUIDANCE, "rates": rates}, work / "inpainting.json")


if __name__ == "__main__":
    typer.run(main)
