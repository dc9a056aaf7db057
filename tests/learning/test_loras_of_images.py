"""A LoRA for each image, and several of them in each generated one (LoFT). Costs 15 s."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from pydantic import ValidationError
from safetensors.torch import load_file

from pipelines.engine.engine import Engine
from pipelines.learning.lora import CURVE, WEIGHTS
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import PlannedImage
from pipelines.spec import Lora
from tests.engine.test_engine import near, noise, ours, request, to_image
from tests.learning.test_lora import SETTINGS, learning

IMAGES = {**SETTINGS, "scope": "image", "images": 3}


def keys_of(resources: Resources, count: int = 30, attempt: int = 0) -> list[tuple[str, list[str]]]:
    """Class and LoRAs of generated images."""
    method = open_method(resources)
    method.learn()
    planned = [PlannedImage(index, ("boot", "sneaker")[index % 2], None, 0) for index in range(count)]
    requests = method.requests(planned, attempt)
    return [(r.label, str(r.lora).split("+")) for r in requests]


def test_the_settings_are_loft_s_unless_they_are_given() -> None:
    spec = Lora.model_validate({"scope": "image"})
    assert (spec.rank, spec.steps, spec.batch, spec.learning_rate, spec.fused) == (2, 600, 1, 1e-3, 2)
    assert Lora.model_validate({"scope": "image", "rank": 8}).rank == 8
    assert Lora.model_validate(spec.model_dump()) == spec
    assert (Lora().rank, Lora(scope="class").rank) == (16, 16)
    with pytest.raises(ValidationError):
        Lora.model_validate({"scope": "image", "fused": 0})


def test_each_image_has_one_and_pairs_are_drawn_by_the_seed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, **IMAGES)
    drawn = keys_of(resources)
    files = sorted(tmp_path.glob(f"concepts/lora/*/{WEIGHTS}"))
    learned = {
        f"concepts/lora/{file.parent.name}/{WEIGHTS}": json.loads((file.parent / CURVE).read_text()) for file in files
    }
    assert len(learned) == 6
    for label in ("boot", "sneaker"):
        own = {item.sha256 for item in resources.source.of(label)[:3]}
        pairs = Counter(tuple(keys) for name, keys in drawn if name == label)
        assert {key for pair in pairs for key in pair} == {
            key for key, facts in learned.items() if facts["images"][0] in own
        }
        assert len(pairs) == 3, "every pair of three"
        assert all(len(pair) == 2 for pair in pairs)
    again = learning(tmp_path, tiny_checkpoint, **IMAGES)
    assert keys_of(again, 10) == drawn[:10]
    assert keys_of(again, 30, attempt=1) != drawn
    assert [file.stat().st_mtime_ns for file in files] == [
        file.stat().st_mtime_ns for file in sorted(tmp_path.glob(f"concepts/lora/*/{WEIGHTS}"))
    ], "they are learned once"
    assert {len(keys) for _, keys in keys_of(learning(tmp_path, tiny_checkpoint, **IMAGES, fused=9))} == {3}
    assert len(sorted(tmp_path.glob(f"concepts/lora/*/{WEIGHTS}"))) == 6, "how many are fused changes nothing of them"


def test_plain_diffusers_draws_the_same_with_both_averaged(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = learning(tmp_path, tiny_checkpoint, **IMAGES, text_encoder=True)
    (_, pair), (_, other) = keys_of(resources, 2)
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    for name, key in zip("ab", pair, strict=True):
        pipeline.load_lora_weights(str((tmp_path / key).parent), weight_name=WEIGHTS, adapter_name=name)
    pipeline.set_adapters(["a", "b"], [0.5, 0.5])
    pipeline.set_progress_bar_config(disable=True)
    one, backbone = request(7, lora="+".join(pair)), resources.models.backbone
    assert any(name.startswith("text_encoder") for name in load_file(tmp_path / pair[0]))
    expected = pipeline(
        one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np"
    ).images[0]
    assert near(ours(backbone, one), to_image(expected))
    every = [one, request(1), request(2, lora=pair[0]), request(3, lora="+".join(other))]
    together = {c.request.index: c.image for c in Engine(backbone).run(every)}
    for row in every:
        assert near(together[row.index], ours(backbone, row))
    assert not near(ours(backbone, one), ours(backbone, request(7, lora=pair[0])))


def test_stopped_and_resumed_gives_the_same_bytes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    keys_of(learning(tmp_path / "whole", tiny_checkpoint, **IMAGES))

    class Killed(Exception):
        pass

    class Killer:
        count = 0

        def stage(self, name: str, total: int) -> Any:
            assert total in (0, 12), "four steps of each of three images"
            return self.tick

        def tick(self, done: int) -> None:
            self.count += done
            if self.count == 7:
                raise Killed

        def say(self, text: str) -> None: ...

    cut = learning(tmp_path / "cut", tiny_checkpoint, **IMAGES)
    cut.progress = Killer()
    with pytest.raises(Killed):
        open_method(cut).learn()
    assert len(list((tmp_path / "cut").glob(f"concepts/lora/*/{WEIGHTS}"))) == 1
    keys_of(learning(tmp_path / "cut", tiny_checkpoint, **IMAGES))
    files = sorted((tmp_path / "whole").glob(f"concepts/lora/*/{WEIGHTS}"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "cut" / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()
