"""A look at rows on their way: what it sees, against diffusers, and what comes of the rows that it ends. Four seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from pipelines.backbones.backbone import Backbone
from pipelines.engine.engine import Engine
from pipelines.engine.requests import Listed
from pipelines.records import Candidate, Request, Verdict
from tests.engine.test_engine import mixture, near, noise, request, to_image


class Ending:
    """Ends the rows of these indices."""

    def __init__(self, *indices: int, at: float | None = 0.5) -> None:
        self.indices, self.at, self.seen = indices, at, list[Candidate]()

    def look(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        assert torch.ones(1, requires_grad=True).add(1).requires_grad, "filters may need gradients"
        self.seen += candidates
        return [Verdict({"score": 0.5}, "because" if c.request.index in self.indices else None) for c in candidates]


def made(model: Backbone, requests: list[Request], probe: Ending | None = None, capacity: int = 4) -> dict[int, Candidate]:
    batches = Engine(model, capacity).batches(Listed(requests), probe)
    candidates = [candidate for batch in batches for candidate in batch]
    assert len(candidates) == len(requests)
    return {candidate.request.index: candidate for candidate in candidates}


@torch.no_grad()
def test_it_sees_the_image_that_diffusers_predicts_there(tiny_model: Backbone, tiny_checkpoint: Path) -> None:
    pipeline, one = StableDiffusionPipeline.from_pretrained(tiny_checkpoint), request(7, steps=10)
    prompt, negative = pipeline.encode_prompt(one.prompt, "cpu", 1, True)
    x = noise(one.seed)
    pipeline.scheduler.set_timesteps(one.steps)
    for t in pipeline.scheduler.timesteps[:6]:
        conditional, empty = pipeline.unet(x, t, prompt).sample, pipeline.unet(x, t, negative).sample
        step = pipeline.scheduler.step(empty + one.guidance * (conditional - empty), t, x)
        x = step.prev_sample
    pixels = pipeline.vae.decode(step.pred_original_sample / pipeline.vae.config.scaling_factor).sample / 2 + 0.5
    probe = Ending(at=0.6)
    made(tiny_model, [one], probe)
    (seen,) = probe.seen
    assert near(seen.image, to_image(pixels.clamp(0, 1)[0].permute(1, 2, 0).numpy()))


def test_a_row_is_looked_at_once_and_one_of_a_single_step_never(tiny_model: Backbone) -> None:
    """Rows that begin later than that, of images to images, after their first step."""
    probe, requests = Ending(at=0.4), mixture()
    with_probe, without = made(tiny_model, requests, probe), made(tiny_model, requests)
    assert sorted(candidate.request.index for candidate in probe.seen) == [0, 1, 2, 3, 4, 5]
    for index, candidate in without.items():
        assert np.array_equal(with_probe[index].image, candidate.image)
        assert with_probe[index].failure is None
    unlooked = Ending(at=None)
    made(tiny_model, requests, unlooked)
    assert unlooked.seen == []


def test_a_row_that_is_ended_costs_no_further_step_and_its_place_is_taken(
    tiny_model: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, predict = list[int](), tiny_model.predict

    def counting(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
        rows.append(len(x))
        return predict(x, *arguments)

    monkeypatch.setattr(tiny_model, "predict", counting)
    requests = [request(n, steps=6, guidance=1.0) for n in range(6)]
    without, probe = made(tiny_model, requests, capacity=2), Ending(0, 3)
    assert sum(rows) == 6 * 6
    rows.clear()
    ended = made(tiny_model, requests, probe, capacity=2)
    assert sum(rows) == 4 * 6 + 2 * 3
    assert max(rows) == 2
    for index, candidate in ended.items():
        if index in probe.indices:
            assert (candidate.failure, candidate.scores) == ("because", {"score": 0.5})
        else:
            assert candidate.failure is None
            assert near(candidate.image, without[index].image)
