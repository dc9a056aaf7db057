"""What a spec may name: methods, filters, checkpoints and learned concepts; and whether a spec is valid."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from pydantic import BaseModel

from pipelines.backbones.description import describe, needs
from pipelines.spec import FILTER_SPECS, METHOD_SPECS, VersionSpec
from pipelines.spec.helpers import warnings
from pipelines.spec.models import BUNDLED, WEIGHTS_SUFFIX
from pipelines.store import keys
from pipelines.store.artifacts import remove
from pipelines.store.object_store import Store
from service.api.dependencies import CheckAccess, Context, ReadAccess, StoreContext, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.catalogue.schemas import CheckedSpec, CheckpointFacts, CheckpointView, ComponentView, ConceptView, MemoryView
from service.state import references
from service.versions.submission import mounted, read_here

router = APIRouter(route_class=Route, prefix="/v1", tags=["catalogue"], responses=documented(401, 403))
ConceptKind = Annotated[
    str,
    InPath(pattern="^[a-z_-]{1,40}$", description="What it is: token, lora, classifier (a judge), masks, calibration, ..."),
]
ConceptAddress = Annotated[str, InPath(pattern="^[0-9a-f]{16}$", description="The folder in its key.")]


def component_view(model: type[BaseModel]) -> ComponentView:
    schema = model.model_json_schema()
    kind = schema["properties"]["type"]["const"]
    return ComponentView(type=kind, description=model.__doc__ or "", parameters=schema)


@router.get("/methods")
def list_methods(_caller: ReadAccess) -> list[ComponentView]:
    """The methods, with the JSON Schema of their parameters."""
    return [component_view(model) for model in METHOD_SPECS]


@router.get("/filters")
def list_filters(_caller: ReadAccess) -> list[ComponentView]:
    """The filters, with the JSON Schema of their parameters."""
    return [component_view(model) for model in FILTER_SPECS]


def concept_view(store: Store, key: str) -> ConceptView:
    """A learned token, by the key of its learning curve."""
    facts = store.json(key)
    return ConceptView(
        token=facts["token"],
        key=key.removesuffix("curve.json") + "learned_embeds.safetensors",
        word=facts["word"],
        label=facts["label"],
        images=len(facts["images"]),
        model=facts["model"],
        learning_rate=facts["learning_rate_effective"],
        losses=facts["losses"][::10],
    )


@router.get("/concepts")
def list_concepts(context: StoreContext, caller: ReadAccess) -> list[ConceptView]:
    """The learned tokens, of all versions."""
    store = context.store(caller)
    return [concept_view(store, key) for key in store.keys("concepts/token") if key.endswith("/curve.json")]


@router.delete("/concepts/{kind}/{address}", status_code=204, responses=documented(404, 409, 422))
def delete_concept(context: StoreContext, caller: SubmitAccess, kind: ConceptKind, address: ConceptAddress) -> None:
    """Delete what was computed from a source, of any kind: a token, a LoRA, a judge, masks, ... A version that needs it
    computes it again."""
    store, folder = context.store(caller), keys.concept(kind, address, "").rstrip("/")
    if not store.keys(f"{folder}/"):
        kinds = ", ".join(store.folders("concepts")) or "nothing yet"
        raise HTTPException(404, f"there is no {kind} {address!r}; there are kinds in concepts/ of the store: {kinds}")
    if (version := references.learning(context.database, caller.tenant, folder)) is not None:
        raise HTTPException(409, f"version {version.number} of {version.dataset!r} uses it; wait for its end, or cancel it")
    remove(store, folder)


def near(root: Path, name: str) -> list[Path]:
    """The files of a name in a folder and in the folders in it."""
    return sorted([*root.glob(name), *root.glob(f"*/{name}")])


@router.get("/models")
def list_models(context: Context, _caller: ReadAccess) -> list[CheckpointView]:
    """Which checkpoints a spec may name here."""
    roots = context.settings.model_roots
    folders = {path.parent for root in roots for name in ("model_index.json", "config.json") for path in near(root, name)}
    files = [path for root in roots for path in near(root, f"*{WEIGHTS_SUFFIX}") if path.parent not in folders]
    return [
        *(CheckpointView(name=name, kind="builtin") for name in BUNDLED),
        *(CheckpointView(name=str(folder), kind="folder") for folder in sorted(folders)),
        *(CheckpointView(name=str(file), kind="file") for file in files),
        *(CheckpointView(name=f"{name}/*", kind="hub") for name in context.settings.hub_organisations),
    ]


@router.post("/specs:validate", responses=documented(400, 422))
def validate_spec(context: StoreContext, _caller: CheckAccess, spec: VersionSpec) -> CheckedSpec:
    """Check a spec and the configurations of its checkpoints, as far as they lie here. The answer has every default filled
    in, what the checkpoints are and need, and what the spec will do badly."""
    checkpoints = read_here(spec, context.settings)
    with mounted(context.settings):
        memory = needs(spec.method, checkpoints, context.settings.capacity)
    return CheckedSpec(
        **dict(spec),
        warnings=[*warnings(spec), *checkpoints.not_read],
        checkpoints=[CheckpointFacts(**asdict(one), text=one.text) for one in describe(checkpoints)],
        memory=None if memory is None else MemoryView(**asdict(memory), text=memory.text),
    )
