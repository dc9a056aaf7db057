"""Files of a version over HTTP. Those of a published one: tests/flow."""

from fastapi.testclient import TestClient

from pipelines.store import keys
from tests.service.calls import SHOES, SPEC, problem, store


def test_nothing_can_be_had_of_a_version_that_is_not_published(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    assert client.get(f"{SHOES}/1/files").json() == []
    for path in ("data/x.parquet", "../../../../state.db", "%2e%2e/%2e%2e/state.db", "manifest.json"):
        problem(client.get(f"{SHOES}/1/files/{path}"), 404)


def test_a_report_runs_no_script_and_reaches_nothing(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    page, root = b"<!doctype html><script>alert(1)</script>" * 1000, keys.version("shoes", 1)
    store(client).put(f"{root}/report/report.html", page)
    store(client).put(keys.manifest(root), b'{"files": []}')
    answer = client.get(f"{SHOES}/1/files/report/report.html")
    assert (answer.content, answer.headers["Content-Type"]) == (page, "text/html; charset=utf-8")
    assert {"default-src 'none'", "sandbox"} <= set(answer.headers["Content-Security-Policy"].split("; "))
    assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert client.get(f"{SHOES}/1/files/manifest.json").headers["Content-Type"] == "application/octet-stream"
