"""The map over HTTP, and the samples in a region of it. Five seconds."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.calls import SHOES, SPEC, as_, store
from tests.service.console.samples import write_map, write_samples

MAP, SAMPLES = f"{SHOES}/1/map", f"{SHOES}/1/samples"
KEPT_CORNER = "0,0,150,0,150,100,0,100"  # 3 x 2 of the kept
BOTH_CORNERS = "0,0,150,0,150,1000,0,1000"  # 3 columns of 10, of kept and of dropped ones


@pytest.fixture
def mapped(client: TestClient) -> TestClient:
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    write_map(store(client), "shoes", 1)
    return client


def ids(client: TestClient, **params: Any) -> list[str]:
    """Of all pages."""
    result, cursor = [], None
    for _ in range(100):
        page = client.get(SAMPLES, params={**params, **({"cursor": cursor} if cursor else {})}).json()
        result += [item["id"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            return result
    raise AssertionError("pages without end")


def test_the_map_has_all_its_points(mapped: TestClient) -> None:
    body = mapped.get(MAP).json()
    assert body["totals"] == {"kept": 160, "dropped": 160, "real": 1000}
    assert len(body["points"]) == 360
    assert body["points"][17] == {"kind": "kept", "id": "17-1", "label": body["points"][1]["label"], "x": 80.0, "y": 65.0}


def test_a_region_selects_the_samples_in_it_and_goes_with_other_filters(mapped: TestClient) -> None:
    corner = [f"{index}-1" for index in (0, 1, 2, 16, 17, 18)]
    assert sorted(ids(mapped, region=KEPT_CORNER)) == sorted(corner)
    for limit in (1, 4, 100):
        both = ids(mapped, region=BOTH_CORNERS, limit=limit)
        assert len(both) == len(set(both)) == 60
        assert set(corner) < set(both)
    dropped = {f"{index}-0" for index in range(160) if index % 16 < 3}
    assert set(ids(mapped, region=BOTH_CORNERS, verdict="dropped")) == dropped
    assert set(ids(mapped, region=BOTH_CORNERS, reason="quality")) == dropped
    assert set(ids(mapped, region=KEPT_CORNER, label="boot")) == {"0-1", "2-1", "16-1", "18-1"}
    assert ids(mapped, region=KEPT_CORNER, verdict="dropped") == []
    ordered = ids(mapped, region=KEPT_CORNER, score="quality.contrast", order="descending", limit=4)
    assert ordered == ["18-1", "17-1", "16-1", "2-1", "1-1", "0-1"]
    assert ids(mapped, region="940,0,1000,0,1000,1000,940,1000") == []  # real images alone


@pytest.mark.parametrize("region", ["", "1,2", "a,b,c,d,e,f", "0,0,1,1,2,1001", "1," * 1999 + "1,1"])
def test_a_region_that_is_none_is_refused(mapped: TestClient, region: str) -> None:
    answer = mapped.get(SAMPLES, params={"region": region})
    assert answer.status_code == 422
    assert "region" in str(answer.json())


def test_there_is_no_map_before_the_report_and_none_for_another_tenant(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    for path in (MAP, f"{SAMPLES}?region={KEPT_CORNER}"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "it is made with the version's quality report" in answer.json()["detail"]
    write_map(store(client), "shoes", 1)
    assert client.get(MAP, headers=as_(client, "team", "read")).status_code == 200
    for path in (MAP, f"{SAMPLES}?region={KEPT_CORNER}"):
        assert client.get(path, headers=as_(client, "rivals", "read")).status_code == 404
