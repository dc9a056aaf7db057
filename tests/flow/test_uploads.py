"""Sources over HTTP, through a real API and a real worker: sent, read, and what they cost the API in memory. 40 seconds."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from service.broker import open_broker, sweep
from service.client import Client
from service.sources.schemas import UploadView
from service.state import api_keys
from service.transport import ServiceError
from tests.flow.deployment import Deployment, deployed
from tests.servers import free_port
from tests.source import bombs
from tests.source.packed import picture

MIB = 2**20
T = TypeVar("T")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("uploads")) as found:
        yield found


def peak(pid: int) -> int:
    """Bytes of memory that a process has held at the most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def folder(root: Path) -> Path:
    for number in range(8):
        file = root / f"train/{'boot' if number % 2 else 'sneaker'}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    return root


def swept(deployment: Deployment, call: Callable[[], T]) -> T:
    """The outcome of a call that waits for a worker, while the queue is swept as the scheduler does."""
    broker, end, pool = open_broker(deployment.settings.broker_url), time.monotonic() + 90, ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)  # a call that never ends is not waited for
    while not future.done() and time.monotonic() < end:
        sweep(broker, deployment.database)
        time.sleep(0.3)
    return future.result(timeout=0)


def test_a_folder_is_sent_and_read_and_what_is_sent_does_not_fill_the_api(deployment: Deployment, tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    key = api_keys.create(deployment.database, "test", "team", ("read", "submit"))
    deployment.start()
    api = deployment.api(port)
    with Client(address, key, patience=60) as client:
        states: list[str] = []
        view = swept(
            deployment,
            lambda: client.upload("birds", folder(tmp_path / "birds"), report=lambda upload: states.append(upload.state)),
        )
        assert (view.images, view.classes) == (8, {"boot": 4, "sneaker": 4})
        assert (states[0], states[-1]) == ("waiting", "done")
        assert client.source("birds") == view
        before = peak(api.pid)
        with pytest.raises(ServiceError, match="no usable image"):
            swept(deployment, lambda: client.upload("cars", broken(tmp_path / "cars")))

        def noise() -> Iterator[bytes]:
            for _ in range(150):
                yield os.urandom(MIB)

        for content in (bombs.flat(), bombs.long_header(), noise()):
            answer = httpx.put(f"{address}/v1/sources/cars", content=content, headers=client.http.headers, timeout=60)
            assert answer.status_code == 202
            UploadView.model_validate(answer.json())
        assert peak(api.pid) - before < 64 * MIB


def broken(root: Path) -> Path:
    (root / "train/boot").mkdir(parents=True)
    (root / "train/boot/1.png").write_bytes(b"no image")
    return root
