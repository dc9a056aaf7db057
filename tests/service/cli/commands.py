"""Running a command in this process."""

from pathlib import Path
from typing import Any

import PIL.Image
import yaml
from typer.testing import CliRunner, Result

from service.cli import app
from tests.builders import document, noise


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(document(**changes)))
    return file


def photographs(folder: Path, count: int = 3) -> dict[str, Any]:
    """A source of two classes, `count` images of each for each split."""
    for number, (split, label) in enumerate((s, c) for s in ("train", "validation", "test") for c in ("siskin", "wigeon")):
        (folder / "birds" / split / label).mkdir(parents=True)
        for n in range(count):
            image = PIL.Image.fromarray(noise(100 * number + n))
            image.save(folder / "birds" / split / label / f"{n}.png")
    return {"type": "folder", "path": str(folder / "birds")}
