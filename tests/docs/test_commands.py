"""Every command that the README and the guides give can be given: to the shell, to make, to the service, to Python."""

import ast
import importlib
import re
import subprocess
from importlib.util import find_spec
from typing import Any

import click
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.spec import SpuriousSource, parse
from service.api.app import create_app
from service.cli import app
from service.client import Client
from service.settings import Settings
from tests.docs.pages import PAGES, README, ROOT, guide, named, shell_lines

OURS = ("counterpoise", "pipelines", "service", "workers")
INLINE = re.compile(r"`(counterpoise [a-z][^`]*)`")
OF_SHELL = re.compile(r"(?:^|(?<!-n)(?<!namespace)(?<!generic)[ (])(counterpoise [a-z][^|&;>)]*)")


def commands() -> list[tuple[str, str]]:
    """Every `counterpoise ...` of the shell blocks and of the text, with its page."""
    of_text = [(page.name, line) for page in PAGES for line in INLINE.findall(page.prose)]
    return of_text + [(name, line) for name, shell in shell_lines() for line in OF_SHELL.findall(shell)]


def resolved(line: str) -> tuple[Any, list[str], list[str]]:
    """The command that a line calls, the words that lead to it, and the words behind. Raises KeyError if there is none."""
    command: Any = get_command(app)
    words, path = line.split()[1:], list[str]()
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        if path and not words:
            break
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    return command, path, words


def test_there_are_commands_to_try() -> None:
    assert {"run", "validate", "submit", "refresh", "bench", "keys", "up"} <= {line.split()[1] for _, line in commands()}


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_counterpoise_command_and_option_exists(page: str, line: str) -> None:
    command, path, words = resolved(line)
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0, f"{page}: {line}"
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options, f"{page}: {line}"


def test_every_command_there_is_has_its_place_in_the_guide() -> None:
    group: Any = get_command(app)
    listed = {name.split()[1] for name in named(guide("api").section("From the command line")) if " " in name}
    assert listed == set(group.commands)


def test_every_make_command_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    given = {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)`", page.prose)}
    given |= {line.split()[1] for _, line in shell_lines() if line.startswith("make ")}
    assert {"demo", "test", "install", "lint", "docs"} <= given <= targets


def test_the_other_pair_is_the_same_spec_with_other_classes_and_scenes() -> None:
    """The guide's own `sed` changes those two and nothing else."""
    (line,) = (line for _, line in shell_lines() if "| sed" in line)
    first = CliRunner().invoke(app, ["example", "spurious"]).stdout
    command = re.sub(r"^counterpoise example spurious \| |> other.yaml$", "", line)
    changed = subprocess.run(["bash", "-c", command], input=first, capture_output=True, text=True, check=True).stdout
    mine, other = (parse(yaml.safe_load(text)) for text in (first, changed))
    assert isinstance(other.source, SpuriousSource)
    assert (other.source.classes, other.source.scenes) == (("sandal", "boot"), ("wood", "snow"))
    assert other.model_copy(update={"source": mine.source}) == mine


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Method and path of everything that the API answers."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), broker_url="redis://127.0.0.1:1/0")
    paths = create_app(settings).openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_endpoint_has_its_line_and_no_other(operations: set[tuple[str, str]]) -> None:
    listed = {tuple(name.split()) for name in named(guide("api").section("Over HTTP")) if "/" in name}
    assert listed == operations


def test_every_request_goes_to_an_endpoint(operations: set[tuple[str, str]]) -> None:
    called = [line for _, line in shell_lines() if re.match(r"(.*\| )?(api|curl) ", line) and "localhost" in line]
    assert len(called) >= 10
    for line in called:
        given = re.search(r"-X ([A-Z]+)", line)
        method = given[1] if given else "POST" if "--json" in line else "PUT" if "-T" in line else "GET"
        for path in re.findall(r"localhost:\d+(/[^\s\"?]*)", line):
            fits = [p for m, p in operations if m == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/:]+", p), path)]
            assert fits, f"{method} {path}: {line}"


def test_every_file_that_docker_kubectl_and_prometheus_are_given_is_there() -> None:
    lines = [line for _, line in shell_lines() if re.search(r"\b(docker|kubectl|prometheus) ", line)]
    files = re.findall(r" (?:-[fk] |--config\.file=)(\S+)", "\n".join(lines))
    assert {"docker/compose.yaml", "k8s/overlays/dev", "k8s/overlays/prod", "monitoring/prometheus.yaml"} <= set(files)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_module_and_test_that_is_run_is_there() -> None:
    text = "\n".join(page.text for page in PAGES)
    modules = re.findall(r"python -m ([\w.]+)", text)
    assert {"tests.benchmarks.load", "pipelines.builtin.train.autoencoder"} <= set(modules)
    files = {name: ROOT / name.replace(".", "/") for name in modules}
    assert [n for n, f in files.items() if not (f.with_suffix(".py").exists() or (f / "__main__.py").exists())] == []
    tests = re.findall(r"bin/pytest (\S+)", text)
    assert [name for name in tests if not (ROOT / name).exists()] == []


SNIPPETS = [(page.name, block) for page in PAGES for block in page.blocks("python")]


@pytest.mark.parametrize(("page", "block"), SNIPPETS)
def test_every_name_that_python_imports_is_there(page: str, block: str) -> None:
    imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports, page
    for node in imports:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and (module := node.module or "").split(".")[0] in OURS:
            assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []
        else:
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            assert [name for name in modules if find_spec(name) is None] == []


def test_every_method_of_the_client_is_there() -> None:
    called = {name for _, block in SNIPPETS for name in re.findall(r"\bclient\.(\w+)", block)}
    assert {"submit", "events", "pull"} <= called
    assert {name for name in called if not hasattr(Client, name)} == set()


def test_the_readme_is_a_page() -> None:
    assert len(README.text.splitlines()) <= 180
