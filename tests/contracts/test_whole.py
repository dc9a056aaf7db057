"""Checkpoints that are run whole draw what diffusers draws with them; what they cannot is refused. Costs three seconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DiffusionPipeline, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

from pipelines.backbones.autopipeline import CLASSES, NO_NEGATIVE, draws_alone
from pipelines.backbones.capabilities import check_capabilities
from pipelines.backbones.families import STABLE_DIFFUSION, family_of
from pipelines.backbones.features import FEATURES
from pipelines.backbones.inspection import inspect
from pipelines.backbones.layout import whole_layout
from pipelines.backbones.loading import open_backbone, open_checkpoint
from pipelines.backbones.whole import WholePipeline, inputs, tasks
from pipelines.engine.engine import NOT_FINITE
from pipelines.engine.whole import AHEAD, PipelineEngine
from pipelines.errors import ModelError, SpecError
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Image, Request
from pipelines.store.object_store import Store
from tests.builders import CPU, SIDE, picture, spec, square
from tests.checkpoints import build_pixart, build_z_image
from tests.contracts.families import ITEM, near, plain, theirs

BUILDS: dict[str, Callable[[Path], Path]] = {"PixArt": build_pixart, "Z-Image": build_z_image}
SIZED = {"size": (SIDE, SIDE), "steps": 4}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp("whole")) for name, build in BUILDS.items()}


def engine(checkpoint: Path, capacity: int = 4) -> PipelineEngine:
    opened = open_checkpoint(str(checkpoint), CPU)
    assert isinstance(opened, WholePipeline)
    return PipelineEngine(opened, capacity)


def ours(painter: PipelineEngine, request: Request) -> Image:
    return next(iter(painter.run([request]))).image


def opened(kind: Any, checkpoint: Path) -> Any:
    pipeline = kind.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("negative", ["", "a blue bag"])
def test_pixart_agrees_with_diffusers(checkpoints: dict[str, Path], negative: str) -> None:
    painter, request = engine(checkpoints["PixArt"]), plain(**SIZED, negative_prompt=negative)
    pipeline = opened(DiffusionPipeline, checkpoints["PixArt"])
    expected = theirs(pipeline, request, negative_prompt=negative, use_resolution_binning=False, clean_caption=False)
    assert near(ours(painter, request), expected)
    assert not near(ours(painter, request), ours(painter, plain(**SIZED, prompt="a photo of a blue bag")))


def test_z_image_agrees_with_diffusers_whose_guidance_counts_from_0(checkpoints: dict[str, Path]) -> None:
    painter, folder = engine(checkpoints["Z-Image"]), checkpoints["Z-Image"]
    image, mask = PIL.Image.fromarray(picture()), PIL.Image.fromarray(square())
    inputs = {"image": image, "strength": 0.5, "guidance_scale": 2.0}
    request = plain(**SIZED)
    assert near(ours(painter, request), drawn(opened(ZImagePipeline, folder), request, guidance_scale=2.0))
    varied = plain(**SIZED, source=ITEM, image=picture(), strength=0.5)
    assert near(ours(painter, varied), drawn(opened(ZImageImg2ImgPipeline, folder), varied, **inputs))
    repainted = plain(**SIZED, source=ITEM, image=picture(), mask=square(), strength=0.5)
    expected = drawn(opened(ZImageInpaintPipeline, folder), repainted, **inputs, mask_image=mask)
    inside = slice(12, 20)  # its border is ours to blend
    painted = ours(painter, repainted)
    assert near(painted[inside, inside], expected[inside, inside])
    assert np.array_equal(painted[~square()], picture()[~square()])


def drawn(pipeline: Any, request: Request, **inputs: Any) -> Image:
    array = pipeline(
        request.prompt, num_inference_steps=request.steps, output_type="np", height=SIDE, width=SIDE,
        generator=torch.Generator().manual_seed(request.seed), **inputs,
    ).images[0]  # fmt: skip
    return np.round(array * 255).astype(np.uint8)


def test_like_requests_go_together_and_the_images_do_not_depend_on_it(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = engine(checkpoints["Z-Image"], capacity=2)
    requests = [plain(**SIZED, index=n, seed=n, prompt=f"a photo of {'a red ' * (n % 3)}bag") for n in range(5)]
    requests += [plain(**SIZED, index=n, seed=n, image=picture(n), strength=0.25 * (1 + n % 2)) for n in range(5, 9)]
    alone = {request.index: ours(painter, request) for request in requests}
    calls: list[list[int]] = []
    draw = painter.pipeline.draw
    monkeypatch.setattr(
        painter.pipeline, "draw", lambda part, size: (calls.append([each.index for each in part]), draw(part, size))[1]
    )
    together = {candidate.request.index: candidate.image for candidate in painter.run(requests)}
    assert calls == [[0, 1], [2, 3], [5, 7], [6, 8], [4]]
    assert all(near(together[index], image) for index, image in alone.items())


def test_the_stream_is_read_a_few_batches_ahead(checkpoints: dict[str, Path]) -> None:
    """Of requests that are all unlike."""
    painter, read = engine(checkpoints["PixArt"], capacity=2), []

    def stream() -> Any:
        for steps in range(1, 20):
            read.append(steps)
            yield plain(size=(SIDE, SIDE), steps=steps)

    next(painter.run(stream()))
    assert len(read) == 2 * AHEAD


def test_where_memory_runs_out_fewer_go_together(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    painter = engine(checkpoints["PixArt"], capacity=4)
    draw = painter.pipeline.draw

    def short_of_memory(part: list[Request], size: tuple[int, int]) -> torch.Tensor:
        if len(part) > 1:
            raise torch.OutOfMemoryError
        return draw(part, size)

    monkeypatch.setattr(painter.pipeline, "draw", short_of_memory)
    assert len(list(painter.run(plain(**SIZED, index=n) for n in range(4)))) == 4
    assert painter.capacity == 1


def test_an_overflow_fails_its_own_image(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    painter = engine(checkpoints["PixArt"])
    vae = painter.pipeline.pipelines["text_to_image"].vae
    decode = vae.decode
    monkeypatch.setattr(
        vae, "decode", lambda x, **kw: [torch.cat([decode(x, **kw)[0][:1] * torch.nan, decode(x, **kw)[0][1:]])]
    )
    failures = [candidate.failure for candidate in painter.run([plain(**SIZED), plain(**SIZED, index=1)])]
    assert failures == [NOT_FINITE, None]


def test_a_job_from_prompts_alone(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    method = {"type": "text_to_image", "steps": 2, "negative_prompt": "blurred", "width": 48}
    evaluation = {"arms": ["erm", "text_to_image"], "seeds": [0], "reencode": 0}
    models = {"text_to_image": str(checkpoints["PixArt"])}
    job = Job(spec(method=method, models=models, evaluation=evaluation), Store.open(tmp_path), Silent())
    job.check()
    job.generate([0])
    counts = job.finalize()["counts"]
    assert counts["generated"] >= counts["planned"] == 10
    assert set(job.evaluate()["arms"]) == {"erm", "text_to_image"}


def check(checkpoint: Path, **changes: Any) -> None:
    models = {"text_to_image": str(checkpoint), "resolution": SIDE, **changes.pop("models", {})}
    check_capabilities(spec(models=models, **changes), {"models.text_to_image": inspect(str(checkpoint))})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": {"type": "image_variation"}},
            r"method\.type: .* PixArtSigmaPipeline, and it is run whole.* use text_to",
        ),
        ({"method": {"type": "text_to_image", "lora": {}}}, r"method\.lora: .* leave it out"),
        ({"evaluation": {"arms": ["erm", "counterpoise"]}}, r"evaluation\.reencode: .* autoencoder .*; set it to 0"),
        ({"method": {"type": "text_to_image", "guidance_rescale": 0.5}}, r"method\.guidance_rescale: .* not rescaled"),
    ],
)
def test_what_cannot_be_done_is_refused(checkpoints: dict[str, Path], changes: dict[str, Any], message: str) -> None:
    check(checkpoints["PixArt"])
    with pytest.raises(SpecError, match=message):
        check(checkpoints["PixArt"], **changes)


def test_a_resolution_that_no_configuration_says_is_asked_for(checkpoints: dict[str, Path]) -> None:
    check(checkpoints["Z-Image"])
    with pytest.raises(SpecError, match=r"models\.resolution: .* ZImagePipeline, whose configuration .*; give it"):
        check(checkpoints["Z-Image"], models={"resolution": None})


def test_a_size_that_a_pipeline_does_not_give_is_an_error(checkpoints: dict[str, Path]) -> None:
    painter = engine(checkpoints["Z-Image"])
    with pytest.raises(ModelError, match=r"does not draw this .*multiple of 8"):
        ours(painter, plain(size=(32, 36)))
    painter.pipeline.pipelines["text_to_image"].vae_scale_factor = 2
    with pytest.raises(ModelError, match="gives images of 64 x 64 pixels where 32 x 32 are asked for"):
        ours(painter, plain(size=(32, 32)))


def test_what_is_run_whole_is_not_taken_apart(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="is run whole, and not taken apart; give one of Stable Diffusion"):
        open_backbone(str(checkpoints["PixArt"]), CPU)
    assert set(inspect(str(checkpoints["PixArt"])).limits) < set(FEATURES)


@pytest.mark.parametrize(
    ("denoiser", "vae", "resolution", "multiple"),
    [
        ({"sample_size": 128, "patch_size": 2}, {"block_out_channels": [128, 256, 512, 512]}, 1024, 16),  # PixArt-Sigma
        (
            {"sample_size": 32, "patch_size": 1},
            {"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]},
            1024,
            32,
        ),  # Sana
        ({"patch_size": 2}, {"temperal_downsample": [False, True, True], "z_dim": 16}, 0, 16),  # Qwen-Image
        ({"all_patch_size": [2]}, {"block_out_channels": [128, 256, 512, 512]}, 0, 16),  # Z-Image
    ],
)
def test_the_configurations_say_for_which_size_it_is_made(
    denoiser: dict[str, Any], vae: dict[str, Any], resolution: int, multiple: int
) -> None:
    layout = whole_layout(denoiser, vae)
    assert (layout.resolution, layout.multiple) == (resolution, multiple)


def test_one_language_model_or_another_tells_kolors_from_stable_diffusion(tiny_checkpoint: Path) -> None:
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    assert family_of(index) is STABLE_DIFFUSION
    assert family_of({**index, "_class_name": "KolorsPipeline", "text_encoder": ["kolors", "ChatGLMModel"]}) is None


@pytest.mark.parametrize(
    ("index", "whole"),
    [
        ({"_class_name": "SanaPipeline"}, True),
        ({"_class_name": "QwenImagePipeline"}, True),
        ({"_class_name": "Lumina2Pipeline"}, True),
        ({"_class_name": "CogView4Pipeline"}, True),
        ({"_class_name": "ChromaPipeline", "image_encoder": [None, None]}, True),
        ({"_class_name": "SanaPipeline", "text_encoder": [None, None]}, False),
        ({"_class_name": "SanaPipeline", "vae": None}, False),
        ({"_class_name": "CogView4ControlPipeline"}, False),
        ({"_class_name": "StableCascadeCombinedPipeline"}, False),
        ({"_class_name": "HeliosPipeline"}, False),
        ({"_class_name": "SanaVideoPipeline"}, False),
        ({"_class_name": "LongCatAudioDiTPipeline"}, False),
    ],
)
def test_which_classes_draw_from_a_prompt_alone(index: dict[str, Any], whole: bool) -> None:
    parts = {"vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "T5EncoderModel"]}
    assert draws_alone({**parts, **index}) == whole


def test_the_table_of_classes_is_that_of_diffusers() -> None:
    """Those that take a prompt, a scale and a size, and neither a control image nor frames."""
    prompt = {"prompt", "height", "width", "num_inference_steps", "generator", "output_type"}
    drawing = {
        kind.__name__: kind
        for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
        if "Control" not in kind.__name__
        and inputs(kind) >= prompt
        and inputs(kind) & {"true_cfg_scale", "guidance_scale"}
        and "num_frames" not in inputs(kind)
    }
    assert CLASSES.keys() - drawing.keys() <= {"KolorsPipeline"}, "which needs sentencepiece"
    assert {name: set(CLASSES[name]) | {"text_to_image"} for name in drawing} == {
        name: tasks(kind).keys() for name, kind in drawing.items()
    }
    without = {name for name, kind in drawing.items() if "negative_prompt" not in inputs(kind)}
    assert without == NO_NEGATIVE
