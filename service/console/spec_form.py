"""From what was written into the form of a spec to the spec, or to mistakes at their fields; and back."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.spec import VersionSpec, mistake
from pipelines.spec.parsing import Loader
from service.console.spec_fields import TYPED, Field, chosen_type, sections, text_of

Values = Mapping[str, str]  # what the form has, by the fields' paths


class Unreadable(ValueError):
    """A field's text is no value of its kind."""


@dataclass(slots=True)
class Written:
    """What a form says: a document, the spec if it is one, and the mistakes by the paths of fields and sections."""

    document: dict[str, Any]
    spec: VersionSpec | None = None
    mistakes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, message: str) -> None:
        self.mistakes.setdefault(self.in_form(path), []).append(message)

    def in_form(self, path: str) -> str:
        """The path of a mistake as the form has it: of a filter by its type, not its number."""
        parts = path.split(".")
        if parts[0] == "filters" and len(parts) > 1 and parts[1].isdigit():
            parts[1] = self.document["filters"][int(parts[1])]["type"]
        return ".".join(parts)


def scalar(text: str) -> int | float | str | None:
    if text in ("none", "null"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def value(kind: str, text: str) -> Any:
    """The value that a text is. Raises Unreadable."""
    if kind == "choice":
        return {"true": True, "false": False}.get(text, text)
    if kind == "text" or (kind == "named" and not text.startswith("{")):
        return text
    if text == "null":
        return None
    if kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if kind == "list":
        return [scalar(part.strip()) for part in text.strip("[] ").split(",") if part.strip()]
    if kind == "number":
        return scalar(text)
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"cannot be read as YAML: {' '.join(str(error).split())}") from None


def put(document: dict[str, Any], path: str, content: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = content


def left_out(path: str, values: Values) -> bool:
    """Whether a field is in a group that is not to be there."""
    parts = path.split(".")
    return any(values.get(".".join(parts[:end])) == "none" for end in range(1, len(parts)))


def fill(document: dict[str, Any], fields: Iterable[Field], values: Values) -> list[tuple[str, str]]:
    """Put what was written into a document; return the mistakes of what cannot be read."""
    mistakes = []
    for one in fields:
        text = values.get(one.path, "").strip()
        if not text or left_out(one.path, values):
            continue
        if one.kind == "part":
            put(document, one.path, None if text == "none" else {})
            continue
        try:
            put(document, one.path, value(one.kind, text))
        except Unreadable as error:
            mistakes.append((one.path, str(error)))
    return mistakes


def read(values: Values) -> Written:
    """What a form says, checked as far as no checkpoint and no source has to be looked at."""
    document: dict[str, Any] = {}
    parts = sections(values)
    mistakes = fill(document, [one for part in parts for one in part.fields], values)
    chosen = {name: {"type": chosen_type(name, values), **document.get(name, {})} for name in TYPED}
    filters: dict[str, Any] = {}
    for part in (part for section in parts for part in section.filters if part.path in values):
        filters[part.title] = {"type": part.title}
        mistakes += fill({"filters": filters}, part.fields, values)
    document |= chosen | {"filters": list(filters.values())}
    written = Written(ordered(document))
    for path, message in mistakes:
        written.add(path, message)
    try:
        written.spec = VersionSpec.model_validate(document)
    except ValidationError as error:
        for details in error.errors():
            written.add(*mistake(details))
    return written if not mistakes else Written(written.document, None, written.mistakes)


def ordered(document: dict[str, Any]) -> dict[str, Any]:
    """A document with its parts in the order of a spec."""
    names = [name for name in VersionSpec.model_fields if name in document]
    return {name: document[name] for name in names if document[name] != {} and not plain_png(name, document[name])}


def plain_png(name: str, content: Any) -> bool:
    return (name == "encoding" and content == {"type": "png"}) or (name == "filters" and not content)


def at(document: Any, path: str) -> Any:
    """The value at a path. Raises KeyError where there is none."""
    for name in path.split("."):
        if not isinstance(document, dict):
            raise KeyError(path)
        document = document[name]
    return document


def values_of(document: Mapping[str, Any]) -> dict[str, str]:
    """A spec's document as the form has it: what differs from the defaults."""
    values = {f"{name}.type": document[name]["type"] for name in TYPED if document.get(name)}
    by_type = {one["type"]: one for one in document.get("filters", ())}
    values |= {f"filters.{kind}": "on" for kind in by_type}
    nested = {**document, "filters": by_type}
    for section in sections(values):
        for one in (*section.fields, *(f for part in section.filters for f in part.fields)):
            with suppress(KeyError):
                content = at(nested, one.path)
                if content != one.default:
                    values[one.path] = text_of(content, one.kind)
    return values
