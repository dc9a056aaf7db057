"""The console's grid of samples as a browser without script has it, and names that mean harm. About eight seconds."""

import html
import io
import re
import tarfile

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.plan import read_plan
from pipelines.version.score_order import write_orders
from service.console import samples
from service.state import api_keys
from tests.service.calls import SHOES, SPEC, context, store
from tests.service.console.browsing import Browser, forms, set_version, signed_in
from tests.service.console.samples import HOSTILE, PROMPT, REASON, publish_samples, write_samples

ONE = "/console/datasets/shoes/versions/1"


def pages_of(browser: Browser, path: str) -> list[str]:
    """The addresses of all samples, by following the links to the next page."""
    links: list[str] = []
    for _ in range(20):
        text = browser.open(path)
        links += [html.unescape(link) for link in re.findall(r'<a href="([^"]*)">\s*<img', text)]
        following = re.findall(r'rel="next" href="([^"]*)"', text)
        if not following:
            return links
        path = html.unescape(following[0])
    raise AssertionError("pages without end")


@pytest.fixture
def sampled(client: TestClient) -> Browser:
    """A version with samples, half of them of a class whose name means harm."""
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    set_version(client, 1, state="completed", counts={"kept": 160, "dropped": 160, "reasons": {REASON: 160}})
    return signed_in(client)


def test_the_grid_goes_through_all_samples_and_each_has_its_page(client: TestClient, sampled: Browser) -> None:
    links = pages_of(sampled, f"{ONE}/samples")
    ids = [link.partition("?")[0].rpartition("/")[2] for link in links]
    assert len(set(ids)) == len(ids) == 320
    text = sampled.open(links[61])
    assert f'href="{html.escape(links[60])}"' in text
    assert f'href="{html.escape(links[62])}"' in text
    assert html.escape(REASON) in sampled.open(next(link for link in links if link.partition("?")[0].endswith("-0")))
    image = sampled.client.get(f"{ONE}/samples/{ids[0]}/image")
    assert image.headers["content-type"] == "image/png"
    assert image.content == client.get(f"{SHOES}/1/samples/{ids[0]}/image").content
    real = re.findall(rf'src="({ONE}/real/[^"]*)"', text)
    reason = sampled.client.get(html.unescape(real[0]))  # of no such image in the built-in world
    assert (reason.status_code, reason.headers["content-type"]) == (200, "image/svg+xml")
    assert reason.headers["Cache-Control"] == "no-store"
    assert "Not displayed: this release" in reason.text


def test_the_grid_is_filtered_and_jumps(sampled: Browser) -> None:
    filters = {
        "verdict=kept": 160,
        "verdict=dropped&reason=quality": 160,
        "reason=attribution": 0,
        "label=boot": 160,
        "group=on+brick": 108,
        "score=quality.contrast&least=0.15": 20,
        "score=quality.contrast&least=0.01&most=0.02&verdict=kept": 11,
        "score=quality.sharpness": 0,
    }
    assert {query: len(pages_of(sampled, f"{ONE}/samples?{query}")) for query in filters} == filters
    assert len(pages_of(sampled, f"{ONE}/samples?part=8")) == 40
    indices = [
        int(re.findall(r"/(\d+)-\d\?", link)[0])
        for link in pages_of(sampled, f"{ONE}/samples?score=quality.contrast&order=descending&verdict=kept&most=0.1")
    ]
    assert indices == list(range(100, -1, -1))
    assert "samples are sorted by a score" in sampled.open(f"{ONE}/samples?order=ascending", 422)
    assert "least: &#39;x&#39; is no number" in sampled.open(f"{ONE}/samples?score=a&least=x", 422)
    sampled.open(f"{ONE}/samples?cursor=abc", 400)


def test_names_and_prompts_that_mean_harm_are_text(sampled: Browser) -> None:
    store_of = store(sampled.client)
    summary = {"name": "birds", "digest": "0" * 16, "images": 2, "classes": {HOSTILE: 2}, "groups": {HOSTILE: 1},
               "splits": {"train": 2}, "refused": [{"id": HOSTILE, "reason": HOSTILE}]}  # fmt: skip
    store_of.put(keys.summary("birds", "0" * 16), canonical(summary))
    store_of.put(keys.newest("birds"), canonical({"digest": "0" * 16}))
    paths = [
        ONE, f"{ONE}/samples", f"{ONE}/samples/1-0", f"{ONE}/samples?label={HOSTILE}&reason={HOSTILE}",
        "/console/sources/birds", f"/console/sign-in?next={HOSTILE}", f"/console/new?example={HOSTILE}",
        f"/console/{HOSTILE}",
    ]  # fmt: skip
    for path in paths:
        text = sampled.client.get(path).text
        for harm in (HOSTILE, PROMPT, "<script>alert", "<img src=x", "<b>blurred"):
            assert harm not in text, path
    assert str(escape(PROMPT)) in sampled.open(f"{ONE}/samples/1-0")
    assert str(escape(HOSTILE)) in sampled.open(f"{ONE}/samples/1-0")


def test_a_sample_is_decided_and_that_is_taken_back(client: TestClient, sampled: Browser) -> None:
    one = f"{ONE}/samples/1-1"
    assert "to be dropped" not in sampled.open(one)
    assert "to be dropped, says test" in sampled.send(f"{one}/verdict", decision="drop")
    assert client.get(f"{SHOES}/1/verdicts").json()[0]["decision"] == "drop"
    sampled.send(f"{one}/verdict", decision="undo")
    assert client.get(f"{SHOES}/1/verdicts").json() == []
    sampled.open(f"{ONE}/samples/1-0")
    assert "there is nothing to drop" in sampled.send(f"{ONE}/samples/1-0/verdict", 409, decision="drop")
    sampled.open(one)
    assert "give keep, drop or undo" in sampled.send(f"{one}/verdict", 422, decision="burn")
    sampled.open(one)
    sampled.send(f"{one}/verdict", decision="keep", next="https://evil.example/")
    assert sampled.path == "/console"
    reader = signed_in(client, "team", "read")
    assert "/verdict" not in reader.open(one)


def test_what_people_decided_is_on_the_version_s_page_and_its_export_obeys_it(client: TestClient, sampled: Browser) -> None:
    publish_samples(store(client), "shoes", 1)
    assert "People decided about no sample yet" in sampled.open(ONE)
    for sample, decision in (("1-1", "drop"), ("2-1", "drop"), ("5-0", "keep")):
        client.put(f"{SHOES}/1/samples/{sample}/verdict", json={"decision": decision})
    text = sampled.open(ONE)
    assert f"{ONE}/export" in forms(sampled.page)  # type: ignore[arg-type]
    assert "People decided about 3 samples: 2 to be dropped, 1 to be kept." in re.sub("<[^>]+>", "", text)
    for query, ids in (
        ("drop", ["1-1", "2-1"]),
        ("keep", ["5-0"]),
        ("drop&label=boot", ["2-1"]),
        ("drop&verdict=dropped", []),
    ):
        links = pages_of(sampled, f"{ONE}/samples?decision={query}")
        assert [link.partition("?")[0].rpartition("/")[2] for link in links] == ids
    assert "leave it out" in sampled.open(f"{ONE}/samples?decision=drop&score=quality.contrast&order=ascending", 422)
    for query, count in (("format=webdataset", 159), ("format=webdataset&as_published=true", 160)):
        answer = sampled.client.get(f"{ONE}/export?{query}")
        assert answer.headers["content-disposition"] == 'attachment; filename="shoes-v1-webdataset.tar"'
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            assert len([name for name in archive.getnames() if name.endswith(".png")]) == count
    assert "webdataset" in sampled.open(f"{ONE}/export?format=zip", 422)
    assert signed_in(client, "others").client.get(f"{ONE}/export?format=webdataset").status_code == 404


def test_a_sorted_grid_of_a_version_whose_order_is_stored_jumps(
    client: TestClient, sampled: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "PART", 100)
    publish_samples(store(client), "shoes", 1)
    plan = read_plan(store(client), keys.version("shoes", 1))
    assert plan is not None
    query = f"{ONE}/samples?score=quality.contrast&order=ascending"
    assert 'name="part"' not in sampled.open(query)  # it is not stored yet
    write_orders(store(client), keys.version("shoes", 1), plan)
    assert re.findall(r'name="part" type="number" min="1" max="(\d+)" value="(\d+)"', sampled.open(query)) == [("4", "1")]
    assert 'max="4" value="4"' in sampled.open(f"{query}&part=4")
    ids = [link.partition("?")[0].rpartition("/")[2] for link in pages_of(sampled, f"{query}&part=4")]
    assert ids == [f"{number}-{attempt}" for number in range(150, 160) for attempt in (0, 1)]


def test_who_decides_may_be_called_anything(client: TestClient, sampled: Browser) -> None:
    name = api_keys.create(context(client).database, HOSTILE, "team", ("read", "submit"))
    verdict = f"{SHOES}/1/samples/1-1/verdict"
    made = client.put(verdict, json={"decision": "drop"}, headers={"Authorization": f"Bearer {name}"})
    assert made.json()["by"] == HOSTILE
    text = sampled.open(f"{ONE}/samples/1-1")
    assert HOSTILE not in text
    assert f"to be dropped, says {escape(HOSTILE)}" in text


def test_source_mask_and_result_stand_beside_each_other(client: TestClient, sampled: Browser) -> None:
    text = sampled.open(f"{ONE}/samples/1-1")
    pictures = re.findall(r'<figure class="card"><img src="([^"]*)"', text)
    assert [picture.partition("?")[0].rpartition("/")[2] for picture in pictures] == ["ab" * 32, "mask", "image"]
    mask = sampled.client.get(pictures[1])
    assert mask.headers["content-type"] == "image/png"
    assert mask.content == client.get(f"{SHOES}/1/samples/1-1/mask").content
    assert "/mask" not in sampled.open(f"{ONE}/samples/2-1")
    assert sampled.client.get(f"{ONE}/samples/2-1/mask").status_code == 404
