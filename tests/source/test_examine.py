"""Examining images: several processes give what one gives, and a JPEG at an eighth what the whole gives. 5 seconds."""

import io
import subprocess
import sys
from collections.abc import Iterator

import PIL.Image
import pytest

from pipelines import parallel
from pipelines.records import Problem
from pipelines.source import examine
from pipelines.source.checks import Entry
from pipelines.source.decode import BadImage, load, upright_size
from pipelines.source.examine import examine_all
from tests.builders import noise, picture
from tests.source.test_folder import encoded


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[parallel.Child]]:
    """Small batches on two cores; the processes that are started."""
    children: list[parallel.Child] = []

    class Child(parallel.Child):
        def __init__(self) -> None:
            super().__init__()
            children.append(self)

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(examine, "MOST", 3)
    monkeypatch.setattr(examine, "FEW", 1)
    monkeypatch.setattr(parallel, "Child", Child)
    yield children
    assert all(child.process.poll() is not None for child in children)


def entries() -> Iterator[Entry | Problem]:
    for number in range(20):
        yield Problem(f"p{number}", "no reason") if number % 5 == 4 else Entry(f"{number}.png", encoded(noise(number)))
    yield Entry("cut.jpg", encoded(picture(1, 64), "JPEG")[:600])


def test_processes_give_what_one_gives(two_processes: list[parallel.Child], monkeypatch: pytest.MonkeyPatch) -> None:
    results = list(examine_all(entries(), allow_synthetic=False))
    assert len(two_processes) == 2
    assert [one.id for one in results] == [one.id for one in entries()]
    assert results[-1].reason == "damaged image (Truncated File Read); replace it"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert list(examine_all(entries(), allow_synthetic=False)) == results
    assert len(two_processes) == 2


def test_few_files_are_in_flight_and_a_step_that_raises_ends_all(two_processes: list[parallel.Child]) -> None:
    given = 0

    def counted() -> Iterator[Entry | Problem]:
        nonlocal given
        for one in entries():
            given += 1
            yield one

    results = examine_all(counted(), allow_synthetic=False)
    for _ in range(4):  # the first batch, and one of the next
        next(results)
    assert given <= 3 * (1 + 3)  # a batch here, one in each process and one more
    results.close()  # type: ignore[attr-defined]
    assert len(two_processes) == 2


def test_processes_import_no_torch() -> None:
    code = "import sys, pipelines.parallel, pipelines.source.examine; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "datasets", "pyarrow"} & set(modules) == set()


# --- decoding at an eighth ------------------------------------------------------------------------------------------


def jpeg(side: int = 400, **options: object) -> bytes:
    return encoded(picture(0, side), "JPEG", **options)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}], ids=str)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_jpeg_is_refused_in_the_words_of_the_whole(options: dict[str, object], share: float) -> None:
    data = jpeg(**options)
    data = data[: int(share * len(data))]
    with pytest.raises(BadImage, match="truncated") as drafted:
        upright_size(data, allow_synthetic=False)
    with pytest.raises(BadImage) as whole:
        load(data, allow_synthetic=False)
    assert str(drafted.value) == str(whole.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_image(form: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(0, 64)[:40], form, exif=exif)
    assert upright_size(data, allow_synthetic=False) == load(data, allow_synthetic=False).size


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_modes_have_a_size(mode: str) -> None:
    data = io.BytesIO()
    PIL.Image.fromarray(picture(0, 64)[:40]).convert(mode).save(data, "JPEG")
    assert upright_size(data.getvalue(), allow_synthetic=False) == (64, 40)
