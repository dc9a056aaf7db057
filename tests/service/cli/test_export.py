"""`counterpoise export` of folders. Of a version of a service: tests/flow/test_up.py."""

from pathlib import Path

import pytest

from tests.service.cli.commands import call
from tests.version.export.versions import patch, row, tree, write

ROWS = [row(0, 0, patch(0)), row(1, 1, None), row(2, 1, patch(2))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `counterpoise run` leaves: a version below its folder."""
    folder = tmp_path_factory.mktemp("run")
    write(folder / "datasets/shoes/v1", ["boot", "shoe"], [ROWS])
    return folder


@pytest.mark.parametrize("place", ["", "datasets/shoes", "datasets/shoes/v1"])
def test_a_version_is_named_by_its_folder_or_one_that_holds_it_alone(run: Path, tmp_path: Path, place: str) -> None:
    done = call("export", run / place, "--format", "imagefolder", "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"3 samples in {tmp_path / 'out'}\n")
    assert len(list((tmp_path / "out/train").rglob("*.png"))) == 3


def test_what_is_left_out_is_said(run: Path, tmp_path: Path) -> None:
    done = call("export", run, "--format", "coco", "--out", tmp_path / "out")
    lines = [f"2 samples in {tmp_path / 'out'}", "1 more is left out: where its object is, is not known."]
    assert done.stdout.splitlines() == lines


def test_of_several_versions_one_has_to_be_named(run: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"datasets/shoes/v{number}", ["boot", "shoe"], [ROWS])
    refused = call("export", tmp_path, "--format", "yolo", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "holds several versions; give one of" in refused.stderr
    assert str(tmp_path / "datasets/shoes/v2") in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --format and --out, or --push alone"),
        (["--format", "coco"], "give --format and --out, or --push alone"),
        (["--push", "team/shoes", "--out", "out"], "give --format and --out, or --push alone"),
        (["--format", "voc", "--out", "out"], "--format: 'voc' is none; give one of imagefolder, webdataset, coco, yolo"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Path, arguments: list[str], message: str) -> None:
    refused = call("export", run, *arguments)
    assert (refused.exit_code, refused.stderr) == (2, f"{message}\n")


def test_a_place_without_a_version_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    options = ["--format", "coco", "--out", tmp_path / "out"]
    assert "holds no published version; give the folder of one" in call("export", tmp_path, *options).stderr
    missing = call("export", "shoes", *options).stderr
    assert missing == "shoes is no folder here; of a dataset of the service, give the version's number, too\n"
    assert tree(tmp_path) == {}


def test_a_taken_place_is_refused_before_anything_is_asked_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOISE_URL", "http://127.0.0.1:9")  # where nobody listens
    (tmp_path / "mine.txt").write_text("mine")
    refused = call("export", "shoes", "3", "--format", "coco", "--out", tmp_path)
    assert refused.exit_code == 2
    assert "is there, and not an empty folder; name another, or remove it" in refused.stderr


@pytest.fixture
def decided(tmp_path: Path) -> Path:
    """A pulled version that people have decided about."""
    dropped = [row(1, 1, patch(1), attempt=2, reason="quality: blurred")]
    write(tmp_path / "v1", ["boot", "shoe"], [ROWS], [dropped])
    (tmp_path / "v1/verdicts.json").write_text(
        '[{"sample": "0-0", "decision": "drop", "by": "alice", "at": 1}, '
        '{"sample": "1-2", "decision": "keep", "by": "bob", "at": 2}]'
    )
    return tmp_path / "v1"


def exported(folder: Path) -> set[str]:
    return {file.stem for file in folder.rglob("*.png")}


def test_people_s_verdicts_are_obeyed_unless_asked_otherwise_and_the_output_says_so(decided: Path, tmp_path: Path) -> None:
    done = call("export", decided, "--format", "imagefolder", "--out", tmp_path / "a")
    assert done.stdout.splitlines() == [
        f"3 samples in {tmp_path / 'a'}",
        "As people decided: 1 dropped by people left out, 1 kept by people brought back. --as-published obeys no verdicts.",
    ]
    assert exported(tmp_path / "a") == {"00000001-0", "00000002-0", "00000001-2"}
    done = call("export", decided, "--format", "imagefolder", "--out", tmp_path / "b", "--as-published")
    assert done.stdout.splitlines() == [
        f"3 samples in {tmp_path / 'b'}",
        "As published: 2 verdicts of people are not obeyed.",
    ]
    assert exported(tmp_path / "b") == {"00000000-0", "00000001-0", "00000002-0"}
    mine = tmp_path / "mine.json"
    mine.write_text('[{"sample": "2-0", "decision": "drop", "by": "carol", "at": 3}]')
    done = call("export", decided, "--format", "imagefolder", "--out", tmp_path / "c", "--verdicts", mine)
    assert "1 dropped by people left out, 0 kept by people brought back" in done.stdout
    assert exported(tmp_path / "c") == {"00000000-0", "00000001-0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--verdicts", "a.json", "--as-published"], "give --verdicts or --as-published, not both\n"),
        (["--verdicts", "nowhere.json"], "--verdicts: nowhere.json cannot be read (No such file or directory)"),
    ],
)
def test_verdicts_that_cannot_be_obeyed_are_refused(decided: Path, tmp_path: Path, options: list[str], message: str) -> None:
    refused = call("export", decided, "--format", "imagefolder", "--out", tmp_path / "a", *options)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(message)
    assert not (tmp_path / "a").exists()
