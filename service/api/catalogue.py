"""What can be asked for: methods and filters with their settings, and whether a spec is right."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from pipelines.spec import FILTER_SPECS, METHOD_SPECS, VersionSpec
from service.api.context import Here, Reader
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


@router.post("/specs:validate", responses=documented(422))
def validate(here: Here, _who: Reader, spec: VersionSpec) -> VersionSpec:
    """Check a spec; the answer has every default filled in."""
    check(spec, here.settings)
    return spec
