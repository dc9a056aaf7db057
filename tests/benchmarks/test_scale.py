"""The benchmark of large sources runs, and measures what it says. 25 seconds: three processes, two of which import torch."""

import json
import subprocess
import sys
from pathlib import Path

import PIL.Image

from tests.benchmarks.rendered import SIDE


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
    opening = measured["200 images"]
    assert opening["open_again"]["seconds"] < opening["open_first"]["seconds"]
    assert all(0 < step["seconds"] < 60 and 50 < step["MiB"] < 4000 for size in measured.values() for step in size.values())
