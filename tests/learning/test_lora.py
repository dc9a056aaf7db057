"""LoRA: learned from a source's images, resumable, loaded by plain diffusers, and mixed in one batch by the engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from pipelines.engine.engine import Engine
from pipelines.learning.lora import CURVE, WEIGHTS
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.store import keys
from pipelines.store.artifacts import CHECKPOINT
from tests.builders import open_resources
from tests.engine.test_engine import near, noise, ours, request, to_image
from tests.methods.test_methods import asked

SETTINGS = {"rank": 2, "steps": 4, "batch": 2, "learning_rate": 0.05, "checkpoint_every": 2}


def learning(folder: Path, checkpoint: Path, **changes: Any) -> Resources:
    method = {"type": "text_to_image", "lora": {**SETTINGS, **changes}}
    return open_resources(folder, models={"text_to_image": str(checkpoint)}, method=method)


def weights_after(resources: Resources, folder: Path) -> list[Path]:
    open_method(resources).learn()
    return sorted(folder.glob(f"concepts/lora/*/{WEIGHTS}"))


def test_plain_diffusers_loads_it_and_draws_the_same(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint)
    (file,) = weights_after(resources, tmp_path)
    address = asked(resources)[0].lora
    assert address is not None
    assert file == tmp_path / address
    one = request(7, lora=address)
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_lora_weights(str(file.parent), weight_name=WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np"
    ).images[0]
    assert near(ours(resources.models.backbone, one), to_image(expected))
    assert not near(ours(resources.models.backbone, one), ours(resources.models.backbone, request(7)), limit=4), (
        "it changes what is drawn"
    )


def test_one_for_all_classes_or_one_for_each(tmp_path: Path, tiny_checkpoint: Path) -> None:
    together = {r.label: r.lora for r in asked(learning(tmp_path / "a", tiny_checkpoint))}
    apart = {r.label: r.lora for r in asked(learning(tmp_path / "b", tiny_checkpoint, scope="class"))}
    assert len(set(together.values())) == 1
    assert len(set(apart.values())) == 2


def test_a_batch_of_several_gives_what_each_gives_alone(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, scope="class")
    boot, sneaker = sorted({str(r.lora) for r in asked(resources)})
    every = [request(0, lora=boot), request(1), request(2, lora=sneaker), request(3, lora=boot, guidance=1.0)]
    together = {c.request.index: c.image for c in Engine(resources.models.backbone).run(every)}
    for one in every:
        assert near(together[one.index], ours(resources.models.backbone, one))
    assert not near(
        ours(resources.models.backbone, request(0, lora=boot)), ours(resources.models.backbone, request(0, lora=sneaker))
    )


def test_stopped_and_resumed_gives_the_same_bytes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (whole,) = weights_after(learning(tmp_path / "whole", tiny_checkpoint), tmp_path / "whole")

    class Killed(Exception):
        pass

    class Killer:
        count = 0

        def stage(self, name: str, total: int) -> Any:
            return self.tick

        def tick(self, done: int) -> None:
            self.count += done
            if self.count == 3:
                raise Killed

        def say(self, text: str) -> None: ...

    cut = learning(tmp_path / "cut", tiny_checkpoint)
    cut.progress = Killer()
    with pytest.raises(Killed):
        open_method(cut).learn()
    assert not [name for name, _ in cut.models.backbone.denoiser.named_parameters() if "lora_" in name]
    assert len(list((tmp_path / "cut").glob(f"concepts/lora/*/{CHECKPOINT}"))) == 1
    assert not list((tmp_path / "cut").glob(f"concepts/lora/*/{CURVE}"))
    (again,) = weights_after(learning(tmp_path / "cut", tiny_checkpoint), tmp_path / "cut")
    assert again.read_bytes() == whole.read_bytes()


def test_it_is_learned_once(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (file,) = weights_after(learning(tmp_path, tiny_checkpoint), tmp_path)
    written = file.stat().st_mtime_ns
    assert weights_after(learning(tmp_path, tiny_checkpoint), tmp_path) == [file]
    assert file.stat().st_mtime_ns == written
    assert len(weights_after(learning(tmp_path, tiny_checkpoint, steps=5), tmp_path)) == 2


def test_the_rest_of_the_model_stays_as_it_was(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint)
    before = {k: v.clone() for k, v in resources.models.backbone.denoiser.state_dict().items()}
    drawn = ours(resources.models.backbone, request(3))
    weights_after(resources, tmp_path)
    after = resources.models.backbone.denoiser.state_dict()
    for key, weight in before.items():
        wrapped = key if key in after else key.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")
        assert torch.equal(after[wrapped], weight)
    assert near(ours(resources.models.backbone, request(3)), drawn)


def test_learning_lowers_the_loss(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, steps=60, batch=8, learning_rate=0.01)
    (file,) = weights_after(resources, tmp_path)
    losses = resources.store.json(keys.concept("lora", file.parent.name, CURVE))["losses"]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    assert all(weight.isfinite().all() for weight in load_file(file).values())


def test_what_asks_the_model_next_asks_it_without_the_lora(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """A segmenter by its own attention, say: what it finds must not depend on what was drawn before."""
    resources = learning(tmp_path, tiny_checkpoint)
    model = resources.models.backbone
    x, t, context = torch.ones(1, 4, 8, 8), torch.tensor([500]), model.encode_prompts(["a shoe"])
    before = model.predict(x, t, context).detach()
    weights_after(resources, tmp_path)
    assert torch.allclose(model.predict(x, t, context), before)
    ours(model, request(0, lora=asked(resources)[0].lora))
    assert torch.allclose(model.predict(x, t, context), before)
