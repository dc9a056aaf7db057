"""What a spec's author did wrong: pydantic's errors as the field, the value, and what would be right."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from pipelines.spec.version import VersionSpec

FIELD = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): ")  # with which a message about several fields begins
NO_FIELDS = "has no fields; give them, each as name: value"
KINDS = {"tuple_type": "is no list", "model_type": NO_FIELDS, "model_attributes_type": NO_FIELDS}
CHOICES = {"source": 1, "method": 1, "filters": 2, "encoding": 1}  # how far behind its name pydantic puts the type


def written(place: Sequence[int | str]) -> str:
    """Where a mistake is, as the spec's author wrote it: without the types that pydantic puts in."""
    parts = [str(part) for part in place]
    for name, behind in CHOICES.items():
        if name in parts:
            del parts[parts.index(name) + behind : parts.index(name) + behind + 1]
    return ".".join(parts)


@cache
def schema() -> dict[str, Any]:
    return VersionSpec.model_json_schema()


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """A node of the JSON Schema behind its reference; of one that may be null, what it is otherwise."""
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
            break
    return schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node


def sibling_fields(place: Sequence[int | str]) -> list[str]:
    """The fields that there are at a place of pydantic's: at ("filters", 0, "quality", "tone") those of `quality`."""
    node = schema()
    for part in place[:-1]:
        node = resolved(node)
        types = node.get("discriminator", {}).get("mapping", {})
        if part in types:
            node = {"$ref": types[part]}
        else:
            node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return list(resolved(node).get("properties", {}))


def suggestion(value: object, known: Sequence[str]) -> str:
    """ "did you mean 'quality'?" for what is nearly a known name; else nothing."""
    near = get_close_matches(value.lower(), known, n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def mistake(error: Mapping[str, Any]) -> tuple[str, str]:
    """One of pydantic's errors as the field, and what is wrong with the value that was given."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = (
            f"no such field; correct its name, or remove it{suggestion(error['loc'][-1], sibling_fields(error['loc']))}"
        )
    message = KINDS.get(error["type"], message)
    if error["type"] == "too_short":
        message = f"is too short; give {error['ctx']['min_length']} or more"
    if error["type"] in ("literal_error", "value_error"):  # both quote what there is
        message += suggestion(error["input"], quoted(message))
    if error["type"] == "union_tag_invalid":
        message = f"no such type; there are {error['ctx']['expected_tags']}"
        message += suggestion(error["ctx"]["tag"], quoted(error["ctx"]["expected_tags"]))
    if error["type"] == "union_tag_not_found":
        message = "does not say its type; add one (`counterpoise schema` lists them)"
    if error["type"] == "value_error" and isinstance(error["input"], dict):  # of several fields: the message names them
        inner = FIELD.match(message)
        field = written([*error["loc"], inner[1]]) if inner else written(error["loc"])
        return field, message[inner.end() :] if inner else message
    given = "" if error["type"] == "missing" else f" (given: {error['input']!r:.80})"
    return written(error["loc"]), message + given


def explain(error: ValidationError) -> str:
    """One line a mistake; none for a list that is too short without its wrong parts."""
    errors = error.errors()
    places = [details["loc"] for details in errors]
    causes = [
        details for details in errors if not any(details["loc"] == place[: len(details["loc"])] != place for place in places)
    ]
    return "\n".join(f"{field or 'spec'}: {message}" for field, message in map(mistake, causes))
