"""A preview's answer: a few images of a spec as data URLs. Nothing is stored."""

import base64
from typing import Any

import structlog

from pipelines.errors import CounterpoiseError
from pipelines.records import Candidate, Image
from pipelines.source.synthetic_mark import png
from pipelines.spec import parse
from pipelines.version.preview import preview
from service.limits import check
from service.settings import Settings
from service.tenants import open_store

log = structlog.get_logger()


def answer_preview(settings: Settings, tenant: str, spec: dict[str, Any], count: int) -> dict[str, Any]:
    """`count` images of a spec, as PreviewView has them; or an `error` that names the remedy, with a status of HTTP."""
    try:
        checked = parse(spec)
        check(checked, settings)
        result = preview(checked, open_store(settings, tenant), count, settings.machine)
    except CounterpoiseError as error:
        return failure(str(error), 422)
    except Exception as error:
        log.exception("preview failed")
        return failure(f"the preview failed ({type(error).__name__}: {error}); ask for a version to see more", 500)
    return {
        "state": "done",
        "learned": result.learned,
        "images": [preview_image(candidate) for candidate in result.candidates],
    }


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
