"""One client, or one part that hangs, does not freeze the API: real processes, real sockets. About 40 seconds."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import httpx
import pytest

from service.state import api_keys
from service.state.database import Database
from tests.servers import black_hole, credentials, free_port, valkey
from tests.service.calls import SHOES, SPEC, problem

ROOT = Path(__file__).parents[3]
MIB = 2**20


@dataclass
class Api:
    """A process of the API, and a client with a key."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    @property
    def memory(self) -> int:
        """Bytes that it has in memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def timed(self, method: str, path: str, **options: object) -> tuple[httpx.Response, float]:
        start = time.monotonic()
        return self.client.request(method, path, **options), time.monotonic() - start  # type: ignore[arg-type]


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[Api]:
    database = Database.open(f"sqlite:///{folder}/state.db")
    database.create()
    key = api_keys.create(database, "test", "team", ("read", "submit"))
    database.engine.dispose()
    url, command = f"http://127.0.0.1:{(port := free_port())}", [sys.executable, "-m", "service.cli", "api", "--port"]
    with (folder / "log").open("w") as log:
        variables = {**os.environ, "COUNTERPOISE_STATE_DIR": str(folder), **environment}
        process = subprocess.Popen([*command, str(port)], cwd=ROOT, env=variables, stderr=log)
    limits = httpx.Limits(max_connections=200)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, limits=limits) as client:
        try:
            for _ in range(300):
                try:
                    assert client.get("/healthz").status_code == 200
                    break
                except httpx.TransportError:
                    assert process.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield Api(process, client)
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One whose parts are all there."""
    with valkey() as broker:
        environment = {"COUNTERPOISE_BROKER_URL": broker.connection_url, "COUNTERPOISE_MAX_PREVIEWS": "40"}
        with serving(tmp_path_factory.mktemp("api"), environment) as served:
            yield served


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One whose broker and object store take every connection, and never answer."""
    with black_hole() as broker, black_hole() as store:
        environment = {"COUNTERPOISE_BROKER_URL": f"redis://127.0.0.1:{broker}/0", "COUNTERPOISE_STORE_URL": "s3://bucket"}
        with serving(tmp_path_factory.mktemp("cut-off"), {**environment, **credentials(store)}) as served:
            yield served


def probed(api: Api) -> list[float]:
    """Seconds of some calls of /healthz, each on a connection of its own."""
    seconds = []
    for _ in range(15):
        start, url = time.monotonic(), api.client.base_url
        with closing(HTTPConnection(url.host, url.port or 80, timeout=60)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        seconds.append(time.monotonic() - start)
    return seconds


def check_prompt(seconds: list[float], idle: list[float]) -> None:
    """It may take a tenth of a second longer than while nobody else calls, on a machine however busy."""
    assert median(seconds) < median(idle) + 0.1, (seconds, idle)
    assert max(seconds) < max(idle) + 1, (seconds, idle)


def test_forty_who_wait_for_previews_hold_nobody_up(api: Api) -> None:
    idle = probed(api)
    asked = [api.client.post("/v1/previews", json={"spec": SPEC, "count": 1}) for _ in range(40)]
    assert {answer.status_code for answer in asked} == {202}
    with ThreadPoolExecutor(40) as threads:
        pending = [threads.submit(api.client.get, answer.headers["Location"], params={"wait": 4}) for answer in asked]
        time.sleep(0.5)
        seconds = probed(api)
        assert not any(call.done() for call in pending)
        assert [call.result().status_code for call in pending] == [202] * 40
    check_prompt(seconds, idle)
    refused = api.client.post("/v1/previews", json={"spec": SPEC})
    assert "40 previews are on their way" in problem(refused, 429)["detail"]
    assert int(refused.headers["Retry-After"]) > 0


def test_a_version_is_created_though_the_broker_does_not_answer(cut_off: Api) -> None:
    made, seconds = cut_off.timed("POST", SHOES, json=SPEC)
    assert (made.status_code, seconds < 3) == (202, True), (made.text, seconds)
    refused, seconds = cut_off.timed("POST", "/v1/previews", json={"spec": SPEC})
    assert "the queue cannot be reached" in problem(refused, 503)["detail"]
    assert seconds < 10


def test_a_store_that_does_not_answer_holds_up_those_alone_who_need_it(cut_off: Api) -> None:
    idle = probed(cut_off)
    with ThreadPoolExecutor(100) as threads:
        hung = [threads.submit(cut_off.timed, "GET", "/v1/sources") for _ in range(100)]
        time.sleep(1)
        answers = [cut_off.timed("GET", path) for path in ("/v1/versions", "/v1/webhooks", "/v1/datasets") for _ in range(5)]
        seconds = probed(cut_off)
        assert {answer.status_code for answer, _ in answers} == {200}
        assert max(seconds for _, seconds in answers) < 3, answers
        check_prompt(seconds, idle)
        refused = [call.result() for call in hung]
    assert {problem(answer, 503)["status"] for answer, _ in refused} == {503}
    assert {"Retry-After" in answer.headers for answer, _ in refused} == {True}
    assert max(seconds for _, seconds in refused) < 40


def test_what_is_away_is_named_within_two_seconds(cut_off: Api) -> None:
    answer, seconds = cut_off.timed("GET", "/readyz")
    assert answer.json() == {"database": "ok", "broker": "away", "store": "away"}
    assert (answer.status_code, seconds < 4) == (200, True)


def body() -> Iterator[bytes]:
    """92 MiB of JSON, without a length said beforehand."""
    yield b'{"spec": ['
    for _ in range(92):
        yield b"[],[]," * (MIB // 6)
    yield b"0]}"


@pytest.mark.parametrize("path", ["/v1/previews", SHOES, "/v1/sources/birds", "/nowhere"])
def test_nothing_is_read_of_whom_nobody_knows(api: Api, path: str) -> None:
    before, large = api.memory, b"".join(body())
    method = "PUT" if "sources" in path else "POST"
    for content in (large, body()):
        headers = {"Authorization": "Bearer cp_guess", "Content-Type": "application/json"}
        problem(api.client.request(method, path, content=content, headers=headers), 401)
    assert api.memory - before < 20 * MIB


def test_more_than_a_request_has_is_refused(api: Api) -> None:
    before = api.memory
    for content in (b"".join(body()), body()):
        refused = api.client.post(SHOES, content=content, headers={"Content-Type": "application/json"})
        assert "more than 1048576 bytes" in problem(refused, 413)["detail"]
    assert api.memory - before < 20 * MIB
