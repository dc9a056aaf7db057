"""Fitting: it learns, chooses its checkpoint by the worst group, and weighs generated images as asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from pipelines.engine.background import Background
from pipelines.progress import Silent
from pipelines.records import Examples, Image
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.spec import Machine, Recipe
from pipelines.training import batches, loop
from pipelines.training.batches import Feed, augment
from pipelines.training.classical import Classical
from pipelines.training.fit import fit
from pipelines.training.metrics import Score, score
from pipelines.training.recipes import INFLATION, Mixture, prior, shares
from pipelines.vision.classifier import Classifier
from pipelines.vision.pixels import PixelCache

CLASSES = ("dark", "bright")
SIDE = 16


def shade(level: int, seed: int) -> Image:
    return np.random.default_rng(seed).integers(level, level + 80, (SIDE, SIDE, 3), dtype=np.uint8)


def separable(size: int, seed: int = 0, *, swapped: bool = False) -> Examples:
    """Dark and bright pictures, named so or, if swapped, the other way round."""
    levels = [(20, 150)[i % 2] for i in range(size)]
    labels = [CLASSES[(i + swapped) % 2] for i in range(size)]
    return Examples([shade(level, seed * 1000 + i) for i, level in enumerate(levels)], labels, [None] * size)


def random_labels(size: int, seed: int) -> Examples:
    """Nothing to learn: what does well on it does so by luck."""
    rng = np.random.default_rng(seed)
    groups = [("grass", "brick")[i // 2 % 2] for i in range(size)]
    return Examples([shade(int(rng.integers(150)), i) for i in range(size)], [CLASSES[i % 2] for i in range(size)], groups)


def trained(real: Examples, validation: Examples | None, generated: Examples | None = None, **changes: Any) -> Classifier:
    settings = {"gamma": 1.0, "seed": 0, "device": "cpu", **changes}
    steps = int(settings.pop("steps", 20))
    return fit(
        ClassifierSpec(steps=steps, batch=16),
        CLASSES,
        Feed(real, CLASSES),
        None if generated is None else Feed(generated, CLASSES),
        validation,
        progress=Silent().stage("fit", steps),
        **settings,
    )


def scored(model: Classifier, examples: Examples) -> Score:
    return score(model.scores(examples.images), CLASSES, examples.labels, examples.groups)


def test_it_learns_what_is_plain_to_see() -> None:
    model = trained(separable(40), separable(20, 1))
    assert scored(model, separable(40, 2)).average == 1
    assert not model.training


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    first, second, other = (trained(separable(20), None, seed=seed, steps=4).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Score]:
    """The real scores of all checkpoints, in order."""
    seen: list[Score] = []

    def watch(*arguments: Any) -> Score:
        seen.append(score(*arguments))
        return seen[-1]

    monkeypatch.setattr(loop, "score", watch)
    return seen


@pytest.mark.parametrize("checkpoint", ["best", "subpopulations"])  # of the groups that the validation images are given
def test_the_checkpoint_with_the_best_worst_group_is_returned(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    validation, earlier = random_labels(24, 1), 0
    for seed in range(3):
        seen = watched(monkeypatch)
        model = trained(random_labels(24, 2), validation, seed=seed, checkpoint=checkpoint)
        assert len(seen) == 10
        best = max(seen, key=lambda each: (each.worst_group, each.average))
        assert scored(model, validation) == best
        earlier += best.choice > seen[-1].choice
    assert earlier > 0, "the last checkpoint was always the best: this showed nothing"


def test_without_validation_images_the_last_checkpoint_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    trained(random_labels(24, 2), random_labels(24, 1))
    checkpoints = list(seen)
    last = trained(random_labels(24, 2), None)
    assert len(seen) == len(checkpoints), "no validation image was looked at"
    assert scored(last, random_labels(24, 1)) == checkpoints[-1]


@pytest.mark.parametrize(("gamma", "name"), [(50.0, "generated"), (0.02, "real")])
def test_gamma_decides_whom_it_believes_where_real_and_generated_disagree(gamma: float, name: str) -> None:
    model = trained(separable(40), None, separable(40, 1, swapped=True), gamma=gamma, steps=25)
    assert scored(model, separable(40, 2, swapped=name == "generated")).average > 0.9


def test_gamma_may_differ_from_class_to_class() -> None:
    model = trained(separable(40), None, separable(40, 1, swapped=True), gamma={"dark": 50.0, "bright": 0.02}, steps=25)
    seen = model.scores(separable(40, 2).images).argmax(dim=1)
    # bright pictures are dark ones to the generated images, which are believed there; dark ones are real
    assert (seen == CLASSES.index("dark")).float().mean() > 0.9


def test_half_of_each_batch_is_generated() -> None:
    generator = torch.Generator().manual_seed(0)
    dark = Examples([shade(20, i) for i in range(8)], ["dark"] * 8, [None] * 8)
    bright = Examples([shade(150, i) for i in range(8)], ["bright"] * 8, [None] * 8)
    mixture = Mixture(Feed(dark, CLASSES), Feed(bright, CLASSES), torch.tensor([3.0, 4.0]))
    x, y, weight = mixture.read(mixture.draw(9, 0.5, generator))
    assert y.tolist() == [0] * 4 + [1] * 5
    assert weight.tolist() == [1.0] * 4 + [4.0] * 5
    assert x[:4].max() < x[4:].min()
    mixture = Mixture(Feed(dark, CLASSES), None, torch.tensor([3.0, 4.0]))
    x, y, weight = mixture.read(mixture.draw(9, 0.5, generator))
    assert (y.tolist(), weight.tolist()) == ([0] * 9, [1.0] * 9)


@pytest.mark.parametrize("recipe", get_args(Recipe))
def test_every_recipe_learns_what_is_plain_to_see(recipe: str) -> None:
    model = trained(separable(40), separable(20, 1), separable(40, 3), recipe=recipe, steps=100)
    assert scored(model, separable(40, 2)).average == 1


@pytest.mark.parametrize(("recipe", "believed"), [("fake_to_real", "real"), ("last_layer", "generated")])
def test_the_second_part_has_the_last_word(recipe: str, believed: str) -> None:
    """Real and generated disagree: what was trained on last is believed."""
    model = trained(separable(40), None, separable(40, 1, swapped=True), recipe=recipe, steps=60)
    assert scored(model, separable(40, 2, swapped=believed == "generated")).average > 0.9


def test_of_two_parts_only_the_seconds_checkpoints_are_chosen_from(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    trained(random_labels(24, 2), random_labels(24, 1), random_labels(24, 3), recipe="fake_to_real")
    assert len(seen) == 5


def test_the_last_layer_alone_is_trained_in_the_second_part(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[dict[str, torch.Tensor]] = []
    train_head = Classifier.train_head

    def noted(self: Classifier, *, anew: bool) -> None:
        states.append({name: value.clone() for name, value in self.state_dict().items()})
        train_head(self, anew=anew)

    monkeypatch.setattr(Classifier, "train_head", noted)
    after = trained(separable(20), None, separable(20, 1), recipe="last_layer", steps=6).state_dict()
    assert len(states) == 3
    changed = {name for name, value in after.items() if not torch.equal(value, states[0][name])}
    assert changed
    assert all(".classifier." in name for name in changed)


def test_without_generated_images_every_recipe_but_the_balanced_one_is_the_same() -> None:
    plain, *others = (trained(separable(20), None, recipe=recipe, steps=4).state_dict()
                      for recipe in ("mixed", "fake_to_real", "last_layer", "adaptive_inflation"))  # fmt: skip
    assert all(torch.equal(plain[name], other[name]) for other in others for name in plain)


def test_the_more_is_generated_the_weaker_real_images_are_augmented_and_each_counts_ten_times() -> None:
    """AdaInf: of 40 real images and 400 generated ones, half of what is drawn is generated, and moved half as far."""
    real, generated = Feed(separable(40), CLASSES), Feed(separable(400, 1), CLASSES)
    assert INFLATION == 10
    assert shares("adaptive_inflation", real, generated) == (0.5, 0.5)
    assert shares("adaptive_inflation", real, Feed(separable(100, 1), CLASSES)) == (0.2, 0.2)
    assert shares("adaptive_inflation", real, None) == (0.0, 0.0)
    generator = torch.Generator().manual_seed(0)
    whole, less = real.draw(500, generator).shift, real.displaced_less(0.5).draw(500, generator).shift
    assert whole.abs().max() == SIDE // 16
    assert real.displaced_less(1.0).draw(500, generator).shift.abs().max() == 0
    assert less.abs().float().mean() < whole.abs().float().mean()


def test_the_prior_is_the_share_of_the_loss_that_falls_to_a_class() -> None:
    def feed(dark: int, bright: int) -> Feed:
        labels = ["dark"] * dark + ["bright"] * bright
        return Feed(Examples([shade(20, i) for i in range(len(labels))], labels, [None] * len(labels)), CLASSES)

    even = torch.ones(2)
    assert prior(feed(9, 1), None, even, 0.0).tolist() == pytest.approx([0.9, 0.1])
    assert prior(feed(9, 1), feed(1, 3), even, 0.5).tolist() == pytest.approx([0.575, 0.425])
    assert prior(feed(1, 1), feed(1, 1), torch.tensor([1.0, 3.0]), 1.0).tolist() == pytest.approx([0.25, 0.75])


def test_a_balanced_softmax_does_not_shun_the_rare_class() -> None:
    """What cannot be told apart is called by the frequent class's name, unless frequency is taken out of the loss."""
    labels = [CLASSES[i % 10 == 0] for i in range(100)]
    images = [shade(int(np.random.default_rng(i).integers(100)), i) for i in range(100)]
    rare = Examples(images, labels, [None] * 100)
    shares = [
        trained(rare, None, recipe=recipe, steps=60).scores(images).softmax(dim=1)[:, 1].mean()
        for recipe in ("mixed", "balanced_softmax")
    ]
    assert shares[0] < 0.25
    assert 0.35 < shares[1] < 0.65


def test_every_step_is_told_and_one_step_is_enough() -> None:
    told: list[int] = []
    fit(
        ClassifierSpec(steps=1, batch=2), CLASSES, Feed(separable(4), CLASSES), None, separable(4),
        gamma=1, seed=0, device="cpu", progress=lambda done: told.append(done),
    )  # fmt: skip
    assert told == [1]


# --- batches --------------------------------------------------------------------------------------------------------


def test_read_in_advance_and_from_the_disk_the_batches_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = separable(20)
    cache = PixelCache(Machine(cache_dir=str(tmp_path)))
    stored = replace(real, images=cache.get_or_make("real", SIDE, 20, lambda: real.images))
    here = trained(real, None, separable(8, 1), steps=6).state_dict()
    monkeypatch.setattr(batches, "Foreground", lambda: Background("batches"))
    there = trained(stored, None, separable(8, 1), steps=6).state_dict()
    assert all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_twins_take_the_place_of_their_share_of_the_images(share: float, low: int, high: int) -> None:
    real, twins = [shade(20, i) for i in range(6)], [shade(150, i) for i in range(6)]
    feed = Feed(Examples(real, ["dark"] * 6, [None] * 6), CLASSES, twins, share)
    x, y = feed.read(feed.draw(200, torch.Generator().manual_seed(0)))
    assert low <= int((x.mean(dim=(1, 2, 3)) > 0).sum()) <= high
    assert set(y.tolist()) == {0}


def test_labels_stay_with_their_images_in_minus_one_to_one() -> None:
    feed = Feed(separable(20), CLASSES)
    x, y = feed.read(feed.draw(100, torch.Generator().manual_seed(0)))
    assert (x.shape, x.dtype) == ((100, 3, SIDE, SIDE), torch.float32)
    assert x.min() >= -1
    assert x.max() <= 1
    assert ((x.mean(dim=(1, 2, 3)) > 0).long() == y).all()
    assert 0.3 < y.float().mean() < 0.7


def test_augmentation_mirrors_and_displaces_by_whole_pixels_and_nothing_else() -> None:
    side, most = 32, 2  # a sixteenth of the side
    picture = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    padded = np.pad(picture.numpy(), ((0, 0), (most, most), (most, most)), mode="symmetric")
    known = {}
    for mirrored in (False, True):
        for dy in range(2 * most + 1):
            for dx in range(2 * most + 1):
                window = padded[:, dy : dy + side, dx : dx + side]
                known[(window[:, :, ::-1] if mirrored else window).tobytes()] = (mirrored, dy, dx)
    augmented = augment(picture.expand(300, -1, -1, -1), torch.Generator().manual_seed(1)).numpy()
    found = [known[each.tobytes()] for each in augmented]
    assert 0.35 < np.mean([mirrored for mirrored, _, _ in found]) < 0.65
    assert {dy for _, dy, _ in found} == {dx for _, _, dx in found} == set(range(2 * most + 1))


def test_classical_augmentation_says_how_much_of_each_class_is_in_a_picture() -> None:
    """Black against white: after CutMix or MixUp the share of white is what the target says, before other operations."""
    torch.manual_seed(0)
    heavier = Classical()
    heavier.alter = torch.nn.Identity()
    x = torch.cat([-torch.ones(8, 3, 16, 16), torch.ones(8, 3, 16, 16)])
    y = torch.tensor([0] * 8 + [1] * 8)
    shares = []
    for _ in range(12):
        pictures, target = heavier(x, y, 2)
        assert pictures.shape == x.shape
        assert torch.allclose(target.sum(dim=1), torch.ones(16))
        assert torch.allclose(target[:, 1], (pictures.mean(dim=(1, 2, 3)) + 1) / 2, atol=1e-3)
        shares.append(target[:, 1])
    assert 0.1 < (torch.stack(shares) % 1 > 0).float().mean() < 0.9, "some are mixed, some meet their own class"


def test_classical_augmentation_alters_pictures_within_their_range() -> None:
    torch.manual_seed(0)
    x = torch.rand(16, 3, 32, 32) * 2 - 1
    pictures, _ = Classical()(x, torch.zeros(16, dtype=torch.int64), 2)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert not torch.allclose(pictures, x, atol=0.05)


def test_with_classical_augmentation_it_still_learns_and_depends_on_the_seed_alone() -> None:
    validation = separable(40, 9)
    runs = [trained(separable(60), validation, training="classical", seed=seed) for seed in (0, 0, 1)]
    scores = [run.scores(validation.images) for run in runs]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    assert score(scores[0], CLASSES, validation.labels, validation.groups).average > 0.8
