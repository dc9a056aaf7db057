"""`counterpoise up` and its users: the commands and the Python client, over HTTP, on one machine."""

import base64
import hashlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import psutil
import pytest
import yaml
from datasets import load_dataset
from sqlalchemy import update
from standardwebhooks import Webhook

from pipelines.source.open import open_source
from pipelines.spec import parse
from service.client import Client
from service.state.database import Database
from service.state.tables import Schedule
from service.transport import ServiceError
from tests.docs.pages import guide
from tests.parts import CURL
from tests.servers import free_port, receiving
from tests.service.cli.commands import photographs
from tests.test_run import SPEC

ROOT = Path(__file__).parents[2]
SMALL = {**SPEC, "evaluation": None, "amount": {"per_class": 2}, "filters": []}


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str
    folder: Path

    @property
    def key(self) -> str:
        return (self.folder / "admin.key").read_text().strip()

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COUNTERPOISE_URL": self.url, "COUNTERPOISE_KEY": self.key}
        command = [sys.executable, "-m", "service.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)

    def family(self) -> list[psutil.Process]:
        """It and everything it started."""
        return [parent := psutil.Process(self.process.pid), *parent.children(recursive=True)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder, port = tmp_path_factory.mktemp("up"), free_port()
    command = [sys.executable, "-m", "service.cli", "up", "--port", str(port), "--state-dir", str(folder)]
    soon = {"COUNTERPOISE_LEASE_SECONDS": "10", "COUNTERPOISE_SWEEP_SECONDS": "1"}
    environment = {**os.environ, "COUNTERPOISE_PRIVATE_WEBHOOKS": "true", **soon}
    with (folder / "service.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}" in process.stdout.readline()
    made = Service(process, f"http://127.0.0.1:{port}", folder)
    with Client(made.url) as client:
        client.call("GET", "/healthz")  # tried again until it answers
    yield made
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    process.stdout.close()


def test_the_key_is_its_owners_alone(service: Service) -> None:
    assert (service.folder / "admin.key").stat().st_mode & 0o777 == 0o600


def test_a_version_is_submitted_and_watched_to_its_end(service: Service) -> None:
    file = service.folder / "spec.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "evaluation": {"arms": ["erm", "counterpoise"], "seeds": [0], "margin": None}}))
    done = service.command("submit", file, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "real images alone (ERM)" in done.stdout
    assert re.search(r"^Worst-group accuracy \d+\.\d % → \d+\.\d %: ", done.stdout, re.MULTILINE)
    for state in ("queued", "learning", "generating", "completed"):
        assert state in done.stdout
    assert (service.folder / "store/default/datasets/shoes/v1/manifest.json").exists()
    told = service.command("status", "shoes", 1).stdout
    assert "shoes 1: completed (4 planned" in told
    assert re.search(r"^shoes +1 +completed +\d +0 +4$", service.command("list").stdout, re.MULTILINE)


def test_a_version_is_pulled_and_loads(service: Service, tmp_path: Path) -> None:
    done = service.command("pull", "shoes", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "shoes/v1"
    published = json.loads((folder / "manifest.json").read_text())
    for file in published["files"]:
        assert hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    data = load_dataset("parquet", data_files=str(folder / "data/*.parquet"), split="train")
    assert len(data) == published["counts"]["kept"]
    assert json.loads((folder / "report/summary.json").read_text())["counts"] == published["counts"]
    assert "<html" in (folder / "report/report.html").read_text()
    (folder / "plan.json").write_text("damaged")
    assert service.command("pull", "shoes", 1, "--out", tmp_path).returncode == 0
    assert json.loads((folder / "plan.json").read_text())["planned"] == 4
    (tmp_path / "file").write_text("no folder")
    refused = service.command("pull", "shoes", 1, "--out", tmp_path / "file")
    assert refused.returncode == 2
    assert "cannot be written (Not a directory); pull into another folder" in refused.stderr


@pytest.mark.parametrize("name", ["imagefolder", "coco"])
def test_a_version_is_exported(service: Service, tmp_path: Path, name: str) -> None:
    done = service.command("export", "shoes", 1, "--format", name, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((service.folder / "store/default/datasets/shoes/v1/manifest.json").read_text())
    assert len(list((tmp_path / "out").rglob("*.png"))) == manifest["counts"]["kept"] > 0
    assert [place.name for place in tmp_path.iterdir()] == ["out"]
    missing = service.command("export", "shoes", 9, "--format", name, "--out", tmp_path / "other")
    assert missing.returncode == 2
    assert "has no version 9" in missing.stderr
    assert [place.name for place in tmp_path.iterdir()] == ["out"]


class Away(Client):
    """Where the object store cannot be reached: its links lead nowhere."""

    def call(self, method: str, path: str, **options: Any) -> Any:
        found = super().call(method, path, **options)
        return [{**each, "url": "http://127.0.0.1:1/signed"} for each in found] if path.endswith("/files") else found


def test_a_version_is_pulled_through_the_service_where_its_store_cannot_be_reached(service: Service, tmp_path: Path) -> None:
    with Away(service.url, service.key) as client:
        files = {str(file.relative_to(tmp_path)) for file in client.pull("shoes", 1, tmp_path)}
    published = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert {each["path"] for each in published} < files
    assert [each["size"] for each in published] == [(tmp_path / each["path"]).stat().st_size for each in published]


def test_the_demo_goes_through_a_service_that_is_named(service: Service, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SMALL, "name": "shown"}))
    done = service.command("demo", tmp_path / "spec.yaml", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"POST {service.url}/v1/datasets/shown/versions: version 1" in done.stdout
    assert json.loads((tmp_path / "out/summary.json").read_text())["name"] == "shown"
    report = {"summary.json", "quality_report.json", "report.html", "card.md", "samples.png", "map.parquet"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"shown", *report}


def test_the_client_is_told_everything_in_order(service: Service, tmp_path: Path) -> None:
    with Client(service.url, service.key) as client:
        version = client.submit(parse({**SMALL, "name": "again"}))
        told = list(client.events("again", version.number))
        assert [h.id for h in told] == sorted(h.id for h in told)
        assert [h.data["state"] for h in told if h.kind == "state"][-1] == "completed"
        finished = client.version("again", 1)
        assert finished.counts["planned"] == 4
        assert finished.counts["kept"] + finished.counts["dropped"] == finished.counts["generated"]
        assert next(v.dataset for v in client.versions()) == "again"
    listing = service.command("samples", "again", 1, "--verdict", "kept", "--out", tmp_path).stdout
    assert len(list(tmp_path.glob("kept/*/*.png"))) == finished.counts["kept"] > 0
    assert f"{finished.counts['kept']} images in {tmp_path}" in listing
    assert re.search(r"^\d+-0 +(boot|sneaker) +kept +a photo of a <.*>_1 shoe$", listing, re.MULTILINE)
    assert "is a token learned from images" in listing
    assert "data/train-00000-of-" in service.command("files", "again", 1).stdout


def test_a_preview_is_answered_in_seconds_and_leaves_nothing(service: Service) -> None:
    before = sorted(path for path in (service.folder / "store").rglob("*") if path.is_file())
    with Client(service.url, service.key) as client:
        began = time.monotonic()
        view = client.preview(parse({**SPEC, "name": "glance", "seed": 5}), 5)
        seconds = time.monotonic() - began
        assert view.learned is False
        assert {(image.origin, image.label) for image in view.images} == {
            (a, b) for a in ("boot", "sneaker") for b in ("boot", "sneaker")
        }
        for image in view.images:
            picture = PIL.Image.open(io.BytesIO(base64.b64decode(image.image.removeprefix("data:image/png;base64,"))))
            assert picture.size == (64, 64)
        again = client.preview(parse({**SPEC, "evaluation": None}), 2)
        assert again.learned is True  # the tokens that version 1 learned
        wrong = {**SPEC, "method": {**SPEC["method"], "superclass": "shoe", "inversion": {"initializer": "two words"}}}
        with pytest.raises(ServiceError, match=r"method\.inversion\.initializer: 'two words' is"):
            client.preview(parse(wrong), 1)
    assert seconds < 20
    (service.folder / "glance.yaml").write_text(yaml.safe_dump({**SPEC, "evaluation": None}))
    done = service.command("preview", service.folder / "glance.yaml", "--count", "2", "--out", service.folder / "glance")
    assert done.returncode == 0, done.stderr
    made = [PIL.Image.open(io.BytesIO(file.read_bytes())) for file in (service.folder / "glance").glob("*.png")]
    assert [picture.size for picture in made] == [(64, 64)] * 2
    assert sorted(path for path in (service.folder / "store").rglob("*") if path.is_file()) == before


def test_a_folder_is_sent_along_and_can_be_removed(service: Service, tmp_path: Path) -> None:
    source = open_source(parse(SMALL).source)
    for item in [*source.splits["train"], *source.splits["validation"], *source.splits["test"]]:
        file = tmp_path / "images" / item.id
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(source.read(item)).save(file)
    (tmp_path / "images/train/boot/bad.png").write_bytes(b"bad")
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump({**SMALL, "name": "own", "source": {"type": "folder", "path": "images", "max_problems": 0.5}})
    )
    done = service.command("submit", tmp_path / "spec.yaml", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "92 images sent, 1 refused" in done.stdout
    with Client(service.url, service.key) as client:
        assert client.source("own").refused[0].id == "train/boot/bad.png"
        assert client.version("own", 1).counts["planned"] == 4
    assert service.command("delete", "own", 1).returncode == 0
    for _ in range(100):
        if "404" in service.command("status", "own", 1).stderr:
            break
        time.sleep(0.2)
    assert "404" in service.command("status", "own", 1).stderr
    assert [path for path in (service.folder / "store/default/datasets/own").rglob("*") if path.is_file()] == []


def test_whoever_asked_is_told_of_the_end(service: Service) -> None:
    with receiving() as receiver, Client(service.url, service.key) as client:
        made = client.call("POST", "/v1/webhooks", json={"url": f"http://127.0.0.1:{receiver.port}/"})
        client.submit(parse({**SMALL, "name": "told"}))
        for _ in range(300):
            if receiver.got:
                break
            time.sleep(0.2)
        ((headers, body),) = receiver.got
        assert Webhook(made["secret"]).verify(body, headers)["data"]["counts"]["planned"] == 4
        client.call("DELETE", f"/v1/webhooks/{made['id']}")


def test_the_guide_s_calls_are_answered(service: Service, tmp_path: Path) -> None:
    """Every curl line in turn; the address that only the internet knows is replaced."""
    CURL.path()
    (block,) = (block for block in guide("api").blocks("bash") if block.startswith("api() {"))
    for n, label in enumerate(("boot", "sneaker")):
        for k in range(3):
            file = tmp_path / f"shoes/train/{label}/{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.new("RGB", (32, 32), (100 * n, 50 * k, 9)).save(file)
    source, method = {"type": "uploaded", "name": "shoes"}, {"type": "text_to_image", "steps": 2}
    asked = {"name": "my-shoes", "source": source, "method": method, "amount": {"per_class": 1}}
    (tmp_path / "spec.json").write_text(json.dumps(asked))
    define, *lines = (
        block.replace("localhost:8000", service.url).replace("https://example.com", "http://127.0.0.1:9").splitlines()
    )
    assert len(lines) == 11
    environment = {**os.environ, "COUNTERPOISE_KEY": service.key}
    upload = 1
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", f"{define}\n{line}".replace("/uploads/1", f"/uploads/{upload}")],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout, line
        if line.startswith("tar "):  # other tests have sent some before
            upload = json.loads(done.stdout)["id"]
        if "/cancel" in line:  # its events were followed to the end before
            assert "there is nothing to cancel" in done.stdout
        else:
            assert '"status":4' not in done.stdout, (line, done.stdout)


def test_the_guide_s_way_to_keep_a_dataset_fresh(service: Service, tmp_path: Path) -> None:
    """Each command, then each call; the schedule fires by the service's own scheduler."""
    CURL.path()
    for label in ("boot", "sneaker"):
        for k in range(3):
            file = tmp_path / f"images/train/{label}/{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.new("RGB", (32, 32), (90, 50 * k, len(label))).save(file)
    asked = {"name": "fresh", "source": {"type": "folder", "path": "images"}, "amount": {"multiply": 1}}
    asked["method"] = {"type": "text_to_image", "steps": 2}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(asked))
    uploaded = {**asked, "source": {"type": "uploaded", "name": "fresh"}}
    (tmp_path / "spec.json").write_text(json.dumps(uploaded))
    assert service.command("submit", tmp_path / "spec.yaml", "--watch").returncode == 0
    PIL.Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "images/train/boot/new.png")

    (block,) = (block for block in guide("refresh").blocks("bash") if block.startswith("counterpoise refresh"))
    said = {}
    for line in block.replace("my-shoes", "fresh").replace("spec.yaml", str(tmp_path / "spec.yaml")).splitlines():
        _, *command = shlex.split(line, comments=True)
        done = service.command(*command)
        assert done.returncode == 0, (line, done.stdout + done.stderr)
        said[command[0]] = done.stdout
        if "--busy" in command:
            fired(service)
    assert "7 images sent" in said["refresh"]
    assert "fresh 2: completed (1 planned" in said["refresh"]
    assert "6 carried" in said["refresh"]
    assert "0 3 * * * UTC, next" in said["schedule"]
    assert "version 3 was asked for" in " ".join(said["datasets"].replace("│", " ").split())
    assert "the latest version of fresh is 2" in said["promote"]
    nothing = service.command("refresh", "fresh", "--watch")
    assert "Nothing has changed since version 2: there is no new one." in nothing.stdout

    define = next(block for block in guide("api").blocks("bash") if block.startswith("api() {")).splitlines()[0]
    (block,) = (block for block in guide("refresh").blocks("bash") if block.startswith("api -X POST"))
    for line in block.replace("my-shoes", "fresh").replace("localhost:8000", service.url).splitlines():
        environment = {**os.environ, "COUNTERPOISE_KEY": service.key}
        script = ["bash", "-c", f"{define}\n{line}"]
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert '"status":4' not in done.stdout, (line, done.stdout)


def fired(service: Service) -> None:
    """Let the schedule's tick have come an hour ago, and wait until the version that it asks for has ended."""
    database = Database.open(f"sqlite:///{service.folder / 'state.db'}")
    with database.write() as session:
        session.execute(update(Schedule).values(next_tick=Schedule.next_tick - 7 * 86_400))
    database.engine.dispose()
    with Client(service.url, service.key) as client:
        for _ in range(600):
            found = client.dataset("fresh")
            if found.schedule and found.schedule.outcome and client.version("fresh", 3).ended:
                break
            time.sleep(0.2)
        assert client.version("fresh", 3).state == "unchanged"


def test_what_is_wrong_is_said_in_one_line(service: Service, tmp_path: Path) -> None:
    foreign = {**SMALL, "models": {"text_to_image": "/etc"}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(foreign))
    done = service.command("submit", tmp_path / "spec.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "422: models.text_to_image: '/etc' is not allowed here" in done.stderr
    with Client(service.url, service.key) as client:
        before = client.call("GET", "/v1/sources")
        (tmp_path / "own.yaml").write_text(yaml.safe_dump({**foreign, "name": "unsent", "source": photographs(tmp_path)}))
        assert "422: models.text_to_image: '/etc'" in service.command("submit", tmp_path / "own.yaml").stderr
        assert client.call("GET", "/v1/sources") == before  # refused before an image was sent
    assert "404: there is no dataset 'nowhere'" in service.command("status", "nowhere", 77).stderr
    with (
        pytest.raises(ServiceError, match="401: COUNTERPOISE_KEY: the key in it is not valid"),
        Client(service.url, "cp_guess") as client,
    ):
        client.version("shoes", 1)
    with pytest.raises(ServiceError, match="does not answer"), Client("http://127.0.0.1:1", patience=1) as client:
        client.version("shoes", 1)


def test_the_demo_does_it_all_and_does_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "service.cli", "demo", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "out")]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "real images alone (ERM)" in done.stdout
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert summary["version"] == 1
        assert set(summary["arms"]) == {"erm", "text_to_image", "counterpoise", "real_balanced"}
        assert summary["seconds"].keys() == {"total", "learn", "generate", "train"}
        assert "<html" in (tmp_path / "out/report.html").read_text()
        assert (tmp_path / "out/shoes/v1/manifest.json").exists()


def test_what_dies_is_started_again_and_a_version_completes(service: Service) -> None:
    """The worker killed, and the broker: whoever waits for a version need not know."""
    document = parse({**SMALL, "name": "survivor"})
    with Client(service.url, service.key) as client:
        version = client.submit(document)
        for process in service.family():
            command = " ".join(process.cmdline())
            if "celery" in command or "valkey-server" in command:
                process.kill()
        for _ in client.events("survivor", version.number):
            pass
        assert client.version("survivor", version.number).state == "completed"
    assert service.process.poll() is None


def test_a_state_folder_has_one_service(service: Service) -> None:
    second = service.command("up", "--port", free_port(), "--state-dir", service.folder)
    assert second.returncode == 2
    assert "another `counterpoise up` works in" in second.stderr


def test_it_ends_cleanly_and_starts_again_with_all_it_had(service: Service) -> None:
    """Last: it stops the service that the others use."""
    family = service.family()
    assert len(family) >= 5
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(60) == 0
    time.sleep(0.5)
    assert [process for process in family if process.is_running()] == []
    port = int(service.url.rsplit(":", 1)[1])
    command = [sys.executable, "-m", "service.cli", "up", "--port", str(port), "--state-dir", str(service.folder)]
    again = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Client(service.url, service.key) as client:
        assert {v.dataset for v in client.versions(state="completed")} >= {"shoes", "again"}
    again.terminate()
    assert again.wait(60) == 0
