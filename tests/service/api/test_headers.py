"""What every answer tells a browser."""

import pytest
from fastapi.testclient import TestClient
from starlette.responses import HTMLResponse

from tests.service.calls import SHOES


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/versions", f"{SHOES}/9", "/nowhere", "/openapi.json"])
@pytest.mark.parametrize("key", [True, False])
def test_no_answer_is_guessed_at_or_kept(client: TestClient, path: str, key: bool) -> None:
    if not key:
        del client.headers["Authorization"]
    answer = client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers.get("Cache-Control") == ("no-store" if key else None)


def test_a_page_runs_no_script_and_has_no_origin(client: TestClient) -> None:
    client.app.add_api_route("/page", lambda: HTMLResponse("<script>1</script>"))  # type: ignore[attr-defined]
    policy = client.get("/page").headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "img-src data: 'self'", "style-src 'unsafe-inline'", "sandbox"} <= set(policy)
    assert not any(part.startswith("script-src") for part in policy)


def test_the_description_needs_a_key_which_a_browser_is_asked_for(client: TestClient) -> None:
    key = client.headers.pop("Authorization").removeprefix("Bearer ")
    for path in ("/docs", "/openapi.json"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        assert client.get(path, auth=("anybody", key)).status_code == 200
        assert client.get(path, auth=("anybody", "cp_guess")).status_code == 401
    assert client.get("/v1/versions", auth=("anybody", key)).status_code == 401  # no page may send it for its reader
    policy = client.get("/docs", auth=("", key)).headers["Content-Security-Policy"]
    assert "script-src 'unsafe-inline' https://cdn.jsdelivr.net" in policy
