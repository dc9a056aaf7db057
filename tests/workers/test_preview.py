"""What a worker answers to a preview, with a forecast and without. A few seconds: CLIP sees some seventy images."""

from pathlib import Path
from typing import Any

import pytest

from service.previews.schemas import PreviewView
from service.settings import Settings
from tests.builders import document
from workers.preview import answer_preview


@pytest.fixture
def settings(tmp_path: Path, tiny_checkpoint: Path) -> Settings:
    return Settings(state_dir=tmp_path, model_roots=[tiny_checkpoint.parent], device="cpu")


def asked(tiny_checkpoint: Path, **changes: Any) -> dict[str, Any]:
    models = {"text_to_image": str(tiny_checkpoint), "resolution": 32}
    return document(models=models, method={"type": "text_to_image", "steps": 1}, **changes)


def test_a_forecast_is_made_from_more_images_than_are_sent(settings: Settings, tiny_checkpoint: Path) -> None:
    answer = answer_preview(settings, "team", asked(tiny_checkpoint), 4, forecasts=True)
    view = PreviewView(id="0" * 32, **answer)
    assert [image.label for image in view.images] == ["boot", "boot", "sneaker", "sneaker"]
    assert view.forecast is not None
    assert (view.forecast.images, view.forecast.planned) == (10, 10)  # all that are planned
    assert view.forecast.average is not None
    assert 0.4 <= view.forecast.average.before <= 1
    assert view.forecast.text.startswith("10 of 10 images are kept.")


def test_without_one_as_many_images_are_made_as_are_sent(settings: Settings, tiny_checkpoint: Path) -> None:
    view = PreviewView(id="0" * 32, **answer_preview(settings, "team", asked(tiny_checkpoint), 3))
    assert (len(view.images), view.forecast, view.learned) == (3, None, True)


def test_what_the_spec_asks_too_much_of_is_a_failure(settings: Settings, tiny_checkpoint: Path) -> None:
    answer = answer_preview(settings, "team", asked(tiny_checkpoint, source={"type": "folder", "path": "/etc"}), 3)
    assert (answer["state"], answer["status"]) == ("failed", 422)
