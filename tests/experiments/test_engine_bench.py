"""The bench of the engine, tiny: its arms do the same work, and every measurement comes to its ratio. Costs 20 seconds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from pipelines.errors import SpecError
from pipelines.experiments.engine import savings
from pipelines.experiments.engine.arms import WORK, Arms, versus
from pipelines.experiments.engine.bench import GOALS, NAMES, bench
from pipelines.experiments.engine.job import BESIDE, job_vs_engine
from pipelines.experiments.engine.memory import peak, peak_of
from pipelines.experiments.engine.quarter_mask import REGIONS, SMALLEST, requests
from pipelines.experiments.engine.savings import SAVINGS, joined, kept_seconds_saving, saving, versions
from pipelines.experiments.engine.timing import QUICK, Size, alternate, ratio
from pipelines.progress import Silent
from pipelines.spec import SpuriousRemoval
from tests.service.cli.commands import call


@pytest.fixture
def size(tiny_checkpoint: Path) -> Size:
    return replace(QUICK, checkpoint=str(tiny_checkpoint), count=6, capacity=3)


@contextmanager
def rows_of(arms: Arms) -> Iterator[list[int]]:
    """How many rows each forward of the denoiser has, inside the block."""
    rows, predict = list[int](), arms.backbone.predict

    def counted(xt: Any, *arguments: Any) -> Any:
        rows.append(len(xt))
        return predict(xt, *arguments)

    with patch.object(arms.backbone, "predict", counted):
        yield rows


@pytest.mark.parametrize("work", WORK)
def test_all_arms_draw_the_same_images_and_the_limit_has_as_many_rows(work: str, size: Size) -> None:
    arms = Arms(size)
    requests = WORK[work](size.count, arms.backbone.resolution, size.steps)
    with rows_of(arms) as ours:
        images = {candidate.request.index: candidate.image for candidate in arms.engine(requests)}
    for rival in (arms.loop, arms.batched):
        drawn: Any = rival(requests)
        for index, image in images.items():
            assert np.abs(image / 255 - drawn[index]).max() < 1.6 / 255, (rival, index)
    with rows_of(arms) as rows:
        arms.limit(requests)
    assert sum(rows) == sum(ours)
    assert set(rows[:-1]) == {2 * size.capacity}


def test_arms_take_turns_and_a_ratio_is_of_rounds() -> None:
    order, units = list[str](), list[int]()
    seconds = alternate({name: lambda name=name: order.append(name) for name in "abc"}, 3, units.append)  # type: ignore[misc]
    assert "".join(order) == "abccbaabc"
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 3)
    assert sum(units) == len(order)
    assert ratio([2.0, 9.0, 30.0], [1.0, 3.0, 10.0]) == 3


def test_rivals_are_held_against_the_engine_on_both_kinds_of_work(size: Size) -> None:
    measured = versus(["batched", "limit"], size, Silent())
    assert set(measured.ratios) == {f"engine_vs_{rival}.{work}" for rival in ("batched", "limit") for work in WORK}
    for name, value in measured.ratios.items():
        rival, work = name.removeprefix("engine_vs_").split(".")
        assert value == pytest.approx(measured.seconds[f"{rival}.{work}"] / measured.seconds[f"engine.{work}"])


def test_a_job_drops_half_of_its_images_and_its_seconds_are_accounted_for() -> None:
    measured = job_vs_engine(replace(QUICK, count=12, steps=2, learning=1), Silent())
    job, seconds = measured.figures["job"], measured.seconds
    assert job["kept"] < 0.75 * job["generated"]
    assert 0 < measured.ratios["job_vs_engine"] == seconds["job_vs_engine.engine"] / seconds["job_vs_engine.job"]
    filters = ("quality", "near_duplicate", "label_agreement", "attribution")
    assert {f"judging: {name}" for name in filters} <= job["seconds"].keys()
    parts = {name: value for name, value in job["seconds"].items() if not name.endswith(BESIDE)}
    assert sum(parts.values()) == pytest.approx(seconds["job_vs_engine.job"])
    assert 0 <= parts["rest"] < 0.5 * seconds["job_vs_engine.job"]
    assert job["seconds"]["writing, beside"] > 0


def test_each_saving_changes_its_part_of_the_spec_alone(tmp_path: Path) -> None:
    spec = versions(replace(QUICK, steps=20), tmp_path).spec
    for changes in (*SAVINGS.values(), joined(SAVINGS)):
        changed = saving(spec, changes)
        assert all(getattr(changed, part) != getattr(spec, part) for part in changes)
        assert changed.model_copy(update={part: getattr(spec, part) for part in changes}) == spec
    every = saving(spec, joined(SAVINGS), seed=3)
    assert isinstance(every.method, SpuriousRemoval)
    assert (every.method.solver, every.method.steps, every.method.cache_interval) == ("dpmsolver++", 5, 2)
    assert (every.seed, every.evaluation and every.evaluation.seeds) == (3, (3,))


def test_savings_are_measured_by_the_seconds_of_a_kept_image_and_the_worst_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(savings, "SAVINGS", {"solver": SAVINGS["solver"]})
    measured = kept_seconds_saving(replace(QUICK, learning=1, version=(4, 20, 8), training=2), Silent())
    figures = ("kept_seconds_saving", "kept_seconds_saving.worst_group")
    assert set(measured.ratios) == {f"{figure}.{name}" for figure in figures for name in ("solver", "all")}
    assert all(value > 0 for name, value in measured.ratios.items() if "worst_group" not in name)
    assert 0 <= measured.figures["savings"]["worst_group"]["none"][0] <= 1


def test_the_command_writes_ratios_and_what_they_were_measured_with(size: Size, tmp_path: Path) -> None:
    names, file = ("occupancy", "loras", "quarter_mask", "throughput"), tmp_path / "out.json"
    options = ("--quick", "--checkpoint", size.checkpoint, "--capacity", "4", "--only", ",".join(names))
    done = call("bench", "engine", "--json", file, *options)
    assert done.exit_code == 0, done.output
    report = json.loads(file.read_text())
    assert set(report["ratios"]) == {"occupancy", "loras", *REGIONS}
    assert 0.7 < report["ratios"]["occupancy"] <= 1
    assert report["occupancy"]["generated"] == pytest.approx(QUICK.stream, rel=0.3)
    assert set(report["images_per_second"]) == {"1", "4"}
    assert (report["settings"]["capacity"], report["machine"]["device"]) == (4, "cpu")
    assert "occupancy" in done.stdout
    assert "0.97" in done.stdout


def test_a_quarter_has_a_quarter_of_the_pixels_with_its_context() -> None:
    sides = {
        (name, smallest): {len(one.image) for one in requests(2, 64, share, smallest, 4) if one.image is not None}
        for name, share in REGIONS.items()
        for smallest in (SMALLEST, 1.0)
    }
    whole = {(name, 1.0): {64} for name in REGIONS}
    assert sides == {("quarter_mask", SMALLEST): {32}, ("quarter_mask.without_context", SMALLEST): {48}, **whole}


def test_peak_memory_is_that_of_a_process_of_its_own(size: Size) -> None:
    ballast = np.ones(2**26)  # 512 MiB, which getrusage would count
    assert 100 < peak_of(size, 2) < peak() - ballast.nbytes / 2**21


def test_a_ratio_that_does_not_exist_is_named() -> None:
    with pytest.raises(SpecError, match="--only: ratio 'speed' does not exist; there are engine_vs_loop, "):
        next(bench(["speed"], QUICK, Silent()))
    assert {name.partition(".")[0] for name in GOALS} <= set(NAMES)
