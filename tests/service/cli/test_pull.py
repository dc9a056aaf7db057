"""`counterpoise pull` and `export` of a service that listens, of a version that people decided about. Four seconds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from service.settings import Settings
from service.state.tables import Version
from tests.browser.serving import Served, serving
from tests.service.calls import SHOES, SPEC, context, store
from tests.service.cli.commands import call
from tests.service.console.samples import publish_samples, write_samples


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A published version, of which people dropped one sample, and kept one that the filters had dropped."""
    (tmp_path / "state").mkdir()
    with serving(Settings(state_dir=tmp_path / "state", broker_url="redis://127.0.0.1:1/0", auth=False)) as served:
        assert served.client.post(SHOES, json=SPEC).status_code == 202
        tenant = store(served.client, "default")
        write_samples(tenant, "shoes", 1)
        publish_samples(tenant, "shoes", 1)
        with context(served.client).database.write() as session:
            session.execute(update(Version).values(state="completed"))
        for sample, decision in (("1-1", "drop"), ("5-0", "keep")):
            answer = served.client.put(f"{SHOES}/1/samples/{sample}/verdict", json={"decision": decision})
            assert answer.status_code == 200, answer.text
        monkeypatch.setenv("COUNTERPOISE_URL", served.url)
        yield served


def rows(folder: Path) -> set[tuple[int, int]]:
    tables = [pq.read_table(file, columns=["index", "attempt"]).to_pylist() for file in (folder / "data").iterdir()]
    return {(row["index"], row["attempt"]) for table in tables for row in table}


def test_a_pull_is_as_published_with_the_verdicts_beside_it_or_as_people_decided(served: Served, tmp_path: Path) -> None:
    done = call("pull", "shoes", 1, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "shoes/v1"
    assert "As published. 2 verdicts of people in verdicts.json: 'counterpoise export' obeys them" in done.stdout
    published = {(number, 1) for number in range(160)}
    assert rows(folder) == published
    assert [one["sample"] for one in json.loads((folder / "verdicts.json").read_text())] == ["1-1", "5-0"]
    for _ in range(2):  # the second time over the first
        done = call("pull", "shoes", 1, "--out", tmp_path, "--decided")
        assert "As people decided: 1 dropped by people left out, 1 kept by people brought back." in done.stdout
        assert rows(tmp_path / "shoes/v1-decided") == published - {(1, 1)} | {(5, 0)}
    exported = call("export", folder, "--format", "imagefolder", "--out", tmp_path / "local")
    assert "160 samples" in exported.stdout
    exported = call("export", tmp_path / "shoes/v1-decided", "--format", "imagefolder", "--out", tmp_path / "again")
    assert exported.stdout == f"160 samples in {tmp_path / 'again'}\n"
    for sample in ("1-1", "5-0"):
        served.client.delete(f"{SHOES}/1/samples/{sample}/verdict")
    done = call("pull", "shoes", 1, "--out", tmp_path)
    assert "verdict" not in done.stdout
    assert not (folder / "verdicts.json").exists()


def test_an_export_of_the_service_obeys_them(served: Served, tmp_path: Path) -> None:
    done = call("export", "shoes", 1, "--format", "webdataset", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "As people decided: 1 dropped by people left out, 1 kept by people brought back." in done.stdout
    assert [one["by"] for one in json.loads((tmp_path / "out/verdicts.json").read_text())] == ["anybody"] * 2
    done = call("export", "shoes", 1, "--format", "webdataset", "--out", tmp_path / "plain", "--as-published")
    assert "As published: 2 verdicts of people are not obeyed." in done.stdout
