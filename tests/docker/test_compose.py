"""The compose file, as a real Compose understands it."""

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.settings import Settings

ROOT = Path(__file__).parents[2]


def compose(*arguments: str, file: Path = ROOT / "docker/compose.yaml") -> subprocess.CompletedProcess[str]:
    """Compose itself: the command of the package that brings it hides its exit code."""
    package = find_spec("compose")
    assert package is not None
    assert package.origin is not None
    command = [str(Path(package.origin).with_name("docker-compose")), "--file", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": "/nowhere"})


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    done = compose("--profile", "*", "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout)["services"])


def test_a_mistake_is_found(tmp_path: Path) -> None:
    text = (ROOT / "docker/compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(text.replace("read_only:", "readonly:"))
    done = compose("config", "--quiet", file=tmp_path / "compose.yaml")
    assert done.returncode != 0
    assert "readonly" in done.stderr


def test_without_a_profile_it_needs_no_gpu() -> None:
    assert set(compose("config", "--services").stdout.split()) == {
        "api", "broker", "database", "migrate", "scheduler", "store", "worker",
    }  # fmt: skip


def test_no_container_may_do_more_than_it_must(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert re.search(r":(?!latest$)[\w.-]+$", service["image"]), name
        assert service.get("user", "10001") not in ("0", "0:0", "root"), name  # ours say so themselves


def test_only_the_api_can_be_reached_and_only_from_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: [port["host_ip"] for port in each["ports"]] for name, each in services.items() if "ports" in each}
    assert ports == {"api": ["127.0.0.1"]}


def test_what_others_wait_for_says_when_it_is_there(services: dict[str, dict[str, Any]]) -> None:
    built = {name for name, each in services.items() if "build" in each}  # their images have a health check
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other] or other in built, f"{name} waits for {other}"
    for name in ("api", "scheduler", "worker", "gpu"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_every_setting_and_every_command_exists(services: dict[str, dict[str, Any]]) -> None:
    known = {f"COUNTERPOISE_{name.upper()}" for name in Settings.model_fields} | {"COUNTERPOISE_URL"}
    for name, service in services.items():
        assert {each for each in service.get("environment", {}) if each.startswith("COUNTERPOISE_")} <= known
        if "build" in service and service.get("entrypoint") is None and service.get("command"):
            told = CliRunner().invoke(app, [service["command"][0], "--help"])
            assert told.exit_code == 0, f"{name}: {service['command']}"


def test_the_gpu_worker_is_the_same_with_another_torch(services: dict[str, dict[str, Any]]) -> None:
    gpu, cpu = services["gpu"], services["worker"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [
        {"capabilities": ["gpu"], "driver": "nvidia", "count": 1}
    ]
    assert "TORCH_INDEX" in gpu["build"]["args"]
    assert gpu["environment"] == cpu["environment"]
    assert gpu["image"] != cpu["image"]
