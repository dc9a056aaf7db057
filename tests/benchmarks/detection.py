"""What two filters know of generated images: `python -m tests.benchmarks.detection [IMAGES]`.

`rigid`: the area under the ROC curve of its similarity, real test images against generated ones of the same classes, by the
size of the noise; the paper's claim is above a half. `diffusion_classifier`: the share of real images that it takes for
their class, and of generated ones on which it agrees with the oracle about whether the label is right. Three garments that
the bundled model has words for, and three kinds of shoe, by learned tokens.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.builtin.oracle import Oracle
from pipelines.experiments.ablation import auc
from pipelines.filters.diffusion_classifier import DenoisingError
from pipelines.filters.rigid import Rigid
from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.records import Candidate, Request
from pipelines.run import run
from pipelines.source.decode import decode
from pipelines.spec import DiffusionClassifierFilter, RigidFilter, parse
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import read_plan

NOISES = (0.02, 0.05, 0.1)
TOKENS = {"superclass": "shoe", "inversion": {"images": 16, "steps": 60, "batch": 8}}
WORLDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "garments": (("trousers", "bag", "dress"), {}),
    "shoes": (("sandal", "sneaker", "boot"), TOKENS),
}


def measure(name: str, images: int, folder: Path) -> None:
    classes, tokens = WORLDS[name]
    spec = parse(
        {
            "name": name,
            "source": {"type": "few-shot", "classes": classes, "shots": 16, "validation": 12, "test": images},
            "method": {"type": "text_to_image", "steps": 10, **tokens},
            "amount": {"total": images},
        }
    )
    run(spec, folder, Silent())
    resources = Resources(spec, Store.open(folder), Silent())
    plan = read_plan(resources.store, resources.root)
    assert plan is not None
    samples = rows.read_shards(resources.store, resources.root, plan, rejected=False)
    items = resources.source.splits["test"]
    pairs = [(resources.view.images([item])[0], item.label) for item in items]
    generated = [(decode(row["image"], allow_synthetic=True), classes[row["label"]]) for row in samples]
    real, made = (
        [
            Candidate(Request(index=n, attempt=0, seed=n, label=label, method="", prompt=""), image)
            for n, (image, label) in enumerate(part)
        ]
        for part in (pairs, generated)
    )
    for noise in NOISES:
        rigid = Rigid(resources, RigidFilter(type="rigid", noise=noise))
        area = auc(np.array(rigid.similarities(real)), np.array(rigid.similarities(made)))
        print(f"{name}: rigid, noise {noise}: area under the curve {area:.2f}")
    filter_ = DenoisingError(resources, DiffusionClassifierFilter(type="diffusion_classifier"))
    own = np.array([verdict.kept for verdict in filter_.judge(real)])
    kept = np.array([verdict.kept for verdict in filter_.judge(made)])
    predicted = Oracle().garments([candidate.image for candidate in made], classes)
    right = np.array([name == candidate.request.label for name, candidate in zip(predicted, made, strict=True)])
    print(f"{name}: diffusion_classifier is right of {own.mean():.0%} of real images; keeps {kept.mean():.0%} of generated")
    print(f"  ones; {right[kept].mean():.0%} of these are right, {right.mean():.0%} of all")
    print(f"  agreement with the oracle {(kept == right).mean():.0%}")


def main(images: int = 60) -> None:
    for name in WORLDS:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, images, Path(folder))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
