"""What a checkpoint cannot do is refused from its configuration, with the reason and the remedy. Costs two seconds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.backbones.capabilities import check_capabilities
from pipelines.backbones.inspection import inspect
from pipelines.errors import SpecError
from tests.builders import spec
from tests.checkpoints import build, build_3, build_flux

METHODS: dict[str, dict[str, Any]] = {
    "plain": {"type": "text_to_image", "lora": {}},
    "token": {"type": "text_to_image", "superclass": "shoe", "inversion": {"masked": False}},
    "negative prompt": {"type": "text_to_image", "negative_prompt": "blurred"},
    "solver": {"type": "text_to_image", "solver": "dpmsolver++"},
    "interval": {"type": "text_to_image", "guidance_interval": [0.2, 0.8]},
    "cache": {"type": "text_to_image", "cache_interval": 2},
    "image prompts": {"type": "augmented_conditioning"},
    "own attention": {"type": "image_variation", "superclass": "shoe", "repaint": "object"},
}
OWN_ATTENTION = {"segmenter": "cross-attention"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Without a single weight."""
    folder = tmp_path_factory.mktemp("checkpoints")
    built = {"Flux": build_flux(folder / "flux"), "SD 3": build_3(folder / "sd3")}
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    return built


def check(checkpoint: Path, method: dict[str, Any], **models: Any) -> None:
    asked_for = spec(method=method, models={"text_to_image": str(checkpoint), **models})
    check_capabilities(asked_for, {"models.text_to_image": inspect(str(checkpoint))})


@pytest.mark.parametrize(
    ("family", "method", "message"),
    [
        ("Flux", "token", r"method\.inversion: .* is a FluxPipeline, and .*; set inversion to null, and learn a LoRA"),
        (
            "Flux",
            "negative prompt",
            r"method\.negative_prompt: .* FluxPipeline, and its guidance is .*; leave it out",
        ),
        ("Flux", "image prompts", r"method\.type: .* takes no image prompts here; use another method"),
        (
            "SD 3",
            "image prompts",
            r"method\.type: .* is a StableDiffusion3Pipeline, and it takes no image prompts here",
        ),
        ("SD 3", "solver", r"method\.solver: .* its noise schedule is a flow's, whose steps are Euler's; set it to auto"),
        ("Flux", "interval", r"method\.guidance_interval: .* without a second prediction to be spared; leave it out"),
        ("SD 3", "own attention", r"models\.segmenter: .* only a UNet's cross-attention is read; give a CLIPSeg checkpoint"),
    ],
)
def test_what_a_family_cannot_do_is_refused(family: str, method: str, message: str, checkpoints: dict[str, Path]) -> None:
    with pytest.raises(SpecError, match=message):
        check(checkpoints[family], METHODS[method], **(OWN_ATTENTION if method == "own attention" else {}))


def test_embeddings_would_hardly_reach_the_images_of_flux(checkpoints: dict[str, Path]) -> None:
    embeddings = [{"path": "/styles/mossy.safetensors", "token": "<mossy>"}]
    with pytest.raises(SpecError, match=r"models\.embeddings: .* is a FluxPipeline, and they would .*; leave them out"):
        check(checkpoints["Flux"], METHODS["plain"], embeddings=embeddings)
    check(checkpoints["SD 3"], METHODS["plain"], embeddings=embeddings)


@pytest.mark.parametrize(
    ("family", "method"), [("Flux", "plain"), ("SD 3", "plain"), ("SD 3", "token"), ("SD 3", "negative prompt")]
)
def test_what_it_can_do_is_not(family: str, method: str, checkpoints: dict[str, Path]) -> None:
    check(checkpoints[family], METHODS[method], **(OWN_ATTENTION if method == "token" else {}))


def test_a_resolution_that_makes_no_whole_patches_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """Of eight pixels a latent cell, as published, two cells a patch."""
    shutil.copytree(checkpoints["Flux"], tmp_path / "flux")
    file = tmp_path / "flux" / "vae" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "block_out_channels": [8] * 4}))
    check(tmp_path / "flux", METHODS["plain"], resolution=48)
    with pytest.raises(SpecError, match=r"models\.resolution: .* multiples of 16 pixels; set it to 32"):
        check(tmp_path / "flux", METHODS["plain"], resolution=40)
    with pytest.raises(SpecError, match=r"method\.width: .* multiples of 16 pixels; set it to 48"):
        check(tmp_path / "flux", {**METHODS["plain"], "width": 56, "height": 48}, resolution=48)


def check_sharing(first: Path, other: Path, method: dict[str, Any], **changes: Any) -> None:
    further, models = {"text_to_image": str(other), "share": 0.5}, changes.pop("models", {})
    asked_for = spec(method=method, models={"text_to_image": str(first), "further": [further], **models}, **changes)
    fields = {"models.text_to_image": first, "models.further.0.text_to_image": other}
    check_capabilities(asked_for, {field: inspect(str(path)) for field, path in fields.items()})


def test_what_a_further_checkpoint_cannot_do_is_refused_too(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    first, plain = build(tmp_path / "sd"), {"type": "text_to_image"}
    check_sharing(first, checkpoints["Flux"], plain)
    with pytest.raises(SpecError, match=r"method\.negative_prompt: '.*' is a FluxPipeline, and .*; leave it out"):
        check_sharing(first, checkpoints["Flux"], METHODS["negative prompt"])
    with pytest.raises(SpecError, match=r"method\.solver: '.*' is a StableDiffusion3Pipeline, and .*; set it to auto"):
        check_sharing(first, checkpoints["SD 3"], METHODS["solver"])
    with pytest.raises(SpecError, match=r"models\.resolution: '.*' is a StableDiffusion3Pipeline, .* 64 pixels at most"):
        check_sharing(first, checkpoints["SD 3"], plain, models={"resolution": 128})
    with pytest.raises(SpecError, match=r"method\.type: '.*' is a StableDiffusionInstructPix2PixPipeline, and it edits"):
        check_sharing(first, build(tmp_path / "edits", editing=True), plain)


def test_what_the_first_checkpoint_does_alone_is_not_asked_of_the_others(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    method = {"type": "text_to_image", "superclass": "shoe"}
    looks: dict[str, Any] = {"models": OWN_ATTENTION, "filters": [{"type": "label_agreement", "view": "object"}]}
    check_sharing(build(tmp_path / "sd"), checkpoints["SD 3"], method, **looks)
    with pytest.raises(SpecError, match=r"models\.segmenter: .* is a StableDiffusion3Pipeline"):
        check_sharing(checkpoints["SD 3"], tmp_path / "sd", method, **looks)


def test_a_resolution_without_embeddings_of_its_positions_is_refused(checkpoints: dict[str, Path]) -> None:
    check(checkpoints["SD 3"], METHODS["plain"], resolution=64)
    with pytest.raises(SpecError, match=r"models\.resolution: .* 64 pixels at most; set it to that, or fewer"):
        check(checkpoints["SD 3"], METHODS["plain"], resolution=72)


@pytest.mark.parametrize(
    ("solver", "fields", "message"),
    [
        ("EulerDiscreteScheduler", {"guidance": 2.0, "steps": 4}, r"method\.guidance: .* without guidance; set it to 1"),
        ("EulerDiscreteScheduler", {"guidance": 1.0, "steps": 25}, r"method\.steps: .* 8 at most .*; set it to 8"),
        ("EulerAncestralDiscreteScheduler", {"guidance": 1.0, "steps": 4}, r"method\.steps: .* 1 at most .*; set it to 1"),
        ("EulerDiscreteScheduler", {"guidance": 1.0, "steps": 4}, None),
        (
            "EulerDiscreteScheduler",
            {"guidance": 1.0, "steps": 4, "solver": "dpmsolver++"},
            r"method\.solver: .* set it to auto",
        ),
        (
            "EulerDiscreteScheduler",
            {"guidance": 1.0, "steps": 4, "cache_interval": 2},
            r"method\.cache_interval: .* few steps that differ too much; set it to 1",
        ),
        (
            "EulerDiscreteScheduler",
            {"guidance": 1.0, "steps": 4, "superclass": "shoe", "inversion": {"objective": "classification"}},
            r"method\.inversion\.guidance: .* set it to 1, and method\.inversion\.denoising_steps to 8",
        ),
        ("EulerAncestralDiscreteScheduler", {"guidance": 1.0, "steps": 1}, None),
    ],
)
def test_a_checkpoint_distilled_to_few_steps_is_used_as_it_was_made(
    solver: str, fields: dict[str, Any], message: str | None, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text((tiny_checkpoint / part / "config.json").read_text())
    (tmp_path / "scheduler").mkdir()
    config = {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing", "prediction_type": "epsilon"}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "scheduler": ["diffusers", solver]}))
    if message is None:
        check(tmp_path, {**METHODS["plain"], **fields})
        return
    with pytest.raises(SpecError, match=message):
        check(tmp_path, {**METHODS["plain"], **fields})
