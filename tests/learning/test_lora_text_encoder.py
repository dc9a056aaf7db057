"""The text encoder's half of a LoRA: its prompts beside plain diffusers' own, in one batch with others'. Costs 5 s."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.engine.engine import Engine
from pipelines.learning.lora import WEIGHTS
from tests.engine.test_engine import near, ours, request
from tests.learning.test_lora import learning, weights_after
from tests.methods.test_methods import asked

PROMPTS = ("a photo of a red boot", "a sneaker on grass")


def embeddings(backbone: Backbone, keys: Sequence[str | None]) -> Tensor:
    with backbone.loras.of_rows(keys), torch.inference_mode():
        return backbone.encode_prompts(PROMPTS).tokens


def test_prompts_have_the_embeddings_of_plain_diffusers(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, text_encoder=True)
    (file,) = weights_after(resources, tmp_path)
    key, backbone = asked(resources)[0].lora, resources.models.backbone
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    plain = pipeline.encode_prompt(list(PROMPTS), pipeline.device, 1, False)[0]
    assert torch.allclose(embeddings(backbone, [None, None]), plain, atol=1e-5)
    pipeline.load_lora_weights(str(file.parent), weight_name=WEIGHTS)
    expected = pipeline.encode_prompt(list(PROMPTS), pipeline.device, 1, False)[0]
    assert not torch.allclose(expected, plain, atol=1e-2)
    assert torch.allclose(embeddings(backbone, [key, key]), expected, atol=1e-5)
    assert torch.allclose(embeddings(backbone, [None, key]), torch.stack([plain[0], expected[1]]), atol=1e-5)
    assert torch.allclose(embeddings(backbone, [None, None]), plain, atol=1e-5), "outside of their rows it changes nothing"


def test_rows_with_the_same_prompt_are_encoded_with_their_own(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, scope="class", text_encoder=True)
    boot, sneaker = sorted({str(r.lora) for r in asked(resources)})
    every = [request(n, lora=lora) for n, lora in enumerate((boot, None, sneaker, boot))]
    together = {c.request.index: c.image for c in Engine(resources.models.backbone).run(every)}
    for one in every:
        assert near(together[one.index], ours(resources.models.backbone, one))
    of_image = {name: weight for name, weight in load_file(tmp_path / boot).items() if not name.startswith("text_encoder")}
    resources.models.backbone.loras.add("of the image alone", of_image)
    half = ours(resources.models.backbone, request(0, lora="of the image alone"))
    assert not near(together[0], half), "the prompt's half changes what is drawn"


def test_stopped_it_leaves_the_text_encoder_as_it_was(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, text_encoder=True)
    (encoder,) = resources.models.backbone.text_encoders
    before, names = embeddings(resources.models.backbone, [None, None]), list(encoder.model.state_dict())
    weights_after(resources, tmp_path)
    assert torch.equal(embeddings(resources.models.backbone, [None, None]), before)
    resources.models.forget_loras()
    assert list(encoder.model.state_dict()) == names
    assert not hasattr(encoder.transformer, "peft_config")
    assert all(not weight.requires_grad for weight in encoder.model.parameters())


def test_without_it_the_address_is_that_of_older_versions(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint)
    weights_after(resources, tmp_path)
    assert (
        "text_encoder" not in resources.store.json(str(asked(resources)[0].lora).rpartition("/")[0] + "/curve.json")["spec"]
    )
