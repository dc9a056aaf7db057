"""`counterpoise init`: what it writes is valid, and fits the images and the checkpoint. Ten seconds."""

from pathlib import Path
from typing import Any
from zlib import crc32

import PIL.Image
import pytest
import yaml

from tests.builders import noise
from tests.checkpoints import build_flux
from tests.service.cli.commands import call, photographs


def folder(root: Path, counts: dict[str, int], groups: bool = False) -> Path:
    """So many training images of each class; with `groups`, each on one of two grounds, mostly on one."""
    rows = ["file_name,group"]
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            name = f"{label}/{number}.png"
            PIL.Image.fromarray(noise(crc32(f"{label} {number}".encode()), side=8)).save(root / name)
            rows.append(f"{name},{'sand' if number % 5 else 'snow'}")
    if groups:
        (root / "metadata.csv").write_text("\n".join(rows))
    return root


def written(tmp_path: Path, images: Path, *options: object) -> dict[str, Any]:
    """The spec that is written, which `validate` finds valid."""
    out = tmp_path / "spec.yaml"
    done = call("init", images, "--out", out, *options)
    assert done.exit_code == 0, done.stderr
    checked = call("validate", out)
    assert checked.exit_code == 0, checked.stderr
    document: dict[str, Any] = yaml.safe_load(out.read_text())
    return document


@pytest.mark.parametrize(
    ("counts", "groups", "method", "amount"),
    [
        ({"siskin": 20, "wigeon": 20}, True, "spurious_removal", {"per_class": 200}),
        ({"siskin": 40, "wigeon": 6}, False, "image_variation", {"balance": "classes"}),
        ({"siskin": 12, "wigeon": 10}, False, "text_to_image", {"per_class": 100}),
    ],
)
def test_the_method_is_by_what_the_images_lack(
    tmp_path: Path, counts: dict[str, int], groups: bool, method: str, amount: dict[str, Any]
) -> None:
    document = written(tmp_path, folder(tmp_path / "My Birds", counts, groups), "--superclass", "shoe")
    assert (document["name"], document["method"]["type"], document["amount"]) == ("my-birds", method, amount)
    assert document["method"]["superclass"] == "shoe"


def test_a_checkpoint_is_asked_for_what_it_can_do(tmp_path: Path, tiny_checkpoint: Path) -> None:
    images = folder(tmp_path / "birds", {"siskin": 20, "wigeon": 20}, groups=True)
    document = written(tmp_path, images, "--model", tiny_checkpoint)
    assert document["models"] == {"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"}
    assert "inversion" in document["method"]
    (tmp_path / "spec.yaml").unlink()
    plain = written(tmp_path, folder(tmp_path / "plain", {"siskin": 6, "wigeon": 5}), "--model", tiny_checkpoint)
    assert (plain["models"]["segmenter"], plain["method"]["inversion"]["masked"]) == ("cross-attention", False)
    (tmp_path / "spec.yaml").unlink()
    words = ("--model", tiny_checkpoint, "--superclass", "shoe")
    assert "masked" not in written(tmp_path, tmp_path / "plain", *words)["method"]["inversion"]
    flux = build_flux(tmp_path / "flux")
    (tmp_path / "spec.yaml").unlink()
    few = written(tmp_path, folder(tmp_path / "few", {"siskin": 6, "wigeon": 5}), "--model", flux)
    assert "inversion" not in few["method"]
    assert few["method"]["lora"]["rank"] == 8


def test_a_word_for_each_class_is_proposed_beside_a_guess(tmp_path: Path) -> None:
    """As a comment, which is valid in the line's place."""
    images = folder(tmp_path / "clothes", {"shirt": 20, "red bag": 20}, groups=True)
    written(tmp_path, images)
    out = tmp_path / "spec.yaml"
    proposal = next(line for line in out.read_text().splitlines() if line.startswith("# superclass:"))
    lines = [proposal.replace("#", " ", 1) if "superclass:" in line else line for line in out.read_text().splitlines()]
    out.write_text("\n".join(line for n, line in enumerate(lines) if line not in lines[:n]))
    assert yaml.safe_load(out.read_text())["method"]["superclass"] == {"red bag": "bag", "shirt": "shirt"}
    assert call("validate", out).exit_code == 0
    out.unlink()
    written(tmp_path, images, "--superclass", "dress")
    assert "# superclass" not in out.read_text()


def test_an_evaluation_is_there_where_it_can_be(tmp_path: Path) -> None:
    document = written(tmp_path, Path(photographs(tmp_path)["path"]))
    assert document["evaluation"]["arms"] == ["erm", "classical", "counterpoise"]


def test_what_cannot_be_is_said_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    done = call("init", tmp_path, "--out", tmp_path / "spec.yaml")
    assert (done.exit_code, (tmp_path / "spec.yaml").read_text()) == (2, "mine")
    assert "is there already; name another file" in done.stderr
    assert "is no folder" in call("init", tmp_path / "none", "--out", tmp_path / "other.yaml").stderr
    assert "needs at least 2 classes" in call("init", tmp_path, "--out", tmp_path / "other.yaml").stderr
    assert not (tmp_path / "other.yaml").exists()
