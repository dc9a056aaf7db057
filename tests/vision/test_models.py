"""Learning on a base checkpoint, painting with its inpainting twin."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines import spec as specs
from pipelines.backbones.checkpoints import read_models
from pipelines.backbones.revision import revision_of
from pipelines.errors import ModelError, SpecError
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.spec.helpers import check_helpers
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.vision.models import Models
from tests.builders import spec
from tests.checkpoints import build, build_xl

METHOD = {
    "type": "spurious_removal", "superclass": "shoe", "majority": 4, "steps": 2, "objects": "painted",
    "inversion": {"images": 2, "steps": 1, "batch": 2, "vectors": 1}, "lora": {"steps": 1, "batch": 2, "rank": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("base"), prediction="epsilon")


@pytest.fixture(scope="module")
def twin(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inpainting checkpoint with the text encoder of the base."""
    folder = build(tmp_path_factory.mktemp("twin"), inpainting=True, prediction="epsilon")
    shutil.copytree(base / "text_encoder", folder / "text_encoder", dirs_exist_ok=True)
    return folder


def models(base: Path, **changes: Any) -> dict[str, Any]:
    return {"text_to_image": str(base), "segmenter": "cross-attention", **changes}


def test_without_an_inpainting_checkpoint_the_backbone_paints(base: Path) -> None:
    loaded = Models(specs.Models(**models(base)))
    assert loaded.painter is loaded.backbone


def test_what_is_learned_on_the_base_is_painted_by_the_twin(base: Path, twin: Path, tmp_path: Path) -> None:
    document = spec(models=models(base, inpainting=str(twin)), method=METHOD, amount={"per_class": 2})
    job = Job(document, Store.open(tmp_path), Silent())
    job.learn()
    painter, backbone = job.engine.backbone, job.resources.models.backbone
    assert (painter.inpainting, backbone.inpainting) == (True, False)
    assert all("<boot>" in each.text_encoders[0].tokenizer.get_vocab() for each in (painter, backbone))
    assert painter.loras.indices.keys() == backbone.loras.indices.keys() != set()
    for shard in range(job.plan.written_shards):
        assert job.generate([shard])[0]["kept"] == 4
    made = rows.read_shards(job.store, job.resources.root, job.plan)
    assert {(row["model"], row["revision"]) for row in made} == {(str(twin), revision_of(twin))}
    job.resources.models.forget_loras()
    assert not painter.loras.indices


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("base", r"models\.inpainting: .* is no inpainting checkpoint; give one"),
        ("stranger", r"models\.inpainting: .* reads prompts otherwise than .*; give the inpainting checkpoint of the same"),
        ("missing", r"models\.inpainting: there is no folder .*; give that of a diffusers checkpoint, or a hub id"),
    ],
)
def test_another_checkpoint_is_refused(kind: str, message: str, base: Path, tmp_path: Path) -> None:
    path = {"base": base, "stranger": tmp_path / "stranger", "missing": tmp_path / "missing"}[kind]
    if kind == "stranger":
        build(path, inpainting=True)
    with pytest.raises(ModelError, match=message):
        _ = Models(specs.Models(**models(base, inpainting=str(path)))).painter


def test_the_wrong_twin_is_refused_before_a_weight_is_read(base: Path, twin: Path, tmp_path: Path) -> None:
    other = build_xl(tmp_path / "xl", inpainting=True)
    for path in (base, other):
        for weights in path.rglob("unet/*.safetensors"):
            weights.rename(weights.with_suffix(".away"))
            weights.write_bytes(b"never read")
    try:
        with pytest.raises(ModelError, match=r"models\.inpainting: .* is no inpainting checkpoint"):
            read_models(specs.Models(**models(base, inpainting=str(base))))
        with pytest.raises(
            ModelError, match=r"is a StableDiffusionXLInpaintPipeline, and .* a StableDiffusionPipeline; give"
        ):
            read_models(specs.Models(**models(base, inpainting=str(other))))
        assert (
            read_models(specs.Models(**models(base, inpainting=str(twin))))
            .inspections["models.inpainting"]
            .layout.inpainting
        )
    finally:
        for weights in base.rglob("unet/*.away"):
            weights.rename(weights.with_suffix(".safetensors"))


def test_a_superclass_of_several_tokens_is_refused_before_anything_is_learned(base: Path, tmp_path: Path) -> None:
    document = spec(models=models(base), method={**METHOD, "superclass": "thing"})
    job = Job(document, Store.open(tmp_path), Silent())
    with pytest.raises(SpecError, match=r"'thing' is \d tokens of"):
        job.learn()
    assert not job.store.keys("concepts")


def test_an_inpainting_checkpoint_that_would_paint_nothing_is_refused(base: Path) -> None:
    given = spec(models=models(base, inpainting="/models/inpainting"))
    with pytest.raises(SpecError, match=r"models\.inpainting: '/models/inpainting' would paint nothing"):
        check_helpers(given)
