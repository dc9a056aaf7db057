"""Errors as application/problem+json (RFC 9457): what was wrong, where, and what to do about it."""

import re
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from obstore.exceptions import GenericError
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from structlog.contextvars import get_contextvars

from pipelines.errors import CounterpoiseError
from pipelines.spec import mistake
from service.api.pools import RETRY_AFTER
from service.caps import CapReached

log = structlog.get_logger()
TYPE = "application/problem+json"
FIELD = re.compile(r"[a-z_]+(\.[a-z_0-9]+)*")  # what our own errors begin with: models.segmenter


class FieldError(BaseModel):
    field: str = Field(description="Path of what is wrong: method.steps", examples=["method.steps"])
    message: str = Field(description="What is wrong with it, and what would be right.")


class Problem(BaseModel):
    """RFC 9457. `type` is about:blank: the status is the kind of problem."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["method.steps: Input should be greater than or equal to 1 (given: 0)"])
    errors: list[FieldError] = Field(default=[], description="Each mistake in the request.")
    request_id: str | None = Field(default=None, description="As in the header X-Request-ID, and in the service's log.")


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an endpoint, for its OpenAPI description."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    statuses = (*statuses, 429) if 401 in statuses else statuses  # whoever has a key has caps
    return {status: {"description": TITLES[status], "content": {TYPE: schema}} for status in statuses}


def problem_response(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    request_id = get_contextvars().get("request_id")
    title = TITLES.get(status, "Error")
    problem = Problem(title=title, status=status, detail=detail, errors=list(errors), request_id=request_id)
    return JSONResponse(problem.model_dump(), status, headers, media_type=TYPE)


def handler_of(app: Starlette, error: Exception) -> Any:
    """The application's handler of an error; None for one that nobody foresaw."""
    return next((app.exception_handlers[kind] for kind in type(error).__mro__ if kind in app.exception_handlers), None)


AWAY = {OperationalError: "database", PoolTimeout: "database", GenericError: "object store"}


def field_errors(error: RequestValidationError) -> list[FieldError]:
    return [field_error(details) for details in error.errors()]


def field_error(details: dict[str, Any]) -> FieldError:
    if details["type"] == "json_invalid":
        place, reason = details["loc"][-1], details["ctx"]["error"]
        return FieldError(field="body", message=f"not valid JSON at character {place}: {reason}")
    field, message = mistake({**details, "loc": [part for part in details["loc"] if part != "body"]})
    return FieldError(field=field or "body", message=message)


def install(app: FastAPI) -> None:
    """Answer every error of an application as a problem, and describe problems in its OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            statuses = (413, 503) if "requestBody" in operation else (503,)
            if "security" in operation:
                operation["responses"] |= {str(status): answer for status, answer in documented(*statuses).items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = field_errors(error)
        return problem_response(422, "; ".join(f"{e.field}: {e.message}" for e in errors), errors)

    @app.exception_handler(CounterpoiseError)
    async def refused(_request: Request, error: CounterpoiseError) -> JSONResponse:
        field, _, message = str(error).partition(": ")
        return problem_response(
            422, str(error), [FieldError(field=field, message=message)] if FIELD.fullmatch(field) else []
        )

    @app.exception_handler(CapReached)
    async def capped(_request: Request, error: CapReached) -> JSONResponse:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return problem_response(429, str(error), headers=headers)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    async def away(_request: Request, error: Exception) -> JSONResponse:
        part = next(part for kind, part in AWAY.items() if isinstance(error, kind))
        log.warning(f"the {part} does not answer", error=f"{type(error).__name__}: {error}")
        return problem_response(503, f"the {part} does not answer; try again later", headers=RETRY_AFTER)

    for kind in AWAY:
        app.add_exception_handler(kind, away)
