"""Ten mistakes of a newcomer: what each is answered with, before anything is learned or sent, and in how many seconds of
processor time, the start of the command included. Fifteen seconds."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn

from service.api.app import create_app
from service.settings import Settings
from tests.checkpoints import build, build_flux
from tests.servers import free_port
from tests.service.cli.commands import photographs, written

ROOT = Path(__file__).parents[3]
MOST_SECONDS = 2.0
NAMES = {"type": "text_to_image"}
REMOVAL = {"type": "spurious_removal", "superclass": "bird", "inversion": None}


def wrong_path(folder: Path) -> dict[str, Any]:
    return {"source": {"type": "folder", "path": str(folder / "brids")}}


def misspelt_field(folder: Path) -> dict[str, Any]:
    return {"filters": [{"type": "quality", "max_sem": 0.1}]}


def empty_class(folder: Path) -> dict[str, Any]:
    source = photographs(folder)
    (folder / "birds" / "train" / "magpie").mkdir()
    return {"source": source}


def split_superclass(folder: Path) -> dict[str, Any]:
    return {"method": {"type": "text_to_image", "superclass": "wellington boot", "inversion": {}}}


def too_large(folder: Path) -> dict[str, Any]:
    return {"amount": {"total": 40_000_000}}


def wrong_checkpoint(folder: Path) -> dict[str, Any]:
    return {"models": {"text_to_image": str(folder)}}


def family_that_cannot(folder: Path) -> dict[str, Any]:
    learned = {"type": "text_to_image", "superclass": "bird", "inversion": {"masked": False}}
    return {"models": {"text_to_image": str(build_flux(folder / "flux"))}, "method": learned}


def builtin_helper(folder: Path) -> dict[str, Any]:
    models = {"text_to_image": str(build(folder / "sd"))}
    return {"source": photographs(folder), "models": models, "method": REMOVAL}


def absent_device(folder: Path) -> dict[str, Any]:
    return {}


def forgotten_key(folder: Path) -> dict[str, Any]:
    return {}


MISTAKES: list[tuple[Callable[[Path], dict[str, Any]], list[str], int, str]] = [
    (wrong_path, ["validate"], 2, "brids is not a folder; give one that holds <class>/"),
    (misspelt_field, ["validate"], 2, "filters.0.max_sem: no such field; correct its name, or remove it; did you mean"),
    (empty_class, ["validate"], 0, "Class 'magpie' has no images, and is left out."),
    (split_superclass, ["validate"], 2, "method.superclass: 'wellington boot' is several tokens of 'builtin'"),
    (too_large, ["validate"], 0, "Denoising takes about 458.3 hours on two CPU cores"),
    (wrong_checkpoint, ["validate"], 2, "has no model_index.json; give the folder of a diffusers checkpoint"),
    (family_that_cannot, ["validate"], 2, "method.inversion: "),
    (builtin_helper, ["validate"], 2, "models.segmenter: 'builtin' knows small images of garments alone"),
    (absent_device, ["run", "--device", "cuda", "--out", "out"], 2, "device: 'cuda' "),
    (forgotten_key, ["submit"], 2, "COUNTERPOISE_KEY: is not set"),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that asks for a key."""
    port = free_port()
    app = create_app(Settings(state_dir=tmp_path_factory.mktemp("state")))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize(
    ("mistake", "command", "status", "message"), MISTAKES, ids=[mistake[0].__name__ for mistake in MISTAKES]
)
def test_a_mistake_is_answered_at_once(
    mistake: Callable[[Path], dict[str, Any]], command: list[str], status: int, message: str, tmp_path: Path, api: str
) -> None:
    spec = written(tmp_path, **{"method": NAMES, **mistake(tmp_path)})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", command[0], str(spec), *command[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COUNTERPOISE_URL": api},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert message in done.stdout + done.stderr
    assert done.returncode == status
    assert not (tmp_path / "out").exists()
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < MOST_SECONDS, json.dumps({"seconds": round(seconds, 2), "message": message})
