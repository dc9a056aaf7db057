"""The estimate of GPU memory, against what was measured (docs/real-checkpoints.md), and what it reads. Costs a second."""

from pathlib import Path

import pytest

from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.memory import INVERSION, LORA, Memory, memory_of
from tests.builders import CPU
from tests.checkpoints import build, build_xl
from tests.single_files import single_file

SD = Memory(halves=943_000_000, fulls=123_000_000, channels=320, side=512, cell=8)
XL = Memory(halves=2_651_000_000, fulls=818_000_000, channels=320, side=1024, cell=8)


@pytest.mark.parametrize(
    ("estimate", "measured"),
    [
        (SD.generating(32), 20 - 2),
        (XL.generating(16), 47 - 7),
        (SD.learning(4, INVERSION), 7 - 2),
        (SD.learning(4, LORA), 9 - 2),
    ],
)
def test_it_is_near_what_was_measured_without_the_weights_beside(estimate: float, measured: float) -> None:
    assert estimate == pytest.approx(measured, rel=0.1)


def test_the_numbers_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    for folder in (build(tmp_path / "sd", kl=True), build_xl(tmp_path / "xl", variant="fp16")):
        file = single_file(folder, tmp_path / f"{folder.name}.safetensors") if folder.name == "sd" else folder
        backbone = open_backbone(str(folder), CPU)
        halves = sum(weight.numel() for part in (backbone.denoiser, backbone.vae) for weight in part.parameters())
        fulls = sum(weight.numel() for encoder in backbone.text_encoders for weight in encoder.model.parameters())
        for path in (folder, file):
            memory = memory_of(path, inspect(str(folder)).folder, 32)
            assert memory == Memory(halves, fulls, channels=8, side=32, cell=4)


def test_without_weights_there_is_none(tmp_path: Path) -> None:
    folder = build(tmp_path)
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    assert memory_of(folder, folder, 32) is None
