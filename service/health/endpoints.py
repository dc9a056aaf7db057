"""/healthz: this process lives. /readyz: database, broker and store can really be used."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import select

from pipelines.store import Store
from service.api.dependencies import Context, Here
from service.api.problems import answer, documented
from service.state.tables import Version

router = APIRouter(tags=["health"])


def database(here: Context) -> None:
    with here.database.read() as session:
        session.execute(select(Version.id).limit(1))


def broker(here: Context) -> None:
    with here.queue.connection_for_read(connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, timeout=2)


def store(here: Context) -> None:
    opened = Store.open(here.settings.store)
    opened.put("healthz", b"ok")
    opened.get("healthz")


PARTS: dict[str, Callable[[Context], None]] = {"database": database, "broker": broker, "store": store}


@router.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", response_model=dict[str, str], responses=documented(503))
def readyz(here: Here) -> JSONResponse | dict[str, str]:
    for name, check in PARTS.items():
        try:
            check(here)
        except Exception as error:
            return answer(503, f"{name}: {type(error).__name__}: {error}")
    return dict.fromkeys(PARTS, "ok")
