"""What all pages of the console share: templates, headers, forms, and errors in the API's own words."""

import hmac
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

import yaml
from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.report import quality
from pipelines.spec.base import duration
from service.api.problems import handler_of
from service.api.routes import Route
from service.console.sessions import PATH, Session
from service.state.api_keys import Caller
from service.state.lifecycle import ENDED, PUBLISHED, STAGE_OF, STAGES
from service.usage.schemas import CostView

# Nothing comes from another host, nothing is inline, nothing may frame a page or receive its forms.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FIELDS = 1000  # of a form, at most
REPORT = Path(quality.__file__).parent  # whose templates the page of the quality includes


def when(seconds: float) -> str:
    """A time in seconds since the epoch: '2026-11-26 19:05 UTC'."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def as_yaml(document: Any) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def size(count: int) -> str:
    """Bytes: '1.4 MiB'."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def spent(cost: CostView) -> str:
    """Money and time, such as 0.42 EUR, 12 min of GPU workers."""
    parts = ((cost.gpu_seconds, "GPU"), (cost.cpu_seconds, "CPU"))
    times = " and ".join(f"{brief(seconds)} of {kind} workers" for seconds, kind in parts if seconds)
    return ", ".join(filter(None, (money(cost), times))) or "no time yet"


def brief(seconds: float) -> str:
    """A duration, such as 0.42 s or 12 min."""
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def money(cost: CostView) -> str:
    """Such as 12.40 EUR; nothing where there are no prices."""
    if cost.money is None:
        return ""
    digits = f"{cost.money:,.2f}" if cost.money >= 1 or not cost.money else f"{cost.money:.2g}"
    return f"{digits} {cost.currency}".strip()


def with_query(path: str, **values: Any) -> str:
    """A path with those of the values that are given."""
    query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
    return f"{path}?{query}" if query else path


TEMPLATES = Environment(
    loader=FileSystemLoader([Path(__file__).parent / "templates", REPORT]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "when": when, "duration": duration, "yaml": as_yaml, "number": number, "size": size, "cost": spent, "money": money,
    "solid": quality.solid,
}  # fmt: skip
TEMPLATES.globals |= {
    "dict": dict,
    "root": PATH,
    "with_query": with_query,
    "STAGES": STAGES,
    "STAGE_OF": STAGE_OF,
    "ENDED": ENDED,
    "PUBLISHED": PUBLISHED,
}


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    session: Session | None = request.state.session
    shared = {"caller": request.state.caller, "csrf": session.csrf if session else "", "path": request.url.path}
    return HTMLResponse(TEMPLATES.get_template(template).render(**shared, **values), status, HEADERS)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, by whom, and how to answer it."""

    request: Request
    caller: Caller

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return render(self.request, template, status, **values)

    def go(self, path: str) -> Response:
        """On to another page, by GET."""
        return RedirectResponse(f"{PATH}{path}", 303, {"Cache-Control": "no-store"})


async def visit(request: Request) -> Visit:
    return Visit(request, request.state.caller)


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form that was sent, but for its token. Raises 403 where that is not of the session."""
    if request.method in ("GET", "HEAD"):
        return {}
    session: Session | None = request.state.session
    try:
        fields = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError:
        raise HTTPException(400, f"the form cannot be read; it has to be UTF-8, of at most {FIELDS} fields") from None
    token = fields.pop("csrf", "")
    if session is None or not hmac.compare_digest(token.encode(), session.csrf.encode()):
        raise HTTPException(403, "this form is not of your session; open its page again, and send it from there")
    return fields


Visiting = Annotated[Visit, Depends(visit)]
Form = Annotated[Mapping[str, str], Depends(form)]


def problem_page(request: Request, response: Response) -> Response:
    """A problem as a page, with the problem's status and words."""
    problem = json.loads(bytes(response.body))
    page = render(request, "problem.html", response.status_code, problem=problem)
    if "retry-after" in response.headers:
        page.headers["Retry-After"] = response.headers["retry-after"]
    return page


class PageRoute(Route):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                handler = handler_of(request.app, error)
                if handler is None:
                    raise
                return problem_page(request, await handler(request, error))

        return handle_page
