"""Sending requests to a service: what is retried, and how errors are told."""

import json
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from pipelines.errors import CounterpoiseError
from service.versions.schemas import VersionEvent

PATIENCE = 60.0  # seconds for which a service that does not answer is tried again


class ServiceError(CounterpoiseError):
    """The service refused, or cannot be reached."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def transient(error: BaseException) -> bool:
    """Whether a request that failed so may succeed when it is sent again: not at a cap that does not say when."""
    if isinstance(error, httpx.HTTPStatusError):
        status, headers = error.response.status_code, error.response.headers
        return status in (502, 503, 504) or (status == 429 and "Retry-After" in headers)
    return isinstance(error, httpx.TransportError)


class Transport:
    """Calls the API; transient errors are retried with backoff for `patience` seconds.

    Without address and key, those of COUNTERPOISE_URL and COUNTERPOISE_KEY.
    """

    def __init__(self, url: str | None = None, key: str | None = None, patience: float = PATIENCE) -> None:
        url = url or os.environ.get("COUNTERPOISE_URL", "http://127.0.0.1:8000")
        key = key or os.environ.get("COUNTERPOISE_KEY", "")
        if not (key.isascii() and key.isprintable()):
            raise ServiceError("COUNTERPOISE_KEY: holds characters that no key has; copy it again, without line breaks")
        if not url.startswith(("http://", "https://")):
            raise ServiceError(f"COUNTERPOISE_URL: {url!r} is no address of a service; begin it with http:// or https://")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30)
        self.retrying = Retrying(
            retry=retry_if_exception(transient),
            stop=stop_after_delay(patience),
            wait=wait_exponential_jitter(0.2, 5),
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, with httpx's options; return the answer's JSON. `content` is a function: retries call it again.

        Raises ServiceError with the service's own description of the problem.
        """

        def attempt() -> Any:
            content = options.get("content")
            response = self.http.request(method, path, **{**options, "content": content() if content else None})
            response.raise_for_status()
            return response.json() if response.content else None

        try:
            return self.retrying(attempt)
        except httpx.HTTPStatusError as error:
            raise service_error(error.response) from None
        except httpx.TransportError as error:
            raise ServiceError(
                f"{self.http.base_url} does not answer ({error}); is the service up? COUNTERPOISE_URL says where it is"
            ) from None

    def download(self, url: str, path: str) -> bytes:
        try:
            # A signed link carries its own permission: our API key is not sent along.
            response = self.http.get(url) if url.startswith("/") else httpx.get(url, timeout=60)
        except httpx.ConnectError:  # a store that the service alone can reach: through it, then
            response = self.http.get(path)
        response.raise_for_status()
        return response.content

    def stream(self, dataset: str, number: int, after: int) -> Iterator[VersionEvent]:
        """One connection's Server-Sent Events, those after the event of this id."""
        path, headers = f"/v1/datasets/{dataset}/versions/{number}/events", {"Last-Event-ID": str(after)}
        with self.http.stream("GET", path, headers=headers) as response:
            if response.is_error:
                response.read()
                raise service_error(response)
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    yield VersionEvent(id=int(fields["id"]), kind=fields["event"], data=json.loads(fields["data"]))
                    fields = {}


def service_error(response: httpx.Response) -> ServiceError:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text[:200]
    if response.status_code == 401 and "expired" not in detail:
        given = "the key in it is not valid" if "Authorization" in response.request.headers else "is not set"
        detail = (
            f"COUNTERPOISE_KEY: {given} at {response.request.url.host}; set it to the key that `counterpoise keys create` "
            "printed or, of `counterpoise up`, the one in admin.key in its --state-dir"
        )
    return ServiceError(f"{response.status_code}: {detail}", response.status_code)
