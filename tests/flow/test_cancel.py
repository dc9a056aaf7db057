"""Real work cancelled in every stage, by a living worker and by one that dies meanwhile. One deployment: 40 seconds."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipelines.spec import parse
from service.client import Client
from service.state import api_keys, versions
from service.state.lifecycle import STAGES, Stage
from service.state.tables import Unit
from service.transport import ServiceError
from service.versions.schemas import VersionView
from tests.flow.deployment import Deployment, deployed
from tests.servers import free_port
from tests.test_run import SPEC

NOTICED = 8.0  # seconds in which work stops: the longest step, and the pause between two heartbeats
SMALL = {**SPEC, "evaluation": {"arms": ["erm"], "seeds": [0]}}


class Shoes:
    """A deployment with API, scheduler and a worker, and a client of it."""

    def __init__(self, deployment: Deployment, client: Client) -> None:
        self.deployment, self.client = deployment, client

    def at_work(self, number: int, stage: Stage) -> None:
        """Wait until a worker is at work on this stage."""
        version = versions.find(self.deployment.database, "team", "shoes", number)
        assert version is not None
        leased = select(func.count()).where(Unit.version_id == version.id, Unit.stage == stage, Unit.state == "leased")
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with self.deployment.database.read() as session:
                if session.scalar(leased):
                    return
            time.sleep(0.01)
        raise AssertionError(f"version {number} is never at {stage}: {self.client.version('shoes', number)}")

    def ended(self, number: int, seconds: float) -> VersionView:
        end = time.monotonic() + seconds
        while not (version := self.client.version("shoes", number)).ended and time.monotonic() < end:
            time.sleep(0.1)
        return version

    def gone(self, number: int) -> None:
        """Delete a version, and wait until it is not there any more."""
        self.client.delete("shoes", number)
        version, end = ("team", "shoes", number), time.monotonic() + 30
        while versions.find(self.deployment.database, *version) is not None and time.monotonic() < end:
            time.sleep(0.1)
        with pytest.raises(ServiceError, match="404"):
            self.client.version("shoes", number)


@pytest.fixture
def shoes(tmp_path: Path) -> Iterator[Shoes]:
    with deployed(tmp_path) as deployment:
        port = free_port()
        deployment.api(port)
        deployment.scheduler()
        key = api_keys.create(deployment.database, "test", "team", api_keys.SCOPES)
        with Client(f"http://127.0.0.1:{port}", key) as client:
            yield Shoes(deployment, client)


def test_cancelled_in_every_stage_and_by_a_worker_that_dies_a_version_goes_on_and_completes(shoes: Shoes) -> None:
    client, deployment = shoes.client, shoes.deployment
    worker = deployment.start()
    client.submit(parse(SMALL))
    for stage in STAGES:
        shoes.at_work(1, stage)
        assert client.cancel("shoes", 1).state in ("cancelling", "cancelled")
        assert shoes.ended(1, NOTICED).state == "cancelled", stage
        *_, last = client.stream("shoes", 1, 0)  # which ends, since the version has
        assert last.data["state"] == "cancelled"
        client.retry("shoes", 1)
    assert shoes.ended(1, 120).state == "completed"

    # A refresh whose worker hangs when it is cancelled, and then dies: cancelled once its lease is over.
    client.refresh("shoes", parse({**SMALL, "seed": 1, "amount": {"per_class": 8}}))
    shoes.at_work(2, "generate")
    os.killpg(worker.pid, signal.SIGSTOP)
    assert client.cancel("shoes", 2).state == "cancelling"
    deployment.kill(worker)
    assert shoes.ended(2, deployment.settings.lease_seconds + NOTICED).state == "cancelled"
    with closing(client.events("shoes", 2)) as events:
        assert [event.data["state"] for event in events if event.kind == "state"][-2:] == ["cancelling", "cancelled"]

    assert client.refresh("shoes").number == 3  # what was cancelled is in nobody's way
    client.cancel("shoes", 3)
    deployment.start()
    shoes.gone(3)
    client.retry("shoes", 2)
    assert shoes.ended(2, 120).state in ("completed", "held")
    for number in (1, 2):
        for file in client.pull("shoes", number, deployment.folder / f"pulled-{number}"):
            assert file.is_file()
    shoes.gone(1)
    shoes.gone(2)
