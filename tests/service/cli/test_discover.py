"""`counterpoise discover`: what it prints and writes, and what it refuses. Twenty seconds."""

import json
from pathlib import Path

import PIL.Image

from tests.discovery.worlds import PLANTED, source
from tests.service.cli.commands import call


def folder(root: Path) -> Path:
    opened = source(PLANTED[0], train=60, held_out=24)
    for items in opened.splits.values():
        for item in items:
            file = root / item.id
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(opened.read(item)).save(file)
    return root


def test_it_prints_and_writes_the_same_document(tmp_path: Path) -> None:
    done = call("discover", folder(tmp_path / "shoes"), "--steps", 30, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "out/discovery.json").read_text())
    assert document["classes"] == {"boot": 60, "sneaker": 60}
    assert document["settings"]["steps"] == 30
    assert "Standard errors".lower() in (tmp_path / "out/discover.html").read_text()
    done = call("discover", tmp_path / "shoes", "--steps", 2, "--out", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert "background" in done.stdout
    assert f"Look at {tmp_path / 'again/discover.html'}" in done.stdout


def test_what_cannot_be_looked_at_is_refused_in_a_line(tmp_path: Path) -> None:
    for number in range(6):
        file = tmp_path / f"few/train/{('boot', 'sneaker')[number % 2]}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (32, 32), (number, 0, 0)).save(file)
    for arguments, message in (
        ((tmp_path / "none",), "SOURCE: there is no"),
        ((tmp_path / "few",), "SOURCE: boot has 3 training images, too few to hold some out; it needs 30"),
        ((tmp_path / "few", "--steps", 0), "--steps: 0 is too few; give 1 or more"),
        ((tmp_path / "few", "--clip", tmp_path), "models.clip"),
        ((tmp_path / "few", "--out", tmp_path / "few/train/boot/0.png"), "--out: "),
    ):
        done = call("discover", *arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
        assert message in done.stderr
