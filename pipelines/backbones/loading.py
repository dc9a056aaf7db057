"""Opens a diffusers checkpoint as a backbone of its family. The one place that loads one."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import DiffusionPipeline

from pipelines.backbones.additions import add_embeddings, fuse_loras
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.erasing import erase
from pipelines.backbones.families import NAMES
from pipelines.backbones.files import names, variant_of
from pipelines.backbones.inspection import inspect
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.backbones.single_file import SingleFile
from pipelines.backbones.whole import WholePipeline
from pipelines.errors import ModelError
from pipelines.spec import EmbeddingFile, Erasing, LoraFile, Machine
from pipelines.tensors import choose_device, choose_dtype


def open_checkpoint(
    checkpoint: str,
    machine: Machine | None = None,
    name: str = "",
    field: str = "models.text_to_image",
    config: str | None = None,
    loras: Sequence[LoraFile] = (),
    embeddings: Sequence[EmbeddingFile] = (),
    erasing: Erasing | None = None,
) -> Backbone | WholePipeline:
    """Load a path or hub id, with @REVISION if need be; `name` and `field` are what errors call it. Raises ModelError.

    `config`: the diffusers checkpoint whose configurations and tokenizers a single file takes; `loras` and `embeddings` are
    added to it; `erasing`: what it draws no more.
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
        except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
            raise ModelError(f"{field}: {name!r} cannot be loaded ({error})") from None
    opened: Backbone | WholePipeline
    if inspection.family is None:
        opened = WholePipeline(pipeline, name, place, dtype, inspection.layout)
    else:
        fuse_loras(pipeline, loras)
        opened = inspection.family.load()(pipeline, name, place, dtype)
        if erasing is not None:
            erase(opened, erasing)
        add_embeddings(opened, embeddings)
        if machine.offload:
            opened.offload()
    if machine.compile and place.type == "cuda":
        opened.compile()
    return opened


def open_backbone(checkpoint: str, machine: Machine | None = None, name: str = "", **options: Any) -> Backbone:
    """Load a checkpoint as `open_checkpoint` does. Raises ModelError for one that is run whole, too."""
    return taken_apart(open_checkpoint(checkpoint, machine, name, **options))


def taken_apart(checkpoint: Backbone | WholePipeline) -> Backbone:
    """Raises ModelError for a checkpoint that is run whole."""
    if isinstance(checkpoint, Backbone):
        return checkpoint
    raise ModelError(f"models.text_to_image: {checkpoint.name!r} is run whole, and not taken apart; give one of {NAMES}")


def left_out(index: Mapping[str, Any]) -> dict[str, None]:
    """The parts of a pipeline that are not loaded: those that a checkpoint does not have, and the safety checker."""
    named = {part: value for part, value in index.items() if isinstance(value, list)}
    return {part: None for part, value in named.items() if value[1] is None or part == "safety_checker"}
