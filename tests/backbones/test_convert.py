"""Pickled weights made safetensors. Five seconds."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from pipelines.backbones.convert import converted_name
from tests.service.cli.commands import call, written


@pytest.fixture
def pickled(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A checkpoint whose weights are pickles alone, those of the UNet in two files."""
    folder = tmp_path / "pickled"
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.save_pretrained(folder, safe_serialization=False)
    pipeline.unet.save_pretrained(folder / "unet", safe_serialization=False, max_shard_size="50KB")
    (folder / "unet" / "diffusion_pytorch_model.bin").unlink(missing_ok=True)
    for safe in folder.rglob("model.safetensors"):  # transformers writes no pickles any more
        torch.save(load_file(safe), safe.with_name("pytorch_model.bin"))
        safe.unlink()
    assert not list(folder.rglob("*.safetensors"))
    assert len(list(folder.glob("unet/*.bin"))) > 1
    return folder


def test_a_checkpoint_of_pickles_is_refused_and_used_once_it_is_converted(
    tmp_path: Path, pickled: Path, tiny_checkpoint: Path
) -> None:
    def validate(checkpoint: Path) -> str:
        models = {"text_to_image": str(checkpoint)}
        return call("validate", written(tmp_path, models=models, method={"type": "text_to_image"}, filters=[])).stderr

    assert f"counterpoise convert {pickled} --out" in validate(pickled)
    done = call("convert", pickled, "--out", tmp_path / "safe")
    assert done.exit_code == 0, done.stderr
    assert not list((tmp_path / "safe").rglob("*.bin*"))
    assert validate(tmp_path / "safe") == ""
    pipelines = [StableDiffusionPipeline.from_pretrained(folder) for folder in (tiny_checkpoint, tmp_path / "safe")]
    for part in ("unet", "vae", "text_encoder"):
        before, after = (getattr(pipeline, part).state_dict() for pipeline in pipelines)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_file_of_weights_is_converted_alone(tmp_path: Path) -> None:
    weights = {"boot": torch.arange(6.0).reshape(2, 3)}
    torch.save({"state_dict": {**weights, "alias": weights["boot"]}, "epoch": 3}, tmp_path / "lora.ckpt")
    assert call("convert", tmp_path / "lora.ckpt", "--out", tmp_path / "lora.safetensors").exit_code == 0
    found = load_file(tmp_path / "lora.safetensors")
    assert found.keys() == {"boot", "alias"}
    assert torch.equal(found["alias"], weights["boot"])


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return shutil.rmtree, (str(tmp_path / "dear"),)

    (tmp_path / "dear").mkdir()
    torch.save({"weights": Trap()}, tmp_path / "trap.bin")
    done = call("convert", tmp_path / "trap.bin", "--out", tmp_path / "trap.safetensors")
    assert done.exit_code == 2
    assert "holds more than tensors" in done.stderr
    assert (tmp_path / "dear").is_dir()
    assert not (tmp_path / "trap.safetensors").exists()
    for wrong, message in ((tmp_path / "none", "is not there"), (tmp_path / "trap.bin", "let its name end in .safetensors")):
        assert message in call("convert", wrong, "--out", tmp_path / "out").stderr


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model.fp16.bin", "model.fp16.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
        ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
        ("sd-v1.4.ckpt", "sd-v1.4.safetensors"),
    ],
)
def test_names_are_those_that_are_looked_for(name: str, safe: str) -> None:
    assert converted_name(name) == safe
