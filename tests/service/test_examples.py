"""The example specs: valid, described, and possible on a machine that has nothing but the package."""

from collections import Counter
from pathlib import Path

import pytest

from pipelines.filters import FILTERS
from pipelines.methods import METHODS
from pipelines.source.open import open_source
from pipelines.spec import FolderSource, SpuriousRemoval, VersionSpec, load
from pipelines.version.plan import quotas
from service.cli.specs import EXAMPLES

FOLDER = Path(__file__).parents[2] / "service/examples"


def example(name: str) -> VersionSpec:
    return load(FOLDER / f"{name}.yaml")


def test_every_file_is_an_example_of_the_command() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_needs_nothing_but_the_package(name: str) -> None:
    spec = example(name)
    assert not isinstance(spec.source, FolderSource)
    assert (spec.models.text_to_image, spec.models.segmenter) == ("builtin", "builtin")
    assert spec.method.type in METHODS
    assert {each.type for each in spec.filters} <= FILTERS.keys()
    assert spec.evaluation is not None
    assert {"erm", "counterpoise"} <= set(spec.evaluation.arms)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_says_in_its_first_line_what_it_is_for(name: str) -> None:
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bundled_garments_are_enough_for_its_source(name: str) -> None:
    spec = example(name)
    source = open_source(spec.source)
    assert {len(source.splits[split]) > 0 for split in ("train", "validation", "test")} == {True}
    planned = Counter(cell.label for cell in quotas(spec.method, spec.amount, source.counts))
    most = max(len(source.of(label)) for label in source.classes)
    largest = {label for label in source.classes if len(source.of(label)) == most}
    assert set(planned) == set(source.classes) - (largest if spec.amount.balance == "classes" else set())
    assert len(set(planned.values())) == 1


def test_the_ceiling_of_the_spurious_example_can_be_had_whatever_is_kept() -> None:
    """At worst all the pictures against the shortcut are among the typical ones of their class."""
    spec = example("spurious")
    assert spec.evaluation is not None
    assert "real_balanced" in spec.evaluation.arms
    source = open_source(spec.source)
    unused = Counter((item.label, item.group) for item in source.splits["reserve"])
    planned = quotas(spec.method, spec.amount, source.counts)
    assert isinstance(spec.method, SpuriousRemoval)
    assert len(unused) == 4
    for (label, group), count in unused.items():
        most = 0.0
        for cell in planned:
            there = source.counts[str(cell.origin)].get(group, 0) / spec.method.majority
            most += cell.count * min(1.0, there) if cell.label == label else 0
        assert count >= most
