"""What slots are worth: the same mixed requests through one refilled batch, and through fixed batches one after another.

python -m tests.benchmarks.engine
"""

import time
from collections.abc import Callable

import numpy as np
import typer

from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import resolve
from pipelines.engine.engine import Engine
from pipelines.records import Item, Request


def mixture(count: int) -> list[Request]:
    """Image-to-image requests of strengths 0.25, 0.5, 0.75 and 1 in random order, half of them guided."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    item = Item("a", "0" * 64, "shoe", None)
    strengths = rng.permutation(np.resize([0.25, 0.5, 0.75, 1.0], count))
    return [
        Request(
            i, 0, i, "shoe", "", "a photo of a shoe", item, image, strength=float(s), guidance=1.0 + 3 * (i % 2), steps=20
        )
        for i, s in enumerate(strengths)
    ]


def seconds(work: Callable[[], int]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(checkpoint: str = "builtin", count: int = 96, slots: int = 16, repeats: int = 3) -> None:
    engine, requests = Engine(open_backbone(resolve(checkpoint, "model")), slots), mixture(count)

    def refilled() -> int:
        return len(list(engine.run(requests)))

    def fixed() -> int:
        return sum(len(list(engine.run(requests[i : i + slots]))) for i in range(0, count, slots))

    pairs = [(seconds(refilled), seconds(fixed)) for _ in range(repeats)]
    for ours, theirs in pairs:
        print(
            f"refilled {count / ours:.1f} images/s, fixed batches {count / theirs:.1f} images/s: {theirs / ours:.2f} times"
        )


if __name__ == "__main__":
    typer.run(main)
