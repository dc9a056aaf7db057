"""What people decide about samples: stored apart, by whom and when, and given to the next refresh. About six seconds."""

import io
import json
import tarfile

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from service.state import leases, queue, versions
from service.state.tables import SampleVerdict, Version
from tests.service.calls import SHOES, SPEC, as_, context, problem, store
from tests.service.console.samples import REASON, publish_samples, write_samples
from workers.unit import Worker

VERDICT = f"{SHOES}/1/samples/1-1/verdict"


@pytest.fixture
def sampled(client: TestClient) -> TestClient:
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    with context(client).database.write() as session:
        session.execute(update(Version).values(state="completed"))
    return client


def test_a_decision_is_by_somebody_and_can_be_changed_and_taken_back(sampled: TestClient) -> None:
    made = sampled.put(VERDICT, json={"decision": "drop"}).json()
    assert (made["sample"], made["decision"], made["by"]) == ("1-1", "drop", "test")
    assert sampled.put(VERDICT, json={"decision": "keep"}).json()["at"] >= made["at"]
    sampled.put(f"{SHOES}/1/samples/0-0/verdict", json={"decision": "keep"})
    listed = sampled.get(f"{SHOES}/1/verdicts").json()
    assert [(one["sample"], one["decision"]) for one in listed] == [("0-0", "keep"), ("1-1", "keep")]
    assert sampled.get(f"{SHOES}/1/samples/1-1").json()["verdict"] == "kept"  # the version is what it was
    assert sampled.delete(VERDICT).status_code == 204
    problem(sampled.delete(VERDICT), 404)


def test_what_cannot_be_decided_is_refused(sampled: TestClient) -> None:
    refused = sampled.put(f"{SHOES}/1/samples/1-0/verdict", json={"decision": "drop"})
    assert problem(refused, 409)["detail"].startswith(f"sample '1-0' was dropped by the filters: {REASON}")
    problem(sampled.put(f"{SHOES}/1/samples/999-1/verdict", json={"decision": "keep"}), 404)
    problem(sampled.put(VERDICT, json={"decision": "burn"}), 422)
    problem(sampled.put(VERDICT, json={"decision": "drop"}, headers=as_(sampled, "team", "read")), 403)
    for method, path in (("PUT", VERDICT), ("DELETE", VERDICT), ("GET", f"{SHOES}/1/verdicts")):
        body = {"json": {"decision": "drop"}} if method == "PUT" else {}
        problem(sampled.request(method, path, headers=as_(sampled, "others"), **body), 404)
    assert sampled.get(f"{SHOES}/1/verdicts").json() == []


def test_a_worker_that_plans_the_refresh_is_given_them(sampled: TestClient) -> None:
    sampled.put(VERDICT, json={"decision": "drop"})
    assert sampled.post("/v1/datasets/shoes:refresh").json()["previous"] == 1
    here = context(sampled)
    ((unit, _), *_) = [unit for unit in queue.next_units(here.database, ["plan"]) if unit[0] != 1]
    lease = leases.acquire(here.database, unit, "w", 60)
    assert lease is not None
    (verdict,) = Worker(here.settings, here.database, "w", lambda: False).verdicts(lease)
    assert (verdict.key, verdict.decision, verdict.by) == ((1, 1), "drop", "test")


def test_they_go_with_their_version(sampled: TestClient) -> None:
    sampled.put(VERDICT, json={"decision": "drop"})
    database = context(sampled).database
    assert sampled.delete(f"{SHOES}/1").json()["state"] == "deleting"
    here = context(sampled)
    assert Worker(here.settings, here.database, "w", lambda: False).run_next("cpu")
    assert versions.find(database, "team", "shoes", 1) is None
    with database.read() as session:
        assert session.scalars(select(SampleVerdict)).all() == []


def exported(client: TestClient, **params: object) -> dict[str, bytes]:
    answer = client.get(f"{SHOES}/1/export", params={"format": "imagefolder", **params})
    assert answer.status_code == 200, answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}


def test_an_export_obeys_them_unless_it_is_to_be_as_published(sampled: TestClient) -> None:
    publish_samples(store(sampled), "shoes", 1)
    published = exported(sampled)
    names = {name.rpartition("/")[2] for name in published if name.endswith(".png")}
    assert names == {f"{number:08d}-1.png" for number in range(160)}
    sampled.put(VERDICT, json={"decision": "drop"})
    sampled.put(f"{SHOES}/1/samples/5-0/verdict", json={"decision": "keep"})
    decided = exported(sampled)
    assert {name.rpartition("/")[2] for name in decided if name.endswith(".png")} == (
        names - {"00000001-1.png"} | {"00000005-0.png"}
    )
    obeyed = json.loads(decided["verdicts.json"])
    assert [(one["sample"], one["decision"], one["by"]) for one in obeyed] == [
        ("1-1", "drop", "test"),
        ("5-0", "keep", "test"),
    ]
    assert exported(sampled, as_published=True) == published
    problem(sampled.get(f"{SHOES}/1/export?format=imagefolder", headers=as_(sampled, "others")), 404)
