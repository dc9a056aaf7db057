"""The plan: exact counts, every slot in one shard, every shard a fair mixture, and the same bytes each time."""

from collections import Counter

import numpy as np
import pytest

from pipelines.errors import SpecError
from pipelines.records import PlannedImage, Quota
from pipelines.spec import Amount, SpuriousRemoval, TextToImage
from pipelines.spec.amount import divided
from pipelines.store.canonical import canonical
from pipelines.version.plan import Counts, Plan, make_plan, quotas
from tests.builders import spec

THREE = ("boot", "sandal", "sneaker")
SEVEN = Amount(per_class=7)
TAIL: Counts = {"boot": {None: 50}, "sandal": {None: 11}, "sneaker": {None: 3}}
SHORTCUT: Counts = {"boot": {"grass": 95, "brick": 5}, "sneaker": {"grass": 10, "brick": 90}}
PLAIN = TextToImage(type="text_to_image")


def removal(**changes: bool) -> SpuriousRemoval:
    return SpuriousRemoval(type="spurious_removal", superclass="shoe", **changes)


def have(classes: tuple[str, ...]) -> Counts:
    return {label: {"grass": 5} for label in classes}


def random_plans(count: int) -> list[Plan]:
    rng = np.random.default_rng(0)
    plans = []
    for _ in range(count):
        made = tuple(Quota(f"c{i}", None, int(rng.integers(1, 40))) for i in range(rng.integers(1, 8)))
        plans.append(Plan("spec", "source", made, int(rng.integers(1, 50))))
    return plans


@pytest.mark.parametrize(("total", "parts"), [(10, 3), (2, 3), (0, 2), (9, 3), (7, 1)])
def test_division_is_exact_and_even(total: int, parts: int) -> None:
    found = divided(total, parts)
    assert sum(found) == total
    assert len(found) == parts
    assert max(found) - min(found) <= 1


def test_each_class_is_painted_on_every_class() -> None:
    assert quotas(removal(), SEVEN, have(THREE)) == [
        Quota("boot", "boot", 3), Quota("boot", "sandal", 2), Quota("boot", "sneaker", 2),
        Quota("sandal", "boot", 3), Quota("sandal", "sandal", 2), Quota("sandal", "sneaker", 2),
        Quota("sneaker", "boot", 3), Quota("sneaker", "sandal", 2), Quota("sneaker", "sneaker", 2),
    ]  # fmt: skip


def test_without_repaint_own_no_class_is_painted_on_itself() -> None:
    found = quotas(removal(repaint_own=False), SEVEN, have(THREE))
    assert {(cell.label, cell.origin) for cell in found} == {(a, b) for a in THREE for b in THREE if a != b}


@pytest.mark.parametrize(
    ("amount", "counts"),
    [
        (Amount(per_class=9), (9, 9, 9)),
        (Amount(total=10), (4, 3, 3)),
        (Amount(multiply=1.5), (75, 16, 4)),
        (Amount(balance="classes"), (0, 39, 47)),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [PLAIN, removal()], ids=["plain", "repainted"])
def test_an_amount_is_what_it_says_of_each_class(
    method: SpuriousRemoval | TextToImage, amount: Amount, counts: tuple[int, ...]
) -> None:
    made: Counter[str] = Counter()
    for cell in quotas(method, amount, TAIL):
        made[cell.label] += cell.count
    assert tuple(made[label] for label in TAIL) == counts


def test_balanced_groups_are_each_as_large_as_the_largest() -> None:
    full = Counter({(label, group): n for label, groups in SHORTCUT.items() for group, n in groups.items()})
    home = {"boot": "grass", "sneaker": "brick"}
    for cell in quotas(removal(), Amount(balance="groups"), SHORTCUT):
        assert cell.origin is not None
        full[cell.label, home[cell.origin]] += cell.count
    assert set(full.values()) == {95}


def test_a_group_that_no_class_is_mostly_on_cannot_be_filled() -> None:
    with pytest.raises(SpecError, match=r"^amount.balance: no class is mostly on group 'sand'"):
        quotas(removal(), Amount(balance="groups"), {"boot": {"grass": 9, "sand": 1}, "sneaker": {"brick": 9}})


def test_groups_that_are_not_known_cannot_be_balanced() -> None:
    with pytest.raises(SpecError, match=r"^amount\.balance: the groups of some training images .*metadata\.csv"):
        quotas(removal(), Amount(balance="groups"), {"boot": {None: 9}, "sneaker": {None: 9}})


@pytest.mark.parametrize("amount", [Amount(balance="classes"), Amount(multiply=0.01)], ids=str)
def test_an_amount_of_nothing_is_refused(amount: Amount) -> None:
    with pytest.raises(SpecError, match=r"^amount: there is nothing to make"):
        quotas(PLAIN, amount, have(THREE))


def test_text_to_image_needs_no_source_image() -> None:
    assert quotas(PLAIN, SEVEN, have(THREE)) == [Quota(label, None, 7) for label in THREE]


@pytest.mark.parametrize("method", [PLAIN, removal(), removal(repaint_own=False)], ids=["plain", "all", "others"])
@pytest.mark.parametrize("classes", [THREE[:2], THREE], ids=["two", "three"])
@pytest.mark.parametrize("per_class", [1, 2, 7, 100])
def test_every_label_gets_exactly_what_was_asked(
    method: SpuriousRemoval | TextToImage, classes: tuple[str, ...], per_class: int
) -> None:
    plan = Plan("", "", tuple(quotas(method, Amount(per_class=per_class), have(classes))), 9)
    slots = [slot for n in range(plan.shards) for slot in plan.shard(n)]
    assert Counter(slot.label for slot in slots) == dict.fromkeys(classes, per_class)
    assert min(cell.count for cell in plan.quotas) > 0


@pytest.mark.parametrize("plan", random_plans(30), ids=str)
def test_shards_hold_every_slot_once_and_none_is_too_large(plan: Plan) -> None:
    shards = [plan.shard(n) for n in range(plan.shards)]
    expected = [(cell.label, rank) for cell in plan.quotas for rank in range(cell.count)]
    slots = sorted((slot for shard in shards for slot in shard), key=lambda slot: slot.index)
    assert slots == [PlannedImage(i, label, None, rank, rank) for i, (label, rank) in enumerate(expected)]
    assert 0 < min(map(len, shards)) <= max(map(len, shards)) <= plan.shard_size


@pytest.mark.parametrize(("shards", "units"), [(1, 1), (63, 63), (127, 127), (130, 65), (600, 75), (100_000, 12_500)])
def test_units_of_a_large_version_hold_several_shards_and_every_shard_is_in_one(shards: int, units: int) -> None:
    plan = Plan("", "", (Quota("boot", None, 10 * shards),), 10)
    assert plan.units == units
    assert [shard for number in range(plan.units) for shard in plan.unit(number)] == list(range(shards))
    assert max(len(plan.unit(number)) for number in range(plan.units)) <= 8
    assert list(plan.unit(units)) == []


@pytest.mark.parametrize("plan", random_plans(30), ids=str)
def test_every_shard_is_a_fair_mixture(plan: Plan) -> None:
    for cell in plan.quotas:
        shares = [sum(slot.label == cell.label for slot in plan.shard(n)) for n in range(plan.shards)]
        assert max(shares) - min(shares) <= 1


def test_the_same_spec_and_source_give_the_same_bytes() -> None:
    plans = [make_plan(spec(shard_size=3), "spec", "source", have(("boot", "sneaker"))) for _ in range(2)]
    assert canonical(plans[0].as_json()) == canonical(plans[1].as_json())
    assert plans[0].as_json()["planned"] == 10
    assert plans[0].as_json()["shards"] == 4
    assert [plans[0].shard(n) for n in range(4)] == [plans[1].shard(n) for n in range(4)]


def test_another_spec_or_source_gives_another_plan() -> None:
    three, two = have(THREE), have(THREE[:2])
    first = make_plan(spec(), "a", "b", three).as_json()
    others = [make_plan(spec(), *rest) for rest in (("x", "b", three), ("a", "x", three), ("a", "b", two))]
    assert all(canonical(first) != canonical(other.as_json()) for other in others)
