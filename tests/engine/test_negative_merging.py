"""Negative token merging, against the formula in numpy and a plain loop over diffusers' UNet. A few seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.negative_merging import Pairs, push
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError, SpecError
from pipelines.methods import open_method
from pipelines.records import Image, NegativeMerging, Request
from pipelines.spec import parse
from pipelines.version.plan import make_plan
from tests.builders import CPU, open_resources, spec
from tests.checkpoints import build, build_3, build_xl
from tests.engine.test_engine import near, noise, request

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "SD": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
}
Tokens = NDArray[np.float32]
FIRST = request(0, steps=8)
# Further than the paper's 0.9: attention does little in a model of random weights.
MERGING = NegativeMerging(FIRST.seed, alpha=20.0, threshold=0.7, until=0.5)


@pytest.fixture(scope="module", params=BUILDERS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUILDERS[request.param](tmp_path_factory.mktemp("merging"))


def sibling(index: int, **changes: Any) -> Request:
    return replace(FIRST, index=index, seed=100 + index, negative_merging=replace(MERGING, **changes))


def drawn(backbone: Backbone, requests: list[Request], capacity: int = 8) -> dict[int, Image]:
    return {c.request.index: c.image for c in Engine(backbone, capacity).run(requests)}


def by_formula(
    x: NDArray[np.float32], reference: NDArray[np.float32], alpha: float, threshold: float
) -> NDArray[np.float32]:
    """Tokens (tokens, width) one by one."""
    pushed = []
    for token in x:
        cosines = [float(token @ other / np.linalg.norm(token) / np.linalg.norm(other)) for other in reference]
        nearest = reference[int(np.argmax(cosines))]
        pushed.append((1 + alpha) * token - alpha * nearest if max(cosines) > threshold else token)
    return np.stack(pushed)


def test_tokens_are_pushed_as_the_formula_says() -> None:
    generator = torch.Generator().manual_seed(0)
    x, reference = (torch.randn(2, tokens, 3, generator=generator) for tokens in (5, 7))
    alpha, threshold = torch.tensor([0.9, 0.4]), torch.tensor([0.7, 0.95])
    pushed = push(x, reference, alpha, threshold)
    expected = [
        by_formula(*pair, *map(float, settings))
        for *pair, settings in zip(x.numpy(), reference.numpy(), zip(alpha, threshold, strict=True), strict=True)
    ]
    assert np.allclose(pushed, np.stack(expected), atol=1e-5)
    moved = (pushed != x).any(dim=-1)
    assert moved.any()
    assert not moved.all(), "some tokens have none that is similar enough"
    assert torch.equal(push(x, reference, alpha, torch.ones(2)), x)


@torch.inference_mode()
def test_every_self_attention_of_the_up_blocks_pushes_these_rows_alone(checkpoint: Path) -> None:
    backbone, raw, pushed = open_backbone(str(checkpoint), CPU), list[Tensor](), list[Tensor]()
    unet = backbone.denoiser
    layers = [layer for name, layer in unet.named_modules() if name.endswith("attn1")]
    up = [layer for name, layer in unet.up_blocks.named_modules() if name.endswith("attn1")]
    assert 0 < len(up) < len(layers)
    for layer in layers:
        layer.register_forward_hook(lambda _, __, output: raw.append(output.clone()))
    merging = backbone.negative_merging
    for layer in layers:
        layer.register_forward_hook(lambda layer, __, output: pushed.append(output.clone()))
    x = torch.cat([noise(seed) for seed in range(3)])
    prompts, t = backbone.encode_prompts(["a shoe"] * 3), torch.full((3,), 900)

    def predict() -> Tensor:
        return backbone.predict(backbone.everywhere(x), t, prompts)

    plain = predict()
    assert all(map(torch.equal, raw, pushed)), "outside of the block nothing is pushed"
    raw.clear()
    pushed.clear()
    pairs = Pairs(torch.tensor([2]), torch.tensor([0]), torch.tensor([0.9]), torch.tensor([0.8]))
    with merging.of_pairs(pairs, 64):
        other = predict()
    assert torch.allclose(other[:2], plain[:2], atol=1e-6)
    assert not torch.allclose(other[2], plain[2], atol=1e-3)
    changed = 0
    for before, after in zip(raw, pushed, strict=True):
        assert torch.equal(before[:2], after[:2])
        if not torch.equal(before, after):
            changed += 1
            assert np.allclose(after[2], by_formula(before[2].numpy(), before[0].numpy(), 0.9, 0.8), atol=1e-4)
    assert changed == len(up)
    with merging.of_pairs(pairs, 64 * 4**2 + 1):
        assert torch.allclose(predict(), plain, atol=1e-6), "maps too coarse for these latents are left alone"


@torch.inference_mode()
def by_loop(checkpoint: Path, one: Request) -> Tensor:
    """Latents of a sibling: a forward of it and its reference, with and without the prompt, and diffusers' scheduler."""
    merging, backbone = one.negative_merging, open_backbone(str(checkpoint), CPU)
    assert merging is not None
    on = [False]

    def hook(layer: Any, inputs: Any, output: Tensor) -> Tensor:
        if not on[0]:
            return output
        output = output.clone()
        for row, reference in ((1, 0), (3, 2)):
            pair = output[row].numpy(), output[reference].numpy()
            output[row] = torch.from_numpy(by_formula(*pair, merging.alpha, merging.threshold))
        return output

    for name, layer in backbone.denoiser.up_blocks.named_modules():
        if name.endswith("attn1"):
            layer.register_forward_hook(hook)
    scheduler = DDIMScheduler.from_config(DiffusionPipeline.from_pretrained(checkpoint).scheduler.config, clip_sample=False)
    scheduler.set_timesteps(one.steps)
    x = torch.cat([noise(merging.reference_seed), noise(one.seed)])
    prompts = backbone.encode_prompts([one.prompt] * 2)
    empty = backbone.unconditional
    tokens = torch.cat([prompts.tokens, empty.tokens, empty.tokens])
    both = type(prompts)(
        tokens,
        None if prompts.pooled is None else torch.cat([prompts.pooled, empty.pooled, empty.pooled]),  # type: ignore[list-item]
    )
    for number, t in enumerate(scheduler.timesteps):
        on[0] = number / one.steps < merging.until
        predictions = backbone.predict(backbone.everywhere(torch.cat([x, x])), t.expand(4), both)
        with_prompt, without = predictions.chunk(2)
        x = scheduler.step(without + one.guidance * (with_prompt - without), t, x).prev_sample
    return x[1:]


def test_a_sibling_agrees_with_a_plain_loop_over_it_and_its_reference(checkpoint: Path) -> None:
    backbone, one = open_backbone(str(checkpoint), CPU), replace(sibling(1), solver="ddim")
    expected = by_loop(checkpoint, one)
    (image,) = drawn(backbone, [one]).values()
    pixels = backbone.decode_latents(expected)[0].permute(1, 2, 0)
    assert near(image, ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().byte().numpy())
    (plain,) = drawn(backbone, [replace(one, negative_merging=None)]).values()
    assert not near(image, plain, 8)


def test_an_image_is_the_same_whatever_is_in_the_batch(tmp_path: Path) -> None:
    """Beside its reference, after it, without it, in the company of other groups, and with other guidance and steps."""
    backbone = open_backbone(str(BUILDERS["SD"](tmp_path)), CPU)
    other = replace(FIRST, index=20, seed=7)
    pushed = [
        sibling(1),
        sibling(2),
        replace(sibling(3), guidance=1.0),
        replace(sibling(4), steps=5),
        sibling(5, until=1.0),
        replace(sibling(6), guidance_interval=(0.25, 1.0), solver="dpmsolver++", guidance_rescale=0.7),
        replace(sibling(7), negative_merging=replace(MERGING, reference_seed=other.seed)),
    ]
    alone = {one.index: drawn(backbone, [one])[one.index] for one in [FIRST, other, *pushed]}
    for requests, capacity in (
        ([FIRST, *pushed, other], 9),
        ([*pushed, FIRST], 3),
        ([pushed[0], FIRST, *pushed[1:], other, request(30, steps=3)], 2),
    ):
        for index, image in drawn(backbone, requests, capacity).items():
            assert index not in alone or near(image, alone[index])
    plain = drawn(backbone, [replace(one, negative_merging=None) for one in pushed])
    assert not any(near(alone[one.index], plain[one.index], 4) for one in pushed)


def test_a_reference_is_computed_once_and_in_its_steps_alone(tiny_model: Backbone) -> None:
    counts, predict = list[int](), tiny_model.predict

    def counting(xt: Tensor, *arguments: Any) -> Tensor:
        counts.append(len(xt))
        return predict(xt, *arguments)

    tiny_model.predict = counting  # type: ignore[method-assign]
    drawn(tiny_model, [sibling(1), sibling(2)])
    assert counts == [6] * 4 + [4] * 4, "two of each image, and in the first half two of the reference of both"
    counts.clear()
    drawn(tiny_model, [FIRST, sibling(1), sibling(2)])
    assert counts == [6] * 8, "the reference is in the batch"


def test_transformers_say_that_they_cannot(tmp_path: Path) -> None:
    backbone = open_backbone(str(build_3(tmp_path)), CPU)
    one = Request(0, 0, 1, "shoe", "", "a shoe", steps=2, negative_merging=MERGING)
    with pytest.raises(ModelError, match=r"method\.negative_merging: .* has no UNet whose tokens could be pushed"):
        drawn(backbone, [one])


def test_siblings_are_pushed_away_from_the_first_attempt_at_the_first(tmp_path: Path) -> None:
    method = {"type": "text_to_image", "siblings": 3, "negative_merging": {"alpha": 0.5}}
    resources = open_resources(tmp_path, method=method, amount={"per_class": 5})
    planned = make_plan(resources.spec, "", "", resources.source.counts).shard(0)
    first, again = (open_method(resources).requests(planned, attempt) for attempt in range(2))
    references = [0, 0, 0, 3, 3, 5, 5, 5, 8, 8]
    for one in [*first, *again]:
        reference = first[references[one.index]]
        expected = None if one is reference else NegativeMerging(reference.seed, 0.5, 0.7, 0.2)
        assert one.negative_merging == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"siblings": 1}, "siblings: 1 leaves negative_merging nothing"), ({"cache_interval": 2}, "cache_interval: 2 keeps")],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    document = spec().model_dump(mode="json")
    document["method"] = {"type": "text_to_image", "siblings": 2, "negative_merging": {}, **changes}
    with pytest.raises(SpecError, match=message):
        parse(document)
