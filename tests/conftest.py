"""What all tests share: the environment, the order of tests, and tiny checkpoints."""

import gc
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Models this small gain nothing from a second thread, and lose tenfold where threads wait for a core. Processes that
# tests start inherit it, so that their bytes can be compared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import structlog

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from tests import parts
from tests.builders import CPU
from tests.checkpoints import build

OURS = ("COUNTERPOISE_ALL_TESTS", "COUNTERPOISE_FASHION_MNIST")
for name in {name for name in os.environ if name.startswith("COUNTERPOISE_")} - set(OURS):
    del os.environ[name]  # the address and the key of somebody's real service

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # of services that tests run in this process


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under pytest-xdist a file's tests stay together, and so do all that start whole services, which last longest."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/flow" if nodeid.startswith("tests/flow/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lasts longest comes first, so that no process is left alone with it at the end."""
    first = ("tests/flow/", "tests/test_run.py")
    items.sort(key=lambda item: next((n for n, path in enumerate(first) if item.nodeid.startswith(path)), len(first)))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it for each test."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of the run what was not tested for want of which part, and how to get it."""
    for line in parts.summary(report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def shared_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of training images, for services that tests start and for what several tests share: nothing of an earlier run."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERPOISE_CACHE_DIR", str(folder))
        patch.setattr("pipelines.vision.pixels.default_folder", lambda: folder)
        yield


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One for each test besides, so that none is given another's."""
    folder = tmp_path_factory.getbasetemp() / "caches" / uuid.uuid4().hex
    monkeypatch.setattr("pipelines.vision.pixels.default_folder", lambda: folder)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_inpainting_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny-inpainting"), inpainting=True, prediction="epsilon")


@pytest.fixture(scope="session")
def tiny_unclip_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny-unclip"), unclip=True)


@pytest.fixture
def tiny_model(tiny_checkpoint: Path) -> Backbone:
    """A fresh one for each test: tests put tokens into it."""
    return open_backbone(str(tiny_checkpoint), CPU)
