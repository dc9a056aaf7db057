"""What an evaluation makes of its runs. (The runs themselves: test_run.py.)"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.ndimage import binary_dilation

from pipelines.errors import SourceError, SpecError
from pipelines.evaluation.additions import ADDITIONS, real_balanced, retrieved, text_to_image
from pipelines.evaluation.evaluator import Evaluator, aggregate, evaluate, gap_closed
from pipelines.evaluation.notes import few_tests
from pipelines.evaluation.runs import Run
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import SMALLEST, Subpopulations
from pipelines.methods import open_method
from pipelines.progress import Lines, Silent
from pipelines.records import Examples, Image, Mask, Quota
from pipelines.spec import Evaluation
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version import rows
from pipelines.version.plan import Plan, read_plan
from tests.builders import noise, open_resources


def found(worst: float) -> dict[str, Any]:
    parts = {"groups": {"boot on grass": worst}, "classes": {"boot": worst}, "shots": {"few": worst}}
    return {"average": worst + 0.1, "worst_group": worst, "ece": 0.05, **parts}


def test_every_figure_of_every_arm_is_summed_up_over_its_seeds() -> None:
    arms = aggregate({"erm": [found(0.2), found(0.4)], "counterpoise": [found(0.8)]})
    assert arms["erm"]["worst_group"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.02**0.5), "values": [0.2, 0.4]}
    for part in (arms["erm"]["groups"]["boot on grass"], arms["erm"]["classes"]["boot"], arms["erm"]["shots"]["few"]):
        assert part["mean"] == pytest.approx(0.3)
    assert arms["counterpoise"]["average"] == {"mean": pytest.approx(0.9), "std": 0.0, "values": [pytest.approx(0.9)]}


@pytest.mark.parametrize(
    ("worst", "closed"),
    [
        ({"erm": 0.4, "counterpoise": 0.7, "real_balanced": 0.8}, 0.75),
        ({"erm": 0.4, "counterpoise": 0.3, "real_balanced": 0.8}, -0.25),
        ({"erm": 0.4, "counterpoise": 0.9, "real_balanced": 0.8}, 1.25),
        ({"erm": 0.8, "counterpoise": 0.9, "real_balanced": 0.8}, None),
        ({"erm": 0.4, "counterpoise": 0.7}, None),
    ],
)
def test_the_gap_to_the_ceiling_is_closed_by_a_share(worst: dict[str, float], closed: float | None) -> None:
    share = gap_closed(aggregate({arm: [found(value)] for arm, value in worst.items()}))
    assert share == (None if closed is None else pytest.approx(closed))


def opened(resources: Resources, **changes: Any) -> Evaluator:
    return Evaluator(resources, Plan("", "", (Quota("boot", None, 1),), 1), open_method(resources), Evaluation(**changes))


def evaluator(tmp_path: Path, kept: list[dict[str, Any]], **changes: Any) -> Evaluator:
    made = opened(open_resources(tmp_path, **changes))
    made.data.__dict__["kept"] = kept
    return made


def test_the_ceiling_has_one_unused_real_image_for_each_that_was_kept(tmp_path: Path) -> None:
    kept = [{"label": 0, "group": "brick"}] * 3 + [{"label": 1, "group": "grass"}] * 2
    made = evaluator(tmp_path, kept)
    balanced = real_balanced(made.data)
    assert list(zip(balanced.labels, balanced.groups, strict=True)) == [
        *[("boot", "brick")] * 3, *[("sneaker", "grass")] * 2,
    ]  # fmt: skip
    used = {
        image.tobytes() for split in ("train", "validation", "test") for image in made.resources.view.examples(split).images
    }
    assert not used & {image.tobytes() for image in balanced.images}


def test_a_ceiling_that_cannot_be_had_says_what_is_missing(tmp_path: Path) -> None:
    made = evaluator(tmp_path, [{"label": 0, "group": "snow"}])
    with pytest.raises(
        SourceError, match=r"real_balanced needs 1 unused real image of boot on snow, the source has 0; leave"
    ):
        real_balanced(made.data)


def test_a_run_that_was_made_is_not_made_again(tmp_path: Path) -> None:
    made = opened(open_resources(tmp_path), arms=("erm",), seeds=(7,))
    made.resources.store.create(keys.run(made.resources.root, "erm", 7), canonical(found(0.5)))
    assert made.run() == {"erm": [found(0.5)]}


def test_an_arm_learns_from_the_real_images_and_is_measured_on_the_test_images(tmp_path: Path) -> None:
    made = opened(open_resources(tmp_path), arms=("erm",), seeds=(0,))
    (result,) = made.run()["erm"]
    assert set(result["groups"]) == {f"{c} on {g}" for c in ("boot", "sneaker") for g in ("grass", "brick")}
    assert result["worst_group"] == min(result["groups"].values())
    assert set(result["classes"]) == {"boot", "sneaker"}
    assert result["shots"] == {"medium": pytest.approx(np.mean(list(result["classes"].values())))}
    assert made.resources.store.json(keys.run(made.resources.root, "erm", 0)) == result


def test_what_has_to_be_generated_first_is_trained_last(tmp_path: Path) -> None:
    made = evaluator(tmp_path, [])
    made.spec = Evaluation(arms=("text_to_image", "erm"), seeds=(0,))
    resources, stages = made.resources, list[str]()
    resources.progress = Lines(Console(file=io.StringIO()))
    resources.progress.say = stages.append  # type: ignore[method-assign]
    assert list(made.run()) == ["text_to_image", "erm"]
    trained = [stage.split(",")[0] for stage in stages if stage.startswith("train: ")]
    assert trained == ["train: erm", "train: text_to_image"]


def test_trained_in_processes_of_their_own_the_scores_are_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs about ten seconds: two processes import torch."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    settings: dict[str, Any] = {"arms": ("erm", "classical"), "seeds": (0, 1)}
    here = opened(open_resources(tmp_path / "here"), **settings).run()
    monkeypatch.setattr("pipelines.parallel.WORTHWHILE", 1)
    assert opened(open_resources(tmp_path / "there"), **settings).run() == here


@pytest.mark.parametrize("arm", ["erm_reencoded", "classical", "group_dro", "jtt", "dfr", "reweighted"])
def test_every_arm_of_real_images_is_trained_its_own_way(tmp_path: Path, arm: str) -> None:
    """Three steps and another last layer give other figures than ERM, from the same seed."""
    resources = open_resources(tmp_path, source={"type": "spurious", "train": 40, "validation": 48, "test": 160})
    results = opened(resources, arms=("erm", arm), seeds=(0,)).run()
    (plain,), (other,) = results["erm"], results[arm]
    assert other["groups"].keys() == plain["groups"].keys()
    assert other["ece"] != plain["ece"]


def test_the_last_checkpoint_is_tested_where_that_is_asked_for(tmp_path: Path) -> None:
    """On validation images that are labelled the wrong way round, the best checkpoint is another than the last."""
    results = []
    for checkpoint in ("best", "last"):
        source = {"type": "spurious", "train": 40, "validation": 48, "test": 160}
        resources = open_resources(tmp_path / checkpoint, source=source, classifier={"steps": 20, "batch": 8})
        made = opened(resources, checkpoint=checkpoint, arms=("erm",), seeds=(0,))
        validation = made.data.validation
        assert validation is not None
        other = {"boot": "sneaker", "sneaker": "boot"}
        swapped = Examples(validation.images, [other[label] for label in validation.labels], validation.groups)
        made.data.__dict__["validation"] = swapped
        results.append(made.run()["erm"][0]["average"])
    assert results[0] < results[1]


@pytest.mark.parametrize(("recipe", "arms"), [("subpopulations", {"reweighted", "counterpoise"}), ("mixed", {"reweighted"})])
def test_real_images_are_drawn_by_subpopulation_where_an_arm_or_the_recipe_says_so(
    tmp_path: Path, recipe: str, arms: set[str]
) -> None:
    resources = open_resources(tmp_path)
    made = opened(resources, arms=("erm", "reweighted", "counterpoise"), recipe=recipe, reencode=0)
    made.added["version"] = Examples([noise(0), noise(1)], ["boot", "sneaker"], [None, None])
    made.data.__dict__["kept"] = [{"label": label, "group": None, "origin": None, "concept": None} for label in (0, 1)]
    weights = {arm: made.arguments(Run(arm, 0))[0].weights for arm in ("erm", "reweighted", "counterpoise")}
    expected = Subpopulations(resources).weights()
    assert weights == {arm: expected if arm in arms else None for arm in weights}


def test_choosing_by_subpopulations_reads_what_the_judge_takes_validation_images_for_and_no_group(tmp_path: Path) -> None:
    """The true groups of the validation images stay with the arm that reads them. Three seconds."""
    source = {"type": "spurious", "train": 40, "validation": 48, "test": 160}
    resources = open_resources(tmp_path, source=source, classifier={"steps": 20, "batch": 8})
    made = opened(resources, arms=("erm", "dfr"), seeds=(0,), checkpoint="subpopulations", reencode=0)
    given = {arm: made.arguments(Run(arm, 0))[0].validation for arm in ("erm", "dfr")}
    assert given["erm"] is not None
    assert given["dfr"] is not None
    classes = resources.source.classes
    taken = [classes[number] for number in resources.judge.scores(given["erm"].images).argmax(dim=1).tolist()]
    pairs = [*zip(given["erm"].labels, taken, strict=True)]
    sizes = Counter(pairs)
    most = {label: max(classes, key=lambda name: sizes[label, name]) for label in classes}
    expected = [name if sizes[label, name] >= SMALLEST else most[label] for label, name in pairs]
    assert given["erm"].groups == expected
    assert set(expected) == {"boot", "sneaker"}
    assert set(given["dfr"].groups) == {"grass", "brick"}
    assert made.run().keys() == {"erm", "dfr"}


def test_choosing_by_generated_images_needs_no_validation_images_and_no_groups(tmp_path: Path) -> None:
    """Of the version, a part is set apart: of each class and each class of the source images as many; the rest is added."""
    resources = open_resources(tmp_path)
    resources.source.splits["validation"].clear()
    made = opened(resources, arms=("erm", "counterpoise"), seeds=(0,), checkpoint="generated", reencode=0)
    kept = [
        {"label": n % 2, "group": "brick", "origin": ("boot", "sneaker")[n // 2 % 2], "concept": None} for n in range(40)
    ]
    made.data.__dict__["kept"] = kept
    names = [("boot", "sneaker")[n % 2] for n in range(40)]
    made.added["version"] = Examples([noise(n) for n in range(40)], names, ["brick"] * 40)
    (training,) = made.arguments(Run("counterpoise", 0))
    assert training.added is not None
    assert training.apart is not None
    assert (len(training.added), len(training.apart)) == (32, 8)
    assert Counter(zip(training.apart.labels, training.apart.groups, strict=True)) == {
        (label, f"{origin} None"): 2 for label in ("boot", "sneaker") for origin in ("boot", "sneaker")
    }
    assert made.arguments(Run("erm", 0))[0].apart is None
    assert {arm: len(results) for arm, results in made.run().items()} == {"erm": 1, "counterpoise": 1}


def test_nothing_repainted_as_itself_leaves_nothing_to_probe(tmp_path: Path) -> None:
    assert evaluator(tmp_path, [{"label": 0, "origin": "sneaker"}, {"label": 0, "origin": None}]).probe() is None


def test_a_weight_for_some_classes_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"evaluation\.gamma: needs a weight for each of boot, sneaker; has boot"):
        opened(open_resources(tmp_path), gamma={"boot": 2.0})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_missing_split_is_named_before_anything_is_learned(tmp_path: Path, split: str) -> None:
    resources = open_resources(tmp_path)
    resources.source.splits[split].clear()
    with pytest.raises(SourceError, match=f"add a {split}/ folder"):
        opened(resources)


def test_a_ceiling_without_a_reserve_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    resources = open_resources(tmp_path)
    del resources.source.splits["reserve"]
    with pytest.raises(SourceError, match="real_balanced needs unused real images"):
        opened(resources, arms=("erm", "real_balanced"))


def test_twins_differ_from_the_real_images_only_where_the_method_paints(tmp_path: Path) -> None:
    repainting = {"type": "spurious_removal", "superclass": "shoe", "inversion": None, "majority": 6}
    made = evaluator(tmp_path, [], method=repainting)
    real, regions = made.data.real.images, made.data.method.regions(made.resources.source.splits["train"])
    twins, whole = made.data.twins("counterpoise"), made.data.twins("text_to_image")
    assert twins is not None
    assert whole is not None
    for image, mask, twin, coded in zip(real, regions, twins, whole, strict=True):
        inside = np.zeros(image.shape[:2], np.bool_) if mask is None else mask
        outside = ~binary_dilation(inside, iterations=3)  # painted at the image's own resolution, then made smaller
        assert np.abs(twin[outside].astype(int) - image[outside]).max() <= 2
        assert mask is None or not np.array_equal(twin[inside], image[inside])
        assert not np.array_equal(coded, image)
    assert made.data.twins("erm") is None
    assert made.data.twins("real_balanced") is None


def test_twins_of_small_regions_are_painted_in_small_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside others at the resolution, each in its place."""
    repainting = {"type": "spurious_removal", "superclass": "shoe", "inversion": None, "majority": 6}
    made = evaluator(tmp_path, [], method=repainting, smallest_frame=0.5)
    items, regions, sides = made.resources.source.splits["train"], dict[str, Mask](), list[int]()
    for number, item in enumerate(items):
        mask, side = np.zeros((32, 32), np.bool_), (5, 14)[number % 2]
        mask[8 : 8 + side, 10 : 10 + side] = True
        regions[item.id] = mask
    monkeypatch.setattr(made.data.method, "regions", lambda items: [regions[item.id] for item in items])
    reencode = made.data.reencode

    def noted(pixels: Sequence[Image]) -> list[Image]:
        sides.extend(len(image) for image in pixels)
        return reencode(pixels)

    monkeypatch.setattr(made.data, "reencode", noted)
    for image, mask, twin in zip(made.data.real.images, regions.values(), made.data.reencoded_regions, strict=True):
        outside = ~binary_dilation(mask, iterations=3)
        assert np.abs(twin[outside].astype(int) - image[outside]).max() <= 2
        assert not np.array_equal(twin[mask], image[mask])
    assert Counter(sides) == {16: len(items) // 2, 32: len(items) // 2}


def test_a_sample_of_no_group_is_any_groups(tmp_path: Path) -> None:
    made = evaluator(tmp_path, [{"label": 0, "group": None}] * 4)
    balanced = real_balanced(made.data)
    assert list(balanced.labels) == ["boot"] * 4
    assert set(balanced.groups) == {"grass", "brick"}


def test_what_is_retrieved_comes_from_the_pool_and_mostly_shows_its_class(tmp_path: Path) -> None:
    """Bags and boots look unlike each other: CLIP finds them without a look at any label of the pool."""
    source = {"type": "spurious", "classes": ["bag", "boot"], "train": 40, "validation": 16, "test": 16}
    models = {"resolution": 64}
    made = evaluator(tmp_path, [{"label": 0}] * 15 + [{"label": 1}] * 10, source=source, models=models)
    found_images = retrieved(made.data)
    assert Counter(found_images.labels) == {"bag": 15, "boot": 10}
    pool = made.resources.source.splits["pool"]
    shown = {image.tobytes(): item.label for item, image in zip(pool, made.resources.view.images(pool), strict=True)}
    truth = [shown[image.tobytes()] for image in found_images.images]
    assert np.mean([t == label for t, label in zip(truth, found_images.labels, strict=True)]) > 0.6


class Spoken(Silent):
    """Progress that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_an_arm_with_fewer_images_than_the_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = evaluator(tmp_path, [{"label": 0, "origin": None}] * 5 + [{"label": 1, "origin": None}] * 2)
    made.resources.progress = spoken = Spoken()
    few = Examples([noise(n) for n in range(4)], ["boot"] * 2 + ["sneaker"] * 2, [None] * 4)
    monkeypatch.setitem(ADDITIONS, "retrieved", lambda data: few)
    made.spec = Evaluation(arms=("retrieved", "erm"), seeds=(0, 1))
    runs = made.run()
    assert [run["missing"] for run in runs["retrieved"]] == [{"boot": 3}, {"boot": 3}]
    assert spoken.lines == ["The arm retrieved has fewer images than the version: it lacks 3 of boot."], "once is enough"
    assert evaluate(made)["notes"] == [*spoken.lines, *few_tests({"boot on grass": 4})]
    assert all("missing" not in run for run in runs["erm"])


def test_an_arm_that_finds_nothing_lacks_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = evaluator(tmp_path, [{"label": 0}] * 5 + [{"label": 1}] * 2)
    monkeypatch.setitem(ADDITIONS, "retrieved", lambda data: Examples([], [], []))
    made.spec = Evaluation(arms=("retrieved",), seeds=(0,))
    assert made.run()["retrieved"][0]["missing"] == {"boot": 5, "sneaker": 2}


def test_images_by_name_have_the_words_of_the_method_and_no_token(tmp_path: Path) -> None:
    method = {
        "type": "text_to_image", "superclass": "shoe", "inversion": {"vectors": 1, "images": 2, "steps": 1, "batch": 1},
        "steps": 1, "templates": ["a {colour} {} at night"], "words": {"colour": ["red", "blue"]},
    }  # fmt: skip
    models = {"resolution": 64}
    made = evaluator(tmp_path, [{"label": 0}] * 6 + [{"label": 1}] * 3, method=method, models=models)
    added = text_to_image(made.data)
    assert Counter(added.labels) == {"boot": 6, "sneaker": 3}
    root = keys.plain(made.resources.root)
    plan = read_plan(made.resources.store, root)
    assert plan is not None
    samples = rows.read_shards(made.resources.store, root, plan)
    assert {row["prompt"] for row in samples} == {
        f"a {c} {k} at night" for c in ("red", "blue") for k in ("boot", "sneaker")
    }
    assert {row["concept"] for row in samples} == {None}


def test_a_folder_has_no_pool(tmp_path: Path) -> None:
    made = open_resources(tmp_path)
    made.source.splits["pool"] = []
    with pytest.raises(SourceError, match="retrieved needs unused real images, which built-in sources alone have"):
        opened(made, arms=("erm", "retrieved"))


def test_by_the_contrastive_recipe_an_arm_knows_what_its_images_were_painted_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is left after some are set apart, too; and no group of a real image is read for it."""
    origins = [("boot", "sneaker", "sneaker")[n % 3] for n in range(24)]
    common = {"group": "secret", "concept": None}
    rows_ = [{**common, "label": n % 2, "origin": origin, "index": n} for n, origin in enumerate(origins)]
    made = evaluator(tmp_path, rows_)
    made.spec = Evaluation(arms=("erm", "counterpoise", "retrieved"), recipe="contrastive", checkpoint="generated")
    labels = [("boot", "sneaker")[row["label"]] for row in rows_]
    images = [noise(n, 32) for n in range(24)]
    for name in ("version", "retrieved"):
        monkeypatch.setitem(ADDITIONS, name, lambda data: Examples(images, labels, ["secret"] * 24))
    added, apart = made.parts(Run("counterpoise", 0))
    assert added is not None
    assert apart is not None
    assert len(added) + len(apart) == 24
    origin = {image.tobytes(): row["origin"] for image, row in zip(images, rows_, strict=True)}
    assert list(added.groups) == [origin[image.tobytes()] for image in added.images]
    other, _ = made.parts(Run("retrieved", 0))
    assert other is not None
    assert set(other.groups) == {None}
    (training,) = made.arguments(Run("counterpoise", 0))
    assert set(training.real.groups) == {None}
