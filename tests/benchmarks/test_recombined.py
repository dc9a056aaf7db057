"""Variations of few shots keep the garments, and what they are to keep. Well under a second."""

import numpy as np

from pipelines.builtin.sources import splits
from pipelines.builtin.world import COLOURS, SCENES
from pipelines.spec import FewShotSource
from tests.benchmarks.recombined import KEPT, recombined, rendered


def test_variations_are_of_the_shots_garments_alone() -> None:
    shots = splits(FewShotSource(type="few-shot", shots=2))["train"]
    own = {(shot.garment, shot.item): shot for shot in shots}
    for key, kept in KEPT.items():
        pictures = recombined(shots, 40, kept)
        assert len(pictures) == 40 * len({shot.garment for shot in shots})
        assert {(picture.garment, picture.item) for picture in pictures} == own.keys()
        pairs = [(picture, own[picture.garment, picture.item]) for picture in pictures]
        assert all(new.colour == shot.colour for new, shot in pairs) == (key == "colour")
        assert all(new.scene == shot.scene for new, shot in pairs) == (key == "scene")
        if key == "nothing":
            assert {new.colour for new in pictures} == set(COLOURS)
            assert {new.scene for new in pictures} == set(SCENES)


def test_variations_are_rendered_with_their_labels() -> None:
    shots = splits(FewShotSource(type="few-shot", shots=1))["train"]
    examples = rendered(recombined(shots, 2, KEPT["nothing"]))
    assert examples.labels == [shot.garment for shot in shots for _ in range(2)]
    assert not np.array_equal(examples.images[0], examples.images[1])
