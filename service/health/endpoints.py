"""/healthz: this process lives. /readyz: the database can really be used; and whether broker and object store can."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.api.dependencies import AppContext, Context
from service.api.guard import identify
from service.api.problems import documented, problem_response
from service.api.routes import Route

router = APIRouter(route_class=Route, tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Nothing is touched."""
    return {"status": "ok"}


@router.get("/readyz", response_model=dict[str, str], responses=documented(503))
async def readyz(context: Context, request: Request) -> JSONResponse | dict[str, str]:
    """Down without the database alone: what needs broker or store says so itself. A key with scope admin sees why."""
    failures = await context.readiness.failures()
    down = failures["database"] is not None
    explained = await may_see_why(context, request, down=down)
    states = {name: state(failure, explained=explained) for name, failure in failures.items()}
    if down:
        return problem_response(503, "; ".join(f"{name}: {text}" for name, text in states.items()))
    return states


async def may_see_why(context: AppContext, request: Request, *, down: bool) -> bool:
    """Whether the caller may read the errors; nobody's key is known while the database is down."""
    if down:
        return not context.settings.auth
    try:
        return (await identify(context, request.headers, request.url.path)).may("admin")
    except HTTPException:
        return False


def state(failure: str | None, *, explained: bool) -> str:
    return "ok" if failure is None else f"away: {failure}" if explained else "away"
