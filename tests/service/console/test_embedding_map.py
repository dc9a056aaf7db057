"""The console's page of the map as a browser without script has it, and the grid of a region. Five seconds."""

import html
import re
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from pipelines.report.map_picture import GREY
from tests.service.calls import SHOES, SPEC, store
from tests.service.console.browsing import Browser, set_version, signed_in
from tests.service.console.samples import CLASSES, HOSTILE, write_map, write_samples

ONE = "/console/datasets/shoes/versions/1"
CORNER = "0,0,150,0,150,100,0,100"  # 3 x 2 of the kept samples


@pytest.fixture
def mapped(client: TestClient) -> Browser:
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    write_map(store(client), "shoes", 1)
    set_version(client, 1, state="completed", counts={"kept": 160, "dropped": 160})
    return signed_in(client)


def links(text: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"]*)"', text)]


def test_a_version_leads_to_its_map_and_says_how_much_of_it_is_drawn(mapped: Browser) -> None:
    assert f"{ONE}/map" in links(mapped.open(ONE))
    text = " ".join(re.sub("<[^>]+>", "", mapped.open(f"{ONE}/map")).split())
    assert "It draws 360 images: 160 of 160 kept, 160 of 160 dropped, 40 of 1,000 real." in text
    assert mapped.headings == ["Map"]


def test_its_parts_lead_to_their_samples_and_hold_all_of_them(mapped: Browser) -> None:
    regions = [link for link in links(mapped.open(f"{ONE}/map")) if "region=" in link]
    counts = []
    for link in regions:
        text = mapped.open(link)
        stated = re.search(r"<strong>(\d+) samples? in the selected region</strong>", text)
        assert stated is not None
        counts.append(int(stated[1]))
        assert text.count("<li class=") == min(counts[-1], 60)
    assert sum(counts) == 320


def test_classes_are_highlighted_and_lead_to_their_samples(mapped: Browser) -> None:
    assert GREY not in mapped.open(f"{ONE}/map?by=kind")
    addresses = {name: f"{ONE}/map?{urlencode({'by': 'class', 'label': name})}" for name in CLASSES}
    assert set(addresses.values()) <= set(links(mapped.open(f"{ONE}/map")))
    assert GREY in mapped.open(addresses["boot"])
    text = mapped.open(addresses[HOSTILE])
    assert HOSTILE not in text
    assert re.search(r'aria-current="true">&#34;&gt;&lt;script', text)


def test_the_grid_of_a_region_keeps_it_from_page_to_page_and_leads_back(mapped: Browser) -> None:
    text = mapped.open(f"{ONE}/samples?region={CORNER}")
    assert "6 samples in the selected region" in text
    assert "beside 0 real images; the map draws 360 images" in text
    assert text.count("<li class=") == 6
    assert f'name="region" value="{CORNER}"' in text
    back = next(link for link in links(text) if "/map?region=" in link)
    assert 'points="0,0 150,0 150,100 0,100"' in mapped.open(back)
    first = next(link for link in links(text) if re.search(r"/samples/\d+-1\?", link))
    assert "region=" in next(link for link in links(mapped.open(first)) if re.search(r"/samples/\d+-1\?", link))
    left = "0,0,500,0,500,1000,0,1000"
    text = mapped.open(f"{ONE}/samples?region={left}")
    following = html.unescape(re.findall(r'rel="next" href="([^"]*)"', text)[0])
    assert "region=" in following
    assert "samples in the selected region" in mapped.open(following)


def test_a_region_that_is_none_and_a_version_without_a_map_are_explained(client: TestClient, mapped: Browser) -> None:
    assert "region: it has 2 corners; give 3 to 200" in mapped.open(f"{ONE}/samples?region=1,2,3,4", 422)
    assert "is no number from 0 to 1000" in mapped.open(f"{ONE}/map?region=1,2,3,4,5,x", 422)
    mapped.open(f"{ONE}/map?by=colour", 422)
    client.post(SHOES, json=SPEC)
    set_version(client, 2, state="completed", counts={})
    two = ONE.replace("/1", "/2")
    assert f"{two}/map" not in links(mapped.open(two))
    assert "has no map" in mapped.open(f"{two}/map", 404)
    signed_in(client, "rivals", "read").open(f"{ONE}/map", 404)
