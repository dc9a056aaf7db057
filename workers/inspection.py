"""The inspection of an uploaded source's state: what it finds is stored beside the state."""

from typing import Any

import structlog

from pipelines.errors import CounterpoiseError
from pipelines.inspection.embedder import open_embedder
from pipelines.inspection.inspect import inspect
from pipelines.progress import SILENT
from pipelines.source.open import open_source
from pipelines.spec import UploadedSource
from pipelines.spec.models import BUILTIN
from pipelines.store import keys
from pipelines.store.canonical import canonical
from service.settings import Settings
from service.tenants import open_store
from workers.preview import failure

log = structlog.get_logger()


def answer_inspection(settings: Settings, tenant: str, name: str, digest: str) -> dict[str, Any]:
    """Inspect, and store the findings; the answer says that it is done, or has an `error` that names the remedy."""
    store = open_store(settings, tenant)
    try:
        source = open_source(UploadedSource(type="uploaded", name=name, digest=digest), store)
        embed = open_embedder(BUILTIN, settings.machine.device)
        document = inspect(source, embed, SILENT, name=name, checkpoint=BUILTIN).document
    except CounterpoiseError as error:
        return failure(str(error), 422)
    except Exception as error:
        log.exception("inspection failed")
        return failure(f"the inspection failed ({type(error).__name__}: {error}); try `counterpoise inspect`", 500)
    store.put(keys.inspection(name, digest), canonical(document))
    if not store.exists(keys.index(name, digest)):  # erased meanwhile
        store.delete(keys.inspection(name, digest))
    return {"state": "done"}
