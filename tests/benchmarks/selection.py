"""What a checkpoint is worth by how it is chosen: `python -m tests.benchmarks.selection OUT [IMAGES [SEEDS]]`.

On the version of `tests.benchmarks.saliency` with as many images, which lies in OUT. All choose among the same ten
checkpoints of trainings beside four fifths of it; a row a choice: the accuracy of the worst group and the average on the
real test images, means over the seeds.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.evaluation.data import EvaluationData
from pipelines.methods import open_method
from pipelines.progress import Silent
from pipelines.records import Examples
from pipelines.spec import Evaluation
from pipelines.training.batches import Feed
from pipelines.training.erm import erm
from pipelines.training.loop import Loop
from pipelines.training.metrics import Score, score
from pipelines.training.task import Task
from tests.benchmarks.saliency import generated, repainted
from tests.training.test_selection import set_apart

STEPS = 300


def trained(data: EvaluationData, seed: int) -> list[dict[str, Score]]:
    """The scores of ten checkpoints on the validation images, by group and subpopulation, the samples set apart, and
    the test images."""
    classes, validation = data.resources.source.classes, data.validation
    assert validation is not None
    rest, apart = set_apart(data.examples(data.samples), data.kinds, seed)
    clusters = replace(validation, groups=data.taken_for)
    parts = {"validation": validation, "subpopulations": clusters, "apart": apart, "test": data.test}
    checkpoints: list[dict[str, Score]] = []

    def score_of(loop: Loop, examples: Examples) -> Score:
        return score(loop.model.scores(examples.images), classes, examples.labels, examples.groups)

    def check(loop: Loop, step: int) -> None:
        if step % (STEPS // 10) == 0:
            checkpoints.append({name: score_of(loop, examples) for name, examples in parts.items()})

    unwatched, Loop.check = Loop.check, check  # type: ignore[method-assign]
    try:
        classifier = data.resources.spec.classifier.model_copy(update={"steps": STEPS})
        real, added = Feed(data.real, classes), Feed(rest, classes)
        stage: Any = Silent().stage("fit", STEPS)
        erm(Task(classifier, classes, real, added, None, gamma=4.0, seed=seed, device="cpu", progress=stage))
    finally:
        Loop.check = unwatched  # type: ignore[method-assign]
    return checkpoints


def main(out: str, images: int = 320, seeds: int = 3) -> None:
    resources, plan = generated(repainted(images), Path(out))
    data = EvaluationData(resources, plan, open_method(resources), Evaluation())
    runs = [trained(data, seed) for seed in range(seeds)]
    print("| `checkpoint:` | worst group | average |\n|---|---:|---:|")
    for name in ("best", "average", "subpopulations", "generated", "last"):
        part = {"generated": "apart", "subpopulations": name}.get(name, "validation")
        chosen = []
        for checkpoints in runs:
            merits = [one[part].merit(name) for one in checkpoints]
            last = len(merits) - 1
            # of equal ones the first, and the last of generated images
            place = last if name == "last" else merits.index(max(merits))
            if name == "generated":
                place = last - merits[::-1].index(max(merits))
            chosen.append(checkpoints[place]["test"])
        worst, average = (np.mean([getattr(one, figure) for one in chosen]) for figure in ("worst_group", "average"))
        print(f"| `{name}` | {100 * worst:.1f} % | {100 * average:.1f} % |")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
