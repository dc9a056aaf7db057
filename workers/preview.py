"""A preview's answer: a few images of a spec as data URLs, and a forecast from more of them. Nothing is stored."""

import base64
from typing import Any

import structlog

from pipelines.errors import CounterpoiseError
from pipelines.quality.forecast import IMAGES, forecast
from pipelines.records import Candidate, Image
from pipelines.source.synthetic_mark import png
from pipelines.spec import parse
from pipelines.version.preview import preview
from pipelines.vision.models import Models
from service.limits import check
from service.settings import Settings
from service.tenants import open_store

log = structlog.get_logger()


def answer_preview(
    settings: Settings, tenant: str, spec: dict[str, Any], count: int, *, forecasts: bool = False
) -> dict[str, Any]:
    """`count` images of a spec, as PreviewView has them; or an `error` that names the remedy, with a status of HTTP."""
    try:
        checked = parse(spec)
        check(checked, settings)
        models = Models(checked.models, settings.machine)
        result = preview(checked, open_store(settings, tenant), IMAGES if forecasts else count, models)
        outlook = forecast(result).as_json() if forecasts else None
    except CounterpoiseError as error:
        return failure(str(error), 422)
    except Exception as error:
        log.exception("preview failed")
        return failure(f"the preview failed ({type(error).__name__}: {error}); ask for a version to see more", 500)
    some = evenly(result.candidates, count)
    return {
        "state": "done",
        "learned": result.learned,
        "images": [preview_image(candidate) for candidate in some],
        "forecast": outlook,
    }


def evenly(candidates: list[Candidate], count: int) -> list[Candidate]:
    """So many of them, or all, from first to last."""
    count = min(count, len(candidates))
    return [candidates[number * len(candidates) // count] for number in range(count)]


def failure(error: str, status: int) -> dict[str, Any]:
    return {"state": "failed", "error": error, "status": status}


def preview_image(candidate: Candidate) -> dict[str, Any]:
    request = candidate.request
    return {
        "label": request.label,
        "origin": request.source.label if request.source else None,
        "prompt": request.prompt,
        "image": data_url(candidate.image, synthetic=True),
        "source": None if request.image is None else data_url(request.image, synthetic=False),
    }


def data_url(image: Image, *, synthetic: bool) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image, synthetic=synthetic)).decode()
