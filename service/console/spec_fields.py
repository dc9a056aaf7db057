"""A spec as fields of a form: read from the JSON Schema of the spec, so that a new field of a method or filter is there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from pipelines.spec import METHOD_SPECS
from pipelines.spec.methods import Asked
from pipelines.spec.mistakes import schema

# choice: one of some; part: a group of fields that is there or not; lines: a text in each; list: values with commas
# between; flow: YAML; named: a text, or in YAML one for each of some names.
Kind = Literal["choice", "part", "text", "number", "lines", "list", "flow", "named"]
WITH = "with these settings"
TYPED = ("source", "method", "encoding")  # parts of a spec whose fields depend on their type
SHARED = tuple(Asked.model_fields)  # of all methods: prompts, and what is learned


@dataclass(frozen=True, slots=True)
class Field:
    path: str  # as mistakes name it, but for a filter, which has its type in place of its number: filters.quality.max_seam
    kind: Kind
    description: str
    default: Any
    required: bool
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def default_text(self) -> str:
        if self.kind == "part":
            return "none" if self.default is None else WITH
        return "none" if self.default is None else text_of(self.default, self.kind).replace("\n", ", ")


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that stand together. `path` is that of the mistakes about all of them."""

    title: str
    path: str
    fields: list[Field]
    types: tuple[str, ...] = ()  # to choose one of
    chosen: str = ""  # of these
    description: str = ""
    closed: bool = False
    filters: list["Section"] = field(default_factory=list)


def node_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the schema behind its reference."""
    target = schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else {}
    return {**target, **{name: value for name, value in node.items() if name != "$ref"}}


def types_of(name: str) -> dict[str, dict[str, Any]]:
    """The types that a part of a spec may have, each with its schema, in the spec's own order."""
    part = schema()["properties"][name]
    nodes = [node_of(option) for option in part.get("items", part)["oneOf"]]
    return {node["properties"]["type"]["const"]: node for node in nodes}


def fields_of(node: Mapping[str, Any], prefix: str) -> Iterator[Field]:
    required = node.get("required", ())
    for name, part in node["properties"].items():
        if name not in ("type", "schema_version"):
            yield from expanded(f"{prefix}{name}", part, name in required)


def expanded(path: str, part: Mapping[str, Any], required: bool) -> Iterator[Field]:
    """A field; of a group, the fields in it and, where it may be left out, whether it is there."""
    every = part.get("anyOf", [part])
    options = [node_of(option) for option in every if option.get("type") != "null"]
    description, default = part.get("description", ""), part.get("default")
    first = options[0]
    if len(options) == 1 and "properties" in first:
        if len(every) > 1:
            yield Field(path, "part", description or first.get("description", ""), default, required, ("none", WITH))
        yield from fields_of(first, f"{path}.")
        return
    kind, choices = kind_of(options)
    yield Field(path, kind, description, default, required, choices)


def kind_of(options: list[dict[str, Any]]) -> tuple[Kind, tuple[str, ...]]:
    """How a value is written, by the schemas that it may have."""
    first = options[0]
    if "enum" in first or "const" in first:
        return "choice", tuple(map(str, first.get("enum", [first.get("const")])))
    match first.get("type"):
        case "boolean":
            return "choice", ("true", "false")
        case "integer" | "number":
            return "number" if len(options) == 1 else "flow", ()
        case "string":
            return "text" if len(options) == 1 else "named", ()
        case "array" if (item := node_of(first.get("items", {}))).get("type") == "string" and "enum" not in item:
            return "lines", ()
        case "array" if "properties" not in node_of(first.get("items", {})):
            return "list", ()
    return "flow", ()


def text_of(value: Any, kind: Kind) -> str:
    """A value as the form has it."""
    if kind == "part":
        return "none" if value is None else WITH
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "lines" and isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    if kind == "list" and isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict | list | tuple):
        return str(yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)).strip()
    return str(value)


def sections(values: Mapping[str, str]) -> list[Section]:
    """The form of a spec, by the types that its values choose."""
    whole = list(schema()["properties"].items())
    chosen = {name: chosen_type(name, values) for name in TYPED}
    method = next(model for model in METHOD_SPECS if f"'{chosen['method']}'" in str(model.model_fields["type"].annotation))
    of_method = list(fields_of(types_of("method")[chosen["method"]], "method."))
    own = {f"method.{name}" for name in method.model_fields if name not in SHARED or name in method.__annotations__}
    top = {name: list(expanded(name, part, name in schema()["required"])) for name, part in whole if name not in
           (*TYPED, "filters", "schema_version")}  # fmt: skip
    encoding = fields_of(types_of("encoding")[chosen["encoding"]], "encoding.")
    further = (
        "framing",
        "smallest_frame",
        "filter_order",
        "early_verdict",
        "max_attempts",
        "shard_size",
        "classifier",
        "seed",
    )
    return [
        Section("Dataset", "name", top["name"]),
        typed("Source", "source", chosen["source"], list(fields_of(types_of("source")[chosen["source"]], "source."))),
        typed("Method", "method", chosen["method"], [f for f in of_method if root_of(f.path) in own]),
        Section("Prompts and learning", "", [f for f in of_method if root_of(f.path) not in own], closed=True),
        Section("Amount", "amount", top["amount"], description="One of these."),
        Section("Filters", "filters", [], description="Applied in this order; what they drop is tried again.",
                filters=filter_sections(values)),
        Section("Evaluation", "evaluation", top["evaluation"], closed=True),
        Section("Checkpoints", "models", top["models"], closed=True),
        typed("Encoding", "encoding", chosen["encoding"], list(encoding), closed=True),
        Section("Everything else", "", [f for name in further for f in top[name]], closed=True),
    ]  # fmt: skip


def filter_sections(values: Mapping[str, str]) -> list[Section]:
    """A section for each filter: first those that are chosen, in the order in which they are."""
    types = types_of("filters")
    chosen = [kind for kind in (path.removeprefix("filters.") for path in values) if kind in types]
    return [
        Section(
            kind,
            f"filters.{kind}",
            list(fields_of(types[kind], f"filters.{kind}.")),
            description=types[kind].get("description", ""),
        )
        for kind in dict.fromkeys([*chosen, *types])
    ]


def root_of(path: str) -> str:
    """The first two names of a path: method.inversion.steps is in method.inversion."""
    return ".".join(path.split(".")[:2])


def typed(title: str, name: str, kind: str, fields: list[Field], *, closed: bool = False) -> Section:
    types = types_of(name)
    return Section(title, name, fields, tuple(types), kind, types[kind].get("description", ""), closed)


def chosen_type(name: str, values: Mapping[str, str]) -> str:
    """The type that values choose for a part; the first one there is otherwise, and images that are built in."""
    types = types_of(name)
    default = "spurious" if name == "source" else next(iter(types))
    chosen = values.get(f"{name}.type", default)
    return chosen if chosen in types else default
