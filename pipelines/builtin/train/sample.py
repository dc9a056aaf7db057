"""Write `garments.npz`, all the garments that are kept for sources, from Fashion-MNIST's original files."""

from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from pipelines.builtin.wardrobe import KEPT_FOR_SOURCES, SAMPLE, by_kind, originals
from pipelines.builtin.world import GARMENTS


def kept_for_sources(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """By kind: first all of the test file, then the last of the training file."""
    train, test = by_kind(folder, "train"), by_kind(folder, "t10k")
    return {kind: np.concatenate([test[kind], train[kind][-KEPT_FOR_SOURCES:]]) for kind in GARMENTS}


def main() -> None:
    np.savez_compressed(SAMPLE, **kept_for_sources(originals()))  # type: ignore[arg-type]
    print(f"{SAMPLE}: {SAMPLE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
