"""From what somebody wrote to a checked spec, or to what is wrong with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.errors import SpecError
from pipelines.spec.sources import FolderSource
from pipelines.spec.version import VersionSpec

CHOICES = {"source": 1, "method": 1, "filters": 2}  # how far behind its name pydantic puts the type that was chosen


def written(place: Sequence[int | str]) -> str:
    """Where a mistake is, as the spec's author wrote it: without the types that pydantic puts in."""
    parts = [str(part) for part in place]
    for name, behind in CHOICES.items():
        if name in parts:
            del parts[parts.index(name) + behind : parts.index(name) + behind + 1]
    return ".".join(parts)


def mistake(error: Mapping[str, Any]) -> tuple[str, str]:
    """One of pydantic's errors as the field, and what is wrong with the value that was given."""
    unknown = error["type"] == "extra_forbidden"
    said = "no such field; correct its name, or remove it" if unknown else error["msg"]
    given = "" if error["type"] == "missing" else f" (given: {error['input']!r:.80})"
    return written(error["loc"]), said + given


def explain(error: ValidationError) -> str:
    """One line a mistake."""
    return "\n".join(f"{field or 'spec'}: {said}" for field, said in map(mistake, error.errors()))


def parse(value: Any) -> VersionSpec:
    """Check a spec. Raises SpecError that names every wrong field, its value and what would be right."""
    try:
        return VersionSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(explain(error)) from None


def load(path: Path) -> VersionSpec:
    """Read a YAML or JSON spec. A relative folder in it is taken from the spec's own place. Raises SpecError."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({error}); give the path of a YAML or JSON file") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not valid YAML or JSON: {error}") from None
    spec = parse(value)
    if isinstance(spec.source, FolderSource) and not Path(spec.source.path).is_absolute():
        folder = spec.source.model_copy(update={"path": str((path.parent / spec.source.path).resolve())})
        spec = spec.model_copy(update={"source": folder})
    return spec
