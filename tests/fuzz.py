"""Requests at random against the API, valid and broken, alone and in sequences that use each other's answers.

python -m tests.fuzz --requests 100000        # forty minutes on one core

None may get a 5xx or an answer that the OpenAPI document does not describe, and none may take a second. Ends with status 1
if any did; the same seed sends the same requests to the same code.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Annotated, Any

import schemathesis
import typer
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.app import create_app
from service.logs import configure
from service.settings import Settings
from service.state import transitions, versions
from service.state.database import Database
from tests.servers import valkey
from tests.service.calls import SHOES, SPEC, context, key

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LEFT_OUT = ("/v1/previews", "/v1/previews/{preview_id}", "/readyz")  # without broker and workers they are truly unavailable
STREAM = "/v1/datasets/{name}/versions/{number}/events"  # lasts as long as its version
BOTH = GenerationMode.POSITIVE, GenerationMode.NEGATIVE  # requests as the document has them, and others
SLOWEST = 1.0  # seconds for a request; on a busy machine one that took longer is sent again
LONGEST_WAIT = 0.2  # seconds
OF_OPERATION, SEQUENCES, STEPS = 40, 40, 12  # requests of an operation in a round; sequences in a round, and their length


@schemathesis.serializer("application/x-tar", "application/zip", "application/vnd.apache.parquet")
def archive(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def application(folder: Path, broker_url: str = "redis://127.0.0.1:1/0") -> FastAPI:
    """Without a broker, as it is by default, versions must be accepted all the same."""
    return create_app(Settings(state_dir=folder, broker_url=broker_url))


def document_of(app: FastAPI, headers: dict[str, str]) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers).exclude(path=list(LEFT_OUT))


def waiting(case: schemathesis.Case) -> float:
    """Seconds for which a request asks the service to wait for something; 0 where it does not, or not in numbers."""
    with suppress(ValueError, TypeError):
        return max(0.0, float((case.query or {}).get("wait", 0)))
    return 0.0


class Fuzz:
    """Sends requests and judges their answers; goes on after one that is wrong."""

    def __init__(self, client: TestClient) -> None:
        self.client, self.chance = client, Random(0)
        self.new_key()
        self.document = document_of(client.app, self.headers)  # type: ignore[arg-type]
        self.accepted = 1  # versions of the dataset, about
        self.statuses: Counter[int] = Counter()
        self.slowest: tuple[float, str] = (0.0, "")
        self.wrong: dict[str, str] = {}  # by operation and kind of failure: the first one

    def new_key(self) -> None:
        """Requests may revoke the key that they are sent with."""
        self.headers = {"Authorization": f"Bearer {key(self.client, 'team', 'admin')}"}

    def aim(self, case: schemathesis.Case) -> None:
        """Every other request is for a dataset that there is, with a good spec: by chance alone hardly any would be. None
        asks the service to wait for long."""
        if waiting(case) > LONGEST_WAIT:
            case.query["wait"] = LONGEST_WAIT
        if "name" not in case.path_parameters or self.chance.random() < 0.5:
            return
        case.headers = type(case.headers)()
        case.path_parameters["name"] = "shoes"
        if "number" in case.path_parameters:
            case.path_parameters["number"] = self.chance.randint(1, max(2, self.accepted))
        if (case.method, case.operation.path) == ("POST", "/v1/datasets/{name}/versions"):
            case.body = SPEC
            self.accepted += 1

    def judge(self, case: schemathesis.Case, response: schemathesis.Response) -> None:
        self.statuses[response.status_code] += 1
        label = f"{case.method} {case.operation.path}"
        try:
            case.validate_response(response, checks=CHECKS, headers=self.headers)
        except Exception as failure:  # a FailureGroup of as many as there are
            parts = "; ".join(f"{type(part).__name__}: {part}" for part in getattr(failure, "exceptions", (failure,)))
            self.blame(f"{label} {response.status_code}", f"{parts}\n{case.as_curl_command()}")
        if case.operation.path == STREAM:
            return
        limit = SLOWEST + waiting(case)
        self.slowest = max(self.slowest, (response.elapsed - waiting(case), label))
        if response.elapsed > limit and (again := case.call(headers=self.headers).elapsed) > limit:
            self.blame(f"{label} slow", f"{response.elapsed:.1f} s, and again {again:.1f} s: {case.as_curl_command()}")

    def blame(self, kind: str, failure: str) -> None:
        """Keep and print the first failure of a kind."""
        if kind not in self.wrong:
            self.wrong[kind] = failure
            print(f"WRONG  {kind}\n{failure}", flush=True)

    def alone(self, operation: APIOperation, number: int) -> None:
        """Requests of one operation."""
        self.new_key()
        modes = [operation.as_strategy(generation_mode=mode) for mode in BOTH]

        @seed(number)
        @settings(max_examples=OF_OPERATION, **QUIETLY)
        @given(one_of(modes))
        def send(case: schemathesis.Case) -> None:
            self.aim(case)
            self.judge(case, case.call(headers=self.headers))

        send()

    def sequences(self, number: int) -> None:
        """Requests that take what they need from earlier answers."""
        self.new_key()
        fuzz = self

        class Sequence(self.document.as_state_machine()):  # type: ignore[misc]
            rule_order_seed = number

            def before_call(self, case: schemathesis.Case) -> None:
                fuzz.aim(case)

            def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
                return {"headers": fuzz.headers}

            def validate_response(self, response: schemathesis.Response, case: schemathesis.Case, **_: Any) -> None:
                fuzz.judge(case, response)

        Sequence._hypothesis_internal_use_seed = number
        with suppress(Flaky):  # the service remembers, so the same choices may lead elsewhere; the sequences end there
            Sequence.run(settings=settings(max_examples=SEQUENCES, stateful_step_count=STEPS, **QUIETLY))


QUIETLY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def cancel_all(database: Database, over: Event) -> None:
    """No worker is there to end versions, and streams of their events last until they end."""
    while not over.wait(0.2):
        for version in versions.page(database, "team", dataset=None, state="queued", before=None, limit=100):
            transitions.cancel(database, version.id)


@contextmanager
def fuzzing(folder: Path) -> Iterator[Fuzz]:
    """A fuzz of an application with a broker and a dataset, while an operator cancels its versions."""
    with valkey() as broker, TestClient(application(folder, broker.connection_url)) as client:
        database, over, run = context(client).database, Event(), Fuzz(client)
        client.post(SHOES, json=SPEC, headers=run.headers)
        thread = Thread(target=cancel_all, args=(database, over))
        thread.start()
        try:
            yield run
        finally:
            over.set()
            thread.join()
            database.engine.dispose()


def main(
    requests: Annotated[int, typer.Option(help="How many, at least.", min=1)] = 5_000,
    seed: Annotated[int, typer.Option(help="Of the first round.")] = 0,
) -> None:
    configure("error")
    start, number = time.monotonic(), seed
    with TemporaryDirectory() as folder, fuzzing(Path(folder)) as run:
        operations = [found.ok() for found in run.document.get_all_operations()]
        while run.statuses.total() < requests:
            for operation in operations:
                run.alone(operation, number)
            run.sequences(number)
            number += 1
            seconds = time.monotonic() - start
            print(f"{run.statuses.total()} requests, {seconds:.0f} s, {len(run.wrong)} wrong", flush=True)
    print("answers: " + ", ".join(f"{count} with {status}" for status, count in sorted(run.statuses.items())))
    print(f"slowest: {run.slowest[0]:.2f} s, {run.slowest[1]}")
    raise typer.Exit(bool(run.wrong))


if __name__ == "__main__":
    typer.run(main)
