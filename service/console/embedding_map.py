"""The page of a version's map: a picture of points, and its parts, which lead to the samples in them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pipelines.report.embedding_map import SIDE, EmbeddingMap
from pipelines.report.lasso import inside, parse_region
from pipelines.report.map_picture import Colouring, legend, picture, shapes
from service.api.dependencies import ReadAccess, StoreContext
from service.api.parameters import DatasetName, VersionNumber
from service.console.pages import PageRoute, Visiting
from service.console.samples import RegionText, Text
from service.samples.embedding_map import find_map
from service.versions.endpoints import get_version

router = APIRouter(route_class=PageRoute)
ACROSS = 4  # parts of the map, and as many down


def rectangle(left: float, top: float, right: float, bottom: float) -> str:
    """As a region of a query."""
    return ",".join(
        f"{value:g}" for corner in ((left, top), (right, top), (right, bottom), (left, bottom)) for value in corner
    )


def parts(drawn: EmbeddingMap) -> list[list[tuple[int, str]]]:
    """The map divided into rectangles, row by row: how many samples are in each, and its region."""
    step, result = SIDE / ACROSS, []
    for down in range(ACROSS):
        regions = [rectangle(step * n, step * down, step * (n + 1), step * (down + 1)) for n in range(ACROSS)]
        chosen = [inside(drawn.points, parse_region(region)) & (drawn.kinds != "real") for region in regions]
        result.append([(int(rows.sum()), region) for rows, region in zip(chosen, regions, strict=True)])
    return result


@router.get("/datasets/{name}/versions/{number}/map")
def get_picture(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber,
    by: Annotated[Colouring, Query()] = "class", label: Text = "", region: RegionText = "",
) -> Response:  # fmt: skip
    """The map, coloured by class or by kind, one class highlighted, and a region outlined."""
    drawn = find_map(context, caller, name, number)
    return visit.page(
        "map.html",
        version=get_version(context, caller, name, number),
        picture=picture(drawn, by, label or None, parse_region(region) if region else ()),
        legend=legend(drawn, by),
        kinds=legend(drawn, by) if by == "kind" else shapes(drawn),
        classes=legend(drawn, "class"),
        parts=parts(drawn),
        by=by,
        label=label,
        drawn=drawn,
    )
