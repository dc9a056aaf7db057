"""The whole way by keyboard alone, in a real Chromium and with a real worker: signing in, a version from an example, its
progress, samples, decisions, the export of what was decided, signing out. A minute, most of it the version."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.serving import Served, serving
from tests.flow.deployment import deployed
from tests.service.calls import as_, key

VERSION = "/console/datasets/few-shoes/versions/1"
SMALL = {"source.validation": 8, "source.test": 8, "method.inversion.steps": 2, "method.steps": 2, "amount.per_class": 4}
STOPS = 800  # more than any page has
# Whether the element that has the focus is the one; an error where the focus cannot be seen.
STOP = """selector => {
  const here = document.activeElement, box = here.getBoundingClientRect();
  if (here === document.body) return false;
  const outside = box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth;
  if (getComputedStyle(here).outlineStyle === "none" || !box.width || !box.height || outside)
    throw new Error("nobody sees the focus on " + here.outerHTML.slice(0, 300));
  return here.matches(selector);
}"""


@dataclass
class Keyboard:
    """Someone who has no mouse."""

    page: Any

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def reach(self, selector: str) -> None:
        """Go on by Tab to an element; at each stop the focus can be seen."""
        for _ in range(STOPS):
            self.press("Tab")
            if self.page.evaluate(STOP, selector):
                return
        raise AssertionError(f"{selector} is not reached by Tab")

    def follow(self, selector: str) -> None:
        self.reach(selector)
        self.press("Enter")

    def fill(self, name: str, text: object) -> None:
        self.reach(f"[name='{name}']")
        self.press("Control+A")
        self.type(str(text))


@pytest.fixture
def served(chromium: Any, tmp_path: Path) -> Iterator[Served]:
    """A service with a worker and a scheduler, each a process of its own."""
    with deployed(tmp_path) as deployment, serving(deployment.settings) as served:
        deployment.start()
        deployment.scheduler()
        yield served


def verdicts(served: Served) -> dict[str, str]:
    answer = served.client.get("/v1/datasets/few-shoes/versions/1/verdicts", headers=as_(served.client, "team", "read"))
    return {verdict["sample"]: verdict["decision"] for verdict in answer.json()}


def test_the_whole_way_by_keyboard_alone(served: Served, watched: Watched) -> None:
    page, keyboard = watched.page, Keyboard(watched.page)
    page.set_default_timeout(60_000)  # the worker takes its share of the machine
    watched.open("/console")
    keyboard.type(key(served.client))  # its field has the focus
    keyboard.press("Enter")
    page.wait_for_selector("h1:text('Datasets')")
    keyboard.follow(".skip")
    assert page.evaluate("document.activeElement.id") == "main"

    keyboard.follow("a[href$='/console/new']")
    page.wait_for_selector("h1:text('New version')")
    keyboard.follow("a[href*='example=few-shot']")
    page.wait_for_selector("[name='name'][value='few-shoes']")
    for name, value in SMALL.items():
        keyboard.fill(name, value)
    keyboard.reach("select[name='evaluation']")
    keyboard.type("none")
    page.wait_for_selector("#beside >> text=It is valid.")
    keyboard.follow("button[name=create]")
    page.wait_for_url(f"**{VERSION}")

    page.evaluate("window.sameDocument = true")
    page.wait_for_selector("#progress:not([data-state=queued])", timeout=120_000)
    assert page.evaluate("window.sameDocument")  # it has changed live
    page.wait_for_selector("#progress[data-state=completed]", timeout=400_000)

    keyboard.follow("nav.tabs a[href$='/samples']")
    page.wait_for_selector("[data-grid]")
    keyboard.reach("#verdict")
    keyboard.type("kept")
    keyboard.follow("form.filters button")
    page.wait_for_url("**verdict=kept*")
    keyboard.press("ArrowRight", "d", "k", "d", "u", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "d")
    page.wait_for_selector("[data-message]:text('3 to be dropped')", state="attached")
    ids = page.eval_on_selector_all("[data-grid] a", "links => links.map((link) => link.pathname.split('/').pop())")
    decisions = {ids[0]: "drop", ids[1]: "keep", **dict.fromkeys(ids[3:6], "drop")}
    assert verdicts(served) == decisions
    shown = page.eval_on_selector_all("[data-decided]", "places => places.map((place) => place.textContent)")
    assert shown[:7] == ["to be dropped", "to be kept", "", *["to be dropped"] * 3, ""]

    keyboard.follow(".crumbs a[href$='/versions/1']")
    page.wait_for_selector("text=People decided about 5 samples: 4 to be dropped, 1 to be kept.")
    keyboard.reach("select[name='format']")
    keyboard.reach("[name='as_published']")
    keyboard.reach("form[action$='/export'] button")
    with page.expect_download() as download:
        keyboard.press("Enter")
    with tarfile.open(fileobj=io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        members = {member.name.rpartition("/")[2]: archive.extractfile(member) for member in archive}
        file = members["verdicts.json"]
        assert file is not None
        assert {one["sample"]: (one["decision"], one["by"]) for one in json.load(file)} == {
            sample: (decision, "test") for sample, decision in decisions.items()
        }
    kept = set(page_of(served)) - {sample for sample, decision in decisions.items() if decision == "drop"}
    assert {member for member in members if member.endswith(".png")} == {
        f"{int(index):08d}-{attempt}.png" for index, attempt in (sample.split("-") for sample in kept)
    }

    keyboard.follow("form[action$='/sign-out'] button")
    page.wait_for_selector("h1:text('Sign in')")
    watched.open(VERSION)
    page.wait_for_selector("h1:text('Sign in')")


def page_of(served: Served) -> list[str]:
    """The ids of the samples that the filters kept."""
    url = "/v1/datasets/few-shoes/versions/1/samples?verdict=kept&limit=100"
    items = served.client.get(url, headers=as_(served.client, "team", "read")).json()["items"]
    return [item["id"] for item in items]
