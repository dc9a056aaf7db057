"""Metrics, as Prometheus reads them."""

from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.state import leases, queue
from tests.service.calls import SHOES, SPEC, context


def scraped(client: TestClient) -> dict[tuple[str, ...], float]:
    """What the API serves on its metrics port."""
    text = generate_latest(context(client).registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_line_and_its_pace_are_told(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    client.post(SHOES, json=SPEC)
    database = context(client).database
    found = scraped(client)
    assert found["counterpoise_versions", "queued"] == 2
    assert found["counterpoise_queue_depth", "cpu", "plan"] == 2
    assert found["counterpoise_queue_depth", "gpu", "generate"] == 0
    assert found["counterpoise_units", "plan", "ready"] == 2
    assert found["counterpoise_images_per_second",] == 0
    assert ("counterpoise_kept_ratio",) not in found
    for report, work in (({}, {"generate": 2}), ({"generated": 90, "kept": 30, "dropped": 60}, None)):
        ((unit, _), *_) = sorted(queue.next_units(database), key=lambda found: found[1] != "generate")
        lease = leases.acquire(database, unit, "w", 60)
        assert lease is not None
        leases.complete(database, lease, report, work, seconds=45.0)
    found = scraped(client)
    assert found["counterpoise_units", "generate", "done"] == 1
    assert found["counterpoise_images_per_second",] == 90 / 900
    assert found["counterpoise_kept_ratio",] == 1 / 3
    assert found["counterpoise_seconds_per_kept_image",] == 1.5


def test_requests_are_timed_by_route(client: TestClient) -> None:
    for number in (1, 2, 3):
        client.get(f"{SHOES}/{number}")
    found = scraped(client)
    route = "/v1/datasets/{name}/versions/{number}"
    assert found["counterpoise_request_seconds_count", "GET", route, "404"] == 3
