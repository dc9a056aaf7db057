"""What the tests of the console share: a browser without script, that follows links and sends forms as they are written."""

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import update

from service.state.tables import Version
from tests.service.calls import context, key

VOID = {"meta", "link", "input", "img", "br", "hr", "wbr"}


class WellFormed(HTMLParser):
    """Raises AssertionError for a tag that is not closed, or closed out of turn; for an id, or a label for one, that is not
    there once."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.referred: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"<{tag}>: an attribute is there twice"
        self.ids += [given["id"]] if "id" in given else []
        self.referred |= {given["for"]} if "for" in given else set()
        self.referred |= set(given.get("aria-describedby", "").split())
        assert not any(name.startswith("on") or name == "style" for name in given), f"<{tag}>: {given}"
        assert tag != "img" or "alt" in given
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" and self.open[-1] != "option":
            return
        while self.open[-1] == "option" and tag != "option":  # whose end may be left out
            self.open.pop()
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def check(self, text: str) -> None:
        self.feed(text)
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids), "an id is there twice"
        assert self.referred <= set(self.ids), self.referred - set(self.ids)


@dataclass
class FormParser(HTMLParser):
    """The forms of a page: where each is sent, and the fields that a browser would send with it."""

    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text_area: str = ""
    select: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        if not self.forms:
            return
        fields = self.forms[-1][1]
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            fields[name] = given.get("value", "on")
        elif tag == "textarea":
            self.text_area = name
            fields[name] = ""
        elif tag == "select":
            self.select = name
        elif tag == "option" and "selected" in given:
            fields[self.select] = given.get("value", "\0")

    def handle_data(self, data: str) -> None:
        if self.text_area:
            self.forms[-1][1][self.text_area] += data
        elif self.select and self.forms[-1][1].get(self.select) == "\0":
            self.forms[-1][1][self.select] = data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.text_area = ""


def forms(response: Response) -> dict[str, dict[str, str]]:
    parser = FormParser()
    parser.feed(response.text)
    return dict(parser.forms)


@dataclass
class Browser:
    """Whoever looks at the console of an application."""

    client: TestClient
    page: Response | None = None

    def checked(self, response: Response) -> Response:
        """The page, if it is one that any browser can read, and that trusts nothing."""
        assert response.headers["content-type"] == "text/html; charset=utf-8", response.text
        assert "default-src 'none'; script-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        assert response.elapsed.total_seconds() < 1
        WellFormed().check(response.text)
        self.page = response
        return response

    def open(self, path: str, status: int = 200) -> str:
        response = self.checked(self.client.get(path))
        assert response.status_code == status, response.text
        return response.text

    def send(self, action: str, status: int = 200, **fields: Any) -> str:
        """Send the form of the page that leads there, with these fields written into it; the page that comes of it."""
        assert self.page is not None
        written = forms(self.page)[action]
        response = self.checked(self.client.post(action, data={**written, **fields}))
        assert response.status_code == status, response.text
        return response.text

    @property
    def path(self) -> str:
        assert self.page is not None
        return self.page.url.raw_path.decode()

    @property
    def headings(self) -> list[str]:
        assert self.page is not None
        return [html.unescape(re.sub("<[^>]+>", "", text)).strip() for text in re.findall(r"<h1>(.*?)</h1>", self.page.text)]


def signed_in(client: TestClient, tenant: str = "team", *scopes: Any) -> Browser:
    """A browser of its own that has signed in with a new key."""
    browser = Browser(TestClient(client.app, raise_server_exceptions=False))
    browser.client.portal = client.portal  # one event loop for both, as a process has
    browser.open("/console")
    browser.send("/console/sign-in", key=key(client, tenant, *scopes))
    assert browser.path == "/console"
    return browser


def set_version(client: TestClient, number: int, **values: Any) -> None:
    """Change the row of a version."""
    with context(client).database.write() as session:
        session.execute(update(Version).where(Version.number == number).values(**values))
