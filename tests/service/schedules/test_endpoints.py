"""A dataset's schedule over HTTP: set, looked at, removed; and what is refused."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.calls import SPEC, as_, problem

DATASET = "/v1/datasets/shoes"
SCHEDULE = {"cron": "0 3 * * 1", "time_zone": "Europe/Berlin", "spec": SPEC}


def test_a_schedule_is_set_looked_at_and_removed(client: TestClient) -> None:
    problem(client.get(f"{DATASET}/schedule"), 404)
    made = client.put(f"{DATASET}/schedule", json=SCHEDULE).json()
    assert (made["cron"], made["time_zone"], made["busy"], made["enabled"]) == ("0 3 * * 1", "Europe/Berlin", "skip", True)
    assert made["next_tick"] > 1.7e9
    assert made["spec"]["amount"]["per_class"] == 5
    assert client.get(f"{DATASET}/schedule").json() == made == client.get(DATASET).json()["schedule"]
    off = client.put(f"{DATASET}/schedule", json={**SCHEDULE, "enabled": False, "busy": "queue"}).json()
    assert (off["next_tick"], off["enabled"], off["busy"]) == (None, False, "queue")
    problem(client.delete(f"{DATASET}/schedule", headers=as_(client, "others")), 404)
    assert client.delete(f"{DATASET}/schedule").status_code == 204
    problem(client.delete(f"{DATASET}/schedule"), 404)


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"cron": "at three"}, "cron", "cannot be read"),
        ({"time_zone": "Mars/Base"}, "time_zone", "is not known"),
        ({"busy": "panic"}, "busy", "'skip' or 'queue'"),
        ({"spec": {**SPEC, "amount": {"per_class": 0}}}, "spec.amount.per_class", "greater than or equal to 1"),
        ({"spec": {**SPEC, "source": {"type": "uploaded", "name": "x"}}}, "source.name", "no such upload of 'x'"),
        ({"spec": {**SPEC, "schema_version": 7}}, "spec.schema_version", "newer than 2"),
        ({"colour": "red"}, "colour", "no such field"),
    ],
)
def test_a_bad_schedule_names_the_field(client: TestClient, changes: dict[str, Any], field: str, said: str) -> None:
    found = problem(client.put(f"{DATASET}/schedule", json={**SCHEDULE, **changes}), 422)
    assert found["errors"][0]["field"] == field
    assert said in found["detail"]
    problem(client.get(f"{DATASET}/schedule"), 404)
