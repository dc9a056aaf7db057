"""How many rows of the denoiser an image is estimated to take. Costs nothing."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.backbones.checkpoints import read_models
from pipelines.backbones.duration import duration, rows_per_image
from tests.builders import spec
from tests.checkpoints import build_xl

PAIRS = {"type": "counterfactual_pairs", "swap": "hue", "templates": ["a {hue} {}"], "words": {"hue": ["red", "blue"]}}


@pytest.mark.parametrize(
    ("method", "rows"),
    [
        ({"type": "text_to_image", "steps": 10, "guidance": 1}, 10),
        ({"type": "text_to_image", "steps": 10, "guidance": 3}, 20),
        ({"type": "text_to_image", "steps": 10, "guidance": 3, "guidance_interval": [0.2, 0.8]}, 16),
        ({"type": "text_to_image", "steps": 10, "guidance": 1, "guidance_interval": [0.2, 0.8]}, 10),
        ({"type": "image_variation", "steps": 10, "strengths": [0.5, 1.0]}, 15),
        ({"type": "image_variation", "steps": 10, "strengths": [0.5], "guidance_interval": [0.2, 0.8]}, 8),
        ({"type": "image_variation", "steps": 10, "strengths": [0.5], "guidance_interval": [0.0, 0.4]}, 5),
        ({"type": "edit_mix", "steps": 10, "strength": 0.5}, 10),
        ({**PAIRS, "steps": 10}, 20),
        ({**PAIRS, "steps": 10, "strength": 0.5}, 10),
        ({"type": "edit_mix", "steps": 10, "editor": "instruct"}, 30),
        ({"type": "text_to_image", "steps": 10, "guidance": 1, "cache_interval": 3}, 6 + 4 * 0.08),
        ({"type": "text_to_image", "steps": 3, "guidance": 3, "cache_interval": 3}, 6),
    ],
)
def test_steps_count_twice_where_they_are_guided(method: dict[str, Any], rows: float) -> None:
    assert rows_per_image(spec(method=method)) == pytest.approx(rows)


def test_the_time_of_several_checkpoints_is_known_where_all_were_measured_on_one_machine(tmp_path: Path) -> None:
    def time(*further: str) -> str | None:
        models = {"further": [{"text_to_image": name, "share": 0.4} for name in further], "resolution": 64}
        shared = spec(method={"type": "text_to_image", "steps": 25}, models=models)
        return duration(shared, 10_000, read_models(shared.models))

    alone = time()
    assert alone is not None
    assert alone.startswith("Denoising takes about 28 minutes on two CPU cores")
    assert time("builtin-inpainting") == alone
    assert time(str(build_xl(tmp_path))) is None
