"""/healthz: this process lives. /readyz: database, broker and object store can really be used."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import select

from pipelines.store.object_store import Store
from service.api.dependencies import AppContext, Context
from service.api.problems import documented, problem_response
from service.state.tables import Version

router = APIRouter(tags=["health"])


def check_database(context: AppContext) -> None:
    with context.database.read() as session:
        session.execute(select(Version.id).limit(1))


def check_broker(context: AppContext) -> None:
    with context.broker.connection_for_read(connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, timeout=2)


def check_store(context: AppContext) -> None:
    store = Store.open(context.settings.store)
    store.put("healthz", b"ok")
    store.get("healthz")


CHECKS: dict[str, Callable[[AppContext], None]] = {
    "database": check_database,
    "broker": check_broker,
    "store": check_store,
}


@router.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", response_model=dict[str, str], responses=documented(503))
def readyz(context: Context) -> JSONResponse | dict[str, str]:
    for name, check in CHECKS.items():
        try:
            check(context)
        except Exception as error:
            return problem_response(503, f"{name}: {type(error).__name__}: {error}")
    return dict.fromkeys(CHECKS, "ok")
