"""Counterpoise from Python.

In this process, with the extra `engine` installed:

    from counterpoise import load_spec, run

    summary = run(load_spec("spec.yaml"), "out")

Through a service, for which the plain package is enough:

    from counterpoise import Client, load_spec

    with Client("http://127.0.0.1:8000", key) as client:
        version = client.submit(load_spec("spec.yaml"))

These names stay; modules of `pipelines`, `service` and `workers` may move. Importing this package loads no torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.errors import CounterpoiseError
from pipelines.progress import Progress, Silent, bars, quiet
from pipelines.spec import VersionSpec, load
from service.client import Client

__all__ = ["Client", "CounterpoiseError", "VersionSpec", "load_spec", "run"]


def load_spec(path: str | Path) -> VersionSpec:
    """Read and check a spec in YAML or JSON. A relative image folder in it counts from the spec's own folder.

    Raises CounterpoiseError that names every wrong field, its value and what would be right.
    """
    return load(Path(path))


@contextmanager
def silence() -> Iterator[Progress]:
    """No progress, neither ours nor that of the libraries."""
    quiet()
    yield Silent()


def run(spec: VersionSpec, out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Make version 1 of the dataset `spec.name` in the folder `out` and evaluate it, in this process.

    Returns the summary: counts of images, accuracy of each arm, seconds; `out` holds it as summary.json, beside
    report.html and the version itself. Stopped anywhere and called again, it goes on where it was. With `progress`
    it draws a bar for each stage, or prints a line where there is no terminal; without, it says nothing.

    Raises CounterpoiseError if the spec does not fit its source, if `out` holds a version of another spec, or if
    the extra `engine` is not installed.
    """
    if find_spec("torch") is None:
        raise CounterpoiseError("run: torch is not installed; pip install 'counterpoise[engine]', or use a service (Client)")
    with bars() if progress else silence() as display:  # before diffusers is imported: it would print on its own
        from pipelines.run import run as run_spec

        return run_spec(spec, Path(out), display)
