"""Copy what was trained into the package, and check that the bundle stays small."""

import shutil
from pathlib import Path

import typer

from pipelines.builtin.checkpoints import WEIGHTS

PARTS = ("model", "clip", "adapter", "segmenter", "oracle")
LIMIT = 25_000_000  # bytes


def main(work: Path = Path(".training")) -> None:
    for part in PARTS:
        shutil.rmtree(WEIGHTS / part, ignore_errors=True)
        shutil.copytree(work / part, WEIGHTS / part)
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in files)
    print(f"{WEIGHTS}: {size / 1e6:.1f} MB in {len(files)} files")
    if size > LIMIT:
        raise SystemExit(f"the bundle is larger than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    typer.run(main)
