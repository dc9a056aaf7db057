"""Copy what was trained into the package, and check that the bundle is whole and stays small."""

import shutil
from pathlib import Path

import typer

from pipelines.builtin.checkpoints import WEIGHTS

PARTS = ("model", "inpainting", "clip", "adapter", "segmenter", "oracle")
LIMIT = 40_000_000  # bytes of weights


def main(work: Path = Path(".training")) -> None:
    for part in PARTS:
        if (work / part).is_dir():
            shutil.rmtree(WEIGHTS / part, ignore_errors=True)
            shutil.copytree(work / part, WEIGHTS / part)
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in files)
    print(f"{WEIGHTS}: {size / 1e6:.1f} MB in {len(files)} files")
    if missing := [part for part in PARTS if not (WEIGHTS / part).is_dir()]:
        raise SystemExit(f"the bundle lacks {', '.join(missing)}: train them first")
    if size > LIMIT:
        raise SystemExit(f"the bundle is larger than {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    typer.run(main)
