"""Signing in and out, what a session is worth, and that no form is taken without its token. About ten seconds."""

import time

import pytest
from fastapi.testclient import TestClient

from pipelines.store.object_store import Store
from service.console import endpoints
from service.console.pages import PageRoute
from service.console.sessions import COOKIE, LIFETIME, PATH, SECRET
from service.state import api_keys
from tests.service.calls import SHOES, SPEC, context, key, operated
from tests.service.console.browsing import Browser, forms, signed_in


@pytest.fixture
def browser(client: TestClient) -> Browser:
    return Browser(TestClient(client.app, raise_server_exceptions=False))


def cookies(browser: Browser) -> str:
    assert browser.page is not None
    return next(answer for answer in (*browser.page.history, browser.page) if "set-cookie" in answer.headers).headers[
        "set-cookie"
    ]


def test_whoever_has_no_session_is_led_to_sign_in_and_back(client: TestClient, browser: Browser) -> None:
    browser.open("/console/sources?x=1&y=2")
    assert browser.headings == ["Sign in"]
    browser.send("/console/sign-in", 401, key="cp_guess")
    assert "this is no API key that is in force" in browser.page.text  # type: ignore[union-attr]
    browser.send("/console/sign-in", key=key(client))
    assert browser.path == "/console/sources?x=1&y=2"
    assert browser.headings == ["Sources"]
    browser.open("/console/")
    assert browser.headings == ["Datasets"]


def test_the_cookie_is_for_the_console_alone_and_for_no_script(client: TestClient, browser: Browser) -> None:
    browser.open("/console")
    parts = {part.strip().lower() for part in cookies(browser).split(";")[1:]}
    assert parts == {"httponly", "samesite=strict", "path=/console", f"max-age={LIFETIME}"}
    secure = Browser(TestClient(client.app, base_url="https://console.example"))
    secure.open("/console")
    assert "secure" in cookies(secure).lower()
    browser.send("/console/sign-in", key=key(client))
    assert browser.client.get("/v1/versions").status_code == 401


@pytest.mark.parametrize("place", ["https://evil.example", "//evil.example", "/console/../v1", "/console\\evil", "/v1/keys"])
def test_nobody_is_led_elsewhere_after_signing_in(client: TestClient, browser: Browser, place: str) -> None:
    browser.client.get("/console/sign-in", params={"next": place})
    browser.open(f"/console/sign-in?next={place}")
    browser.send("/console/sign-in", key=key(client), next=place)
    assert browser.page is not None
    assert str(browser.page.url) == "http://testserver/console"


def test_a_link_from_another_site_does_not_end_the_session(client: TestClient) -> None:
    """Such a request comes without the cookie, which is strict; the page that answers asks again, from here."""
    browser = signed_in(client)
    held = browser.client.cookies.get(COOKIE)
    stranger = TestClient(client.app)
    answer = stranger.get("/console/usage", headers={"Sec-Fetch-Site": "cross-site"})
    assert 'content="0; url=/console/usage"' in answer.text
    assert "set-cookie" not in answer.headers
    assert browser.client.cookies.get(COOKIE) == held


def test_a_session_ends_with_its_key_with_time_and_when_signed_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = context(client).database
    browser = signed_in(client)
    (newest, *_) = reversed(api_keys.list_all(database, "team"))
    token = str(browser.client.cookies.get(COOKIE))
    browser.send("/console/sign-out")
    assert browser.headings == ["Sign in"]
    browser.open("/console/usage")
    assert browser.headings == ["Sign in"]
    again = TestClient(client.app, cookies={COOKIE: token}, follow_redirects=False)
    assert again.get("/console/usage").status_code == 200
    later = time.time() + LIFETIME + 1
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: later)
        assert again.get("/console/usage").status_code == 303
    api_keys.revoke(database, newest.id)
    assert again.get("/console/usage").status_code == 303


def test_a_session_that_was_not_signed_here_is_none(client: TestClient) -> None:
    browser = signed_in(client)
    token = str(browser.client.cookies.get(COOKIE))
    number, end, random, signature = token.split(".")
    forged = [
        "", "x", "...", token[:-1], f"{int(number) + 1}.{end}.{random}.{signature}",
        f"{number}.{int(end) + 9}.{random}.{signature}", f"{number}.{end}.{random}.é",
    ]  # fmt: skip
    for cookie in forged:
        headers = {"Cookie": f"{COOKIE}={cookie}".encode()}
        answer = TestClient(client.app).get("/console/usage", headers=headers, follow_redirects=False)  # type: ignore[arg-type]
        assert answer.status_code == 303, cookie
    store = Store.open(context(client).settings.store)
    assert len(store.get(SECRET)) == 64


def test_every_form_has_a_token_and_none_is_taken_without(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    browser = signed_in(client, "team", "read", "submit", "admin")
    actions = set()
    for path in (
        "/console",
        "/console/datasets/shoes",
        "/console/datasets/shoes/versions/1",
        "/console/new",
        "/console/keys",
    ):
        browser.open(path)
        for action, fields in forms(browser.page).items():  # type: ignore[arg-type]
            if action.endswith(("/compare", "/samples")):  # by GET
                continue
            assert len(fields["csrf"]) == 64
            actions.add(action)
    assert len(actions) > 7
    other = forms(signed_in(client).page)["/console/sign-out"]["csrf"]  # type: ignore[arg-type]
    for action in (*actions, "/console/sign-in", "/console/previews", "/console/datasets/shoes/versions/1/promote"):
        for token in ({}, {"csrf": ""}, {"csrf": "ä"}, {"csrf": other}):
            answer = browser.client.post(action, data=token, follow_redirects=False)
            assert answer.status_code == 403, (action, token)
            assert "this form is not of your session" in answer.text
    assert client.get(f"{SHOES}/1").json()["state"] == "queued"


def test_every_route_that_changes_something_checks_the_token(client: TestClient) -> None:
    browser, tried = signed_in(client), 0
    routes = [route for module in (endpoints, *endpoints.PAGES) for route in module.router.routes]
    for route in (route for route in routes if isinstance(route, PageRoute) and "POST" in route.methods):
        path = route.path.removeprefix(PATH).format(name="shoes", number=1, action="cancel", key_id=1, sample="1-1")
        assert browser.client.post(PATH + path, data={"csrf": "guess"}).status_code == 403, path
        tried += 1
    assert tried >= 10


def test_a_form_is_bounded(client: TestClient) -> None:
    browser = signed_in(client)
    large = browser.client.post("/console/new", data={"x": "a" * 2**21})
    assert (large.status_code, "more than 1048576 bytes" in large.text) == (413, True)
    many = browser.client.post("/console/new", data={f"f{number}": "1" for number in range(2000)})
    assert many.status_code == 400
    assert browser.client.post("/console/new", content=b"\xff=1").status_code == 400


def test_requests_of_a_session_count_as_those_of_its_key(client: TestClient) -> None:
    browser = signed_in(client)
    operated(client, max_requests_per_second=1)
    answers = [browser.client.get("/console/usage") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert int(answers[1].headers["Retry-After"]) > 0
    assert "requests a second with this key" in answers[1].text


def test_where_no_key_is_needed_nobody_signs_in(client: TestClient, browser: Browser) -> None:
    operated(client, auth=False)
    browser.open("/console")
    assert browser.headings == ["Datasets"]
    assert browser.client.post("/console/keys", data={"name": "mine"}).status_code == 403
