"""The engine against diffusers' own pipelines, and against itself one request at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from scipy.ndimage import binary_erosion

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.engine.batch import latent_mask
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError
from pipelines.records import Graft, Image, Item, Request
from pipelines.regions import paste
from pipelines.tensors import tensor
from tests.builders import CPU, picture, square

ITEM = Item("a/b.png", "0" * 64, "boot", "grass")


def request(index: int = 0, **changes: object) -> Request:
    plain = Request(index, 0, 100 + index, "boot", "text_to_image", "a photo of a red shoe", guidance=3.0, steps=6)
    return replace(plain, **changes)  # type: ignore[arg-type]


def mixture() -> list[Request]:
    """Requests that differ in everything a request can differ in."""
    return [
        request(0),
        request(1, guidance=1.0, steps=3, solver="dpmsolver++"),
        request(2, source=ITEM, image=picture(1), strength=0.5, prompt="a bag on grass"),
        request(3, source=ITEM, image=picture(2), mask=square(), steps=8, solver="dpmsolver++"),
        request(4, source=ITEM, image=picture(3), mask=square(), strength=0.7, guidance=1.0),
        request(5, prompt="", guidance_interval=(0.2, 0.8)),
        request(6, steps=1),
    ]


def noise(seed: int) -> torch.Tensor:
    return torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(seed))[None]


def near(a: Image, b: Image, limit: int = 1) -> bool:
    """Equal up to the rounding of a float difference."""
    return bool(np.abs(a.astype(int) - b.astype(int)).max() <= limit)


def ours(model: Backbone, one: Request) -> Image:
    return next(iter(Engine(model).run([one]))).image


@pytest.fixture
def theirs(tiny_checkpoint: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    assert isinstance(pipeline.scheduler, DDIMScheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def to_image(array: np.ndarray) -> Image:  # type: ignore[type-arg]
    return np.round(array * 255).astype(np.uint8)


def test_text_to_image_agrees_with_diffusers(tiny_model: Backbone, theirs: StableDiffusionPipeline) -> None:
    one = request(7)
    expected = theirs(
        one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np"
    ).images[0]
    assert near(ours(tiny_model, one), to_image(expected))


@pytest.mark.parametrize("karras", [False, True])
def test_a_multistep_solver_agrees_with_diffusers(karras: bool, theirs: StableDiffusionPipeline, tmp_path: Path) -> None:
    """From noise, and from images, in whole and in part, of which the rest is kept at every step."""
    theirs.scheduler = DPMSolverMultistepScheduler.from_config(theirs.scheduler.config, use_karras_sigmas=karras)
    theirs.save_pretrained(tmp_path)
    parts = {**theirs.components, "requires_safety_checker": False}
    inside, photo, region = slice(12, 20), PIL.Image.fromarray(picture()), PIL.Image.fromarray(square())
    cases: list[tuple[Request, Any, dict[str, Any]]] = [
        (request(7), theirs, {"latents": noise(107)}),
        (request(8, source=ITEM, image=picture(), strength=0.5), StableDiffusionImg2ImgPipeline(**parts), {"image": photo}),
        (
            request(9, source=ITEM, image=picture(), mask=square()),
            StableDiffusionInpaintPipeline(**parts),
            {"image": photo, "mask_image": region, "height": 32, "width": 32, "latents": noise(109)},
        ),
    ]
    for one, pipeline, inputs in cases:
        pipeline.set_progress_bar_config(disable=True)
        if one.image is not None:
            inputs["strength"] = one.strength
        expected = pipeline(
            one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, output_type="np", **inputs,
            generator=torch.Generator().manual_seed(one.seed),
        ).images[0]  # fmt: skip
        got = ours(open_backbone(str(tmp_path), CPU), one)
        assert near(got[inside, inside], to_image(expected)[inside, inside])
        assert one.mask is not None or near(got, to_image(expected))
        assert not near(got, ours(open_backbone(str(tmp_path), CPU), replace(one, solver="ddim")))


@torch.no_grad()
def test_guidance_in_an_interval_agrees_with_a_plain_loop(tiny_model: Backbone, theirs: StableDiffusionPipeline) -> None:
    one, counts = request(7, steps=10, guidance_interval=(0.2, 0.8)), []
    prompt, negative = theirs.encode_prompt(one.prompt, "cpu", 1, True)
    x = noise(one.seed)
    theirs.scheduler.set_timesteps(one.steps)
    for index, t in enumerate(theirs.scheduler.timesteps):
        prediction = theirs.unet(x, t, prompt).sample
        if 2 <= index < 8:
            empty = theirs.unet(x, t, negative).sample
            prediction = empty + one.guidance * (prediction - empty)
        x = theirs.scheduler.step(prediction, t, x).prev_sample
    pixels = theirs.vae.decode(x / theirs.vae.config.scaling_factor).sample / 2 + 0.5
    predict = tiny_model.predict

    def counting(xt: torch.Tensor, *arguments: Any) -> torch.Tensor:
        counts.append(len(xt))
        return predict(xt, *arguments)

    tiny_model.predict = counting  # type: ignore[method-assign]
    assert near(ours(tiny_model, one), to_image(pixels.clamp(0, 1)[0].permute(1, 2, 0).numpy()))
    assert counts == [1] * 2 + [2] * 6 + [1] * 2
    assert np.array_equal(
        ours(tiny_model, replace(one, guidance_interval=(0.0, 1.0))), ours(tiny_model, request(7, steps=10))
    )
    counts.clear()
    ours(tiny_model, replace(one, image=picture(), strength=0.5))
    assert counts == [2] * 3 + [1] * 2, "shares of the full run, of which half is run"


def test_image_to_image_agrees_with_diffusers(tiny_model: Backbone, theirs: StableDiffusionPipeline) -> None:
    one = request(8, source=ITEM, image=picture(), strength=0.5)
    pipeline = StableDiffusionImg2ImgPipeline(**theirs.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        one.prompt, image=PIL.Image.fromarray(picture()), strength=0.5, num_inference_steps=one.steps, output_type="np",
        guidance_scale=one.guidance, generator=torch.Generator().manual_seed(one.seed),
    ).images[0]  # fmt: skip
    assert near(ours(tiny_model, one), to_image(expected))


def test_inpainting_agrees_with_diffusers_inside_the_mask(tiny_model: Backbone, theirs: StableDiffusionPipeline) -> None:
    one = request(9, source=ITEM, image=picture(), mask=square())
    pipeline = StableDiffusionInpaintPipeline(**theirs.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        one.prompt, image=PIL.Image.fromarray(picture()), mask_image=PIL.Image.fromarray(square()), strength=1.0, height=32,
        width=32, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np",
    ).images[0]  # fmt: skip
    inside = slice(12, 20)
    assert near(ours(tiny_model, one)[inside, inside], to_image(expected)[inside, inside])


def test_an_inpainting_checkpoint_agrees_with_diffusers(tiny_inpainting_checkpoint: Path) -> None:
    one = request(3, source=ITEM, image=picture(), mask=square())
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(tiny_inpainting_checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        one.prompt, image=PIL.Image.fromarray(picture()), mask_image=PIL.Image.fromarray(square()), strength=1.0, height=32,
        width=32, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np",
    ).images[0]  # fmt: skip
    inside = slice(12, 20)
    got = ours(open_backbone(str(tiny_inpainting_checkpoint), CPU), one)
    # diffusers blanks the region to mid-grey before encoding it, as we do
    assert near(got[inside, inside], to_image(expected)[inside, inside], limit=2)


def test_a_mixed_batch_equals_one_request_at_a_time(tiny_model: Backbone) -> None:
    together = {c.request.index: c.image for c in Engine(tiny_model, capacity=4).run(mixture())}
    assert sorted(together) == list(range(7))
    for one in mixture():
        assert near(together[one.index], ours(tiny_model, one))


def test_rows_of_several_sizes_equal_one_request_at_a_time(tiny_model: Backbone) -> None:
    """Small frames beside whole ones, each with its own pixels outside the region."""
    work = [
        request(n, source=ITEM, image=picture(n, side), mask=square(side), strength=(0.5, 1.0)[n % 2], steps=4 + n % 3)
        for n, side in enumerate((16, 32, 24, 16, 32, 16, 24))
    ]
    together = {c.request.index: c.image for c in Engine(tiny_model, capacity=4).run(work)}
    assert sorted(together) == list(range(7))
    for one in work:
        assert one.image is not None
        assert one.mask is not None
        assert together[one.index].shape == one.image.shape
        assert near(together[one.index], ours(tiny_model, one))
        assert np.array_equal(together[one.index][~one.mask], one.image[~one.mask])
        assert not np.array_equal(together[one.index], one.image)


def test_the_same_stream_gives_the_same_bytes(tiny_model: Backbone) -> None:
    first, second = ([c.image.tobytes() for c in Engine(tiny_model, capacity=3).run(mixture())] for _ in range(2))
    assert first == second


def test_another_seed_gives_another_image(tiny_model: Backbone) -> None:
    assert not np.array_equal(ours(tiny_model, request(1)), ours(tiny_model, request(1, seed=7)))


def test_slots_are_refilled_at_once_and_never_exceeded(tiny_model: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sizes = Engine(tiny_model, capacity=4), []
    tick = Engine.tick

    def counting(self: Engine, active: list[object]) -> None:
        sizes.append(len(active))
        tick(self, active)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "tick", counting)
    requests = [request(i, steps=2 + i % 5) for i in range(20)]
    assert len(list(engine.run(requests))) == 20
    assert max(sizes) == 4
    # every step of every request is one row of one tick, and slots idle only when the stream has run dry
    assert sum(sizes) == sum(r.steps for r in requests)
    assert all(size == 4 for size in sizes[: -max(r.steps for r in requests)])


def test_the_stream_is_read_no_further_than_there_are_slots(tiny_model: Backbone) -> None:
    read = []

    def stream() -> object:
        for i in range(50):
            read.append(i)
            yield request(i, steps=2)

    made = Engine(tiny_model, capacity=4).run(stream())  # type: ignore[arg-type]
    next(made)
    assert len(read) <= 8


@pytest.mark.parametrize("count", [1, 4, 5, 8, 13])
def test_requests_that_all_finish_at_once_are_followed_by_the_rest(tiny_model: Backbone, count: int) -> None:
    made = Engine(tiny_model, capacity=4).run(request(i, steps=2) for i in range(count))
    assert sorted(c.request.index for c in made) == list(range(count))


def test_nothing_in_nothing_out(tiny_model: Backbone) -> None:
    assert list(Engine(tiny_model).run([])) == []


def test_pixels_outside_the_mask_are_the_originals_to_the_bit(tiny_model: Backbone) -> None:
    one = request(0, source=ITEM, image=picture(), mask=square())
    made = ours(tiny_model, one)
    assert np.array_equal(made[~square()], picture()[~square()])
    assert not np.array_equal(made[square()], picture()[square()])


def test_a_pasted_region_fades_inwards_only() -> None:
    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    mixed = paste(black, white, square())
    assert (mixed[~square()] == 0).all()
    assert (mixed[14:18, 14:18] == 255).all()


def test_a_latent_cell_may_change_when_any_of_its_pixels_may() -> None:
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[5, 9] = True
    changing = latent_mask(request(mask=mask), 4, torch.zeros(1))
    assert changing is not None
    assert changing[0].nonzero().tolist() == [[1, 2]]


def grafted() -> Request:
    """A white object of 8x8 on a picture of noise, and the square around it to be painted."""
    there = np.zeros((32, 32), dtype=np.bool_)
    there[12:20, 12:20] = True
    pasted = np.where(there[..., None], 255, picture()).astype(np.uint8)
    donor = Item("train/boot/1.png", "0" * 64, "boot", None)
    return request(image=picture(), mask=square(), graft=Graft(donor, pasted, there))


def test_a_real_object_and_all_outside_the_region_stay_as_they_are(tiny_model: Backbone) -> None:
    one = grafted()
    assert one.graft is not None
    made = ours(tiny_model, one)
    assert (made[binary_erosion(one.graft.mask, iterations=2)] == 255).all()
    assert np.array_equal(made[~square()], picture()[~square()])
    gap = binary_erosion(square(), iterations=2) & ~one.graft.mask  # up to the object nothing of the old image is left
    plain = np.abs(made[gap].astype(int) - picture()[gap]).max(axis=1)
    assert (plain > 2).mean() > 0.9


def test_what_starts_from_noise_has_the_size_that_was_asked_for(tiny_model: Backbone) -> None:
    made = ours(tiny_model, request(size=(40, 24)))
    assert made.shape == (40, 24, 3)
    assert ours(tiny_model, request()).shape == (32, 32, 3)


def test_the_model_sees_the_object_that_it_joins() -> None:
    """Cells that it fills by half are kept, though some of their pixels are painted."""
    one = grafted()
    assert one.graft is not None
    changing = latent_mask(one, 4, torch.zeros(1))
    assert changing is not None
    assert changing.sum() == latent_mask(replace(one, graft=None), 4, torch.zeros(1)).sum() - 4  # type: ignore[union-attr]
    shifted = replace(one, graft=replace(one.graft, mask=np.roll(one.graft.mask, 1, axis=0)))
    assert torch.equal(latent_mask(shifted, 4, torch.zeros(1)), changing)  # type: ignore[arg-type]


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"models\.text_to_image"):
        open_backbone(str(tmp_path), CPU)


def test_an_overflow_fails_its_own_request_and_the_batch_goes_on(tiny_model: Backbone) -> None:
    decode = tiny_model.decode_latents

    def overflow(latents: torch.Tensor) -> torch.Tensor:
        pixels = decode(latents)
        pixels[0, 0, 0, 0] = torch.nan
        return pixels

    tiny_model.decode_latents = overflow  # type: ignore[method-assign]
    first, second = Engine(tiny_model, capacity=2).run([request(0), request(1)])
    assert first.failure is not None
    assert "bf16 or fp32" in first.failure
    assert second.failure is None


def test_encoding_does_not_depend_on_the_batch(tiny_model: Backbone) -> None:
    both = tiny_model.encode_images(tensor([picture(1), picture(2)]))
    alone = tiny_model.encode_images(tensor([picture(2)]))
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_a_prompt_that_would_be_cut_is_refused(tiny_model: Backbone) -> None:
    """What comes last is the class, more often than not."""
    with pytest.raises(ModelError, match=r"the prompt 'a photo of a red .* tokens long, and .* reads 32; say it in"):
        ours(tiny_model, request(prompt="a photo of a " + "red " * 40 + "shoe"))


@pytest.mark.parametrize("limit", [1, 3])
def test_memory_that_runs_out_halves_the_capacity_and_nothing_is_lost(
    tiny_model: Backbone, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    expected = {c.request.index: c.image for c in Engine(tiny_model, capacity=8).run(mixture())}
    for name in ("predict", "encode_images", "decode_latents"):
        monkeypatch.setattr(tiny_model, name, limited(getattr(tiny_model, name), limit))
    engine = Engine(tiny_model, capacity=8)
    made = {c.request.index: c.image for c in engine.run(r for r in mixture() if limit > 1 or r.guidance == 1)}
    assert engine.capacity == 1
    assert made
    assert all(np.abs(image.astype(int) - expected[index]).max() <= 1 for index, image in made.items())


def limited(work: Callable[..., torch.Tensor], limit: int) -> Callable[..., torch.Tensor]:
    def fitting(batch: torch.Tensor, *arguments: Any) -> torch.Tensor:
        if len(batch) > limit:
            raise torch.OutOfMemoryError
        return work(batch, *arguments)

    return fitting


def test_where_not_even_one_image_fits_the_error_says_so(tiny_model: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_model, "predict", limited(tiny_model.predict, 0))
    with pytest.raises(ModelError, match="engine: the card's memory does not suffice"):
        list(Engine(tiny_model).run([request()]))


def test_a_prompt_that_cannot_be_read_fails_its_own_request(tiny_model: Backbone) -> None:
    long = " ".join(["boot"] * 40)
    made = {c.request.index: c for c in Engine(tiny_model).run([request(0), request(1, prompt=long), request(2)])}
    assert [made[index].failure is None for index in range(3)] == [True, False, True]
    assert "tokens long" in str(made[1].failure)
    with pytest.raises(ModelError, match="tokens long"):
        list(Engine(tiny_model).run([request(0, prompt=long), request(1, prompt=long)]))
