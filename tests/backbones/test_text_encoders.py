"""Text encoders, beside what `tests/contracts` says of them in whole checkpoints. Costs a second."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPTextModelWithProjection

from pipelines.backbones.flux import Flux
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.stable_diffusion_3 import T5_LENGTH
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.errors import ModelError
from pipelines.spec import Machine
from tests.builders import CPU
from tests.checkpoints import build_3, build_flux
from tests.checkpoints.parts import text_config


def encoder(end: int | None = None) -> TextEncoder:
    """One of a configuration that says this end token."""
    torch.manual_seed(0)
    tokenizer, config = text_config(8)
    config.eos_token_id = config.eos_token_id if end is None else end
    return TextEncoder(CLIPTextModelWithProjection(config), tokenizer, "tiny", torch.device("cpu"))


@pytest.mark.parametrize("prompt", ["a photo of a shoe", "a photo of a <boot> shoe on grass"])
def test_a_prompt_ends_where_it_ends_whatever_the_configuration_says(prompt: str) -> None:
    """Published ones say 2, which is another token."""
    pooled = []
    for one in (encoder(), encoder(2)):
        one.set_token("<boot>", torch.full((1, 8), 0.5))
        pooled.append(one.model(one.tokenize([prompt])).text_embeds)
    assert torch.equal(*pooled)


def test_of_flux_t5_says_how_long_a_prompt_may_be(tmp_path: Path) -> None:
    backbone = open_backbone(str(build_flux(tmp_path)), CPU, "flux")
    assert isinstance(backbone, Flux)
    long = backbone.encode_prompts(["a red shoe " * 40])
    assert long.tokens.shape == (1, 512, 24)
    with pytest.raises(ModelError, match=r"is 601 tokens long, and flux reads 512; say it in fewer words"):
        backbone.encode_prompts(["a red shoe " * 200])


def test_of_stable_diffusion_3_t5_reads_no_word_that_it_does_not_know(tmp_path: Path) -> None:
    backbone = open_backbone(str(build_3(tmp_path)), CPU)
    plain = backbone.encode_prompts(["a photo of a shoe on grass, "]).tokens[:, -T5_LENGTH:]
    for name in ("<boot>", "EasyStyle"):
        backbone.set_token(name, [torch.ones(2, 8), torch.ones(2, 12)])
    prompt = "a photo of a <boot> <boot>_1 shoe on grass, easystyle"
    assert torch.equal(backbone.encode_prompts([prompt]).tokens[:, -T5_LENGTH:], plain)


def test_t5_reads_a_prompt_once_and_offloaded_the_same(tmp_path: Path) -> None:
    checkpoint = str(build_flux(tmp_path))
    plain, offloaded = open_backbone(checkpoint, CPU), open_backbone(checkpoint, Machine(device="cpu", offload=True))
    assert isinstance(plain, Flux)
    assert isinstance(offloaded, Flux)
    assert (plain.t5.offload, offloaded.t5.offload) == (False, True)
    prompts = ["a red shoe", "a blue bag", "a red shoe"]
    with torch.inference_mode():
        expected = plain.encode_prompts(prompts).tokens
    assert torch.equal(expected[0], expected[2])
    assert torch.equal(offloaded.encode_prompts(prompts).tokens, expected)
    plain.t5.model = None  # what it has read is kept
    assert torch.equal(plain.t5.encode(prompts[::-1]), expected.flip(0))
    assert not plain.t5.encode(prompts).is_inference()
