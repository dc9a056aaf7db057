"""How the inpainting twin is trained: on which regions, and from which weights. Takes 20 seconds."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
from transformers import CLIPTokenizer

from pipelines import spec as specs
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import WEIGHTS, resolve
from pipelines.builtin.oracle import Oracle
from pipelines.builtin.train import inpainting, inpainting_quality
from pipelines.builtin.train.inpainting import Batch, draw_batch, widened
from pipelines.builtin.train.inpainting_quality import TITLE, continued, draw_tasks, measure
from pipelines.builtin.train.inpainting_quality import repaint as paint
from pipelines.builtin.train.loop import Batches
from pipelines.builtin.train.masks import KINDS, Draw, box, draw_kinds, gap, outline, repaint, surroundings, whole
from pipelines.builtin.train.pictures import fresh
from pipelines.builtin.train.quality import HOME
from pipelines.builtin.train.shapes import levels
from pipelines.engine.batch import changing_latents, latent_mask
from pipelines.records import Candidate, Graft, Item, Request
from pipelines.tensors import mask_tensor
from pipelines.vision.models import Models
from tests.builders import CPU
from tests.parts import FASHION_MNIST

DATA = fresh(0)
SHAPES = levels(DATA)
MODEL = resolve("builtin", "model")


def some(kind: Draw) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of sixty pictures: the object, the region of a kind, and what is kept in it."""
    rng = np.random.default_rng(1)
    pairs = zip(DATA.masks[:60], DATA.masks[60:120], strict=True)
    return [(object_, *repaint(rng, kind, object_, other)) for object_, other in pairs]


def test_kinds_are_drawn_by_their_shares() -> None:
    counts = Counter(draw_kinds(np.random.default_rng(0), 4000))
    assert sum(KINDS.values()) == pytest.approx(1)
    assert all(counts[kind] / 4000 == pytest.approx(share, abs=0.03) for kind, share in KINDS.items())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_region_is_a_mask_of_the_picture_in_which_something_is_repainted(kind: Draw) -> None:
    drawn = some(kind)
    assert all(part.shape == (64, 64) and part.dtype == np.bool_ for one in drawn for part in one)
    assert all((region & ~kept).sum() >= 40 for _, region, kept in drawn)
    sizes = {int(region.sum()) for _, region, _ in drawn}
    assert len(sizes) == 1 if kind is whole else len(sizes) > 20


def test_a_region_of_the_object_holds_it_and_its_surroundings_do_not() -> None:
    assert all(region[object_].all() for kind in (box, outline, gap) for object_, region, _ in some(kind))
    assert not any(region[object_].any() for object_, region, _ in some(surroundings))
    assert all(np.array_equal(kept, object_) for object_, _, kept in some(gap))
    assert not any(kept.any() for _, _, kept in some(box))


def test_masks_and_latents_change_where_the_engine_has_them_change() -> None:
    item = Item("one", "", "boot", None)
    for kind in (box, gap, surroundings):
        for object_, region, kept in some(kind)[:20]:
            graft = Graft(item, DATA.images[0], object_) if kind is gap else None
            request = Request(0, 0, 0, "boot", "", "", image=DATA.images[0], mask=region, graft=graft)
            regions, grafts = mask_tensor([region]), mask_tensor([kept])
            assert torch.equal(changing_latents(regions, grafts, 4)[0], latent_mask(request, 4, regions))  # type: ignore[arg-type]
            assert np.array_equal((regions > grafts)[0, 0].numpy(), request.inpaint_mask)


def batch(seed: int, size: int = 24) -> Batch:
    tokenizer = CLIPTokenizer.from_pretrained(MODEL, subfolder="tokenizer")
    return draw_batch(torch.Generator().manual_seed(seed), DATA, SHAPES, tokenizer, size, 4)


def test_a_batch_is_a_function_of_its_generator() -> None:
    first, again, other = batch(3), batch(3), batch(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert [tuple(part.shape) for part in first] == [
        (24,),
        (24, 32),
        (24, 1, 64, 64),
        (24, 1, 16, 16),
        (24, 4, 16, 16),
        (24,),
    ]
    assert first.mask.flatten(1).any(dim=1).all()
    assert set(first.changing.unique().tolist()) == {0.0, 1.0}


def test_batches_that_other_processes_prepare_are_the_same_and_in_order() -> None:
    batches = Batches(lambda generator: torch.rand(3, generator=generator), seed=5)
    here, there = (list(batches.from_step(2, 7, workers)) for workers in (0, 2))
    assert len(here) == 5
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    assert torch.equal(here[1], next(iter(batches.from_step(3, 7, 0))))


def test_before_it_is_trained_the_twin_predicts_what_the_plain_model_does() -> None:
    unet = StableDiffusionPipeline.from_pretrained(MODEL, dtype=torch.float32, safety_checker=None).unet
    generator = torch.Generator().manual_seed(0)
    x, more = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 5, 16, 16, generator=generator)
    t, context = torch.tensor([900, 20]), torch.randn(2, 32, 128, generator=generator)
    with torch.inference_mode():
        plain, wide = unet(x, t, context).sample, widened(unet)(torch.cat([x, more], dim=1), t, context).sample
    assert torch.allclose(plain, wide, rtol=0, atol=1e-6)


def test_it_trains_into_an_inpainting_checkpoint_that_reads_as_the_plain_one(tmp_path: Path) -> None:
    FASHION_MNIST.path()
    inpainting.main(tmp_path, count=80, steps=3, batch=8, workers=1)
    twin, plain = open_backbone(str(tmp_path / "inpainting"), CPU), open_backbone(MODEL, CPU)
    assert twin.inpainting
    assert not plain.inpainting
    assert twin.reads_as(plain)
    assert (twin.denoiser.conv_in.weight[:, 4:] != 0).any()
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(tmp_path / "inpainting", safety_checker=None)
    assert pipeline.unet.config.in_channels == 9
    configs = [file.read_text() for file in (tmp_path / "inpainting").glob("*/config.json")]
    assert not any(str(WEIGHTS) in config for config in configs), "paths of this machine"


def test_the_scene_in_a_region_is_judged_without_what_lies_around_it() -> None:
    """Of a region of one scene in a picture of another, the oracle recognises the first."""
    (task, original), oracle = draw_tasks(40, seed=0), Oracle().model
    assert not np.any(task.factors[:, 0] == original.factors[:, 0])
    whole = [np.where(np.arange(64)[:, None, None] % 2, 255, 0).astype(np.uint8) for _ in task.images]
    pasted = [np.where(m[..., None], i, w) for i, m, w in zip(task.images, task.regions, whole, strict=True)]
    assert all(
        np.array_equal(continued(i, m), continued(p, m)) for i, p, m in zip(task.images, pasted, task.regions, strict=True)
    )
    requests = original.requests(steps=1, seed=0)
    same = measure(oracle, [Candidate(r, i) for r, i in zip(requests, original.images, strict=True)], original)
    assert same["scene"] >= 0.95
    assert (same["seam"], same["seam passes"]) == (0, 1)
    other = measure(oracle, [Candidate(r, i[::-1]) for r, i in zip(requests, original.images[::-1], strict=True)], original)
    assert other["scene"] < 0.5
    assert other["seam passes"] < 0.5


def test_the_card_gets_its_section_once_and_keeps_the_rest(tmp_path: Path) -> None:
    plain = StableDiffusionPipeline.from_pretrained(MODEL, dtype=torch.float32, safety_checker=None)
    twin = StableDiffusionInpaintPipeline(**{**plain.components, "unet": widened(plain.unet)}, requires_safety_checker=False)
    twin.save_pretrained(tmp_path / "twin")
    for file in ("QUALITY.md", "quality.json"):
        shutil.copy(HOME / file, tmp_path)
    before = (tmp_path / "QUALITY.md").read_text().partition(f"\n{TITLE}")[0]
    for _ in range(2):
        inpainting_quality.main(tmp_path / "twin", work=tmp_path, images=2, home=tmp_path)
    text = (tmp_path / "QUALITY.md").read_text()
    assert text.startswith(before)
    assert text.count(TITLE) == 1
    assert json.loads((tmp_path / "quality.json").read_text())["inpainting"]["rates"].keys() > {"rendered", "twin, 10 steps"}
    assert (tmp_path / "quality-inpainting.png").exists()


def test_the_bundled_twin_paints_a_region_as_its_surroundings_are() -> None:
    models, (task, _) = Models(specs.Models(inpainting="builtin-inpainting")), draw_tasks(24, seed=0)
    oracle, backbones = Oracle().model, {"plain": models.backbone, "twin": models.painter}
    rates = {name: measure(oracle, paint(backbone, task, 10, 0), task) for name, backbone in backbones.items()}
    assert rates["twin"]["scene"] >= max(0.9, rates["plain"]["scene"] + 0.1)
    assert rates["twin"]["seam"] < rates["plain"]["seam"] / 2
    assert rates["twin"]["garment"] >= rates["plain"]["garment"] - 0.2
