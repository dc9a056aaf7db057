"""The built-in sources: ratios as asked, balanced held-out splits, no garment twice, the same on every machine."""

from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipelines.builtin import wardrobe
from pipelines.builtin.sources import BuiltinSpec, Split, splits
from pipelines.builtin.train.sample import kept_for_sources
from pipelines.builtin.world import GARMENTS
from pipelines.errors import SourceError
from pipelines.source.open import open_source
from pipelines.source.splits import SPLITS
from pipelines.spec import FewShotSource, LongTailSource, SpuriousSource
from tests.parts import FASHION_MNIST

SPECS: list[BuiltinSpec] = [
    SpuriousSource(type="spurious"),
    SpuriousSource(
        type="spurious", classes=("sandal", "boot", "bag"), scenes=("sand", "wood", "snow"), train=300, test=120, seed=3
    ),
    FewShotSource(type="few-shot"),
    LongTailSource(type="long-tail"),
]


@cache
def found(number: int) -> dict[str, Split]:
    return splits(SPECS[number])


every = pytest.mark.parametrize("number", range(len(SPECS)), ids=lambda number: f"{SPECS[number].type}-{number}")


def kinds(split: Split) -> Counter[tuple[str, str]]:
    return Counter((picture.garment, picture.scene) for picture in split)


@every
def test_no_garment_is_in_two_pictures(number: int) -> None:
    used = Counter((p.garment, p.item) for split in found(number).values() for p in split)
    assert max(used.values()) == 1


@every
def test_the_same_spec_gives_the_same_pictures_and_another_seed_others(number: int) -> None:
    assert splits(SPECS[number]) == found(number)
    other = splits(SPECS[number].model_copy(update={"seed": 99}))
    assert all(a != b for a, b in zip(found(number)["test"], other["test"], strict=True))


def test_other_seeds_take_other_garments_and_none_takes_them_in_their_own_order() -> None:
    few = FewShotSource(type="few-shot", shots=2, validation=8, test=8)
    garments = [[(p.garment, p.item) for p in splits(few.model_copy(update={"seed": s}))["train"]] for s in (0, 1, 2)]
    assert not set(garments[0]) & set(garments[1])
    assert not set(garments[1]) & set(garments[2])
    assert [item for garment, item in garments[0] if garment == "boot"] == [4, 5], "after two to test and two to validate"


@every
def test_validation_and_test_are_balanced_over_classes_and_scenes(number: int) -> None:
    spec = SPECS[number]
    for split, total in (("validation", spec.validation), ("test", spec.test)):
        counts = kinds(found(number)[split])
        assert counts.total() == total
        assert set(counts) == {(garment, scene) for garment in spec.classes for scene in spec.scenes}
        assert max(counts.values()) - min(counts.values()) <= 1


def test_the_reserve_is_balanced_too() -> None:
    counts = kinds(found(0)["reserve"])
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("ratio", [0.6, 0.9, 0.95, 1.0])
def test_each_class_stands_on_its_own_scene_as_often_as_asked(ratio: float) -> None:
    counts = kinds(splits(SpuriousSource(type="spurious", train=1000, ratio=ratio))["train"])
    own = round(500 * ratio)
    expected = {
        ("boot", "grass"): own,
        ("boot", "brick"): 500 - own,
        ("sneaker", "brick"): own,
        ("sneaker", "grass"): 500 - own,
    }
    assert counts == {kind: count for kind, count in expected.items() if count}


def test_with_three_classes_the_rest_is_shared_by_the_other_scenes() -> None:
    counts = kinds(found(1)["train"])
    own = {"sandal": "sand", "boot": "wood", "bag": "snow"}
    assert counts == {(c, s): 95 if own[c] == s else n for c in own for s in own.values() for n in (counts[c, s],)}
    assert all(counts[c, s] in (2, 3) for c in own for s in own.values() if own[c] != s)


def test_few_shots_are_as_few_as_asked() -> None:
    train = splits(FewShotSource(type="few-shot", shots=5, classes=("bag", "boot")))["train"]
    assert Counter(p.garment for p in train) == {"bag": 5, "boot": 5}


def test_the_tail_falls_exponentially_from_head_to_head_over_imbalance() -> None:
    sizes = Counter(p.garment for p in found(3)["train"])
    in_order = [sizes[garment] for garment in SPECS[3].classes]
    assert in_order == [round(200 * 100 ** (-i / 9)) for i in range(10)]
    assert (in_order[0], in_order[-1]) == (200, 2)


def test_no_class_of_a_long_tail_is_empty() -> None:
    spec = LongTailSource(type="long-tail", classes=("bag", "boot", "dress"), head=3, imbalance=1000)
    assert Counter(p.garment for p in splits(spec)["train"]) == {"bag": 3, "boot": 1, "dress": 1}


def test_kinds_whose_names_end_alike_are_drawn_independently() -> None:
    test = splits(LongTailSource(type="long-tail", classes=("t-shirt", "shirt"), imbalance=1))["test"]
    drawn = [[(p.colour, p.size, p.x) for p in test if p.garment == garment] for garment in ("t-shirt", "shirt")]
    assert sum(a == b for a, b in zip(*drawn, strict=True)) < 3


@pytest.mark.parametrize(
    "spec",
    [
        SpuriousSource(type="spurious", train=5000),
        FewShotSource(type="few-shot", shots=5000),
        LongTailSource(type="long-tail", head=5000),
    ],
    ids=lambda spec: spec.type,
)
def test_too_large_a_request_is_refused_with_the_remedy(spec: BuiltinSpec) -> None:
    with pytest.raises(SourceError, match=r"needs \d+ different garments of kind '.*', there are 2000; ask for fewer$"):
        splits(spec)


def test_a_tail_takes_no_more_garments_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 400 t-shirts and 2000 sneakers, a large head of sneakers leaves few t-shirts to find."""
    few = {kind: garments[: 400 if kind == "t-shirt" else None] for kind, garments in wardrobe.for_sources().items.items()}
    monkeypatch.setattr(wardrobe, "for_sources", lambda: wardrobe.Wardrobe(few))
    spec = LongTailSource(type="long-tail", classes=("sneaker", "t-shirt"), head=1500, imbalance=10, test=8)
    assert Counter(p.garment for p in splits(spec)["train"]) == {"sneaker": 1500, "t-shirt": 150}
    with pytest.raises(SourceError, match="'t-shirt', there are 400"):
        splits(spec.model_copy(update={"imbalance": 2}))


# The fingerprint of a source, and the digest of every twentieth picture and mask of its train, validation and test.
# No scene of these is drawn with sines, whose last bit differs between processors.
STORED: list[tuple[BuiltinSpec, str, str]] = [
    (SpuriousSource(type="spurious"), "3be5a89de6281171", "7a861352dbf24119"),
    (
        FewShotSource(type="few-shot", classes=("bag", "dress"), scenes=("snow", "night", "tiles"), test=90),
        "0820e1fd06d59b40",
        "c15c3d9f5779773c",
    ),
    (
        LongTailSource(type="long-tail", classes=("t-shirt", "boot"), scenes=("brick", "grass"), test=80),
        "a3a69b905f5868d9",
        "83b9c73451d1c8be",
    ),
]


@pytest.mark.parametrize(("spec", "fingerprint", "pictures"), STORED, ids=[spec.type for spec, *_ in STORED])
def test_a_source_keeps_its_bytes_from_release_to_release(spec: BuiltinSpec, fingerprint: str, pictures: str) -> None:
    source = open_source(spec)
    rendered = sha256()
    for split in SPLITS:
        for item in source.splits[split][::20]:
            rendered.update(source.read(item).tobytes() + source.truth(item).tobytes())
    assert source.fingerprint == fingerprint
    assert rendered.hexdigest()[:16] == pictures


def test_sources_do_not_depend_on_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = wardrobe.for_sources.__wrapped__().items
    for split in ("train", "t10k"):
        for part in ("images-idx3", "labels-idx1"):
            (tmp_path / f"{split}-{part}-ubyte.gz").write_bytes(b"no garments")
    monkeypatch.setenv("COUNTERPOISE_FASHION_MNIST", str(tmp_path))
    after = wardrobe.for_sources.__wrapped__().items
    assert all(np.array_equal(before[kind], after[kind]) for kind in GARMENTS)


def test_there_are_as_many_garments_of_every_kind_and_none_twice() -> None:
    stock = wardrobe.for_sources().items
    assert set(stock) == set(GARMENTS)
    for garments in stock.values():
        assert garments.shape == (2000, 28, 28)
        assert len({g.tobytes() for g in garments}) == len(garments)


@pytest.fixture
def originals() -> Path:
    return FASHION_MNIST.path()


def test_the_bundled_garments_are_those_of_the_original_files(originals: Path) -> None:
    kept, stock = kept_for_sources(originals), wardrobe.for_sources().items
    assert all(np.array_equal(kept[kind], stock[kind]) for kind in GARMENTS)


@pytest.mark.usefixtures("originals")
def test_no_garment_of_a_source_has_trained_the_bundled_models() -> None:
    sources, models = wardrobe.for_sources().items, wardrobe.for_models().items
    for kind in GARMENTS:
        assert not {g.tobytes() for g in sources[kind]} & {g.tobytes() for g in models[kind]}


def test_without_the_originals_nothing_can_be_trained_and_it_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COUNTERPOISE_FASHION_MNIST", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="COUNTERPOISE_FASHION_MNIST"):
        wardrobe.for_models.__wrapped__()


@every
def test_the_pool_holds_every_kind_of_garment_and_none_that_another_split_has(number: int) -> None:
    made = found(number)
    pool = {(p.garment, p.item) for p in made["pool"]}
    assert {garment for garment, _ in pool} == set(GARMENTS)
    for split in ("train", "validation", "test", "reserve"):
        assert not pool & {(p.garment, p.item) for p in made[split]}
