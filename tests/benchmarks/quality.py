"""What the quality report of 10,000 rendered samples takes: `python -m tests.benchmarks.quality [SAMPLES]`.

Everything but the store: decoding, CLIP, and the measures. Prints seconds of the processor, and the peak of memory.
"""

import io
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import PIL.Image

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import GARMENTS, SCENES, draw
from pipelines.progress import SILENT
from pipelines.quality.assess import assess
from pipelines.quality.comparison import Comparison
from pipelines.quality.features import Facts, Features, features
from pipelines.quality.projection import drawn_map
from pipelines.records import Image
from pipelines.source.decode import decode
from tests.quality.planted import COUNTS, clip

REAL = 1000  # training images, and as many held-out ones


def rendered(count: int, first: int) -> list[tuple[Facts, bytes]]:
    """So many pictures of all garments on all scenes, as PNG."""
    stock, pictures = wardrobe.for_sources().items, []
    for n in range(first, first + count):
        label, scene = n % len(GARMENTS), SCENES[n // len(GARMENTS) % len(SCENES)]
        garments = stock[GARMENTS[label]]
        factors = draw(np.random.default_rng(n), GARMENTS[label], n // len(GARMENTS) % len(garments), scene=scene)
        data = io.BytesIO()
        PIL.Image.fromarray(render(factors, garments[factors.item]).image).save(data, "PNG")
        pictures.append((Facts(f"{n}-0", label, scene if first else None), data.getvalue()))
    return pictures


def measured(pictures: list[tuple[Facts, bytes]]) -> Features:
    def images() -> Iterator[tuple[Facts, Image]]:
        for facts, data in pictures:
            yield facts, decode(data, allow_synthetic=True)

    return features(images(), clip(), SILENT.stage("", 0))


def main(samples: int = 10_000) -> None:
    pictures = rendered(samples, 0), rendered(REAL, samples), rendered(REAL, samples + REAL)
    clip()
    began, wall = time.process_time(), time.monotonic()
    generated, train, held_out = map(measured, pictures)
    seen = time.process_time()
    counts = dict.fromkeys(GARMENTS, samples // len(GARMENTS))
    sections = assess(Comparison(GARMENTS, generated, train, held_out, counts, counts, seed=0), COUNTS)
    assessed = time.process_time()
    parts = {"kept": generated, "dropped": generated[np.zeros(0, np.int64)], "real": train.followed_by(held_out)}
    drawn, _ = drawn_map(parts, GARMENTS, {}, seed=0)
    ended = time.process_time()
    print(f"{samples:,} samples, {REAL:,} training and {REAL:,} held-out images")
    print(
        f"decoding and CLIP {seen - began:.0f} s, measures {assessed - seen:.0f} s, a map of {len(drawn):,} points", end=" "
    )
    print(f"{ended - assessed:.0f} s, elapsed {time.monotonic() - wall:.0f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print({name: part["headline"] for name, part in sections.items()})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
