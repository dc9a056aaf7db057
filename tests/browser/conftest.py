"""A service that really listens, and a real Chromium that looks at its console."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.browser.serving import Served, serving
from tests.parts import CHROMIUM, PLAYWRIGHT
from tests.servers import valkey


@dataclass
class Watched:
    """A page of the browser, and all that it does not keep to itself."""

    page: Any
    url: str
    messages: list[str] = field(default_factory=list)  # of its console: errors and warnings
    elsewhere: list[str] = field(default_factory=list)  # requests to other hosts
    dialogs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", self.requested)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(message.text)

    def requested(self, request: Any) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.elsewhere.append(request.url)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, key: str) -> None:
        self.open("/console")
        self.page.focus("#key")
        self.page.keyboard.type(key)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("h1:text('Datasets')")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    executable = CHROMIUM.path()
    PLAYWRIGHT.path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(executable), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def served(chromium: Any, tmp_path: Path) -> Iterator[Served]:
    with valkey() as broker, serving(Settings(state_dir=tmp_path, broker_url=broker.connection_url)) as served:
        yield served


@pytest.fixture
def watched(chromium: Any, served: Served) -> Iterator[Watched]:
    """A page in a context of its own. At its end nothing was said, asked or fetched that should not have been."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    watched = Watched(context.new_page(), served.url)
    yield watched
    context.close()
    assert (watched.messages, watched.elsewhere, watched.dialogs) == ([], [], [])
