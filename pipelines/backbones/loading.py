"""Opens a diffusers checkpoint as a backbone of its family. The one place that loads one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel

from pipelines.backbones.additions import add_embeddings, fuse_loras
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.files import names, variant_of
from pipelines.backbones.flux import Flux
from pipelines.backbones.layout import Layout
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.backbones.single_file import SingleFile
from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.backbones.stable_diffusion_3 import StableDiffusion3
from pipelines.backbones.stable_diffusion_xl import StableDiffusionXL
from pipelines.backbones.whole import WholePipeline, whole_class, whole_layout, whole_limits
from pipelines.errors import ModelError
from pipelines.spec import EmbeddingFile, LoraFile, Machine
from pipelines.tensors import choose_device, choose_dtype

FAMILIES = (
    "Stable Diffusion 1.x, 2.x or XL, plain or inpainting, StableUnCLIP, Stable Diffusion 3.x, or Flux, or one that "
    "AutoPipelineForText2Image draws with from a prompt alone, such as PixArt, Sana or Qwen-Image"
)
FAMILY_OF: dict[str, type[Backbone]] = {  # by the class of the denoiser
    "UNet2DConditionModel": StableDiffusion,
    "SD3Transformer2DModel": StableDiffusion3,
    "FluxTransformer2DModel": Flux,
}
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
DISTILLED_STEPS = {"EulerDiscreteScheduler": 8, "EulerAncestralDiscreteScheduler": 1}  # most steps of distilled checkpoints


def open_checkpoint(
    checkpoint: str,
    machine: Machine | None = None,
    name: str = "",
    field: str = "models.text_to_image",
    config: str | None = None,
    loras: Sequence[LoraFile] = (),
    embeddings: Sequence[EmbeddingFile] = (),
) -> Backbone | WholePipeline:
    """Load a path or hub id, with @REVISION if need be; `name` and `field` are what errors call it. Raises ModelError.

    `config`: the diffusers checkpoint whose configurations and tokenizers a single file takes; `loras` and `embeddings` are
    added to it.
    """
    machine, name = machine or Machine(), name or checkpoint
    place = choose_device(machine.device)
    inspection, dtype = inspect(checkpoint, name, field, config), choose_dtype(machine.precision, place)
    path = locate(field, checkpoint, DIFFUSERS, weights=True)
    if path.is_file():
        pipeline: Any = SingleFile(path, field, name, config).load(inspection.kind, dtype)
    else:
        try:
            absent = left_out(DiffusionPipeline.load_config(path))
            pipeline = DiffusionPipeline.from_pretrained(
                path, dtype=dtype, use_safetensors=True, variant=variant_of(names(path)), **absent
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{field}: {name!r} cannot be loaded ({error})") from None
    opened: Backbone | WholePipeline
    if inspection.family is None:
        opened = WholePipeline(pipeline, name, place, dtype, inspection.layout)
    else:
        fuse_loras(pipeline, loras)
        opened = inspection.family(pipeline, name, place, dtype)
        add_embeddings(opened, embeddings)
        if machine.offload:
            opened.offload()
    if machine.compile and place.type == "cuda":
        opened.denoiser.compile()
    return opened


def open_backbone(checkpoint: str, machine: Machine | None = None, name: str = "", **options: Any) -> Backbone:
    """Load a checkpoint as `open_checkpoint` does. Raises ModelError for one that is run whole, too."""
    return taken_apart(open_checkpoint(checkpoint, machine, name, **options))


def taken_apart(checkpoint: Backbone | WholePipeline) -> Backbone:
    """Raises ModelError for a checkpoint that is run whole."""
    if isinstance(checkpoint, Backbone):
        return checkpoint
    raise ModelError(f"models.text_to_image: {checkpoint.name!r} is run whole, and not taken apart; give one of {FAMILIES}")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the configuration of a checkpoint says."""

    kind: str  # its pipeline in diffusers
    family: type[Backbone] | None  # None: it is run whole
    layout: Layout
    most_steps: int | None  # of one that is distilled to few steps, without guidance; None: as many as are asked for
    folder: Path  # of its configurations

    @property
    def limits(self) -> Mapping[str, str]:
        """What cannot be done with it: by the names of `features`, the reason, and what to do instead."""
        return whole_limits(getattr(diffusers, self.kind)) if self.family is None else self.family.limits


def inspect(checkpoint: str, name: str = "", field: str = "models.text_to_image", config: str | None = None) -> Inspection:
    """Read the configuration of a checkpoint, and no weight. Raises ModelError for one that cannot be used."""
    name, folder = name or checkpoint, locate(field, checkpoint, DIFFUSERS)
    if folder.is_file():
        single = SingleFile(folder, field, name, config)
        inspection = inspect(str(single.folder), field="models.config")
        return replace(inspection, layout=replace(inspection.layout, inpainting=single.inpainting))
    try:
        index = DiffusionPipeline.load_config(folder)
        family = family_of(index)
        if family is None and whole_class(index) is None:
            raise ModelError(f"{field}: {name!r} is a {index['_class_name']}; give one of {FAMILIES}")
        component = "unet" if index.get("unet") else "transformer"
        denoiser = UNet2DConditionModel.load_config(folder, subfolder=component)
        vae = AutoencoderKL.load_config(folder, subfolder="vae")
        solver = index["scheduler"][1]
        if solver in FEW_STEP_SCHEDULERS or denoiser.get("time_cond_proj_dim"):
            raise ModelError(
                f"{field}: {name!r} is distilled to a few steps of a solver of its own ({solver}), and another would ruin "
                "its images; give the checkpoint that it was distilled from"
            )
        scheduler = getattr(diffusers, solver).from_pretrained(folder, subfolder="scheduler")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{field}: {name!r} is no diffusers checkpoint ({str(error).splitlines()[0]})") from None
    if family is None:
        return Inspection(index["_class_name"], None, whole_layout(denoiser, vae), None, folder)
    try:
        family.read_schedule(scheduler)
        layout = family.read_layout(denoiser, vae)
    except (ModelError, KeyError) as error:
        raise ModelError(f"{field}: {name!r} cannot be used: {error}") from None
    return Inspection(index["_class_name"], family, layout, most_steps(scheduler), folder)


def left_out(index: Mapping[str, Any]) -> dict[str, None]:
    """The parts of a pipeline that are not loaded: those that a checkpoint does not have, and the safety checker."""
    named = {part: value for part, value in index.items() if isinstance(value, list)}
    return {part: None for part, value in named.items() if value[1] is None or part == "safety_checker"}


def family_of(index: Mapping[str, Any]) -> type[Backbone] | None:
    """The family of a checkpoint by its parts, each a library and a class; None for one of another family."""
    parts = {part: value[1] for part, value in index.items() if isinstance(value, list) and value[1]}
    denoiser = parts.get("unet") or parts.get("transformer")
    family = FAMILY_OF.get(denoiser or "")
    if family is StableDiffusion and "text_encoder_2" in parts:
        family = StableDiffusionXL
    complete = family is not None and {family.component, *family.required} <= parts.keys()
    return family if complete and parts["text_encoder"].startswith("CLIPText") else None  # Kolors has another language model


def most_steps(scheduler: SchedulerMixin) -> int | None:
    """Most steps of checkpoints such as SD-Turbo and SDXL-Lightning, distilled to few steps of Euler's solver.

    Trailing timesteps and the prediction of noise tell them. Our solver takes the same steps as Euler's, and adds no noise
    on the way, as the ancestral one does: of that, only a single step is the same.
    """
    config = scheduler.config
    trailing = config.get("timestep_spacing") == "trailing" and config.get("prediction_type") == "epsilon"
    return DISTILLED_STEPS.get(type(scheduler).__name__) if trailing else None
