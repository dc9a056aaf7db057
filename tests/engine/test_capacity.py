"""What the engine's batch holds: places by area, few numbers of rows for a compiled denoiser, and sources encoded once.

Costs 2 seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from pipelines.backbones.backbone import Backbone
from pipelines.engine.capacity import Capacity
from pipelines.engine.engine import Engine
from pipelines.engine.latents import KEPT, SourceLatents
from pipelines.records import Item, Request
from tests.builders import picture, square


def request(index: int, **changes: Any) -> Request:
    plain = Request(index, 0, 100 + index, "boot", "text_to_image", "a photo of a red shoe", guidance=1.0, steps=4)
    return replace(plain, **changes)


@contextmanager
def shapes(backbone: Backbone) -> Iterator[list[torch.Size]]:
    """Those of the latents of each forward, inside the block."""
    forwards, predict = list[torch.Size](), backbone.predict

    def noted(xt: torch.Tensor, *arguments: Any) -> torch.Tensor:
        forwards.append(xt.shape)
        return predict(xt, *arguments)

    with patch.object(backbone, "predict", noted):
        yield forwards


def test_small_rows_take_a_part_of_a_place_and_large_ones_several(tiny_model: Backbone) -> None:
    side = tiny_model.resolution
    for scale, together in ((0.5, 8), (1, 2), (2, 1)):  # a row of twice the side takes four places, and two are there
        size = round(side * scale), round(side * scale)
        with shapes(tiny_model) as forwards:
            images = [c.image for c in Engine(tiny_model, capacity=2).run(request(n, size=size) for n in range(8))]
        assert {image.shape[:2] for image in images} == {size}
        assert len(images) == 8
        assert max(shape[0] for shape in forwards) == together


def test_rows_of_all_sizes_share_the_places(tiny_model: Backbone) -> None:
    side = tiny_model.resolution
    sizes = [(side, side), (side // 2, side // 2), (side, side // 2)]
    engine, most = Engine(tiny_model, capacity=3), 0.0
    predict = engine.predict

    def noted(batch: Any, t: torch.Tensor) -> torch.Tensor:
        nonlocal most
        most = max(most, sum(len(each) * engine.fitting.share(each.size) for each in batches.values()))
        return predict(batch, t)

    from pipelines.engine import engine as module

    batches: dict[Any, Any] = {}

    class Watched(module.Stream):
        def fill(self) -> Any:
            failures = super().fill()
            batches.clear()
            batches.update(self.batches)
            return failures

    with patch.object(module, "Stream", Watched), patch.object(engine, "predict", noted):
        indices = sorted(c.request.index for c in engine.run(request(n, size=sizes[n % 3]) for n in range(20)))
    assert indices == list(range(20))
    assert 2 < most <= 3


def test_memory_that_runs_out_for_small_rows_leaves_fewer_of_them() -> None:
    fitting = Capacity(1, (8, 8))

    def work(part: slice) -> torch.Tensor:
        if part.stop - part.start > 1:
            raise torch.OutOfMemoryError
        return torch.zeros(part.stop - part.start, 1)

    assert len(fitting.map(work, 4, (4, 4))) == 4
    assert (fitting.rows, fitting.fitting(fitting.places, (4, 4))) == (1, 1)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_compiled_denoiser_meets_few_numbers_of_rows(tiny_model: Backbone, guidance: float) -> None:
    requests = [request(n, guidance=guidance, steps=2 + n % 3) for n in range(11)]
    plain = {c.request.index: c.image for c in Engine(tiny_model, capacity=8).run(requests)}
    with patch.object(tiny_model, "compiled", new=True), shapes(tiny_model) as forwards:
        padded = {c.request.index: c.image for c in Engine(tiny_model, capacity=8).run(requests)}
    assert {shape[0] for shape in forwards} <= {4, 8, 12, 16}
    assert all(np.abs(padded[n].astype(int) - image).max() <= 1 for n, image in plain.items())


def test_a_source_is_encoded_once_for_all_of_its_attempts(tiny_model: Backbone) -> None:
    encoded, encode = list[int](), tiny_model.encode_images

    def noted(pixels: torch.Tensor) -> torch.Tensor:
        encoded.append(len(pixels))
        return encode(pixels)

    item, image = Item("a/b.png", "0" * 64, "boot", "grass"), picture(1)
    attempts = [request(n, source=item, image=image, mask=square(), strength=0.5) for n in range(6)]
    other = request(6, source=item, image=picture(2), strength=0.5)
    with patch.object(tiny_model, "encode_images", noted):
        images = {c.request.index: c.image for c in Engine(tiny_model, capacity=2).run([*attempts, other])}
    assert sum(encoded) == 2
    alone = [next(iter(Engine(tiny_model, capacity=2).run([one]))).image for one in (*attempts, other)]
    assert all(np.abs(images[n].astype(int) - image).max() <= 1 for n, image in enumerate(alone))


def test_latents_are_kept_by_what_is_in_the_image_and_what_of_it_is_painted(tiny_model: Backbone) -> None:
    latents, mask = SourceLatents(tiny_model, Capacity(4)), square()
    whole, painted = latents.encode([(picture(1), None), (picture(1), mask)])
    assert not torch.allclose(whole, painted)
    known = np.where(mask[..., None], 127.5, picture(1)).astype(np.float32) / 127.5 - 1
    expected = tiny_model.encode_images(torch.from_numpy(known).permute(2, 0, 1)[None])[0]
    assert torch.allclose(painted, expected, atol=1e-5)
    for n in range(KEPT + 10):
        latents.encode([(picture(n), None)])
    assert len(latents.kept) == KEPT
