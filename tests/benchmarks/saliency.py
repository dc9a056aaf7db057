"""How well each pruning head agrees with the oracle on images repainted as another class, and so each measure of evidence:
`python -m tests.benchmarks.saliency [IMAGES]`.

Boots and sneakers of the built-in world, every image kept. A row a head: the share that it keeps, the share of those that the
oracle takes for their label, the share of verdicts on which both agree, and the area under the ROC curve of its score.
"""

import sys
import tempfile
from pathlib import Path

from pipelines.builtin.oracle import Oracle
from pipelines.experiments.ablation import heads
from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.spec import parse
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import read_plan


def main(images: int = 240) -> None:
    spec = parse(
        {
            "name": "saliency",
            "source": {"type": "spurious", "train": 600, "validation": 16, "test": 16},
            "method": {
                "type": "spurious_removal",
                "superclass": "shoe",
                "inversion": {"images": 40, "steps": 100, "batch": 8},
                "repaint_own": False,
                "guidance": 3,
                "steps": 10,
            },
            "amount": {"total": images},
            "classifier": {"steps": 200},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        run(spec, Path(folder), Silent())
        resources = Resources(spec, Store.open(folder), Silent())
        plan = read_plan(resources.store, resources.root)
        assert plan is not None
        oracle = Oracle()
        samples = rows.read_shards(resources.store, resources.root, plan, rejected=False)
        figures = heads(resources, samples, oracle)
    print(f"{len(samples)} images, every one painted over another class\n")
    print("| head | kept | of these right | agreement | area under the curve |\n|---|---:|---:|---:|---:|")
    for name, row in figures.items():
        print(f"| {name} | {row['kept']:.0%} | {row['right']:.0%} | {row['agreement']:.0%} | {row['auc']:.2f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
