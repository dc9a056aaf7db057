"""Write `garments.npz`: the first garments of those kept for sources, so that examples run without Fashion-MNIST."""

import numpy as np
import typer

from pipelines.builtin import wardrobe
from pipelines.builtin.world import GARMENTS, SPOKEN

SHOES, OTHERS = 2000, 400


def main() -> None:
    stock = wardrobe.for_sources().items
    kept = {kind: stock[kind][: SHOES if SPOKEN[kind] == "shoe" else OTHERS] for kind in GARMENTS}
    np.savez_compressed(wardrobe.SAMPLE, **kept)  # type: ignore[arg-type]
    print(f"{wardrobe.SAMPLE}: {wardrobe.SAMPLE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
