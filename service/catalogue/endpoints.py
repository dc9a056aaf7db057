"""What can be asked for: methods and filters with their settings, and whether a spec is right."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pipelines.spec import FILTER_SPECS, METHOD_SPECS, VersionSpec
from service.api.dependencies import Here, Reader
from service.api.problems import documented
from service.limits import check

router = APIRouter(prefix="/v1", tags=["catalogue"], responses=documented(401, 403))


class Kind(BaseModel):
    """A method or a filter."""

    type: str
    description: str
    parameters: dict[str, Any]  # JSON Schema


def kinds(specs: tuple[type[BaseModel], ...]) -> list[Kind]:
    schemas = [(each, each.model_json_schema()) for each in specs]
    return [
        Kind(type=schema["properties"]["type"]["const"], description=each.__doc__ or "", parameters=schema)
        for each, schema in schemas
    ]


@router.get("/methods")
def methods(_who: Reader) -> list[Kind]:
    """How images can be made."""
    return kinds(METHOD_SPECS)


@router.get("/filters")
def filters(_who: Reader) -> list[Kind]:
    """What generated images can be judged by."""
    return kinds(FILTER_SPECS)


class Concept(BaseModel):
    """A token that was learned, usable again by every version that needs the same one."""

    token: str = Field(examples=["<boot>"])
    key: str = Field(description="Where it lies in the store, as plain diffusers loads it.")
    word: str = Field(description="What kind of thing it is.")
    label: str = Field(description="The class that it was learned for.")
    images: int = Field(description="Images that it was learned from.")
    model: str = Field(description="Revision of the text-to-image model that reads it.")
    learning_rate: float
    losses: list[float] = Field(description="The learning curve, every tenth step.")


@router.get("/concepts")
def concepts(here: Here, who: Reader) -> list[Concept]:
    """What was learned so far, for any version."""
    store = here.store(who)
    found = []
    for key in store.keys("concepts/token"):
        if not key.endswith("/curve.json"):
            continue
        facts = store.json(key)
        found.append(
            Concept(
                token=facts["token"],
                key=key.removesuffix("curve.json") + "learned_embeds.safetensors",
                word=facts["word"],
                label=facts["label"],
                images=len(facts["images"]),
                model=facts["model"],
                learning_rate=facts["learning_rate_effective"],
                losses=facts["losses"][::10],
            )
        )
    return found


class Checkpoint(BaseModel):
    """Something that a spec's `models` or `classifier` may name."""

    name: str
    kind: str = Field(description="builtin, folder, or hub: any checkpoint of that organisation.")


@router.get("/models")
def models(here: Here, _who: Reader) -> list[Checkpoint]:
    """Which checkpoints a spec may name here."""
    folders = [
        str(path.parent)
        for root in here.settings.model_roots
        for name in ("model_index.json", "config.json")
        for path in sorted([*root.glob(name), *root.glob(f"*/{name}")])
    ]
    return [
        Checkpoint(name="builtin", kind="builtin"),
        *(Checkpoint(name=folder, kind="folder") for folder in dict.fromkeys(folders)),
        *(Checkpoint(name=f"{each}/*", kind="hub") for each in here.settings.hub_organisations),
    ]


@router.post("/specs:validate", responses=documented(400, 422))
def validate(here: Here, _who: Reader, spec: VersionSpec) -> VersionSpec:
    """Check a spec; the answer has every default filled in."""
    check(spec, here.settings)
    return spec
