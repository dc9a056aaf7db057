"""Links are the same for a folder that is read in place and one that is sent. 1 second."""

import os
from pathlib import Path

from tests.source.forms import folder, images, put, reasons, sent
from tests.source.packed import picture
from tests.source.test_splits import pictures


def test_links_are_the_same_in_place_and_sent(tmp_path: Path) -> None:
    root = put(tmp_path / "shoes", pictures("train/boot", "train/shoe") | {"store/9.png": picture(999)})
    put(tmp_path, {"out.png": picture(998), "elsewhere/0.png": picture(997)})
    for name, target in {
        "train/boot/inside.png": "../../.cache/7.png",
        "train/boot/out.png": str(tmp_path / "out.png"),
        "train/boot/nowhere.png": "gone.png",
        "train/boot/itself.png": "itself.png",
        "train/bag": str(tmp_path / "elsewhere"),
        "train/sandal": "../.sandals",
        "train/shoe/loop": "../../train",
    }.items():
        (root / name).symlink_to(target)
    (root / "store/9.png").unlink()
    (root / "store").rmdir()
    put(root, {".cache/7.png": picture(995), ".sandals/1.png": picture(996)})
    os.link(root / "train/boot/0.png", root / "train/boot/twin.png")
    os.mkfifo(root / "train/boot/pipe.png")
    here, there = folder(root, max_problems=1), sent(root, tmp_path / "sent", max_problems=1)
    assert images(here) == images(there)
    assert here.fingerprint == there.fingerprint
    assert [item.id for item in here.of("boot")] == ["train/boot/0.png", "train/boot/1.png", "train/boot/inside.png"]
    assert [item.id for item in here.of("sandal")] == ["train/sandal/1.png"]
    assert reasons(here) == reasons(there) == {
        "train/bag": "is a link out of the source's folder",
        "train/boot/out.png": "is a link out of the source's folder",
        "train/boot/nowhere.png": "cannot be read (FileNotFoundError)",
        "train/boot/itself.png": "cannot be read (RuntimeError)",
        "train/boot/pipe.png": "cannot be read (no file)",
        "train/boot/twin.png": "repeats train/boot/0.png",
        "train/shoe/loop": "is a link to a folder that it lies in",
    }  # fmt: skip


def test_a_file_that_must_not_be_read_is_the_same_in_place_and_sent(tmp_path: Path) -> None:
    root = put(tmp_path / "shoes", pictures("train/boot", "train/shoe"))
    (root / "train/boot/large.png").write_bytes(b"")
    os.truncate(root / "train/boot/large.png", 65 * 2**20)
    here, there = folder(root, max_problems=1), sent(root, tmp_path / "sent", max_problems=1)
    assert reasons(here) == reasons(there) == {"train/boot/large.png": "larger than 64 MiB"}
