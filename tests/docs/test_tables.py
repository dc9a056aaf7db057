"""The tables of the guides hold all there is, from sources to alerts, and shares that follow from the figures beside."""

import re
from typing import Any, get_args

import pytest
import yaml

from pipelines.backbones.families import FAMILIES
from pipelines.backbones.features import FEATURES
from pipelines.filters import FILTERS
from pipelines.methods import METHODS
from pipelines.report.quality import NAMES
from pipelines.spec import Amount, Checkpoint, EncodingSpec, Evaluation, JpegEncoding, Recipe, parse
from pipelines.version.export import FORMATS
from service.settings import Settings
from tests.builders import document
from tests.docs.pages import PAGES, README, ROOT, guide, named, rows

METHODS_PAGE = guide("methods")


@pytest.mark.parametrize(("page", "block"), [(page.name, block) for page in PAGES for block in page.blocks("yaml")])
def test_every_spec_is_valid(page: str, block: str) -> None:
    parse(yaml.safe_load(block))


def test_the_readme_and_two_guides_have_a_spec() -> None:
    assert all(page.blocks("yaml") for page in (README, guide("own-images"), guide("real-checkpoints")))


@pytest.mark.parametrize(
    ("page", "types"),
    [("own-images", {"folder", "parquet", "webdataset", "hub"}), ("built-in-world", {"spurious", "few-shot", "long-tail"})],
)
def test_every_form_of_source_is_valid_and_there(page: str, types: set[str]) -> None:
    forms = [yaml.safe_load(form) for form in re.findall(r"^\| `(\{type: .*?\})` \|", guide(page).text, re.MULTILINE)]
    for form in forms:
        parse({"name": "shoes", "source": form, "method": {"type": "text_to_image"}, "amount": {"total": 1}})
    assert {form["type"] for form in forms} == types


def test_every_amount_is_valid_and_there() -> None:
    forms = [yaml.safe_load(name) for name in named(guide("own-images").section("How many images")) if name[0] == "{"]
    amounts = [Amount.model_validate(form) for form in forms]
    assert {name for amount in amounts for name in amount.model_fields_set} == set(Amount.model_fields)


def test_every_encoding_is_valid_and_there() -> None:
    section = guide("own-images").section("How images are stored")
    given = yaml.safe_load(re.findall(r"`(encoding: .*)`", section)[0])
    assert parse(document(**given)).encoding == JpegEncoding(type="jpeg", quality=95)
    types = {get_args(encoding.model_fields["type"].annotation)[0] for encoding in get_args(get_args(EncodingSpec)[0])}
    assert named(section) == types


def test_every_setting_is_in_the_table_as_it_is() -> None:
    for name, field in Settings.model_fields.items():
        default = field.default if field.default not in ("", []) else "[]" if field.default == [] else ""
        shown = f"`{default}`" if default != "" else ""
        row = " | ".join(filter(None, (f"| `COUNTERPOISE_{name.upper()}`", shown or None)))
        lines = guide("operating").text.splitlines()
        assert any(line.startswith(row) and line.endswith(f"| {field.description} |") for line in lines), (
            f"{row} ... {field.description}"
        )


def test_no_setting_is_named_that_does_not_exist() -> None:
    known = {f"COUNTERPOISE_{name.upper()}" for name in Settings.model_fields} | {"COUNTERPOISE_URL", "COUNTERPOISE_KEY"}
    given = {name for page in PAGES for name in re.findall(r"\bCOUNTERPOISE_[A-Z_]+", page.text)}
    assert given <= known


def test_every_method_and_filter_has_its_line() -> None:
    for name in (*METHODS, *FILTERS):
        assert f"| `{name}` |" in METHODS_PAGE.text
    assert named(METHODS_PAGE.section("Filters")) - {"filters:"} == set(FILTERS)
    assert set(METHODS) <= named(METHODS_PAGE.section("Methods"))


def test_every_arm_recipe_and_choice_of_a_checkpoint_has_its_line() -> None:
    arms: list[str] = Evaluation.model_json_schema()["properties"]["arms"]["items"]["enum"]
    lines = named(METHODS_PAGE.section("Evaluation")) - {"arms:", "recipe:", "checkpoint:"}
    assert lines == {*arms, *get_args(Recipe), *get_args(Checkpoint)}


def test_every_metric_has_its_line() -> None:
    files = [file for folder in ("service", "workers") for file in (ROOT / folder).rglob("*.py")]
    metrics = {name for file in files for name in re.findall(r'"(counterpoise_[a-z_]+)"', file.read_text(encoding="utf-8"))}
    assert "counterpoise_units" in metrics
    listed = named(guide("operating").section("Metrics and alerts"))
    assert {name for name in listed if name.startswith("counterpoise_")} == metrics


def test_every_alert_has_its_line() -> None:
    groups: list[dict[str, Any]] = yaml.safe_load((ROOT / "monitoring/alerts.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    listed = named(guide("operating").section("Metrics and alerts"))
    assert {name for name in listed if name.startswith("Counterpoise")} == alerts


CELL = re.compile(r"(-?\d+\.\d) ± \d+\.\d(?: %)?(?: \((-?\d+) %\))?")


def columns(text: str) -> dict[str, dict[str, tuple[float, int | None]]]:
    """Of the tables of results: for each column, the mean of each arm, and the share of the gap that stands beside it."""
    found: dict[str, dict[str, tuple[float, int | None]]] = {}
    head: list[str] = []
    for row in rows(text):
        cells = [CELL.search(cell) for cell in row[1:]]
        if not any(cells):
            head = row[1:]
        for name, cell in zip(head, cells, strict=False):
            if cell is not None:
                found.setdefault(name, {})[row[0].strip("`")] = float(cell[1]), None if cell[2] is None else int(cell[2])
    return found


def test_the_shares_are_those_of_the_gap_between_erm_and_the_ceiling() -> None:
    benchmarks = columns(METHODS_PAGE.section("What the methods are worth"))
    assert {"`few_shot_8`", "`long_tail`", "`spurious`"} <= benchmarks.keys()
    for benchmark, arms in benchmarks.items():
        low, high = arms["erm"][0], arms["real_balanced"][0]
        for arm, (mean, share) in arms.items():
            assert (share is None) == (arm in ("erm", "real_balanced")), (benchmark, arm)
            if share is not None:
                closed = 100 * (mean - low) / (high - low)
                assert abs(closed - share) <= rounding(closed, low, high), (benchmark, arm, closed)


def rounding(closed: float, low: float, high: float) -> float:
    """How far a share in whole percent may lie from one of means in tenths: both are rounded."""
    return 0.5 + 100 * 0.1 * (1 + abs(closed) / 100) / (high - low)


def test_the_headline_s_share_follows_from_its_table() -> None:
    section = README.section("Two commands")
    worst = columns(section)["worst group"]
    low, high = worst["real images alone (ERM)"][0], worst["+ as many real, balanced (ceiling)"][0]
    said = re.search(r"\*\*(\d+) % of the gap\*\*", section)
    assert said is not None
    closed = 100 * (worst["+ this version"][0] - low) / (high - low)
    assert abs(closed - int(said[1])) <= rounding(closed, low, high)
    assert "between ERM and the ceiling" in section


def test_the_tables_say_what_flatters_them() -> None:
    for text in (README.section("Two commands"), METHODS_PAGE.section("What the methods are worth")):
        assert re.search(r"trained on images from the renderer that\s+also draws the test\s+images", text)


def test_the_table_of_families_is_that_of_the_command() -> None:
    table = [row for row in rows(guide("real-checkpoints").section("Families")) if len(row) == 1 + len(FAMILIES)]
    expected = [
        [feature.title, *("no" if key in limits else "yes" for limits in FAMILIES.values())]
        for key, feature in FEATURES.items()
    ]
    assert table == [["", *FAMILIES], *expected]


def test_every_format_of_an_export_is_there() -> None:
    assert named(guide("own-images").section("In other formats")) == set(FORMATS)


def test_every_measure_of_the_quality_report_is_there() -> None:
    cells = {row[1] for row in rows(guide("quality").text) if len(row) == 4}
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == NAMES.keys()
