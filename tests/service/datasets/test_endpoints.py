"""Which version of a dataset is to be used, and how it is kept fresh."""

from fastapi.testclient import TestClient

from pipelines.store import keys
from service.state import deletions, leases, queue
from tests.service.calls import SHOES, SPEC, as_, context, problem, store

DATASET = "/v1/datasets/shoes"
SCHEDULE = {"cron": "0 3 * * 1", "time_zone": "Europe/Berlin", "spec": SPEC}


def ended(client: TestClient, ends: str = "completed") -> None:
    """End the version that is on its way, as a worker would."""
    database = context(client).database
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {"ends": ends}, {})


def removed(client: TestClient) -> None:
    """Remove the first version in line, as a worker would."""
    database = context(client).database
    unit, stage = queue.next_units(database)[0]
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    assert stage == "delete"
    deletions.complete(database, lease)


def latest(client: TestClient) -> int | None:
    found: int | None = client.get(DATASET).json()["latest"]
    return found


def test_a_dataset_shows_its_versions_and_the_latest_of_them(client: TestClient) -> None:
    problem(client.get(DATASET), 404)
    client.post(SHOES, json=SPEC)
    assert latest(client) is None
    ended(client)
    client.post(SHOES, json=SPEC)
    found = client.get(DATASET).json()
    assert (found["name"], found["latest"], found["schedule"]) == ("shoes", 1, None)
    assert found["versions"] == [{"number": 2, "state": "queued"}, {"number": 1, "state": "completed"}]
    assert client.get(found["links"]["latest"]).json()["number"] == 1
    problem(client.get(DATASET, headers=as_(client, "others")), 404)


def test_datasets_are_listed_page_by_page(client: TestClient) -> None:
    for name in ("c", "a", "b"):
        client.post(f"/v1/datasets/{name}/versions", json={**SPEC, "name": name})
    page = client.get("/v1/datasets", params={"limit": 2}).json()
    assert ([each["name"] for each in page["items"]], page["next"]) == (["a", "b"], "b")
    rest = client.get("/v1/datasets", params={"limit": 2, "cursor": page["next"]}).json()
    assert ([each["name"] for each in rest["items"]], rest["next"]) == (["c"], None)
    assert client.get("/v1/datasets", headers=as_(client, "others")).json()["items"] == []


def test_the_spec_of_another_dataset_is_refused(client: TestClient) -> None:
    for method, path, body in (("PUT", "/schedule", SCHEDULE), ("POST", ":refresh", {"spec": SPEC})):
        refused = problem(client.request(method, f"/v1/datasets/hats{path}", json=body), 409)
        assert "make them the same" in refused["detail"]


def test_a_refresh_goes_from_the_newest_published_version(client: TestClient) -> None:
    assert "there is no dataset" in problem(client.post(f"{DATASET}:refresh"), 404)["detail"]
    client.post(SHOES, json=SPEC)
    assert (
        "version 1 of 'shoes' is on its way"
        in problem(client.post(f"{DATASET}:refresh", json={"spec": SPEC}), 409)["detail"]
    )
    assert "send one" in problem(client.post(f"{DATASET}:refresh"), 409)["detail"]
    ended(client)
    made = client.post(f"{DATASET}:refresh")
    assert made.status_code == 202
    assert made.headers["Location"] == f"{SHOES}/2"
    assert (made.json()["previous"], made.json()["spec"]["amount"]["per_class"]) == (1, 5)
    ended(client)
    other = client.post(f"{DATASET}:refresh", json={"spec": {**SPEC, "amount": {"per_class": 9}}}).json()
    assert (other["number"], other["previous"], other["spec"]["amount"]["per_class"]) == (3, 2, 9)


def test_a_schedules_spec_goes_before_that_of_the_newest_version(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    ended(client)
    client.put(f"{DATASET}/schedule", json={**SCHEDULE, "spec": {**SPEC, "seed": 4}, "enabled": False})
    assert client.post(f"{DATASET}:refresh", json={}).json()["spec"]["seed"] == 4


def test_the_same_refresh_twice_is_one(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    ended(client)
    once = {"Idempotency-Key": "monday"}
    numbers = [client.post(f"{DATASET}:refresh", headers=once).json()["number"] for _ in range(2)]
    assert numbers == [2, 2]
    assert "was used for another" in problem(client.post(SHOES, json=SPEC, headers=once), 409)["detail"]


def test_a_version_that_is_held_is_promoted_and_an_older_one_again(client: TestClient) -> None:
    for ends in ("completed", "held"):
        client.post(SHOES, json=SPEC)
        ended(client, ends)
    assert (latest(client), client.get(f"{SHOES}/2").json()["state"]) == (1, "held")
    assert client.post(f"{SHOES}/2/promote").json()["latest"] == 2
    assert client.get(f"{SHOES}/2").json()["state"] == "completed"
    assert client.post(f"{SHOES}/1/promote").json()["latest"] == latest(client) == 1
    client.post(SHOES, json=SPEC)
    assert "is queued; only published" in problem(client.post(f"{SHOES}/3/promote"), 409)["detail"]
    problem(client.post(f"{SHOES}/9/promote"), 404)
    problem(client.post(f"{SHOES}/2/promote", headers=as_(client, "others")), 404)
    problem(client.post(f"{SHOES}/2/promote", headers=as_(client, "team", "read")), 403)


def test_when_the_latest_is_removed_the_newest_that_completed_is(client: TestClient) -> None:
    for ends in ("completed", "completed", "held"):
        client.post(SHOES, json=SPEC)
        ended(client, ends)
    for number, then in ((2, 1), (1, None)):
        assert client.delete(f"{SHOES}/{number}").status_code == 202
        assert latest(client) == then
        assert client.delete(f"{SHOES}/{number}").json()["state"] == "deleting"
        assert "only published" in problem(client.post(f"{SHOES}/{number}/promote"), 409)["detail"]


def test_a_version_is_not_removed_while_another_is_made_from_it(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    ended(client)
    client.post(f"{DATASET}:refresh")
    store(client).put(keys.manifest(keys.version("shoes", 1)), b"{}")
    assert "version 2 of 'shoes' is being made from 1" in problem(client.delete(f"{SHOES}/1"), 409)["detail"]
    assert store(client).exists(keys.manifest(keys.version("shoes", 1)))
    client.post(f"{SHOES}/2/cancel")
    assert client.delete(f"{SHOES}/1").json()["state"] == "deleting"
    assert "only failed, cancelled and unevaluated" in problem(client.post(f"{SHOES}/1/retry"), 409)["detail"]
    assert "there is nothing to cancel" in problem(client.post(f"{SHOES}/1/cancel"), 409)["detail"]
    assert "send one" in problem(client.post(f"{DATASET}:refresh"), 409)["detail"]
    assert client.post(f"{DATASET}:refresh", json={"spec": SPEC}).json()["previous"] is None


def test_a_dataset_is_removed_with_its_schedule_unless_a_version_is_on_its_way(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    ended(client)
    client.put(f"{DATASET}/schedule", json=SCHEDULE)
    client.post(SHOES, json=SPEC)
    assert "version 2 of 'shoes' is on its way; cancel" in problem(client.delete(DATASET), 409)["detail"]
    problem(client.delete(DATASET, headers=as_(client, "others")), 404)
    problem(client.delete(DATASET, headers=as_(client, "team", "read")), 403)
    client.post(f"{SHOES}/2/cancel")
    answer = client.delete(DATASET)
    assert (answer.status_code, answer.json()["latest"], answer.json()["schedule"]) == (202, None, None)
    assert {version["state"] for version in answer.json()["versions"]} == {"deleting"}
    problem(client.get(f"{DATASET}/schedule"), 404)
    for _ in range(2):
        removed(client)
    problem(client.get(DATASET), 404)
    assert client.get("/v1/datasets").json()["items"] == []
    assert client.post(SHOES, json=SPEC).json()["number"] == 3
