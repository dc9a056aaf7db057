"""The panel: filters in the order of the spec, each seeing only what those before it kept, and a reason for every drop."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from pipelines import spec as specs
from pipelines.filters import FILTERS, Panel
from pipelines.records import Candidate, Verdict
from tests.builders import candidate, flat, judge_shard, noise, open_resources

PICTURES = [flat(), noise(1), noise(1), noise(2), flat(200), noise(3)]


def made() -> list[Candidate]:
    return [candidate(image, index=i) for i, image in enumerate(PICTURES)]


def test_the_table_has_every_filter_of_the_spec() -> None:
    union = get_args(get_args(specs.FilterSpec)[0])
    assert {get_args(each.model_fields["type"].annotation)[0] for each in union} == set(FILTERS)


def test_every_drop_has_a_reason_with_the_filter_that_gave_it(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, filters=[{"type": "quality"}, {"type": "near_duplicate"}]))
    samples = judge_shard(panel, made())
    assert [sample.verdict.reason for sample in samples] == [
        "quality: blank", None, "near_duplicate: repeats another image", None, "quality: blank", None,
    ]  # fmt: skip
    assert [sample.candidate.request.index for sample in samples] == list(range(6))
    assert all(sample.candidate.image is PICTURES[i] for i, sample in enumerate(samples))


def test_what_one_drops_the_next_never_sees(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, filters=[{"type": "quality"}, {"type": "near_duplicate"}]))
    near = panel.filters["near_duplicate"]
    seen: list[int] = []

    class Watched:
        def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
            seen.extend(c.request.index for c in candidates)
            return near.judge(candidates)

    panel.filters["near_duplicate"] = Watched()
    panel.judge(made())
    assert seen == [1, 2, 3, 5]


def test_a_candidate_that_failed_is_dropped_with_its_reason_and_seen_by_no_filter(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, filters=[]))
    failed = replace(candidate(noise(1)), failure="engine: pixels that are no numbers")
    first, second = panel.judge([failed, candidate(noise(2), index=1)])
    assert (first.verdict.reason, first.verdict.scores) == ("engine: pixels that are no numbers", {})
    assert second.verdict.kept


def test_the_order_is_that_of_the_spec(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, filters=[{"type": "near_duplicate"}, {"type": "quality"}]))
    assert list(panel.filters) == ["near_duplicate", "quality"]
    (copy,) = panel.judge([candidate(flat(), image=flat())])
    assert copy.verdict.reason == "near_duplicate: repeats its source"  # and blank
    *_, blank, _ = judge_shard(panel, made())
    assert blank.verdict.reason == "quality: blank"  # and the repetition of one: candidates are compared last


def test_scores_carry_the_name_of_their_filter_and_add_up(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, filters=[{"type": "quality"}, {"type": "near_duplicate"}]))
    samples = judge_shard(panel, made())
    assert set(samples[0].verdict.scores) == {"quality.contrast", "quality.sharpness", "quality.saturated"}
    assert set(samples[1].verdict.scores) == {*samples[0].verdict.scores, "near_duplicate.to_real"}
    assert set(samples[3].verdict.scores) == {
        *samples[0].verdict.scores, "near_duplicate.to_real", "near_duplicate.to_others",
    }  # fmt: skip
    assert samples[1].verdict.scores["quality.contrast"] == round(float((noise(1).mean(axis=2) / 255).std()), 6)


def test_without_filters_everything_is_kept(tmp_path: Path) -> None:
    samples = judge_shard(Panel(open_resources(tmp_path)), made())
    assert [(sample.verdict.kept, sample.verdict.scores) for sample in samples] == [(True, {})] * 6
    assert np.array_equal(samples[0].candidate.image, flat())
