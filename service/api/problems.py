"""Errors as application/problem+json (RFC 9457): what was wrong, where, and what to do about it."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from structlog.contextvars import get_contextvars

from pipelines.errors import CounterpoiseError
from pipelines.spec import mistake

TYPE = "application/problem+json"
FIELD = re.compile(r"[a-z_]+(\.[a-z_0-9]+)*")  # what our own errors begin with: models.segmenter


class Mistake(BaseModel):
    field: str = Field(description="Path of what is wrong: method.steps", examples=["method.steps"])
    message: str = Field(description="What is wrong with it, and what would be right.")


class Problem(BaseModel):
    """RFC 9457. `type` is about:blank: the status says what kind it is."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["method.steps: Input should be greater than or equal to 1 (given: 0)"])
    errors: list[Mistake] = Field(default=[], description="Each mistake in what was sent.")
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
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an endpoint, for its OpenAPI description."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": TITLES[status], "content": {TYPE: schema}} for status in statuses}


def answer(status: int, detail: str, errors: Sequence[Mistake] = (), headers: dict[str, str] | None = None) -> JSONResponse:
    asked = get_contextvars().get("request_id")
    title = TITLES.get(status, "Error")
    problem = Problem(title=title, status=status, detail=detail, errors=list(errors), request_id=asked)
    return JSONResponse(problem.model_dump(), status, headers, media_type=TYPE)


def mistakes(error: RequestValidationError) -> list[Mistake]:
    found = []
    for each in error.errors():
        if each["type"] == "json_invalid":
            found.append(
                Mistake(field="body", message=f"not valid JSON at character {each['loc'][-1]}: {each['ctx']['error']}")
            )
            continue
        field, said = mistake({**each, "loc": [part for part in each["loc"] if part != "body"]})
        found.append(Mistake(field=field or "body", message=said))
    return found


def install(app: FastAPI) -> None:
    """Answer every error of an application in this form, and describe the form."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= {**made.pop("$defs"), "Problem": made}
        return schema

    app.openapi = described  # type: ignore[method-assign]

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = mistakes(error)
        return answer(422, "; ".join(f"{m.field}: {m.message}" for m in found), found)

    @app.exception_handler(CounterpoiseError)
    async def refused(_request: Request, error: CounterpoiseError) -> JSONResponse:
        field, _, message = str(error).partition(": ")
        return answer(422, str(error), [Mistake(field=field, message=message)] if FIELD.fullmatch(field) else [])

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), headers=dict(error.headers or {}))
