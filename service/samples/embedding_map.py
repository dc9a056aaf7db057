"""GET .../map: a version's images and the source's as points, those with alike embeddings near each other."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from pipelines.report.embedding_map import SIDE, EmbeddingMap, read_map
from pipelines.report.lasso import Corner, inside, parse_region
from pipelines.store import keys
from pipelines.version.browse import Place
from service.api.dependencies import AppContextWithStore, ReadAccess, StoreContext
from service.api.parameters import DatasetName, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.state.api_keys import Caller
from service.versions.lookups import find_version

router = APIRouter(route_class=Route, prefix="/v1", tags=["samples"], responses=documented(401, 403, 404, 422))
REGION = (
    "Inside this polygon of the map alone: its corners as `x1,y1,x2,y2,x3,y3`, up to 200. Most samples of a large version "
)
REGION += "are not on the map."
Region = Annotated[str | None, Query(description=REGION, max_length=4000, examples=["120,80,340,80,230,300"])]


class MapPoint(BaseModel):
    kind: Literal["kept", "dropped", "real"]
    id: str = Field(description="Of a sample its id, of a real image the source's.", examples=["17-0"])
    label: str
    x: float = Field(description=f"From the left, 0 to {SIDE}.")
    y: float = Field(description=f"From the top, 0 to {SIDE}.")


class MapView(BaseModel):
    """Embeddings by CLIP in two dimensions. What is near looks alike; the axes mean nothing."""

    totals: dict[str, int] = Field(description="Images of each kind that there are, of which the points are some.")
    points: list[MapPoint]


@dataclass(frozen=True, slots=True)
class Selection:
    """The points of a map that lie in a region."""

    corners: list[Corner]
    rows: dict[Place, list[int]]  # of samples: their rows, going up, by file
    samples: int
    real: int
    drawn: int  # points of the whole map


def find_map(context: AppContextWithStore, caller: Caller, name: str, number: int) -> EmbeddingMap:
    """Raises 404 where there is none."""
    find_version(context, caller, name, number)
    drawn = read_map(context.store(caller), keys.version(name, number))
    if drawn is None:
        raise HTTPException(404, f"version {number} of {name!r} has no map; it is made with the version's quality report")
    return drawn


def select(context: AppContextWithStore, caller: Caller, name: str, number: int, region: str | None) -> Selection | None:
    """What lies in a region; None without one. Raises SpecError, and 404 where there is no map."""
    if region is None:
        return None
    corners, drawn = parse_region(region), find_map(context, caller, name, number)
    chosen = inside(drawn.points, corners)
    rows: dict[Place, list[int]] = {}
    for verdict in ("kept", "dropped"):
        for shard, row in sorted(drawn.places[chosen & (drawn.kinds == verdict)].tolist()):
            rows.setdefault((shard, verdict), []).append(row)
    real = int((chosen & (drawn.kinds == "real")).sum())
    return Selection(corners, rows, int(chosen.sum()) - real, real, len(drawn))


@router.get("/datasets/{name}/versions/{number}/map")
def get_map(context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber) -> MapView:
    """The map of a version that has its quality report."""
    drawn = find_map(context, caller, name, number)
    columns = (drawn.kinds.tolist(), drawn.ids.tolist(), drawn.labels.tolist(), drawn.points.round(1).tolist())
    points = [
        MapPoint(kind=kind, id=identity, label=label, x=x, y=y)
        for kind, identity, label, (x, y) in zip(*columns, strict=True)
    ]
    return MapView(totals=dict(drawn.totals), points=points)
