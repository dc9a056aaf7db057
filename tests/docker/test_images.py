"""The Dockerfiles: without a mistake that hadolint knows, without rights they do not need, with all that runs in them."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.settings import Settings

ROOT = Path(__file__).parents[2]
IMAGES = {name: (ROOT / f"docker/{name}.Dockerfile").read_text() for name in ("service", "worker")}
HADOLINT = Path(sys.executable).parent / "hadolint"


def lint(text: str) -> str:
    command = [str(HADOLINT), "--no-color", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_hadolint_has_nothing_to_say(text: str) -> None:
    assert lint(text) == ""
    assert "DL3002" in lint(text.replace("USER 10001:10001", "USER root")), "and it would"


def last_stage(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_an_image_has_no_compiler_no_root_and_one_base_that_may_be_a_digest(text: str) -> None:
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert re.search(r"^ARG BASE=\S+:[\w.-]+$", text, re.MULTILINE)
    assert ":latest" not in text
    stage = last_stage(text)
    assert "USER 10001:10001" in stage
    assert not any("apt-get" in line or "pip" in line for line in stage)


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_signals_go_through_an_init_to_the_command_itself(text: str) -> None:
    stage = last_stage(text)
    assert 'ENTRYPOINT ["tini", "--", "counterpoise"]' in stage
    assert any(re.match(r'CMD \["(api|worker)"', line) for line in stage), "no shell stands between"
    assert any(line.startswith("HEALTHCHECK ") for line in stage)


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_every_setting_of_an_image_exists(text: str) -> None:
    assert set(re.findall(r"COUNTERPOISE_\w+", text)) <= {f"COUNTERPOISE_{name.upper()}" for name in Settings.model_fields}


def test_the_service_has_no_torch_and_the_worker_takes_it_from_where_it_is_told() -> None:
    assert "pip install '.[service,tracing]'" in IMAGES["service"]
    assert "torch>=" not in IMAGES["service"]
    assert "pip install '.[engine,service,tracing]'" in IMAGES["worker"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["engine"]
    (torch,) = (each for each in wanted if each.startswith("torch>"))
    assert f"--index-url \"${{TORCH_INDEX}}\" '{torch}'" in IMAGES["worker"]


def installed(extra: str) -> set[str]:
    """The distributions that the project has with an extra, with all that they ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    line = [Requirement(each) for each in [*project["dependencies"], *project["optional-dependencies"][extra]]]
    seen: set[tuple[str, str]] = set()
    for requirement in line:
        for chosen in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), chosen)) not in seen:
                seen.add(key)
                asked = map(Requirement, importlib.metadata.requires(requirement.name) or [])
                line += [each for each in asked if each.marker is None or each.marker.evaluate({"extra": chosen})]
    return {name for name, _ in seen}


ALONE = """
import sys
hidden = set(sys.argv[1].split(","))

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import service.api.app, service.cli, service.cli.demo, service.broker, service.webhooks.delivery
service.api.app.create_app()
"""


def test_the_service_needs_nothing_that_its_extra_does_not_bring(tmp_path: Path) -> None:
    """Every other package is hidden from it."""
    have = installed("service")
    assert {"fastapi", "obstore", "starlette"} <= have
    packages = importlib.metadata.packages_distributions()
    ours = ("service", "pipelines", "workers", "counterpoise")
    hidden = [top for top, names in packages.items() if top not in ours and have.isdisjoint(map(canonicalize_name, names))]
    assert {"torch", "diffusers", "datasets", "scipy"} <= set(hidden)
    environment = {"PYTHONPATH": str(ROOT), "COUNTERPOISE_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ALONE, ",".join(hidden)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
