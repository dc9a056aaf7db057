"""Checkpoints in a single file: what is loaded is what the folder holds, and what cannot be is refused by its header alone.

Costs five seconds.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type
from safetensors.torch import load_file, save_file

from pipelines import spec
from pipelines.backbones.checkpoints import read_models
from pipelines.backbones.families import STABLE_DIFFUSION, STABLE_DIFFUSION_XL
from pipelines.backbones.files import header
from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.single_file import DEFAULTS, OTHERS, V2, XL, kind_of
from pipelines.errors import ModelError
from pipelines.vision.models import Models
from tests.builders import CPU
from tests.checkpoints import build, build_xl
from tests.contracts.families import ours, plain
from tests.single_files import single_file

WIDE = torch.zeros(8, 1024)  # what tells the second Stable Diffusion


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    base = build(root / "sd", kl=True, prediction="epsilon")
    inpainting = build(root / "inpainting", kl=True, inpainting=True, prediction="epsilon")
    shutil.copytree(base / "text_encoder", inpainting / "text_encoder", dirs_exist_ok=True)
    return {
        "SD": base,
        "SD inpainting": inpainting,
        "SDXL": build_xl(root / "xl"),
        "SDXL inpainting": build_xl(root / "xl-inpainting", inpainting=True),
    }


@pytest.fixture(scope="module")
def files(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("files")
    return {name: single_file(folder, root / f"{folder.name}.safetensors") for name, folder in folders.items()}


def without_weights(folder: Path, copy: Path) -> str:
    return str(shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors")))


@pytest.mark.parametrize("family", ["SD", "SD inpainting", "SDXL", "SDXL inpainting"])
def test_it_draws_what_the_folder_draws(
    family: str, folders: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    """With the configurations of the plain checkpoint, of whatever kind the file is."""
    config = without_weights(folders[family.removesuffix(" inpainting")], tmp_path / "config")
    found = inspect(str(files[family]), config=config)
    assert found.family is (STABLE_DIFFUSION_XL if "XL" in family else STABLE_DIFFUSION)
    assert (found.layout.resolution, found.layout.inpainting) == (32, "inpainting" in family)
    single = open_backbone(str(files[family]), CPU, config=config)
    folder = open_backbone(str(folders[family]), CPU)
    assert single.inpainting == folder.inpainting
    assert np.array_equal(ours(single, plain()), ours(folder, plain()))


def test_it_is_opened_as_a_spec_names_it_and_its_revision_is_of_both(
    folders: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    config = without_weights(folders["SD"], tmp_path / "config")
    named = {"text_to_image": str(files["SD"]), "inpainting": str(files["SD inpainting"])}
    models = Models(spec.Models(**named, config=config))
    assert [found.layout.inpainting for found in read_models(models.spec).inspections.values()] == [False, True]
    assert models.painter.inpainting
    assert models.revision != models.painter_revision
    with open(Path(config, "scheduler/scheduler_config.json"), "a") as file:
        file.write("\n")
    assert Models(spec.Models(**named, config=config)).revision != models.revision


def test_of_the_prediction_of_velocities_a_file_says_itself(folders: dict[str, Path], tmp_path: Path) -> None:
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    file = single_file(folders["SDXL"], tmp_path / "v.safetensors", **marks)
    schedule: Any = open_backbone(str(file), CPU, config=str(folders["SDXL"])).schedule
    assert schedule.prediction == "v_prediction"
    assert schedule.level(999).alpha < 1e-3
    assert open_backbone(str(folders["SDXL"]), CPU).schedule.prediction == "epsilon"


def test_configurations_must_be_of_the_same_family(folders: dict[str, Path], files: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"^models\.config: '.*' is of another family than .* 20 wide, not 8\); give a"):
        inspect(str(files["SD"]), config=str(folders["SDXL"]))
    with pytest.raises(ModelError, match=r"^models\.config: there is no folder '/gone'; give that of"):
        inspect(str(files["SD"]), config="/gone")
    with pytest.raises(ModelError, match=r"^models\.config: '.*' is a single file; give the folder"):
        inspect(str(files["SD"]), config=str(files["SD"]))


def test_those_of_an_unclip_checkpoint_do_not_fit(tiny_unclip_checkpoint: Path, files: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded \(the configuration is that of a StableUnCLIPImg2ImgPipeline\)"):
        open_backbone(str(files["SD"]), config=str(tiny_unclip_checkpoint))


def test_without_configurations_and_hub_the_remedy_is_named(files: dict[str, Path]) -> None:
    message = (
        r"^models\.text_to_image: '.*' is a single file, without configurations and tokenizers, and stable-diffusion-v1-5/"
        r"stable-diffusion-v1-5 is not in the hub's cache; name the folder of a diffusers checkpoint .* in models\.config"
    )
    with pytest.raises(ModelError, match=message):
        inspect(str(files["SD"]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"lora_unet_x.lora_down.weight": torch.zeros(1)}, "it has no UNet: it may be a LoRA, an embedding or a part"),
        (
            {
                "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 8, 3, 3),
                "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(8, 8),
            },
            "diffusers takes it for 'instruct-pix2pix'",
        ),
    ],
)
def test_files_of_another_kind_are_refused(weights: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_file(weights, tmp_path / "file.safetensors")
    with pytest.raises(ModelError, match=rf"^models\.text_to_image: .* in one file \({message}\); give one, or the folder"):
        inspect(str(tmp_path / "file.safetensors"))


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"^models\.text_to_image: '.*' is no safetensors file \("):
        inspect(str(tmp_path / "file.safetensors"))


@pytest.mark.parametrize("part", ["first_stage_model.", "cond_stage_model.", "model.diffusion_model.middle_block.1."])
def test_what_a_file_lacks_is_named(part: str, folders: dict[str, Path], files: dict[str, Path], tmp_path: Path) -> None:
    weights = {name: weight for name, weight in load_file(files["SD"]).items() if not name.startswith(part)}
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(ModelError, match=r"^models\.text_to_image: '.*' cannot be loaded \(.*\); give a file with UNet,"):
        open_backbone(str(tmp_path / "part.safetensors"), CPU, config=str(folders["SD"]))


def test_what_a_header_says_is_what_safetensors_and_diffusers_say_of_it(files: dict[str, Path]) -> None:
    """With the weights that tell further families, too; each of the kinds that are loaded is among them."""
    assert {kind: DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"] for kind in DEFAULTS} == DEFAULTS
    kinds = set()
    for file in files.values():
        weights = {name: weight.to("meta") for name, weight in load_file(file).items()}
        assert header(file) == {name: tuple(weight.shape) for name, weight in weights.items()}
        for further in ({}, {XL: torch.zeros(1)}, *({name: torch.zeros(1)} for name in OTHERS.values()), {V2: WIDE}):
            for extra in (further, {**further, XL: torch.zeros(1)}):
                together = {**weights, **extra}
                kind = kind_of({name: tuple(weight.shape) for name, weight in together.items()})
                assert kind == infer_diffusers_model_type(together), extra.keys()
                kinds.add(kind)
    assert kinds >= DEFAULTS.keys() | OTHERS.keys()


@pytest.mark.parametrize(
    "content", [b"", b"x" * 8, (2).to_bytes(8, "little") + b"[]", (9).to_bytes(8, "little") + b'{"a": {}}']
)
def test_a_header_that_is_none_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"header|JSON|Expecting"):
        header(tmp_path / "file.safetensors")


def test_a_configuration_without_a_unet_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match=r"^models\.config: '.*' has no configuration of a UNet \(.*\); give a diffusers"):
        inspect(str(files["SD"]), config=str(tmp_path))
