"""Running a command in this process."""

from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from service.cli import app
from tests.builders import document


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(document(**changes)))
    return file
