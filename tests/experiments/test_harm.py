"""The bench of harm: what it draws, that labels are shuffled, and two specs from draw to line. Half a minute."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.experiments import random_specs
from pipelines.experiments.benchmarks import SHOES, surroundings
from pipelines.experiments.harm import HEAD, Outcome, harm, outcomes_of, row, sentence, total
from pipelines.experiments.random_specs import SHUFFLED, SOURCES, draw, fresh_test, methods_of, of_classes, write_shuffled
from pipelines.progress import Silent
from pipelines.source.open import open_source
from pipelines.spec import FolderSource, SpuriousSource
from tests.report.test_harm import COUNTS, arm, summary

SMALL = {"validation": 8, "test": 16}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources and methods that take seconds: of each the first that are drawn."""
    sources = {
        name: {**source, **SMALL, **({"train": 20} if "train" in source else {})}
        for name, source in SOURCES.items()
        if name in ("boot_sneaker", f"{SHUFFLED}boot_sneaker")
    }
    monkeypatch.setattr(random_specs, "SOURCES", sources)
    plain = {"text_to_image": {"method": {"type": "text_to_image", "steps": 2}, "classifier": {"steps": 4, "batch": 8}}}
    monkeypatch.setattr(random_specs, "methods_of", lambda source: plain)
    monkeypatch.setattr(random_specs, "AMOUNTS", (2,))


def test_every_source_comes_as_often_and_every_method_comes_and_the_same_seed_draws_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_specs, "write_shuffled", lambda world, folder, seed: None)
    drawn = list(draw(0, 4 * len(SOURCES), tmp_path))
    assert Counter(one.source for one in drawn) == dict.fromkeys(SOURCES, 4)
    assert {one.method for one in drawn} == {name for source in SOURCES for name in methods_of(source)}
    assert all(isinstance(one.spec.source, FolderSource) == one.source.startswith(SHUFFLED) for one in drawn)
    assert len({one.spec.name for one in drawn}) == len(drawn)
    assert list(draw(0, 3, tmp_path)) == drawn[:3]
    assert list(draw(1, 3, tmp_path)) != drawn[:3]


def test_shuffled_labels_are_those_of_training_and_validation_and_fresh_images_are_in_no_split(tmp_path: Path) -> None:
    world = SpuriousSource(type="spurious", train=40, validation=16, test=16)
    write_shuffled(world, tmp_path / "shuffled", 0)
    truth = open_source(world)
    pixels = {split: {truth.read(i).tobytes(): i.label for i in items} for split, items in truth.splits.items()}
    source = open_source(FolderSource(type="folder", path=str(tmp_path / "shuffled")))
    wrong = {
        split: sum(pixels[split][source.read(item).tobytes()] != item.label for item in items)
        for split, items in source.splits.items()
    }
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 40, "validation": 16, "test": 16}
    assert 10 < wrong["train"] < 30
    assert wrong["validation"] > 0 == wrong["test"]
    drawn = random_specs.RandomSpec("boot_sneaker", "text_to_image", next(draw(0, 1, tmp_path)).spec, world)
    fresh = fresh_test(drawn, 16)
    kinds = Counter(zip(fresh.labels, fresh.groups, strict=True))
    assert kinds == {(label, scene): 4 for label in ("boot", "sneaker") for scene in ("grass", "brick")}
    used = {image for split in ("train", "validation", "test") for image in pixels[split]}
    assert not used & {image.tobytes() for image in fresh.images}


@pytest.mark.usefixtures("small")
def test_a_spec_is_made_evaluated_twice_and_has_its_line_and_again_it_is_the_same(tmp_path: Path) -> None:
    report = harm(0, 2, tmp_path, Silent())
    outcomes = outcomes_of(report)
    assert {one.source for one in outcomes} == {"boot_sneaker", f"{SHUFFLED}boot_sneaker"}
    for one in outcomes:
        assert one.evaluation is not None
        assert one.fresh is not None
        assert [len(e["arms"]["erm"]["average"]["values"]) for e in (one.evaluation, one.fresh)] == [3, 3]
        assert sum(one.fresh["test_images"].values()) == 480
        assert len(row(one)) == len(HEAD)
    assert report["sum"]["made"] == 2
    assert f"| `{outcomes[1].source}` | `text_to_image` |" in (tmp_path / "harm.md").read_text()
    assert harm(0, 2, tmp_path, Silent()) == report


def test_a_spec_that_cannot_be_made_is_counted_apart() -> None:
    refused = Outcome("a", "few_shot", "tokens", error="source: too few")
    assert (refused.verdict, row(refused)[5]) == ("not made", "not made")
    assert total([refused])["made"] == 0
    assert sentence(total([refused])).startswith("Of 1 specs 0 were made. 0 harmed")


def evaluation(worst: tuple[float, float], average: tuple[float, float]) -> dict[str, Any]:
    """With real images alone and with a version."""
    return summary(*(arm((w,) * 3, (a,) * 3) for w, a in zip(worst, average, strict=True)), counts=COUNTS)


def test_the_sum_tells_what_was_held_from_what_harms() -> None:
    worse, trade, better = (
        evaluation((0.6, 0.4), (0.8, 0.7)), evaluation((0.4, 0.6), (0.8, 0.7)), evaluation((0.4, 0.6), (0.7, 0.8))
    )  # fmt: skip
    outcomes = [
        Outcome("held", "a", "b", None, worse, "worse", better),  # by chance
        Outcome("held-too", "a", "b", None, worse, "worse", worse),
        Outcome("trade", "a", "b", None, trade, None, worse),  # fresh trainings find it worse
        Outcome("good", "a", "b", None, better, None, better),
    ]
    found = total(outcomes)
    assert {name: found[name] for name in list(found)[:-1]} == {
        "specs": 4, "made": 4, "harmed": 3, "held": 2,
        "harmed_and_published": 1, "held_and_worse": 1, "published_and_worse": 1,
    }  # fmt: skip
    assert found["change"]["worst_group"] == pytest.approx(0.0)
    assert row(outcomes[0])[2:6] == ("60.0 / 80.0", "40.0 / 70.0", "0.0 / 0.0", "held")


def test_words_by_class_are_those_of_the_classes_that_a_source_has() -> None:
    method = surroundings(SHOES)["method"]
    own = of_classes(method, ["boot", "sneaker"])
    assert own["superclass"] == own["names"] == {"sneaker": "shoe", "boot": "shoe"}
    assert {**own, "superclass": method["superclass"], "names": method["names"]} == method
    assert of_classes({"type": "text_to_image", "superclass": "shoe"}, ["boot"]) == {
        "type": "text_to_image",
        "superclass": "shoe",
    }
