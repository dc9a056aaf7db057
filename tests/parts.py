"""What some tests need beside Python packages. Where it is missing they are skipped, and the end of the run says so.

`python -m tests.parts` prints the Debian packages that are missing here, and nothing when all tests can run.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from pipelines.builtin import wardrobe

STRICT = os.environ.get("COUNTERPOISE_ALL_TESTS") == "1"  # CI: what is missing fails, instead of being skipped
MARK = "NOT TESTED, for want of "


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    package: str | None  # of Debian; None: there is none, and the tests are skipped without it everywhere
    find: Callable[[], Path | None]
    remedy: str = ""  # without a package

    def path(self) -> Path:
        """Where it is. Skips the test that asks when it is missing, or fails it if COUNTERPOISE_ALL_TESTS is 1."""
        return self.find() or self.skip()

    def skip(self) -> NoReturn:
        if STRICT and self.package:
            pytest.fail(f"{self.name} is missing, and COUNTERPOISE_ALL_TESTS wants every test to run")
        pytest.skip(f"{MARK}{self.name} ({self.remedy or f'Debian: apt-get install {self.package}'})")


def program(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def postgresql() -> Path | None:
    """The folder of PostgreSQL's programs."""
    folders = [found.parent] if (found := program("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def fashion_mnist() -> Path | None:
    try:
        return wardrobe.originals()
    except FileNotFoundError:
        return None


def photographs() -> Path | None:
    """A folder of real photographs, a folder for each class of clothing in it, some 400 pixels wide."""
    folder = Path(os.environ.get("COUNTERPOISE_PHOTOS", Path(__file__).parents[2] / "shared" / "photos-large"))
    return folder if (folder / "shoes").is_dir() else None


def playwright() -> Path | None:
    spec = find_spec("playwright")
    return Path(spec.origin) if spec and spec.origin else None


POSTGRESQL = Part("PostgreSQL", "postgresql", postgresql)
PROMTOOL = Part("Prometheus' promtool", "prometheus", partial(program, "promtool"))
CHROMIUM = Part("Chromium", "chromium", partial(program, "chromium"))
PLAYWRIGHT = Part("playwright", None, playwright, "pip install playwright axe-playwright-python")
CURL = Part("curl", "curl", partial(program, "curl"))
FASHION_MNIST = Part("Fashion-MNIST's original files", "dataset-fashion-mnist", fashion_mnist)
PHOTOGRAPHS = Part("photographs of clothing", None, photographs, "set COUNTERPOISE_PHOTOS to a folder of them, by class")
PARTS = (POSTGRESQL, PROMTOOL, CHROMIUM, PLAYWRIGHT, CURL, FASHION_MNIST, PHOTOGRAPHS)


def summary(reasons: Iterable[str]) -> list[str]:
    """One line for each missing part, of the reasons why tests were skipped."""
    counts = Counter(reason[reason.index(MARK) :] for reason in reasons if MARK in reason)
    return [f"{reason}: {count} test{'s' * (count > 1)}" for reason, count in sorted(counts.items())]


if __name__ == "__main__":
    print(" ".join(part.package for part in PARTS if part.package and part.find() is None))
