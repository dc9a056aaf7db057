"""How many workers KEDA would want: its very query, put to a real PostgreSQL with versions on their way."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, text, update

from service.state import leases, queue, transitions, uploads, versions
from service.state.database import Database
from service.state.lifecycle import STAGE_OF, WORKER_KIND_OF, WORKER_KINDS, WorkerKind, stages_of
from service.state.tables import Unit, Version
from tests.k8s.manifests import named
from tests.servers import postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with postgresql() as url:
        database = Database.open(url)
        database.create()
        yield database
        database.engine.dispose()


@pytest.fixture
def database(server: Database) -> Database:
    with server.write() as session:
        session.execute(text("TRUNCATE versions CASCADE"))
    return server


def trigger(kind: WorkerKind) -> dict[str, Any]:
    (one,) = named("overlays/prod", "ScaledObject", f"{kind}-worker")["spec"]["triggers"]
    return dict(one["metadata"])


def wanted(database: Database, kind: WorkerKind) -> int:
    """Workers: one for each `targetQueryValue` of what the query finds."""
    with database.read() as session:
        found = session.scalar(text(trigger(kind)["query"]))
    assert isinstance(found, int)
    return -(-found // int(trigger(kind)["targetQueryValue"]))


def workers(database: Database) -> dict[WorkerKind, int]:
    return {kind: wanted(database, kind) for kind in WORKER_KINDS}


def generating(database: Database, shards: int) -> int:
    """A version that waits for so many shards."""
    version = versions.create(database, "team", "shoes", {})
    done(database, {"learn": 1, "generate": shards, "finalize": 1, "evaluate": 1})
    done(database)
    return version


def done(database: Database, work: dict[str, int] | None = None) -> None:
    leases.complete(database, leased(database), {}, work)


def leased(database: Database) -> leases.Lease:
    lease = leases.acquire(database, queue.next_units(database)[0][0], "worker", 60)
    assert lease is not None
    return lease


def test_nothing_to_do_wants_no_worker(database: Database) -> None:
    assert workers(database) == {"cpu": 0, "gpu": 0}


def test_a_new_version_wants_one_that_plans_it(database: Database) -> None:
    versions.create(database, "team", "shoes", {})
    assert workers(database) == {"cpu": 1, "gpu": 0}


def test_shards_in_line_and_shards_that_are_worked_on_count_alike(database: Database) -> None:
    generating(database, 5)
    assert workers(database) == {"cpu": 0, "gpu": 5}
    leased(database)
    leased(database)
    assert workers(database) == {"cpu": 0, "gpu": 5}
    done(database)
    assert workers(database) == {"cpu": 0, "gpu": 4}


def test_a_shard_whose_worker_died_still_wants_one(database: Database) -> None:
    generating(database, 1)
    leased(database)
    with database.write() as session:
        session.execute(update(Unit).values(lease_until=0))
    assert workers(database)["gpu"] == 1


def test_a_shard_that_waits_for_its_next_attempt_wants_none_yet(database: Database) -> None:
    generating(database, 1)
    leases.fail(database, leased(database), "out of memory", again=True)
    assert workers(database)["gpu"] == 0


def test_a_version_that_was_cancelled_or_failed_wants_none(database: Database) -> None:
    transitions.cancel(database, generating(database, 3))
    assert workers(database)["gpu"] == 0
    generating(database, 3)
    lease = leased(database)
    leases.fail(database, lease, "no such checkpoint", again=False)
    assert workers(database)["gpu"] == 0


def test_a_version_that_is_completed_wants_none(database: Database) -> None:
    generating(database, 2)
    for _ in range(4):
        done(database)
    with database.read() as session:
        assert session.scalars(select(Version.state)).all() == ["completed"]
    assert workers(database) == {"cpu": 0, "gpu": 0}


def test_an_upload_wants_a_worker_until_it_is_read(database: Database) -> None:
    uploads.create(database, "team", "birds", key="uploads/a", size=1, allow_synthetic=False)
    assert workers(database) == {"cpu": 1, "gpu": 0}
    lease = leased(database)
    assert workers(database) == {"cpu": 1, "gpu": 0}
    leases.complete_upload(database, lease, {"digest": "d"}, lambda: None)
    assert workers(database) == {"cpu": 0, "gpu": 0}


@pytest.mark.parametrize("kind", WORKER_KINDS)
def test_the_query_names_every_stage_of_its_workers_and_every_state_on_the_way(kind: WorkerKind) -> None:
    query = trigger(kind)["query"]
    assert {stage for stage in WORKER_KIND_OF if f"'{stage}'" in query} == set(stages_of(kind))
    assert all(f"'{state}'" in query for state in STAGE_OF)
    assert trigger(kind)["activationTargetQueryValue"] == "0"
    scaled = named("overlays/prod", "ScaledObject", f"{kind}-worker")["spec"]
    assert scaled["minReplicaCount"] == 0
