"""LoRAs, one a row, against diffusers' own adapters one at a time. Costs fifteen seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.backbones import row_loras
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.row_loras import LoraLinear, fused
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.spec import Lora
from tests.builders import CPU, picture
from tests.checkpoints import build, build_3, build_flux
from tests.engine.test_engine import request

BUILDERS: dict[str, Callable[[Path], Path]] = {"SD": build, "SD 3.5": build_3, "Flux": build_flux}
KEYS = ["a", None, "b", "c", "a"]


@pytest.fixture(scope="module", params=BUILDERS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUILDERS[request.param](tmp_path_factory.mktemp("row-loras"))


def lora(backbone: Backbone, rank: int, seed: int) -> dict[str, Tensor]:
    """Random weights for all that is learned."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for name, module in backbone.denoiser.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(backbone.lora_targets):
            shapes = {"A": (rank, module.in_features), "B": (module.out_features, rank)}
            for matrix, shape in shapes.items():
                weight = torch.randn(shape, generator=generator) * 0.3
                weights[f"{backbone.component}.{name}.lora_{matrix}.weight"] = weight
    return weights


def loras(backbone: Backbone) -> dict[str, dict[str, Tensor]]:
    """Three of different ranks, the last of a part of the layers."""
    some = {key: lora(backbone, rank, rank) for key, rank in (("a", 2), ("b", 4), ("c", 1))}
    some["c"] = {name: weight for name, weight in some["c"].items() if "to_q" in name}
    return some


def predict(backbone: Backbone, rows: slice = slice(None)) -> Tensor:
    """The prediction of some of five rows that differ in latents, timesteps and prompts."""
    x = torch.randn(5, backbone.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([100, 300, 500, 700, 900])
    prompts = ["a shoe", "a red boot", "a bag", "", "a boot on grass"]
    with torch.inference_mode():
        return backbone.predict(x[rows], t[rows], backbone.encode_prompts(prompts[rows]))


def predict_mixed(backbone: Backbone) -> Tensor:
    with backbone.loras.of_rows(KEYS):
        return predict(backbone)


def opened(checkpoint: Path) -> Backbone:
    """A backbone with the three LoRAs."""
    backbone = open_backbone(str(checkpoint), CPU)
    for key, weights in loras(backbone).items():
        backbone.loras.add(key, weights)
    return backbone


def test_every_row_of_a_mixed_batch_is_as_with_diffusers_adapter_alone(checkpoint: Path) -> None:
    backbone, theirs = opened(checkpoint), open_backbone(str(checkpoint), CPU)
    expected: dict[str | None, Tensor] = {None: predict(theirs)}
    for key, weights in loras(theirs).items():
        theirs.denoiser.load_lora_adapter(weights, prefix=theirs.component, adapter_name=key)
        expected[key] = torch.cat([predict(theirs, slice(n, n + 1)) for n in range(5)])
        theirs.denoiser.unload_lora()
        assert not torch.allclose(expected[key], expected[None], atol=1e-2)
    mixed = predict_mixed(backbone)
    for n, key in enumerate(KEYS):
        assert torch.allclose(mixed[n], expected[key][n], atol=1e-4)
    assert torch.equal(predict(backbone), expected[None]), "outside of the block no row has any"
    with backbone.loras.of_rows([None] * 5):
        assert torch.equal(predict(backbone), expected[None])


def test_rows_of_several_that_are_fused_are_as_with_diffusers_adapters_averaged(checkpoint: Path) -> None:
    backbone, theirs = opened(checkpoint), open_backbone(str(checkpoint), CPU)
    for key, weights in loras(theirs).items():
        theirs.denoiser.load_lora_adapter(weights, prefix=theirs.component, adapter_name=key)
    expected = {}
    for keys in (("a", "b"), ("a", "b", "c"), ("b",)):
        theirs.denoiser.set_adapters(list(keys), [1 / len(keys)] * len(keys))
        expected[fused(keys)] = predict(theirs)
    theirs.denoiser.disable_adapters()
    rows = [fused("ab"), None, "b", fused("abc"), fused("ab")]
    with backbone.loras.of_rows(rows):
        mixed = predict(backbone)
    for n, key in enumerate(rows):
        assert torch.allclose(mixed[n], (expected[key] if key else predict(theirs))[n], atol=1e-4)
    assert not torch.allclose(expected["a+b"], expected["b"], atol=1e-2)


def test_of_those_that_are_loaded_when_a_row_needs_them_few_stay(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_loras, "LOADED", 2)
    backbone, loads, every = open_backbone(str(tiny_checkpoint), CPU), list[str](), {}
    for number, key in enumerate("abcd"):
        every[key] = lora(backbone, 2, number)

        def load(key: str = key) -> dict[str, Tensor]:
            loads.append(key)
            return every[key]

        backbone.loras.offer(key, load, of_prompts=False)
    alone = {}
    for key in "abcd":
        with backbone.loras.of_rows([key] * 5):
            alone[key] = predict(backbone)
    assert loads == list("abcd")
    assert set(backbone.loras.indices) == {"c", "d"}
    for rows, kept in ((["c", None, "d", "c", "c"], "cd"), (["c", "a", "a", None, "c"], "ca"), (list("abcda"), "abcd")):
        with backbone.loras.of_rows(rows):
            mixed = predict(backbone)
        assert set(backbone.loras.indices) == set(kept)
        assert sorted(backbone.loras.indices.values()) == list(range(1, len(kept) + 1))
        for n, key in enumerate(rows):
            assert key is None or torch.allclose(mixed[n], alone[key][n], atol=1e-5)
    assert loads == list("abcdabd"), "what is there is not loaded again"


def test_one_is_learned_beside_them_and_all_are_removed(checkpoint: Path) -> None:
    backbone = opened(checkpoint)
    before, mixed = dict(open_backbone(str(checkpoint), CPU).denoiser.state_dict()), predict_mixed(backbone)
    training = LoraTraining(backbone, [picture()], ["a shoe"], Lora(steps=1, batch=1, rank=2, learning_rate=0.1), seed=0)
    assert torch.allclose(predict_mixed(backbone), mixed, atol=1e-5), "at first it changes nothing"
    training.trainer.step()
    backbone.loras.add("d", training.weights())
    assert torch.allclose(predict_mixed(backbone), mixed, atol=1e-5)
    with backbone.loras.of_rows(["d"] * 5):
        assert not torch.allclose(predict(backbone), predict(open_backbone(str(checkpoint), CPU)), atol=1e-3)
    backbone.remove_loras()
    after = backbone.denoiser.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert not any(isinstance(module, LoraLinear) for module in backbone.denoiser.modules())


def test_an_addition_that_failed_leaves_nothing_behind(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, put, calls = open_backbone(str(tiny_checkpoint), CPU), LoraLinear.put, iter(range(1000))

    def out_of_memory(layer: LoraLinear, *arguments: Any) -> None:
        if next(calls) == 3:
            raise torch.OutOfMemoryError
        put(layer, *arguments)

    monkeypatch.setattr(LoraLinear, "put", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        backbone.loras.add("b", lora(backbone, 8, 9))
    for key, weights in loras(backbone).items():
        backbone.loras.add(key, weights)
    assert torch.allclose(predict_mixed(backbone), predict_mixed(opened(tiny_checkpoint)), atol=1e-5)


def test_a_compiled_denoiser_takes_loras_that_are_added_later(tmp_path: Path) -> None:
    small = build_flux(tmp_path)
    backbone = open_backbone(str(small), CPU)
    backbone.denoiser.compile(backend="eager")
    plain = predict(backbone)
    for key, weights in loras(backbone).items():
        backbone.loras.add(key, weights)
    mixed = predict_mixed(backbone)
    assert torch.allclose(mixed, predict_mixed(opened(small)), atol=1e-4)
    assert torch.allclose(mixed[1], plain[1], atol=1e-4)
    assert torch.allclose(predict(backbone), plain, atol=1e-4)


def test_rows_of_different_loras_share_a_forward(tiny_checkpoint: Path) -> None:
    backbone, sizes = opened(tiny_checkpoint), []
    backbone.denoiser.register_forward_pre_hook(lambda denoiser, inputs: sizes.append(len(inputs[0])))
    every = [request(n, lora=key, guidance=3.0 if n else 1.0) for n, key in enumerate(KEYS)]
    assert len(list(Engine(backbone).run(every))) == 5
    assert sizes == [9] * 6, "five rows and the unconditional twins of four, at six steps"
