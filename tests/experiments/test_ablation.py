"""What an ablation measures, on the bundled models, small."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import SpecError
from pipelines.experiments.ablation import HEADS, VARIANTS, ablate, iou
from pipelines.progress import Silent, Stage
from tests.test_run import SPEC, spec

NAMES = ["full", "no-pruning", "no-reencoding"]


class Generated(Silent):
    """How many images each version has generated."""

    def __init__(self) -> None:
        self.counts = list[int]()

    def stage(self, name: str, total: int) -> Stage:
        if name != "generate":
            return super().stage(name, total)
        version = len(self.counts)
        self.counts.append(0)

        def advance(done: int) -> None:
            self.counts[version] += done

        return advance


@pytest.fixture(scope="module")
def generated() -> Generated:
    return Generated()


@pytest.fixture(scope="module")
def finished(generated: Generated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("ablation")
    return out, ablate(spec(filters=[{"type": "label_agreement", "max_origin": 0.5}]), out, NAMES, generated)


def test_every_variant_is_a_version_of_its_own_and_tokens_are_shared(finished: tuple[Path, dict[str, Any]]) -> None:
    out, found = finished
    assert list(found["variants"]) == NAMES
    assert sorted(path.name for path in (out / "datasets").iterdir()) == [f"shoes-{name}" for name in NAMES]
    assert len(list((out / "concepts/token").iterdir())) == 2
    assert json.loads((out / "ablation.json").read_text()) == found


def test_without_pruning_nothing_changes_between_before_and_after(finished: tuple[Path, dict[str, Any]]) -> None:
    row = finished[1]["variants"]["no-pruning"]
    assert row["kept"] == row["generated"] == 12
    assert row["oracle_wrong_before"] == row["oracle_wrong_after"]


def test_a_variant_of_the_evaluation_has_the_images_of_the_full_one(
    finished: tuple[Path, dict[str, Any]], generated: Generated
) -> None:
    full, other = (finished[0] / f"datasets/shoes-{name}/v1" for name in ("full", "no-reencoding"))
    shards = [path.relative_to(full) for path in full.glob("data/*.parquet")]
    assert shards
    assert all((other / shard).read_bytes() == (full / shard).read_bytes() for shard in shards)
    assert [count > 0 for count in generated.counts] == [True, True, False]
    assert finished[1]["variants"]["no-reencoding"]["kept"] == finished[1]["variants"]["full"]["kept"]


def test_the_first_attempts_do_not_depend_on_the_pruning(finished: tuple[Path, dict[str, Any]]) -> None:
    full, free, _ = (finished[1]["variants"][name] for name in NAMES)
    assert full["oracle_wrong_before"] == free["oracle_wrong_before"]
    assert full["heads"] == free["heads"]
    assert full["generated"] > full["kept"]


def test_a_head_is_compared_with_the_oracle(finished: tuple[Path, dict[str, Any]]) -> None:
    """Of six images, those kept and right, and those dropped and wrong, are agreed on."""
    row = finished[1]["variants"]["full"]
    right = 6 * (1 - row["oracle_wrong_before"])
    assert set(row["heads"]) == set(HEADS)
    for head in row["heads"].values():
        kept = 6 * head["kept"]
        kept_right = kept * head["right"]
        assert 6 * head["agreement"] == pytest.approx(kept_right + (6 - kept) - (right - kept_right))


def test_the_overlap_of_every_segmenter_is_a_share(finished: tuple[Path, dict[str, Any]]) -> None:
    assert set(finished[1]["iou"]) == {"builtin", "cross-attention"}
    assert all(0 < value < 1 for value in finished[1]["iou"].values())


def test_the_overlap_of_two_masks() -> None:
    left, half = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    left[:, :2], half[:2, :2] = True, True
    assert iou(left, left) == 1
    assert iou(left, half) == 0.5
    assert iou(left, ~left) == 0
    assert iou(left, None) == 0


def test_every_variant_changes_the_spec() -> None:
    faint = spec(method={**SPEC["method"], "region": "box", "objects": "both", "strength": 0.87})
    changed = [VARIANTS[name](faint) for name in VARIANTS]
    assert all(a != b for i, a in enumerate(changed) for b in changed[:i])


@pytest.mark.parametrize(
    ("variants", "changes", "said"),
    [
        (["no-luck"], {}, "variant 'no-luck' does not exist; there are full, "),
        (["full"], {"evaluation": None}, "an ablation needs spurious_removal and an evaluation"),
    ],
)
def test_what_cannot_be_ablated_is_said(variants: list[str], changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        ablate(spec(**changes), tmp_path, variants, Silent())
