"""The map in a real Chromium: a line drawn around points, a rectangle by keyboard, for screen readers. Twenty seconds."""

from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.serving import Served
from tests.browser.test_console import ONE, sampled
from tests.service.calls import key, store
from tests.service.console.samples import write_map

__all__ = ["sampled"]


@pytest.fixture
def mapped(sampled: Served) -> Served:
    write_map(store(sampled.client), "shoes", 1)
    return sampled


def screen(watched: Watched, x: float, y: float) -> tuple[float, float]:
    """Where a point of the map is in the window."""
    place = watched.page.evaluate(
        "([x, y]) => { const map = document.querySelector('svg.map');"
        " const point = new DOMPoint(x, y).matrixTransform(map.getScreenCTM()); return [point.x, point.y] }",
        [x, y],
    )
    return place[0], place[1]


def test_a_line_around_points_has_the_grid_display_them(mapped: Served, watched: Watched) -> None:
    watched.sign_in(key(mapped.client))
    watched.open(f"{ONE}/map")
    page, mouse = watched.page, watched.page.mouse
    page.locator("svg.map").scroll_into_view_if_needed()
    corners = [(5, 5), (165, 5), (165, 95), (5, 95)]  # around 3 x 2 kept samples, at 20, 80, 140 and 20, 65
    mouse.move(*screen(watched, *corners[0]))
    mouse.down()
    for x, y in [*corners[1:], (5, 15)]:
        mouse.move(*screen(watched, x, y), steps=10)
    assert page.get_attribute("[data-outline]", "points").count(",") > 20
    mouse.up()
    page.wait_for_url("**/samples?region=*")
    assert page.inner_text("[data-selection] strong") == "6 samples in the selected region"
    alternatives = page.eval_on_selector_all(
        "[data-grid] a", "links => links.map((link) => link.pathname.split('/').at(-1))"
    )
    assert sorted(alternatives) == sorted(f"{index}-1" for index in (0, 1, 2, 16, 17, 18))
    page.click("text=Back to the map")
    page.wait_for_selector("svg.map")
    assert page.get_attribute("[data-outline]", "points")


def test_a_rectangle_is_moved_and_sized_by_keyboard(mapped: Served, watched: Watched) -> None:
    watched.sign_in(key(mapped.client))
    watched.open(f"{ONE}/map")
    page, press = watched.page, watched.page.keyboard.press
    for _ in range(40):
        press("Tab")
        if page.evaluate("document.activeElement.matches('svg.map')"):
            break
    assert page.get_attribute("[data-outline]", "points") == "400,400 600,400 600,600 400,600"
    for name, times in (("ArrowLeft", 20), ("ArrowUp", 20), ("Shift+ArrowLeft", 2), ("Shift+ArrowUp", 4)):
        for _ in range(times):
            press(name)
    assert page.inner_text("[data-message]") == "From 0 to 150 across, from 0 to 100 down."
    press("Enter")
    page.wait_for_url("**/samples?region=*")
    assert page.inner_text("[data-selection] strong") == "6 samples in the selected region"
    assert page.locator("[data-grid] li").count() == 6


def test_a_touch_and_the_other_button_select_nothing(mapped: Served, watched: Watched) -> None:
    watched.sign_in(key(mapped.client))
    watched.open(f"{ONE}/map")
    watched.page.mouse.click(*screen(watched, 500, 300))
    watched.page.mouse.move(*screen(watched, 100, 100))
    watched.page.mouse.down(button="right")
    watched.page.mouse.move(*screen(watched, 900, 300), steps=5)
    watched.page.mouse.up(button="right")
    watched.page.wait_for_timeout(300)
    assert watched.page.url.endswith("/map")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_a_screen_reader(mapped: Served, watched: Watched, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    watched.page.emulate_media(color_scheme=scheme)
    watched.sign_in(key(mapped.client))
    for path in (f"{ONE}/map", f"{ONE}/map?by=kind&label=boot", f"{ONE}/samples?region=0,0,150,0,150,100,0,100"):
        watched.open(path)
        violations = axe.Axe().run(watched.page).response["violations"]
        serious = {one["id"]: one["nodes"][0]["target"] for one in violations if one["impact"] in ("serious", "critical")}
        assert serious == {}, path
        for width in (360, 1280):
            watched.page.set_viewport_size({"width": width, "height": 800})
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, path
