"""Where checkpoints lie, and what is said of those that are nowhere, of whatever field. Costs three seconds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.backbones.adapter_files import adapter_files
from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.locate import CLIP, DIFFUSERS, locate
from pipelines.backbones.revision import revision_of
from pipelines.builtin.checkpoints import resolve
from pipelines.errors import ModelError
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.store.object_store import Store
from tests.builders import CPU, spec
from tests.checkpoints import build_xl, vision_tower

Publish = Callable[[Path, str, str], Path]  # a folder as a repository of this id and branch; its snapshot


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a folder into a cache of the hub as a download leaves it there."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    def put(folder: Path, identity: str, branch: str) -> Path:
        repository = cache / f"models--{identity.replace('/', '--')}"
        commit = format(len(list(repository.glob("snapshots/*"))), "040x")
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / branch).write_text(commit)
        return Path(shutil.copytree(folder, repository / "snapshots" / commit))

    return put


FIELDS: dict[str, dict[str, Any]] = {
    "models.text_to_image": {"models": {"text_to_image": "VALUE", "segmenter": "cross-attention"}},
    "models.inpainting": {"models": {"inpainting": "VALUE"}, "method": {"type": "spurious_removal", "superclass": "shoe"}},
    "models.segmenter": {"models": {"segmenter": "VALUE"}},
    "models.clip": {"models": {"clip": "VALUE"}},
    "classifier.checkpoint": {"classifier": {"checkpoint": "VALUE"}},
}


def check(field: str, value: str, folder: Path) -> None:
    changes = json.loads(json.dumps(FIELDS[field]).replace("VALUE", value))
    Job(spec(**changes), Store.open(folder), Silent()).check()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/no/such/place", "there is no folder '/no/such/place'; give that of an? .*, or a hub id"),
        ("./place", "there is no folder './place'; give that"),
        ("~/place", "there is no folder '~/place'; give that"),
        ("models/of/mine", "there is no folder 'models/of/mine'; give that"),
        ("place", "there is no folder 'place'; give that"),
        (
            "org/name@v1",
            "'org/name@v1' is neither here nor in the hub's cache, and HF_HUB_OFFLINE=1 forbids a download; run "
            "HF_HUB_OFFLINE=0 hf download org/name --revision v1, or give the path of an? ",
        ),
    ],
)
def test_what_is_nowhere_is_named_before_anything_is_made(field: str, value: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{field}: {message}"):
        check(field, value, tmp_path)


@pytest.mark.parametrize("field", FIELDS)
def test_so_is_what_is_something_else(field: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    if field not in ("models.text_to_image", "models.inpainting"):
        with pytest.raises(ModelError, match=rf"^{field}: '.*' is a single file; give the folder of an? "):
            check(field, str(file), tmp_path / "out")
    pickle = file.rename(tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match=rf"^{field}: '.*' is no safetensors file, and pickles can run code .*; convert it"):
        check(field, str(pickle), tmp_path / "out")
    with pytest.raises(ModelError, match=rf"^{field}: '.*' has no (config|model_index)\.json; give the folder of an? "):
        check(field, str(tmp_path), tmp_path / "out")


def test_a_model_of_another_type_is_refused(tmp_path: Path) -> None:
    for field, part in (("models.segmenter", "clip"), ("models.clip", "segmenter")):
        with pytest.raises(ModelError, match=rf"^{field}: '.*' is a model of the type '\w+'; give a CLIP"):
            check(field, resolve("builtin", part), tmp_path)


def test_a_repository_of_the_cache_is_its_snapshot(publish: Publish, tiny_checkpoint: Path) -> None:
    snapshot = publish(tiny_checkpoint, "org/tiny", "main")
    assert locate("models.text_to_image", "org/tiny", DIFFUSERS) == snapshot
    assert inspect("org/tiny").layout.resolution == 32
    assert revision_of(snapshot) == revision_of(tiny_checkpoint)


def test_a_revision_is_a_branch_or_a_commit(publish: Publish, tmp_path: Path) -> None:
    clip = Path(resolve("builtin", "clip"))
    first, second = publish(clip, "org/clip", "main"), publish(clip, "org/clip", "v2")
    assert locate("models.clip", "org/clip", CLIP) == first
    assert locate("models.clip", "org/clip@v2", CLIP) == locate("models.clip", f"org/clip@{second.name}", CLIP) == second
    with pytest.raises(ModelError, match=r"^models.clip: 'org/clip@v3' is neither here"):
        locate("models.clip", "org/clip@v3", CLIP)


def test_a_path_that_exists_may_hold_an_at_sign(publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Path(resolve("builtin", "clip"))
    publish(clip, "org/clip", "v2")
    shutil.copytree(clip, tmp_path / "org/clip@v2")
    monkeypatch.chdir(tmp_path)
    assert locate("models.clip", "org/clip@v2", CLIP) == Path("org/clip@v2")
    assert locate("models.clip", str(tmp_path / "org/clip@v2"), CLIP) == tmp_path / "org/clip@v2"


def test_half_precision_files_alone_are_loaded_from_the_cache(publish: Publish, tmp_path: Path) -> None:
    """Of parts that have them: the others' plain ones."""
    folder = build_xl(tmp_path / "half", variant="fp16")
    file = folder / "vae/diffusion_pytorch_model.fp16.safetensors"
    file.rename(file.with_name("diffusion_pytorch_model.safetensors"))
    publish(folder, "org/half", "main")
    half, plain = open_backbone("org/half", CPU), open_backbone(str(build_xl(tmp_path / "plain")), CPU)
    for some, other in ((half.denoiser, plain.denoiser), (half.vae, plain.vae)):
        assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in some.state_dict().items())


def test_an_adapter_of_a_repository_has_its_encoder_beside_it(publish: Publish, tmp_path: Path) -> None:
    folder = tmp_path / "adapters"
    vision_tower().save_pretrained(folder / "models" / "image_encoder")
    (folder / "models" / "adapter.safetensors").write_bytes(b"")
    snapshot = publish(folder, "org/adapters", "v1")
    files = adapter_files("org/adapters/models/adapter.safetensors@v1")
    assert files.weights == snapshot / "models/adapter.safetensors"
    assert files.encoder == snapshot / "models/image_encoder"
