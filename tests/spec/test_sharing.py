"""Several checkpoints in one spec: what goes with them, and what is refused, with field, value and remedy."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SpecError
from pipelines.spec import VersionSpec
from pipelines.spec.helpers import check_helpers, warnings
from pipelines.spec.models import anchored
from tests.builders import spec

OTHER = {"text_to_image": "/models/other", "share": 0.25}
PLAIN = {"type": "text_to_image"}


def sharing(method: dict[str, Any] = PLAIN, *, further: Any = (OTHER,), models: Any = None, **changes: Any) -> VersionSpec:
    return spec(models={"further": list(further), "resolution": 32, **(models or {})}, method=method, **changes)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ({"type": "image_variation"}, {}, r"^method\.type: image_variation is of one checkpoint.*; use text_to_image$"),
        (
            {"type": "spurious_removal", "superclass": "shoe"},
            {},
            r"^method\.type: spurious_removal is of one checkpoint.*; use text_to_image$",
        ),
        (
            {**PLAIN, "superclass": "shoe", "inversion": {"masked": False}},
            {},
            r"^method\.inversion: a token is learned on one checkpoint; set it to null, or leave models\.further out$",
        ),
        ({**PLAIN, "lora": {}}, {}, r"^method\.lora: a LoRA is learned on one checkpoint; leave it out"),
        ({**PLAIN, "siblings": 4}, {}, r"^method\.siblings: 4 would be drawn by different checkpoints; set it to 1"),
        ({**PLAIN, "siblings": 4, "negative_merging": {}}, {}, r"^method\.siblings: 4 .*; set it to 1"),
        ({**PLAIN, "entropy_guidance": 0.05}, {}, r"^method\.entropy_guidance: 0\.05 .*; set it to 0"),
        (PLAIN, {"models": {"loras": [{"path": "a.safetensors"}]}}, r"^models\.loras: a LoRA .*; leave them out"),
        (
            {**PLAIN, "templates": ["a {} in <style>"]},
            {"models": {"embeddings": [{"path": "a.safetensors", "token": "<style>"}]}},
            r"^models\.embeddings: an embedding .*; leave them out",
        ),
        (PLAIN, {"models": {"erase": ["boot"]}}, r"^models\.erase: erasing edits one checkpoint's weights; leave it out"),
        (
            PLAIN,
            {"early_verdict": {}, "filters": [{"type": "quality"}, {"type": "label_agreement"}]},
            r"^early_verdict: .* models\.further draw, too; leave one of them out$",
        ),
        (
            PLAIN,
            {"further": [{**OTHER, "share": 0.5}, {"text_to_image": "/models/third", "share": 0.5}]},
            r"^models\.further: the shares, 0\.5, 0\.5, leave nothing to text_to_image; give shares of a sum below 1$",
        ),
        (PLAIN, {"further": [{**OTHER, "share": 1}]}, r"^models\.further\.0\.share: .*less than 1.*given: 1"),
        (PLAIN, {"further": [{**OTHER, "share": 0}]}, r"^models\.further\.0\.share: .*greater than 0.*given: 0"),
        (PLAIN, {"further": [{"share": 0.5}]}, r"^models\.further\.0\.text_to_image: "),
        (
            PLAIN,
            {"further": [OTHER, OTHER]},
            r"^models\.further: '/models/other' draws a share already; name another checkpoint, or add",
        ),
        (
            PLAIN,
            {"further": [{"text_to_image": "builtin", "share": 0.1}]},
            r"^models\.further: 'builtin' draws a share already",
        ),
    ],
)
def test_what_is_of_one_checkpoint_is_refused(method: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        sharing(method, **changes)


def test_the_rest_is_the_first_ones() -> None:
    models = sharing(further=[OTHER, {"text_to_image": "/models/third", "share": 0.5}]).models
    assert models.shares == [0.25, 0.25, 0.5]
    assert models.generators == {
        "models.text_to_image": "builtin",
        "models.further.0.text_to_image": "/models/other",
        "models.further.1.text_to_image": "/models/third",
    }
    assert not models.bundled
    assert spec().models.generators == {"models.text_to_image": "builtin"}
    assert spec().models.shares == [1.0]


def test_a_bundled_helper_judges_no_images_of_another_checkpoint() -> None:
    judged: dict[str, Any] = {"filters": [{"type": "clip_score"}]}
    check_helpers(sharing(further=[{"text_to_image": "builtin-inpainting", "share": 0.5}], **judged))
    with pytest.raises(SpecError, match=r"models\.clip: 'builtin' knows .* beside '/models/other' it would judge others"):
        check_helpers(sharing(**judged))


def test_paths_are_taken_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    further = [{"text_to_image": "other", "share": 0.5}, {"text_to_image": "org/name@v1", "share": 0.1}]
    models = anchored(sharing(further=further).models, tmp_path)
    assert [one.text_to_image for one in models.further] == [str(tmp_path / "other"), "org/name@v1"]


def test_a_configuration_goes_with_a_further_checkpoint_of_a_single_file() -> None:
    further = [{"text_to_image": "/models/a.safetensors", "share": 0.5}]
    assert warnings(sharing(further=further, models={"config": "/models/sd"})) == []
    (line,) = warnings(sharing(models={"config": "/models/sd"}))
    assert line.startswith("models.config: '/models/sd' is not used")
