"""A version's quality in the console: the figures of its report, with the images that are guilty; and two versions beside
each other. About eight seconds."""

import html
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from pipelines.report.amounts import advice
from pipelines.report.page import Page, render
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.plan import Carried, Plan, Quota, read_plan
from pipelines.version.rows import write_table
from tests.service.calls import SHOES, SPEC, operated, store
from tests.service.console.browsing import Browser, set_version, signed_in
from tests.service.console.reports import COUNTS, REAL, TRAIN, quality, write_report
from tests.service.console.samples import CLASSES, HOSTILE, row, write_samples

ONE = "/console/datasets/shoes/versions/1"


@pytest.fixture
def measured(client: TestClient) -> Browser:
    """A version that was measured and evaluated, one of whose classes has a name that means harm."""
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    write_report(store(client), "shoes", 1, list(CLASSES))
    set_version(client, 1, state="completed", counts=COUNTS)
    return signed_in(client)


def figure_rows(page: str) -> list[str]:
    """The figures of the questions, row by row."""
    tables = re.findall(r'<summary class="figures">.*?</table>', page, re.S)
    return [
        re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row))
        for table in tables
        for row in re.findall("<tr>.*?</tr>", table, re.S)
    ]


def test_it_has_the_figures_and_the_findings_of_the_report(measured: Browser) -> None:
    document = quality(CLASSES[0])
    pixels = {("sample", one): np.zeros((8, 8, 3), np.uint8) for one in ("3-1", "5-1", "7-1", "9-1")}
    summary = {"arms": {}, "counts": COUNTS, "gap_closed": None, "probe_auc": None, "seconds": {"total": 1.0}}
    report = render(Page("shoes", summary, [], {}, "", document, pixels))
    page = measured.open(f"{ONE}/quality")
    assert len(figure_rows(page)) == 8
    assert figure_rows(page) == figure_rows(report)
    assert '>quality.contrast</a></th><td class="number">0.0795</td>' in page  # as the card has it
    for text in ("1 sample repeats a real image.", "Of 160 of 160 samples", "They look real."):
        assert text in page


def test_it_says_how_many_are_enough_and_which_classes_gain(client: TestClient, measured: Browser) -> None:
    summary = store(client).json(keys.report_file(keys.version("shoes", 1), "summary.json"))
    advised = advice(summary)
    assert advised is not None
    page = html.unescape(measured.open(f"{ONE}/quality")).replace("\N{NO-BREAK SPACE}", " ")
    assert advised["text"] in page
    assert re.search(r"Generated images</th>\s*<th scope=\"col\">0</th>\s*<th scope=\"col\">80</th>", page)
    assert "Which classes gain, which lose?" in page


def test_guilty_images_lead_to_their_samples_beside_what_they_repeat(measured: Browser) -> None:
    page = measured.open(f"{ONE}/quality")
    for sample in ("3-1", "5-1", "7-1", "9-1"):
        (link,) = re.findall(rf'<a href="({ONE}/samples/{sample})"><img src="\1/image"', page)
        assert measured.client.get(f"{link}/image").headers["content-type"] == "image/png"
        measured.open(link)
    assert f'src="{ONE}/real/{REAL}?id={TRAIN.replace("/", "%2F")}"' in measured.open(f"{ONE}/quality")


def test_the_evaluation_stands_beside_by_group_and_class_with_what_is_taken_for_what(measured: Browser) -> None:
    page = measured.open(f"{ONE}/quality")
    assert "Worst-group accuracy" in page
    accuracies = {html.unescape(name): cells for name, cells in re.findall(r'<th scope="row">(.*?)</th>(<td.*?)</tr>', page)}
    for part in ("Worst group", "Average", "boot on grass", "boot", HOSTILE):
        assert len(re.findall("<td", accuracies[part])) >= 2, part
    assert (page.count('right4">80.0<'), page.count('wrong2">20.0<'), page.count('right4">100.0<')) == (2, 2, 2)
    assert str(escape(HOSTILE)) in page
    assert HOSTILE not in page


def test_what_a_kept_image_took_is_said_in_time_and_money(client: TestClient, measured: Browser) -> None:
    set_version(client, 1, gpu_seconds=320.0, cpu_seconds=32.0)
    assert "5 min of GPU workers and 32 s of CPU workers: 2 s of GPU workers and 0.2 s" in measured.open(f"{ONE}/quality")
    operated(client, price_gpu_hour=36.0, price_cpu_hour=3.6, currency="EUR")
    assert "All of it took 3.23 EUR, 5 min of GPU workers" in measured.open(f"{ONE}/quality")
    assert "0.02 EUR, 2 s of GPU workers" in measured.open(f"{ONE}/quality")
    assert "<dt>cost so far</dt><dd>3.23 EUR</dd>" in measured.open(ONE)
    assert "3.23 EUR, 5 min of GPU workers" in measured.open("/console/usage")


@pytest.mark.parametrize(
    ("state", "error", "why"),
    [
        ("generating", None, "It is generating; its quality is measured last"),
        ("failed", "out of memory", "It is failed; only what is published is measured"),
        ("completed", None, "it was published by an older release"),
        ("completed", "not evaluated: disk full", "There is no quality report of it: not evaluated: disk full."),
        ("unchanged", None, "Nothing has changed since version 7"),
    ],
)
def test_where_there_is_no_report_the_page_says_why(client: TestClient, state: str, error: str | None, why: str) -> None:
    client.post(SHOES, json=SPEC)
    set_version(client, 1, state=state, error=error, previous=7)
    assert why in signed_in(client).open(f"{ONE}/quality")


def test_two_versions_are_compared_by_quality_accuracy_and_confusion(client: TestClient, measured: Browser) -> None:
    client.post(SHOES, json=SPEC)
    write_report(store(client), "shoes", 2, list(CLASSES), average=0.9, copies=0.125)
    page = measured.open("/console/datasets/shoes/compare?a=1&b=2")
    rows = {name: re.findall(r"<td[^>]*>(.*?)</td>", cells) for name, cells in
            re.findall(r'<th scope="row"[^>]*>([^<]*)</th>(.*?)</tr>', page)}  # fmt: skip
    assert rows["Share that nearly repeats training images"] == ["0.02", "0.125"]
    assert [cell[:4] for cell in rows["boot on grass"]] == ["80.0", "90.0"]
    assert page.count("<small>± 1.0</small>") > 8
    assert page.count('class="matrix"') == 2
    assert "is no refresh of version 1" in page


def test_samples_that_a_refresh_added_and_removed_are_displayed(client: TestClient, measured: Browser) -> None:
    """Of version 1's four shards, one is carried whole, one but for a sample, and two are not."""
    client.post(SHOES, json=SPEC)
    set_version(client, 2, previous=1)
    write_samples(store(client), "shoes", 2)
    plan = read_plan(store(client), keys.version("shoes", 1))
    assert plan is not None
    store(client).put(keys.data(keys.version("shoes", 2), 0, 6), write_table([row(160, 0, True)], CLASSES))
    kept = [keys.data(keys.version("shoes", 1), number, 4) for number in (0, 1)]
    first = plan.indices(1)[0]
    parts = (Carried(kept[0], (0, 160, 4), {"boot": 40}), Carried(kept[1], (1, 160, 4), {"boot": 39}, (first,), False))
    refreshed = Plan("0", "0", (Quota("boot", "boot", 160),), 40, 1, 160, parts, 81)
    store(client).put(keys.plan(keys.version("shoes", 2)), canonical(refreshed.as_json()))
    page = measured.open("/console/datasets/shoes/compare?a=1&b=2")
    assert re.findall(r'versions/2/samples/(\d+-\d)">', page) == ["160-0"]
    removed = re.findall(rf'<a href="{ONE}/samples/(\d+)-1">', page)
    assert len(removed) == 12
    assert removed[0] == str(first)
    assert all(int(index) % 4 == 2 for index in removed[1:])
