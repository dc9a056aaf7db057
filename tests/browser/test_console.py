"""The console in a real Chromium: by keyboard, live, with names that mean harm, and for screen readers. Forty seconds."""

import time
from typing import Any

import pytest
from sqlalchemy import update

from service.state import leases, queue
from service.state.tables import Version
from tests.browser.conftest import Watched
from tests.browser.serving import Served
from tests.service.calls import SHOES, SPEC, as_, context, key, store, understood
from tests.service.console.reports import write_report
from tests.service.console.samples import CLASSES, REASON, write_samples
from tests.source.packed import picture, tar
from workers.inspection import answer_inspection

ONE = "/console/datasets/shoes/versions/1"
FURTHER = (f"{ONE}/quality", "/console/datasets/shoes/compare?a=1&b=1", "/console/sources/birds")


def created(served: Served, **changes: Any) -> None:
    answer = served.client.post(SHOES, json={**SPEC, **changes}, headers=as_(served.client, "team"))
    assert answer.status_code == 202, answer.text


def worked(served: Served, report: dict[str, Any], unit_counts: dict[str, int] | None = None) -> None:
    """Do the next unit, as a worker does."""
    database, end = context(served.client).database, time.monotonic() + 5
    while not (units := queue.next_units(database)):  # clocks have milliseconds
        assert time.monotonic() < end
    lease = leases.acquire(database, units[0][0], "w", 60)
    assert lease is not None
    leases.complete(database, lease, report, unit_counts)


@pytest.fixture
def sampled(served: Served) -> Served:
    """A version with samples, half of them of a class whose name means harm."""
    created(served)
    write_samples(store(served.client), "shoes", 1)
    write_report(store(served.client), "shoes", 1, list(CLASSES))
    with context(served.client).database.write() as session:
        counts = {"kept": 160, "dropped": 160, "generated": 320, "reasons": {REASON: 160}}
        session.execute(update(Version).values(state="completed", counts=counts))
    return served


def inspected(served: Served) -> None:
    """An uploaded source, and what an inspection found in it."""
    served.client.headers.update(as_(served.client, "team"))
    files = {f"{split}/{label}/{n}.png": picture(100 * k + 10 * s + n) for k, label in enumerate(("boot", "sneaker"))
             for s, split in enumerate(("train", "test")) for n in range(6)}  # fmt: skip
    digest = understood(served.client, tar({**files, "test/boot/again.png": picture(3)}))["digest"]
    assert answer_inspection(context(served.client).settings, "team", "birds", digest) == {"state": "done"}


def test_guilty_images_lead_to_their_samples(sampled: Served, watched: Watched) -> None:
    watched.sign_in(key(sampled.client))
    watched.open(f"{ONE}/quality")
    page = watched.page
    page.focus("a[href$='samples/5-1']")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text('Sample 5-1')")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].map((one) => one.naturalWidth)") == [
        320,
        8,
        8,
    ]  # of the source: why there is none


def test_progress_is_followed_live_to_the_end(served: Served, watched: Watched) -> None:
    created(served)
    watched.sign_in(key(served.client))
    watched.open(ONE)
    page = watched.page
    page.wait_for_selector("#progress[data-state=queued]")
    worked(served, {"planned": 20}, {"learn": 0, "generate": 2, "finalize": 1})
    page.wait_for_selector("#progress[data-state=generating]")
    worked(served, {"planned": 10, "generated": 12, "kept": 9, "dropped": 3, "reasons": {"quality: blurred": 3}})
    page.wait_for_selector("progress[aria-label=generate][value='1']")
    tiles = "planned 20 generated 12 kept 9 dropped 3 share kept 75 %"
    assert " ".join(page.inner_text("dl.tiles").split()) == tiles
    worked(served, {"planned": 10, "generated": 10, "kept": 10, "dropped": 0, "reasons": {}})
    worked(served, {"kept": 19})
    page.wait_for_selector("#progress[data-state=completed]")
    page.wait_for_selector("h2:text('How it went')")


def test_a_link_from_another_site_leads_into_the_session(served: Served, watched: Watched) -> None:
    watched.sign_in(key(served.client))
    link = f'<a href="{served.url}/console/usage?from=elsewhere">look</a>'
    watched.page.route("http://elsewhere.test/", lambda route: route.fulfill(body=link, content_type="text/html"))
    watched.page.goto("http://elsewhere.test/")
    watched.page.click("a")
    watched.page.wait_for_selector("h1:text('Usage of team')")
    assert watched.page.url == f"{served.url}/console/usage?from=elsewhere"
    watched.open("/console/keys")  # which needs another scope: the session is still there
    assert watched.page.inner_text("h1") == "Forbidden"
    watched.messages.clear()  # that 403
    watched.elsewhere.clear()


def test_samples_are_looked_at_by_keyboard(sampled: Served, watched: Watched) -> None:
    watched.sign_in(key(sampled.client))
    watched.open(f"{ONE}/samples")
    page, press = watched.page, watched.page.keyboard.press
    links = page.eval_on_selector_all("[data-grid] a", "links => links.map((link) => link.pathname)")
    row = page.evaluate(
        "() => { const tops = [...document.querySelectorAll('[data-grid] a')].map((a) => a.getBoundingClientRect().top);"
        " return tops.filter((top) => top === tops[0]).length }"
    )
    focused = "document.activeElement.pathname"
    for name, place in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowDown", 1 + row), ("ArrowLeft", row), ("ArrowUp", 0)):
        press(name)
        assert page.evaluate(focused) == links[place]
    press("Enter")
    page.wait_for_url(f"**{links[0]}*")
    press("ArrowRight")
    page.wait_for_url(f"**{links[1]}*")
    press("ArrowLeft")
    page.wait_for_url(f"**{links[0]}*")
    press("Escape")
    page.wait_for_selector("[data-grid]")


def test_samples_are_decided_by_keyboard(sampled: Served, watched: Watched) -> None:
    watched.sign_in(key(sampled.client))
    watched.open(f"{ONE}/samples?verdict=kept")
    page = watched.page

    def press(name: str) -> None:
        page.wait_for_load_state()  # a key before the page's script runs is lost
        page.keyboard.press(name)

    press("ArrowRight")
    for number, (name, text) in enumerate((("d", "to be dropped"), ("k", "to be kept"), ("d", "to be dropped"))):
        press(name)
        page.wait_for_selector(f"[data-grid] li:nth-child({number + 1}) [data-decided]:text('{text}')")
        page.wait_for_function(
            f"[...document.querySelectorAll('[data-grid] a')].indexOf(document.activeElement) == {number + 1}"
        )
    for name in ("Shift+ArrowRight", "Shift+ArrowRight", "d"):  # the fourth to the sixth, at once
        press(name)
    for number in (4, 5, 6):
        page.wait_for_selector(f"[data-grid] li:nth-child({number}) [data-decided]:text('to be dropped')")
    page.wait_for_selector("[data-grid] li:nth-child(7) a:focus")
    for name in ("ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "u"):
        press(name)
    for number in (4, 5, 6):
        page.wait_for_selector(f"[data-grid] li:nth-child({number}) [data-decided]:empty", state="attached")
    press("ArrowLeft")
    press("u")
    page.wait_for_selector("[data-grid] li:nth-child(3) [data-decided]:empty", state="attached")
    press("ArrowLeft")
    press("Enter")
    page.wait_for_selector("text=to be kept, says test")
    press("d")
    page.wait_for_selector("h1:text('Sample 8-1')")
    press("ArrowLeft")
    page.wait_for_selector("text=to be dropped, says test")
    press("u")
    page.wait_for_selector("h1:text('Sample 8-1')")
    answer = sampled.client.get(f"{SHOES}/1/verdicts", headers=as_(sampled.client, "team", "read")).json()
    assert [(verdict["sample"], verdict["decision"], verdict["by"]) for verdict in answer] == [("0-1", "drop", "test")]


def test_a_spec_is_checked_as_it_is_written_and_sent_by_keyboard(served: Served, watched: Watched) -> None:
    watched.sign_in(key(served.client))
    watched.open("/console/new?example=spurious")
    page = watched.page
    page.select_option("[name='method.type']", "text_to_image")
    page.wait_for_selector("[name='method.width']")
    assert page.input_value("[name='name']") == "shoes"
    page.fill("[name='models.inpainting']", "")
    page.focus("[name='method.steps']")
    page.keyboard.press("Control+A")
    page.keyboard.type("0")
    page.wait_for_selector("[data-mistakes='method.steps'] .mistake")
    watched.messages.clear()  # the answer to a spec that is not valid: a 422
    page.keyboard.press("Backspace")
    page.keyboard.type("9")
    page.wait_for_selector("#beside >> text=It is valid.")
    assert "steps: 9" in page.inner_text("#beside pre")
    page.focus("text=Create the version")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{ONE}")


def test_the_whole_console_is_usable_without_script(sampled: Served, chromium: Any) -> None:
    context_ = chromium.new_context(java_script_enabled=False)
    watched = Watched(context_.new_page(), sampled.url)
    watched.sign_in(key(sampled.client))
    watched.open(f"{ONE}/samples")
    watched.page.select_option("#verdict", "dropped")
    watched.page.click("button:text('Filter')")
    assert watched.page.locator("[data-grid] li.kept").count() == 0
    watched.open("/console/new")
    watched.page.select_option("[name='method.type']", "image_variation")
    watched.page.click("[data-change] >> nth=1")
    watched.page.wait_for_selector("[name='method.strengths']")
    context_.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_a_screen_reader(sampled: Served, watched: Watched, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    watched.page.emulate_media(color_scheme=scheme)
    found = {}
    inspected(sampled)
    version = (ONE, f"{ONE}/samples", f"{ONE}/samples/1-1", f"{ONE}/files", "/console/datasets/shoes", *FURTHER)
    paths = ("/console/sign-in", *version, *(f"/console{path}" for path in ("", "/new", "/sources", "/usage", "/keys")))
    verdict = sampled.client.put(
        f"{SHOES}/1/samples/1-1/verdict", json={"decision": "drop"}, headers=as_(sampled.client, "team")
    )
    assert verdict.status_code == 200, verdict.text
    watched.sign_in(key(sampled.client, "team", "admin"))
    for path in paths:
        watched.open(path)
        results = axe.Axe().run(watched.page).response
        serious = [one for one in results["violations"] if one["impact"] in ("serious", "critical")]
        found |= {f"{path} {one['id']}": [node["target"] for node in one["nodes"]][:3] for one in serious}
    assert found == {}
    watched.page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    assert "label" in {one["id"] for one in axe.Axe().run(watched.page).response["violations"]}


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_window(sampled: Served, watched: Watched, width: int) -> None:
    inspected(sampled)
    watched.page.set_viewport_size({"width": width, "height": 800})
    watched.sign_in(key(sampled.client, "team", "admin"))
    for path in (
        "/console",
        "/console/datasets/shoes",
        ONE,
        f"{ONE}/samples",
        f"{ONE}/samples/1-1",
        *FURTHER,
        "/console/new",
        "/console/keys",
        "/console/usage",
    ):
        watched.open(path)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, path
