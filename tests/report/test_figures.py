"""Charts: well-formed, harmless, complete, and always the same bytes."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.report import figures
from pipelines.report.curve import accuracy_by_amount, accuracy_by_shift
from pipelines.report.figures import ArmResult, Spread

HOSTILE = '<script>alert("x")</script> $x_{ & _a'


def spread(*values: float) -> Spread:
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "values": list(values)}


def arm(worst: Spread, average: Spread) -> ArmResult:
    return {"average": average, "worst_group": worst, "groups": {}}


ARMS = {
    "real_balanced": arm(spread(0.87, 0.89), spread(0.90, 0.91)),
    "counterpoise": arm(spread(0.78, 0.80), spread(0.86, 0.88)),
    "erm": arm(spread(0.4, 0.42), spread(0.71, 0.73)),
}
CURVES = {"<boot>": [(i, 1.0 / (i + 1)) for i in range(50)], HOSTILE: [(0, 0.5), (10, float("nan")), (20, 0.4)]}
REASONS = {"kept": 1234, "quality: blurred": 3, "attribution: not seen": 17}
POINTS = [
    {**arm(spread(w - 0.02, w), spread(0.8, 0.82)), "images": images, "ratio": images / 30}
    for images, w in ((0, 0.4), (20, 0.6), (40, 0.61))
]
SHIFT = {
    "intensities": [0.0, 0.5, 0.9],
    "arms": {name: [spread(0.9, 0.92), spread(0.6, 0.7), spread(0.3, 0.4)] for name in ("counterpoise", "erm", HOSTILE)},
}
CHARTS = {
    "arms": lambda: figures.arms(ARMS),
    "no arms": lambda: figures.arms({}),
    "one seed": lambda: figures.arms({"erm": arm(spread(0.0), spread(1.0))}),
    "unknown arm": lambda: figures.arms({HOSTILE: ARMS["erm"]}),
    "curves": lambda: figures.learning_curves(CURVES),
    "no curves": lambda: figures.learning_curves({}),
    "empty curve": lambda: figures.learning_curves({"<boot>": [], "<bag>": [(0, float("inf"))]}),
    "reasons": lambda: figures.reasons({**REASONS, HOSTILE: 1}),
    "nothing made": lambda: figures.reasons({"kept": 0}),
    "amounts": lambda: accuracy_by_amount(POINTS, HOSTILE, 20),
    "shift": lambda: accuracy_by_shift(SHIFT),
    "one amount of one seed": lambda: accuracy_by_amount(
        [{**POINTS[0], **arm(spread(1.0), spread(1.0))}], "worst class", None
    ),
}


def words(svg: str) -> list[str]:
    return [
        text for text in (element.text for element in ElementTree.fromstring(svg).iter() if "text" in element.tag) if text
    ]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_one_well_formed_transparent_element(name: str) -> None:
    svg = CHARTS[name]()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.get("aria-label")
    assert not [element for element in root.iter() if "script" in element.tag or "image" in element.tag]
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith("#") for link in links)
    known = {element.get("id") for element in root.iter()}
    assert {link[1:] for link in links} | set(re.findall(r"url\(#(\w+)\)", svg)) <= known
    assert "#ffffff" not in re.findall(r"<path[^>]*>", svg)[0]


@pytest.mark.parametrize("name", CHARTS)
def test_same_chart_same_bytes(name: str) -> None:
    assert CHARTS[name]() == CHARTS[name]()


def test_arms_stand_in_order_with_their_percentages() -> None:
    shown = words(figures.arms(ARMS))
    order = [shown.index(figures.title(name)) for name in ("erm", "counterpoise", "real_balanced")]
    assert order == sorted(order)
    assert [text for text in shown if text.endswith(".0 %")] == ["41.0 %", "72.0 %", "79.0 %", "87.0 %", "88.0 %"]
    assert "90.5 %" in shown


def test_every_seed_is_a_dot_and_a_single_one_needs_none() -> None:
    one, two, five = (
        figures.arms({"erm": arm(spread(*worst), spread(0.8))}).count("<use") for worst in ([0.4], [0.4, 0.5], [0.4] * 5)
    )
    assert five - two == 3
    assert two > one


def test_hostile_names_are_shown_as_they_are() -> None:
    assert HOSTILE in words(CHARTS["curves"]())
    assert HOSTILE in words(CHARTS["reasons"]())
    assert HOSTILE in words(CHARTS["unknown arm"]())


def test_reasons_by_frequency_kept_first() -> None:
    shown = words(figures.reasons(REASONS))
    assert shown == ["kept", "1,234", "attribution: not seen", "17", "quality: blurred", "3"]


def test_smoothing_keeps_a_constant_and_the_length() -> None:
    assert np.allclose(figures.smooth(np.full(37, 0.25)), 0.25)
    assert figures.smooth(np.arange(5.0)).shape == (5,)


def test_labels_keep_apart_and_in_order() -> None:
    moved = figures.apart([0.30, 0.31, 0.9, 0.305], gap=0.1)
    assert moved == pytest.approx([0.30, 0.50, 0.9, 0.40])


def test_contact_sheet_lays_images_out_row_by_row() -> None:
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in (10, 20, 30)]
    png = figures.contact_sheet(images, columns=2, scale=3)
    assert png == figures.contact_sheet(images, columns=2, scale=3)
    sheet = np.asarray(Pillow.open(io.BytesIO(png)))
    assert sheet.shape == (54, 54, 4)  # 2 x 24 and a gap of 6
    assert [sheet[0, 0, 0], sheet[0, 30, 0], sheet[30, 0, 0]] == [10, 20, 30]
    assert sheet[30, 30, 3] == 0


def test_contact_sheet_of_nothing_is_a_blank_png() -> None:
    assert not np.asarray(Pillow.open(io.BytesIO(figures.contact_sheet([], columns=4))))[..., 3].any()


def test_photographs_are_shrunk_for_a_contact_sheet() -> None:
    photograph = np.full((1200, 1600, 3), 90, np.uint8)
    assert figures.shrunk(photograph, 192).shape == (144, 192, 3)
    sheet = Pillow.open(io.BytesIO(figures.contact_sheet([photograph, photograph[:64, :64]], columns=2)))
    assert sheet.size == (2 * 192 + 4, 144)
    assert np.asarray(sheet)[72, 20].tolist() == [90, 90, 90, 255]
