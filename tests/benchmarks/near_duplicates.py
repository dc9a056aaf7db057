"""Time and memory of comparing so many samples across shards of 1,000: hashes drawn at random, one in a hundred a near copy;
with a width, embeddings, too.

python -m tests.benchmarks.near_duplicates 1000000
python -m tests.benchmarks.near_duplicates 100000 --distance 7
python -m tests.benchmarks.near_duplicates 30000 --width 512
"""

import resource
import time

import numpy as np
import typer
from numpy.typing import NDArray

from pipelines.filters.fingerprints import StoredFingerprints
from pipelines.version.duplicates import Gallery

SHARD = 1000


def unit_vectors(random: np.random.Generator, count: int, width: int) -> NDArray[np.float16]:
    vectors = random.normal(size=(count, width)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def made_up(count: int, distance: int = 3, width: int = 0) -> dict[int, StoredFingerprints]:
    """Fingerprints of so many samples by the number of their shard, and embeddings of this width."""
    random, shards = np.random.default_rng(0), -(-count // SHARD)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    copies = random.choice(count, count // 100, replace=False)
    originals, bits = random.integers(0, count, len(copies)), random.integers(0, 64, len(copies))
    hashes[copies] = hashes[originals] ^ (np.uint64(1) << bits.astype(np.uint64))
    limits = np.array([distance, 0.97 if width else np.inf])
    stored = {}
    for number in range(shards):
        indices = np.arange(number, count, shards)
        stored[number] = StoredFingerprints(indices, hashes[indices], unit_vectors(random, len(indices), width), limits)
    return stored


def main(count: int, distance: int = 3, width: int = 0) -> None:
    stored = made_up(count, distance, width)
    began, spent = time.perf_counter(), time.process_time()
    dropped = sum(len(repeats) for repeats in Gallery(stored, len(stored)).repeats().values())
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} samples, {dropped} repeat others: {seconds:.1f} s, {cpu:.1f} s of a core, peak {peak:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
