"""How well each pruning head agrees with the oracle on images repainted as another class, and so each measure of evidence:
`python -m tests.benchmarks.saliency OUT [IMAGES]`.

Boots and sneakers of the built-in world, every image kept; the version lies in OUT. A row a head: the share that it keeps,
the share of those that the oracle takes for their label, the share of verdicts on which both agree, and the area under the
ROC curve of its score.
"""

import sys
from pathlib import Path

from pipelines.builtin.oracle import Oracle
from pipelines.experiments.ablation import heads
from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.spec import VersionSpec, parse
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import Plan, read_plan


def repainted(images: int) -> VersionSpec:
    return parse(
        {
            "name": "repainted",
            "source": {"type": "spurious", "train": 600, "validation": 200, "test": 400},
            "method": {
                "type": "spurious_removal",
                "superclass": "shoe",
                "inversion": {"images": 40, "steps": 100, "batch": 8},
                "guidance": 3,
                "steps": 10,
            },
            "amount": {"total": images},
            "classifier": {"steps": 200},
        }
    )


def generated(spec: VersionSpec, out: Path) -> tuple[Resources, Plan]:
    """The version, made now unless it is there."""
    run(spec, out, Silent())
    resources = Resources(spec, Store.open(out), Silent())
    plan = read_plan(resources.store, resources.root)
    assert plan is not None
    return resources, plan


def main(out: str, images: int = 320) -> None:
    resources, plan = generated(repainted(images), Path(out))
    samples = rows.read_shards(resources.store, resources.root, plan, rejected=False)
    figures = heads(resources, samples, Oracle())
    print(f"{len(samples)} images, half of them painted over another class\n")
    print("| head | kept | of these right | agreement | area under the curve |\n|---|---:|---:|---:|---:|")
    for name, row in figures.items():
        print(f"| {name} | {row['kept']:.0%} | {row['right']:.0%} | {row['agreement']:.0%} | {row['auc']:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
