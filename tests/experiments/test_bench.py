"""The bench of methods, small: every arm of a benchmark, its figures, table and sheets."""

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import PIL.Image
import pytest

from pipelines.errors import SpecError
from pipelines.experiments import bench as module
from pipelines.experiments.bench import (
    BASELINES,
    BENCHMARKS,
    FIRST,
    SHOTS,
    bench,
    closed,
    overall,
    parts,
    spec_of,
    table,
    whole,
)
from pipelines.progress import Silent

SMALL = {
    "source": {"type": "few-shot", "shots": 2, "validation": 12, "test": 24},
    "amount": {"per_class": 4},
    "classifier": {"steps": 4, "batch": 8},
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_method_of_every_benchmark_is_a_spec(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert next(iter(benchmark.methods)) == FIRST
    for method in benchmark.methods:
        spec = spec_of(name, method, [0, 1, 2])
        assert spec.evaluation is not None
        assert set(spec.evaluation.arms) == ({*BASELINES, "counterpoise"} if method == FIRST else {"counterpoise"})


def test_few_shots_are_benched_from_one_to_sixteen() -> None:
    shots = [spec_of(f"few_shot_{k}", FIRST, [0]).source.model_dump()["shots"] for k in (1, 2, 4, 8, 16)]
    assert shots == [1, 2, 4, 8, 16]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    full = BENCHMARKS["few_shot_2"]
    methods = {FIRST: full.methods[FIRST], "augmented_conditioning": {"method": module.SHOWN}}
    few = replace(full, common={**SMALL, "evaluation": full.common["evaluation"]}, methods=methods)
    monkeypatch.setitem(module.BENCHMARKS, "few_shot_2", few)


def test_a_benchmark_has_every_arm_a_table_and_a_sheet_a_method(tmp_path: Path, small: None) -> None:
    found = bench(["few_shot_2"], [0, 1], tmp_path, Silent())
    arms = found["results"]["few_shot_2"]
    assert set(arms) == {*BASELINES.values(), FIRST, "augmented_conditioning"}
    for arm in arms.values():
        assert len(arm["values"]) == 2
        assert arm["mean"] == pytest.approx(sum(arm["values"]) / 2)
    assert (tmp_path / "table.md").read_text().count("\n") == 2 + len(arms)
    for method in (FIRST, "augmented_conditioning"):
        with PIL.Image.open(tmp_path / f"few_shot_2-{method}.png") as sheet:
            assert sheet.width > 64
    assert bench(["few_shot_2"], [0, 1], tmp_path, Silent())["results"] == found["results"], "run again, it is the same"


def arm(*values: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean(values), "std": 0.01, "values": list(values), **more}


def test_the_gap_is_that_between_few_and_many_real_images() -> None:
    arms = {"real_only": arm(0.4), "classical": arm(0.5), "tokens": arm(0.3), "real_full": arm(0.8)}
    assert closed(arms) == {"classical": pytest.approx(0.25), "tokens": pytest.approx(-0.25)}
    assert closed({**arms, "real_full": arm(0.4)}) == {}


def test_few_shots_are_averaged_over_their_numbers_seed_by_seed() -> None:
    found = {f"few_shot_{k}": {"tokens": arm(k / 100, k / 50)} for k in SHOTS}
    assert overall(found)["tokens"]["values"] == [pytest.approx(0.062), pytest.approx(0.124)]


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_the_table_starts_with_the_baselines_ends_with_the_ceiling_and_says_what_closes_the_gap() -> None:
    few = {"real_only": arm(0.4), "tokens": arm(0.6), "real_full": arm(0.8), "classical": arm(0.45)}
    rows = cells(table({"a": few, "b": {"real_only": arm(0.4), "real_full": arm(0.5)}}))
    assert rows[0] == ["", "`a`", "`b`"]
    assert [row[0] for row in rows[2:]] == ["`real_only`", "`classical`", "`tokens`", "`real_full`"]
    assert rows[2][1:] == ["40.0 ± 1.0", "40.0 ± 1.0"]
    assert rows[3][1:] == ["45.0 ± 1.0 (12 %)", ""]
    assert rows[4][1:] == ["**60.0 ± 1.0 (50 %)**", ""]


def test_numbers_of_shots_and_sizes_of_classes_have_a_table_of_their_own() -> None:
    sized = {"real_only": arm(0.4, shots={"few": arm(0.1), "many": arm(0.6)})}
    plain = {"real_only": arm(0.4)}
    results = {"few_shot": plain, "few_shot_1": plain, "few_shot_2": plain, "long_tail": sized}
    assert list(whole(results)) == ["few_shot", "long_tail"]
    assert list(parts(results)) == ["few_shot_1", "few_shot_2", "long_tail, many", "long_tail, few"]
    assert parts(results)["long_tail, few"] == {"real_only": arm(0.1)}
    assert list(whole({"few_shot_1": plain})) == ["few_shot_1"]


def test_a_benchmark_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--only: benchmark 'few' does not exist; there are few_shot_1"):
        bench(["few"], [0], tmp_path, Silent())
