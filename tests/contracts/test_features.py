"""Every cell of the table of families: a yes makes an image, a no is refused with its reason. Costs twelve seconds."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from pipelines.backbones.autopipeline import whole_limits
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.capabilities import check_capabilities
from pipelines.backbones.families import FAMILIES
from pipelines.backbones.features import FEATURES
from pipelines.backbones.inspection import inspect
from pipelines.builtin.train.adapter import exported, install
from pipelines.engine.open import open_engine
from pipelines.engine.requests import Listed
from pipelines.errors import SpecError
from pipelines.evaluation.data import EvaluationData
from pipelines.filters import Panel
from pipelines.filters.early import EarlyVerdicts
from pipelines.methods import open_method
from pipelines.progress import Silent
from pipelines.records import Image
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import Evaluation, VersionSpec
from pipelines.store.object_store import Store
from pipelines.version.plan import make_plan
from pipelines.version.preview import Unranked
from pipelines.vision.classifier import Classifier
from pipelines.vision.models import Models
from tests.backbones.test_additions import weights
from tests.builders import CPU, SIDE, picture, spec
from tests.checkpoints import build, build_3, build_flux, build_pixart, build_xl, build_z_image, vision_tower

BUILDS: dict[str, Callable[[Path], Path]] = {
    "SD 1, 2": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "StableUnCLIP": lambda folder: build(folder, unclip=True),
    "InstructPix2Pix": lambda folder: build(folder, editing=True, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
    "SDXL inpainting": lambda folder: build_xl(folder, inpainting=True),
    "SD 3": build_3,
    "Flux": build_flux,
    "PixArt, Sana, Lumina 2, CogView 4": build_pixart,
    "Qwen-Image, Z-Image": build_z_image,
}
SUPERCLASS = {"superclass": "shoe"}
PLAIN = {"type": "text_to_image", "steps": 1, **SUPERCLASS}
METHODS: dict[str, dict[str, Any]] = {  # of the features that a method asks for
    "image_to_image": {"type": "image_variation", "strengths": (0.5,), "steps": 2},
    "repainting": {"type": "spurious_removal", "steps": 1, "majority": 2, **SUPERCLASS, "inversion": None},
    "image_prompts": {"type": "augmented_conditioning", "steps": 1},
    "inversion": {**PLAIN, "inversion": {"vectors": 1, "images": 1, "steps": 1, "batch": 1, "masked": False}},
    "lora": {**PLAIN, "lora": {"rank": 1, "images": 1, "steps": 1, "batch": 1}},
    "lora_text_encoder": {**PLAIN, "lora": {"rank": 1, "images": 1, "steps": 1, "batch": 1, "text_encoder": True}},
    "negative_prompt": {**PLAIN, "negative_prompt": "blurred"},
    "guidance_rescale": {**PLAIN, "guidance_rescale": 0.5},
    "guidance_interval": {**PLAIN, "steps": 2, "guidance_interval": (0.0, 0.5)},
    "entropy_guidance": {**PLAIN, "steps": 2, "entropy_guidance": 0.5},
    "early_verdict": {**PLAIN, "steps": 2},
    "solver": {**PLAIN, "steps": 3, "solver": "dpmsolver++"},
    "cache_interval": {**PLAIN, "steps": 3, "cache_interval": 2},
    "negative_merging": {**PLAIN, "siblings": 2, "negative_merging": {}},
    "inpainting": {"type": "image_variation", "repaint": "object", "steps": 1, **SUPERCLASS},
    "embeddings": {**PLAIN, "templates": ("a {} in <style>",)},
    "instruct": {"type": "edit_mix", "editor": "instruct", "steps": 1},
}


def method_of(feature: str, family: str, *, plain: bool = False) -> dict[str, Any]:
    """One that asks for the feature; of a family that edits alone, by edits wherever it can be."""
    method = PLAIN if plain else METHODS.get(feature, PLAIN)
    of_noise = feature in ("text_to_image", "negative_merging")
    if family != "InstructPix2Pix" or of_noise or method["type"] != "text_to_image":
        return method
    return {"styles": ("red",), **method, "type": "edit_mix", "editor": "instruct"}


EVALUATIONS: dict[str, dict[str, Any]] = {
    "cross_attention": {"arms": ("erm", "cut_and_paste"), "reencode": 0},  # cuts out objects
    "reencode": {"arms": ("erm", "counterpoise"), "reencode": 1.0},
}
FILTERS: dict[str, dict[str, Any]] = {
    "early_verdict": {"early_verdict": {}, "filters": [{"type": "quality"}]},
    "diffusion_classifier": {"filters": [{"type": "diffusion_classifier", "samples": (1, 2)}]},
}


@dataclass
class Checkpoint:
    """A checkpoint of a family, opened once for all features that ask for no other models."""

    family: str
    path: Path
    opened: Models | None = None


@pytest.fixture(scope="module", params=BUILDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint(request.param, BUILDS[request.param](tmp_path_factory.mktemp("family")))


def asking(feature: str, checkpoint: Checkpoint, models: dict[str, Any], method: dict[str, Any] = PLAIN) -> VersionSpec:
    """A spec that asks for the feature, with further models."""
    named = {"text_to_image": str(checkpoint.path), "resolution": SIDE, **models}
    asked = spec(models=named, method=method, evaluation=EVALUATIONS.get(feature), **FILTERS.get(feature, {}))
    assert FEATURES[feature].used(asked)
    return asked


def adapter(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """An IP-Adapter that is made for the checkpoint, where it needs one."""
    if checkpoint.family == "StableUnCLIP":
        return {}
    pipeline = DiffusionPipeline.from_pretrained(checkpoint.path)
    save_file(exported(install(pipeline.unet, 8)), folder / "adapter.safetensors")
    vision_tower().save_pretrained(folder / "image_encoder")
    return {"adapter": str(folder / "adapter.safetensors")}


def twin(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """The inpainting checkpoint of the same base, with its text encoders."""
    path = BUILDS["SDXL inpainting" if "XL" in checkpoint.family else "SD inpainting"](folder / "twin")
    for encoder in checkpoint.path.glob("text_encoder*"):
        shutil.copytree(encoder, path / encoder.name, dirs_exist_ok=True)
    return {"inpainting": str(path)}


def lora(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    opened = DiffusionPipeline.from_pretrained(checkpoint.path)
    save_file(weights(opened, "diffusers"), folder / "lora.safetensors")
    return {"loras": ({"path": str(folder / "lora.safetensors")},)}


def embedding(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    opened = loaded(checkpoint).text_to_image
    assert isinstance(opened, Backbone)
    vectors = [torch.randn(1, encoder.table.weight.shape[1]) for encoder in opened.text_encoders]
    names = ("emb_params",) if len(vectors) == 1 else ("clip_l", "clip_g")
    save_file(dict(zip(names, vectors, strict=True)), folder / "style.safetensors")
    return {"embeddings": ({"path": str(folder / "style.safetensors"), "token": "<style>"},)}


UNREAD: dict[str, dict[str, Any]] = {  # models of features that are refused before they are read
    "cross_attention": {"segmenter": "cross-attention"},
    "inpainting": {"inpainting": "/models/twin"},
    "loras": {"loras": ({"path": "/models/lora.safetensors"},)},
    "embeddings": {"embeddings": ({"path": "/models/style.safetensors", "token": "<style>"},)},
    "erase": {"erase": ("boot",)},
}
FILES: dict[str, Callable[[Checkpoint, Path], dict[str, Any]]] = {  # of the features that ask for other models
    "image_prompts": adapter,
    "cross_attention": lambda checkpoint, folder: UNREAD["cross_attention"],
    "inpainting": twin,
    "loras": lora,
    "embeddings": embedding,
    "erase": lambda checkpoint, folder: UNREAD["erase"],
}


def loaded(checkpoint: Checkpoint) -> Models:
    """The models of the checkpoint without others beside it, loaded once."""
    if checkpoint.opened is None:
        checkpoint.opened = Models(asking("text_to_image", checkpoint, {}).models, CPU)
    checkpoint.opened.forget_loras()
    return checkpoint.opened


@cache
def source() -> Source:
    """Of all specs here."""
    return open_source(spec().source)


def draw(feature: str, checkpoint: Checkpoint, asked: VersionSpec, folder: Path) -> list[Image]:
    """Images by the feature."""
    models = Models(asked.models, CPU) if feature in FILES else loaded(checkpoint)
    resources = Unranked(asked, Store.open(folder / "store"), Silent(), models=models)
    resources.source = source()
    method = open_method(resources)
    plan = make_plan(asked, "", "", resources.source.counts)
    if feature == "reencode":
        return EvaluationData(resources, plan, method, Evaluation()).reencode([picture()])
    if feature == "cross_attention":
        items = resources.source.splits["train"][:8]
        images = zip(resources.view.images(items), resources.view.object_masks(items, "shoe"), strict=True)
        return [image for image, mask in images if mask is not None]
    method.learn()
    requests, early = method.requests([plan.image(0)], 0), asked.early_verdict
    probe = None if early is None else EarlyVerdicts(resources, early, Panel(resources))
    judge = Classifier(resources.source.classes).eval() if asked.method.entropy_guidance else None
    engine = open_engine(resources.painter, cache_interval=asked.method.cache_interval, classifier=judge)
    candidates = [c for batch in engine.batches(Listed(requests), probe) for c in batch]
    assert probe is None or len(probe.scores) == 1
    assert [candidate.failure for candidate in candidates] == [None]
    if feature == "diffusion_classifier":
        (sample,) = Panel(resources).judge(candidates)
        assert -1 < sample.verdict.scores["diffusion_classifier.margin"] < float("inf")
    return [candidate.image for candidate in candidates]


def test_the_table_has_the_families_that_are_tried() -> None:
    assert list(FAMILIES) == list(BUILDS)


def test_the_classes_of_a_column_are_alike() -> None:
    for name in ("PixArtAlpha", "Sana", "Lumina2", "CogView4"):
        assert whole_limits(f"{name}Pipeline") == FAMILIES["PixArt, Sana, Lumina 2, CogView 4"]
    assert whole_limits("ZImagePipeline") == FAMILIES["Qwen-Image, Z-Image"]


def test_its_columns_are_of_the_checkpoints(checkpoint: Checkpoint) -> None:
    assert dict(inspect(str(checkpoint.path)).limits) == dict(FAMILIES[checkpoint.family])


@pytest.mark.parametrize("feature", FEATURES)
def test_every_cell_is_true(feature: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    limits, inspections = FAMILIES[checkpoint.family], {"models.text_to_image": inspect(str(checkpoint.path))}
    if feature in limits:
        unread = UNREAD.get(feature, {})
        method = method_of(feature, checkpoint.family, plain=bool(unread))
        # Negative merging is text to image's, which a family that edits alone refuses first.
        first = "text_to_image" if {feature, "text_to_image"} <= limits.keys() and feature == "negative_merging" else feature
        refusal = re.escape(FEATURES[first].field) + r": .*, and " + re.escape(limits[first])
        with pytest.raises(SpecError, match=refusal):
            check_capabilities(asking(feature, checkpoint, unread, method), inspections)
        return
    models = FILES[feature](checkpoint, tmp_path) if feature in FILES else {}
    asked = asking(feature, checkpoint, models, method_of(feature, checkpoint.family))
    check_capabilities(asked, inspections)
    assert {image.shape for image in draw(feature, checkpoint, asked, tmp_path)} == {(SIDE, SIDE, 3)}
