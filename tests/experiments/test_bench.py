"""The bench of methods, small: every arm of a benchmark, its figures, table and sheets."""

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import PIL.Image
import pytest

from pipelines.errors import SpecError
from pipelines.experiments import bench as module
from pipelines.experiments.bench import bench, figures, run_benchmark
from pipelines.experiments.benchmarks import (
    CONDITIONED,
    FIRST,
    FULL,
    QUICK,
    QUICK_BENCHMARKS,
    SHOTS,
    Benchmark,
    Size,
    benchmarks,
    spec_of,
)
from pipelines.experiments.claims import CLAIMS, UNCLAIMED, judged, unknown_rows, verdict
from pipelines.experiments.pace import Pace, estimate
from pipelines.experiments.tables import benchmark_table, gaps_closed, overall, parts, table, whole
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.source.open import open_source
from pipelines.spec import VersionSpec
from pipelines.spec.arms import ARMS
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.training.metrics import summary

SMALL = {
    "source": {"type": "few-shot", "shots": 2, "validation": 12, "test": 24},
    "amount": {"per_class": 4},
    "classifier": {"steps": 4, "batch": 8},
}


def specs(size: Size, names: tuple[str, ...], seeds: tuple[int, ...]) -> list[VersionSpec]:
    chosen = {name: benchmarks(size)[name] for name in names}
    return [spec_of(n, b, m, seed, size.suffix) for n, b in chosen.items() for seed in seeds for m in b.methods]


@pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("name", benchmarks())
def test_every_method_of_every_benchmark_is_a_spec(name: str, size: Size) -> None:
    benchmark = benchmarks(size)[name]
    assert next(iter(benchmark.methods)) == FIRST
    for method in benchmark.methods:
        spec = spec_of(name, benchmark, method, 7)
        assert spec.evaluation is not None
        assert set(spec.evaluation.arms) == {*benchmark.baselines.get(method, ()), "counterpoise"}


def test_a_seed_is_one_of_source_generation_and_training_and_its_images_are_others() -> None:
    first, second = (spec_of("few_shot_2", benchmarks()["few_shot_2"], FIRST, seed) for seed in (0, 1))
    for seed, spec in enumerate((first, second)):
        assert spec.evaluation is not None
        assert (spec.source.model_dump()["seed"], spec.seed, spec.evaluation.seeds) == (seed, seed, (seed,))
    assert first.name != second.name
    shots = [{item.sha256 for item in open_source(spec.source).splits["train"]} for spec in (first, second)]
    assert not shots[0] & shots[1]


def test_no_checkpoint_of_few_shots_is_chosen_on_a_large_validation_set() -> None:
    for name, benchmark in benchmarks().items():
        evaluation = spec_of(name, benchmark, FIRST, 0).evaluation
        assert evaluation is not None
        assert (evaluation.checkpoint == "last") == name.startswith("few_shot_")


def test_words_and_tokens_are_told_apart() -> None:
    for name in ("few_shot_8", "long_tail", "spurious"):
        methods = {m: spec_of(name, benchmarks()[name], m, 0).method for m in benchmarks()[name].methods}
        with_words = ("names_with_words", "superclass_with_words", "tokens")
        assert len({(methods[m].templates, str(methods[m].words)) for m in with_words}) == 1
        assert methods["tokens_without_words"].templates == methods[FIRST].templates
        assert methods["tokens_without_words"].inversion == methods["tokens"].inversion is not None
        assert methods["names_with_words"].inversion is None
        untrained = methods["superclass_with_words"].inversion
        assert untrained is not None
        assert untrained.learning_rate * untrained.steps < 1e-9, "a token that has learned nothing says its superclass"


def test_the_shortcut_is_held_against_what_needs_no_generator() -> None:
    baselines = {arm for arms in benchmarks()["spurious"].baselines.values() for arm in arms}
    assert baselines == set(ARMS) - {"text_to_image", "counterpoise"}


def test_few_shots_are_benched_from_one_to_sixteen() -> None:
    shots = [spec_of(f"few_shot_{k}", benchmarks()[f"few_shot_{k}"], FIRST, 0).source for k in (1, 2, 4, 8, 16)]
    assert [source.model_dump()["shots"] for source in shots] == [1, 2, 4, 8, 16]


def test_a_quick_run_is_estimated_at_a_small_part_of_a_full_one() -> None:
    pace = Pace(denoising=0.004, training=0.06)
    quick, full = specs(QUICK, QUICK_BENCHMARKS, (0,)), specs(FULL, QUICK_BENCHMARKS, (0, 1, 2))
    assert estimate(quick, pace) < 3600, "an hour"
    assert 8 * estimate(quick, pace) < estimate(full, pace)
    assert estimate(quick, Pace(0.008, 0.12)) < 2 * estimate(quick, pace)


def test_a_quick_run_has_a_row_of_every_method_of_a_full_one() -> None:
    full, quick = benchmarks(FULL), benchmarks(QUICK)
    rows = {method for name in QUICK_BENCHMARKS for method in quick[name].methods}
    assert rows == {method for benchmark in full.values() for method in benchmark.methods}


def test_every_row_has_a_claim_against_another_of_its_benchmark_or_is_there_to_be_compared_with() -> None:
    known = benchmarks()
    rows = {method for benchmark in known.values() for method in benchmark.methods}
    assert unknown_rows(rows) == set(), "give each a claim, in pipelines/experiments/claims.py"
    assert rows >= {*CLAIMS, *UNCLAIMED}
    for row, claim in CLAIMS.items():
        holders = [benchmark for benchmark in known.values() if row in benchmark.methods]
        rivals = [{*one.methods, *(arm for arms in one.baselines.values() for arm in arms)} for one in holders]
        assert any(claim.better_than in names for names in rivals), (row, claim.better_than)


def test_a_claim_holds_beyond_the_spread_alone() -> None:
    def row(*values: float) -> dict[str, Any]:
        return summary(values)

    assert verdict(row(0.6, 0.62), row(0.5, 0.52)) == "yes"
    assert verdict(row(0.5, 0.52), row(0.6, 0.62)) == "no"
    assert verdict(row(0.5, 0.6), row(0.5, 0.52)) == verdict(row(0.6), row(0.5)) == "unclear"
    pairs = {"erm": 0.4, "classical": 0.5, "image_variation": 0.45, "real_balanced": 0.6}
    results = {name: row(value, value + 0.01) for name, value in pairs.items()}
    assert judged(results) == {
        "image_variation": {"better_than": "classical", "difference": pytest.approx(-0.05), "holds": "no"}
    }
    (line,) = [line for line in benchmark_table(results).splitlines() if line.startswith("| `image_variation`")]
    assert line == "| `image_variation` | 45.5 ± 0.7 (25 %) | no: 5.0 below `classical` |"
    assert judged({name: figures for name, figures in results.items() if name != "classical"}) == {}


def test_a_method_that_fails_has_no_row_and_the_others_have(
    tmp_path: Path, small: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {**small.methods, "tokens": {"method": {"type": "text_to_image", "names": {"boat": "boat"}}}}
    monkeypatch.setattr(module, "benchmarks", lambda size: {"few_shot_2": replace(small, methods=broken)})
    spoken = Spoken()
    found = bench(["few_shot_2"], [0], tmp_path, spoken)
    assert set(found["results"]["few_shot_2"]) == {*small.baselines[FIRST], FIRST, "augmented_conditioning"}
    assert any(line.startswith("few_shot_2, tokens: no row, method.names: 'boat'") for line in spoken.lines)
    assert found["claims"]["few_shot_2"]["augmented_conditioning"]["better_than"] == FIRST


def test_what_several_methods_learn_is_counted_once() -> None:
    pace, benchmark = Pace(denoising=0.01, training=0.0), benchmarks()["few_shot_8"]
    tokens, variation = (spec_of("few_shot_8", benchmark, m, 0) for m in ("tokens", "image_variation"))
    alone = estimate([tokens], pace) + estimate([variation], pace) - estimate([tokens, variation], pace)
    assert alone == pytest.approx(0.01 * 1.5 * 3 * 200 * 8)


def test_images_of_rows_that_differ_in_their_evaluation_are_counted_once() -> None:
    pace, benchmark = Pace(denoising=1.0, training=0.0), benchmarks()["spurious"]
    one, other, third = (
        spec_of("spurious", benchmark, m, 0) for m in ("tokens", "spurious_removal", "spurious_removal_contrastive")
    )
    assert estimate([other, third], pace) == estimate([other], pace)
    assert estimate([one, other], pace) > estimate([other], pace) + 600 * 10


def test_rows_that_differ_in_their_evaluation_have_the_images_that_each_would_have_made(
    tmp_path: Path, small: Benchmark
) -> None:
    again = {"again": {**small.methods[FIRST], "filters": [], "evaluation": {"recipe": "balanced_softmax"}}}
    both = replace(small, methods={FIRST: small.methods[FIRST], **again}, baselines={})
    spec = spec_of("few", both, "again", 1)
    together, alone = (Store.open(tmp_path / folder) for folder in ("together", "alone"))
    fewer = spec.model_copy(update={"amount": spec.amount.model_copy(update={"per_class": 3})})
    assert Job(fewer, together, Silent()).plan.planned == 9, "another spec of that name was stopped before its first shard"
    run_benchmark("few", both, [1], tmp_path / "together", Silent(), "")
    root = keys.version(spec.name, 1)
    assert together.json(keys.seconds(root))["generate"] < 1, "it loads no model"

    arms = run(spec, tmp_path / "alone", Silent())["arms"]
    assert together.json(keys.report_file(root, "summary.json"))["arms"] == arms
    assert together.get(keys.manifest(root)) == alone.get(keys.manifest(root)), "and so every file that it names"

    for key in (keys.manifest(root), keys.report(root, 0), keys.evaluation(root)):
        together.delete(key)  # as if killed before the last report was copied
    run_benchmark("few", both, [1], tmp_path / "together", Silent(), "")
    assert together.get(keys.manifest(root)) == alone.get(keys.manifest(root))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    full = benchmarks()["few_shot_2"]
    methods = {FIRST: full.methods[FIRST], "augmented_conditioning": {"method": CONDITIONED}}
    few = replace(full, common={**SMALL, "evaluation": full.common["evaluation"]}, methods=methods)
    monkeypatch.setattr(module, "benchmarks", lambda size: {"few_shot_2": few})
    return few


class Spoken(Silent):
    """Progress that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_benchmark_has_every_arm_a_table_and_a_sheet_a_method(tmp_path: Path, small: Benchmark) -> None:
    spoken = Spoken()
    found = bench(["few_shot_2"], [0, 1], tmp_path, spoken)
    arms = found["results"]["few_shot_2"]
    assert set(arms) == {*small.baselines[FIRST], FIRST, "augmented_conditioning"}
    for arm in arms.values():
        assert len(arm["values"]) == 2
        assert arm["mean"] == pytest.approx(sum(arm["values"]) / 2)
    rows = [line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(arms)
    for method in (FIRST, "augmented_conditioning"):
        with PIL.Image.open(tmp_path / f"few_shot_2-{method}.png") as sheet:
            assert sheet.width > 64
    assert spoken.lines[0].startswith("4 versions: about ")
    assert bench(["few_shot_2"], [0, 1], tmp_path, Silent())["results"] == found["results"], "run again, it is the same"


def test_the_figures_of_a_row_are_summed_up_over_its_evaluations() -> None:
    runs = [
        {"average": {"mean": value}, "worst_group": {"mean": 0.0}, "shots": {"few": {"mean": value / 2}}}
        for value in (0.4, 0.6)
    ]
    plain = figures(runs, Benchmark("average", {}, {}, {}))
    assert plain == {"mean": pytest.approx(0.5), "std": pytest.approx(0.02**0.5), "values": [0.4, 0.6]}
    assert figures(runs, Benchmark("worst_group", {}, {}, {}, sizes=True))["shots"]["few"]["values"] == [0.2, 0.3]


def arm(*values: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean(values), "std": 0.01, "values": [*values] if len(values) > 1 else [*values] * 2, **more}


def test_the_gap_is_that_between_few_and_many_real_images() -> None:
    arms = {"erm": arm(0.4), "classical": arm(0.5), "tokens": arm(0.3), "real_balanced": arm(0.8)}
    assert gaps_closed(arms) == {"classical": pytest.approx(0.25), "tokens": pytest.approx(-0.25)}
    assert gaps_closed({**arms, "real_balanced": arm(0.4)}) == {}


def test_few_shots_are_averaged_over_their_numbers_seed_by_seed() -> None:
    found = {f"few_shot_{k}": {"tokens": arm(k / 100, k / 50)} for k in SHOTS}
    assert overall(found)["tokens"]["values"] == [pytest.approx(0.062), pytest.approx(0.124)]


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_the_table_starts_with_the_baselines_ends_with_the_ceiling_and_says_what_closes_the_gap() -> None:
    few = {"erm": arm(0.4), "tokens": arm(0.6), "real_balanced": arm(0.8), "classical": arm(0.45)}
    rows = cells(table({"a": few, "b": {"erm": arm(0.4), "real_balanced": arm(0.5)}}))
    assert rows[0] == ["", "`a`", "`b`"]
    assert [row[0] for row in rows[2:]] == ["`erm`", "`classical`", "`tokens`", "`real_balanced`"]
    assert rows[2][1:] == ["40.0 ± 1.0", "40.0 ± 1.0"]
    assert rows[3][1:] == ["45.0 ± 1.0 (12 %)", ""]
    assert rows[4][1:] == ["**60.0 ± 1.0 (50 %)**", ""]


def test_rows_have_the_names_of_arms_and_baselines_come_before_methods() -> None:
    names = ["tokens", "text_to_image", "real_balanced", "cut_and_paste", "jtt", "erm"]
    rows = cells(table({"a": {name: arm(0.1 * n) for n, name in enumerate(names)}}))
    assert [row[0].strip("`") for row in rows[2:]] == [
        "erm", "jtt", "cut_and_paste", "tokens", "text_to_image", "real_balanced",
    ]  # fmt: skip


def test_one_seed_has_no_spread() -> None:
    column = {name: {"mean": value, "std": 0.0, "values": [value]} for name, value in (("erm", 0.4), ("real_balanced", 0.6))}
    assert cells(table({"a": column}))[2:] == [["`erm`", "40.0"], ["`real_balanced`", "60.0"]]


def test_numbers_of_shots_and_sizes_of_classes_have_a_table_of_their_own() -> None:
    sized = {"erm": arm(0.4, shots={"few": arm(0.1), "many": arm(0.6)})}
    plain = {"erm": arm(0.4)}
    results = {"few_shot": plain, "few_shot_1": plain, "few_shot_2": plain, "long_tail": sized}
    assert list(whole(results)) == ["few_shot", "long_tail"]
    assert list(parts(results)) == ["few_shot_1", "few_shot_2", "long_tail, many", "long_tail, few"]
    assert parts(results)["long_tail, few"] == {"erm": arm(0.1)}
    assert list(whole({"few_shot_1": plain})) == ["few_shot_1"]


def test_a_benchmark_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--only: benchmark 'few' does not exist; there are few_shot_1"):
        bench(["few"], [0], tmp_path, Silent())
