"""Images on this machine's disk. Costs three seconds: three processes measure their memory."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import CacheError
from pipelines.records import Image
from pipelines.spec import Machine
from pipelines.vision.pixels import GRACE, PixelCache
from tests.builders import noise

SIDE = 32
IMAGES = [noise(number) for number in range(5)]


def opened(folder: Path, most: int = 2**30) -> PixelCache:
    return PixelCache(Machine(cache_dir=str(folder), cache_bytes=most))


def never() -> Iterator[Image]:
    raise AssertionError("it was there already")


def test_what_was_written_is_read_by_whoever_needs_the_same(tmp_path: Path) -> None:
    first = opened(tmp_path).get_or_make("these", SIDE, 5, lambda: IMAGES)
    second = opened(tmp_path).get_or_make("these", SIDE, 5, never)
    for pixels in (first, second):
        assert len(pixels) == 5
        assert all(np.array_equal(image, other) for image, other in zip(pixels, IMAGES, strict=True))
        assert np.array_equal(np.stack(pixels[1:3]), np.stack(IMAGES[1:3]))
    others = opened(tmp_path).get_or_make("those", SIDE, 1, lambda: [IMAGES[4]])
    assert np.array_equal(others[0], IMAGES[4])
    assert len(opened(tmp_path).get_or_make("none", SIDE, 0, list)) == 0


def test_another_process_is_given_the_path_alone(tmp_path: Path) -> None:
    pixels = opened(tmp_path).get_or_make("these", SIDE, 5, lambda: IMAGES)
    data = pickle.dumps(pixels)
    assert len(data) < 500
    assert np.array_equal(np.stack(pickle.loads(data)), np.stack(IMAGES))


def test_what_is_stopped_half_way_is_made_again(tmp_path: Path) -> None:
    def stopped() -> Iterator[Image]:
        yield IMAGES[0]
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        opened(tmp_path).get_or_make("these", SIDE, 5, stopped)
    assert list(tmp_path.iterdir()) == []
    assert len(opened(tmp_path).get_or_make("these", SIDE, 5, lambda: IMAGES)) == 5


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    size = 5 * SIDE * SIDE * 3
    for name in ("old", "older", "new"):
        opened(tmp_path).get_or_make(name, SIDE, 5, lambda: IMAGES)
        (path,) = set(tmp_path.iterdir()) - {tmp_path / "old", tmp_path / "older"}
        path.rename(tmp_path / name)
    for name, days in (("old", 2), ("older", 3)):
        used = (tmp_path / name).stat().st_mtime - days * GRACE
        os.utime(tmp_path / name, (used, used))
    opened(tmp_path, 3 * size + 1000).get_or_make("next", SIDE, 5, lambda: IMAGES)
    assert {"old", "new"} < {path.name for path in tmp_path.iterdir()}
    opened(tmp_path, size).get_or_make("last", SIDE, 5, lambda: IMAGES)
    left = {path.name for path in tmp_path.iterdir()}
    assert "new" in left, "it may be in use"
    assert not {"old", "older"} & left
    week = (tmp_path / "new").stat().st_mtime - 7 * GRACE
    os.utime(tmp_path / "new", (week, week))
    opened(tmp_path).get_or_make("after", SIDE, 5, lambda: IMAGES)
    assert not (tmp_path / "new").exists(), "it was not used for a week"


def test_a_folder_that_cannot_be_written_to_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match=r"cache_dir: .*file: cannot be written to .* COUNTERPOISE_CACHE_DIR"):
        opened(tmp_path / "file").get_or_make("these", SIDE, 5, lambda: IMAGES)


PEAK = """
import resource, sys
import numpy as np
from pathlib import Path
from pipelines.spec import Machine
from pipelines.vision import pixels

pixels.READ, count = 2**23, int(sys.argv[1])
images = (np.full((128, 128, 3), number % 256, np.uint8) for number in range(count))
cache = pixels.PixelCache(Machine(cache_dir=sys.argv[2]))
written = cache.get_or_make("many", 128, count, lambda: images)
written.left = 0
assert sum(int(image.min()) for image in written) == sum(number % 256 for number in range(count))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_twenty_times_as_many_images_take_no_more_memory(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        command = [sys.executable, "-c", PEAK, str(count), str(tmp_path / str(count))]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    assert peak(4000) < peak(200) + 40_000, "KiB; all of the images would be 190,000 more"


SCATTERED = """
import sys
import numpy as np
from pathlib import Path
from pipelines.vision import pixels

pixels.READ = 2**23
np.save(sys.argv[1], np.ones((4000, 128, 128, 3), np.uint8))  # in one piece: the kernel keeps it in large folios
images = pixels.Pixels(Path(sys.argv[1]))

def mapped():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile"))

before = mapped()
peaks = []
for number in np.random.default_rng(0).permutation(4000)[:100].tolist():
    assert images[number].max() == 1
    peaks.append(mapped())
print(max(peaks) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
def test_a_few_scattered_images_do_not_map_the_whole_file(tmp_path: Path) -> None:
    """Whatever is read of it, a folio is mapped as a whole: a hundred images of 48 KiB were 120 MiB."""
    command = [sys.executable, "-c", SCATTERED, str(tmp_path / "many.npy")]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout) < 30_000, "KiB"
