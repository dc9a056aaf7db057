"""What perfect variations of few shots would be worth: `python -m tests.benchmarks.recombined OUT [SHOTS,...] [IMAGES]`.

The renderer draws the garments of the training images again, each in colours, scenes and places drawn evenly; or with its
own colour, or its own scene, kept. There are as many images of a class as in the bench's versions (or IMAGES), every label
is right, and nothing is blurred; but no other garment is in them. The classifier is trained on them as on a version. The
versions of the bench lie in OUT, and are made where they do not.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.sources import splits
from pipelines.builtin.world import SCENES, Factors, draw
from pipelines.chance import derive
from pipelines.evaluation.runs import Run
from pipelines.evaluation.train import train_and_score
from pipelines.experiments.benchmarks import FIRST, FULL, SHOTS, benchmarks, spec_of
from pipelines.experiments.tables import cell, gaps_closed
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Examples
from pipelines.run import run
from pipelines.spec import FewShotSource
from pipelines.spec.arms import BASELINE, CEILING, VERSION
from pipelines.store.object_store import Store
from pipelines.training.metrics import summary

SEEDS = (0, 1, 2)
Kept = Callable[[Factors, Factors], Factors]  # a new picture and the shot: the picture with what it keeps of the shot
KEPT: dict[str, Kept] = {
    "nothing": lambda new, shot: new,
    "colour": lambda new, shot: replace(new, colour=shot.colour),
    "scene": lambda new, shot: replace(new, scene=shot.scene, seed=shot.seed),
}


def variation(shot: Factors, number: int) -> Factors:
    """The same garment in another picture."""
    rng = np.random.default_rng(derive(shot.seed, "again", number))
    return draw(rng, shot.garment, shot.item, scene=SCENES[rng.integers(len(SCENES))])


def recombined(shots: Sequence[Factors], per_class: int, kept: Kept) -> list[Factors]:
    """`per_class` pictures of the garments of a class's shots in turn."""
    pictures: list[Factors] = []
    for garment in dict.fromkeys(shot.garment for shot in shots):
        own = [shot for shot in shots if shot.garment == garment]
        for number in range(per_class):
            shot = own[number % len(own)]
            pictures.append(kept(variation(shot, number), shot))
    return pictures


def rendered(pictures: Sequence[Factors]) -> Examples:
    items = wardrobe.for_sources().items
    pixels = [render(factors, items[factors.garment][factors.item]).image for factors in pictures]
    return Examples(pixels, [factors.garment for factors in pictures], [None] * len(pictures))


def accuracies(shots: int, seed: int, out: Path, images: int) -> dict[str, float]:
    """On average, of real images alone, of variations that keep each of `KEPT`, and of as many other real images."""
    name = f"few_shot_{shots}"
    spec = spec_of(name, benchmarks(FULL)[name], FIRST, seed)
    assert isinstance(spec.source, FewShotSource)
    made = run(spec, out, Silent())
    evaluator = Job(spec, Store.open(out), Silent(), made["version"]).evaluator
    assert evaluator is not None
    (ceiling,) = evaluator.arguments(Run(CEILING, seed, 1.0))
    own = splits(spec.source)["train"]
    result = {arm: float(made["arms"][arm]["average"]["mean"]) for arm in (BASELINE, CEILING)}
    for key, kept in KEPT.items():
        training = replace(ceiling, arm=VERSION, added=rendered(recombined(own, images, kept)))
        result[key] = float(train_and_score(training, Silent().stage("", 0))["average"])
    return result


def main(out: str, shots: str = ",".join(map(str, SHOTS)), images: str = str(FULL.few_images)) -> None:
    heads = [f"keeping {key}" for key in KEPT]
    print(f"| shots | `{BASELINE}` | {' | '.join(heads)} | `{CEILING}` |\n|{'---:|' * (len(heads) + 3)}", flush=True)
    for number in map(int, shots.split(",")):
        draws = [accuracies(number, seed, Path(out), int(images)) for seed in SEEDS]
        arms = {arm: summary([one[arm] for one in draws]) for arm in draws[0]}
        gaps = gaps_closed(arms)
        cells = [cell(arms[arm], gaps.get(arm)) for arm in (BASELINE, *KEPT, CEILING)]
        print(f"| {number} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
