"""The recorded revision of a checkpoint: of its files, whatever they are loaded as. Costs three seconds."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines import spec
from pipelines.backbones import revision
from pipelines.backbones.files import variant
from pipelines.backbones.revision import contents, revision_of
from pipelines.vision.models import Models
from tests.checkpoints import build, build_xl

PARTS = {
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
}  # fmt: skip

PRECISIONS: tuple[spec.Precision, ...] = ("fp32", "bf16")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return build(tmp_path / "checkpoint", kl=True)


def test_it_is_of_all_that_is_read(checkpoint: Path) -> None:
    assert set(contents(checkpoint)) == PARTS
    before = revision_of(checkpoint)
    assert len(before) == 16
    seen = {before}
    for name in sorted(PARTS):
        file = checkpoint / name
        if file.suffix == ".json":
            file.write_text(json.dumps({**json.loads(file.read_text()), "note": "changed"}))
        else:
            save_file({key: weight + 1 for key, weight in load_file(file).items()}, file, {"format": "pt"})
        seen.add(revision_of(checkpoint))
    assert len(seen) == len(PARTS) + 1


def test_it_is_of_nothing_else(checkpoint: Path, tmp_path: Path) -> None:
    before = revision_of(checkpoint)
    (checkpoint / "safety_checker").mkdir()
    unread = ("README.md", "model.safetensors", "unet/model.bin", "unet/model.ema.safetensors", "safety_checker/config.json")
    for name in unread:
        (checkpoint / name).write_bytes(b"other")
    assert revision_of(checkpoint) == before
    assert revision_of(shutil.copytree(checkpoint, tmp_path / "elsewhere")) == before


def test_of_half_precision_files_alone_these_are_read(tmp_path: Path) -> None:
    half = build_xl(tmp_path, variant="fp16")
    read = [name for name in contents(half) if name.endswith(".safetensors")]
    assert len(read) == 4
    assert {variant(name) for name in read} == {"fp16"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unet/diffusion_pytorch_model.safetensors", None),
        ("unet/diffusion_pytorch_model-00001-of-00002.safetensors", None),
        ("unet/diffusion_pytorch_model.fp16.safetensors", "fp16"),
        ("unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors", "fp16"),
        ("text_encoder/model-00001-of-00002.fp16.safetensors", "fp16"),
        ("text_encoder/model.safetensors.index.fp16.json", "fp16"),
        ("unet/diffusion_pytorch_model.safetensors.index.json", None),
    ],
)
def test_the_variant_of_a_file(name: str, expected: str | None) -> None:
    assert variant(name) == expected


def test_no_weights_are_loaded_for_it_and_no_file_is_read_twice(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = spec.Models(text_to_image=str(checkpoint), inpainting=str(checkpoint), segmenter="cross-attention")
    models = Models(named)
    assert models.revision == models.painter_revision == models.segmenter_revision == revision_of(checkpoint)
    assert models.loaded == []
    monkeypatch.setattr(revision.hashlib, "file_digest", None)  # type: ignore[attr-defined]
    assert Models(named, "bf16").revision == models.revision


def test_the_bundled_segmenter_has_one_of_its_own() -> None:
    models = Models(spec.Models())
    assert models.segmenter_revision != models.revision
    assert models.loaded == []


def test_what_is_loaded_in_another_precision_has_the_same(checkpoint: Path) -> None:
    """Weights loaded in half precision differ from those on disk; the revision is theirs."""
    named = spec.Models(text_to_image=str(checkpoint))
    models = [Models(named, spec.Machine(device="cpu", precision=precision)) for precision in PRECISIONS]
    first, second = (one.backbone.denoiser.conv_in.weight for one in models)
    assert not torch.equal(first, second.float())
    assert models[0].revision == models[1].revision
