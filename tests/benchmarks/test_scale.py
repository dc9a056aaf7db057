"""The benchmark of large sources runs, and measures what it says. 35 seconds: four processes, which import torch."""

import json
import subprocess
import sys
from pathlib import Path

import PIL.Image

from tests.benchmarks.rendered import SIDE
from tests.benchmarks.scale_steps import STEPS


def test_two_hundred_images(tmp_path: Path) -> None:
    options = ["--quick", "--folder", str(tmp_path / "images"), "--json", str(tmp_path / "scale.json")]
    subprocess.run([sys.executable, "-m", "tests.benchmarks.scale", *options], check=True, timeout=250)
    files = sorted((tmp_path / "images").rglob("*.jpg"))
    assert len(files) == 200
    with PIL.Image.open(files[0]) as image:
        assert image.size == (SIDE, SIDE) == (512, 512)
    assert len({file.read_bytes() for file in files}) == 200
    measured = json.loads((tmp_path / "scale.json").read_text())
    assert set(measured) == {"200 images", "2,000 in 10 classes"}
    steps = measured["200 images"]
    assert list(steps) == [step.__name__ for step in STEPS]
    assert steps["open_again"]["cpu"] < steps["open_first"]["cpu"]
    assert steps["judge"]["cpu"] > 0.1
    assert all(step["seconds"] < 100 and 50 < step["MiB"] < 4000 for size in measured.values() for step in size.values())
