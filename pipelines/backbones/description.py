"""What is said of a spec's checkpoints before anything is loaded: in the same words by the command line and by the API."""

import math
from dataclasses import dataclass, replace

from pipelines.backbones.checkpoints import Checkpoints, names
from pipelines.backbones.features import FEATURES
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.backbones.memory import Memory, memory_of
from pipelines.builtin.checkpoints import resolve
from pipelines.spec import MethodSpec


@dataclass(frozen=True, slots=True)
class Description:
    """Of a checkpoint."""

    field: str
    name: str
    pipeline: str  # its class in diffusers
    inpainting: bool
    resolution: int  # pixels a side that it is given; 0: unknown
    made_for: int  # pixels a side of its configuration; 0: it does not say
    most_steps: int | None
    whole: bool  # whether diffusers runs it whole
    unavailable: list[str]  # what a spec cannot ask of it

    @property
    def text(self) -> str:
        painting = ", for inpainting" if self.inpainting else ""
        side = f"{self.resolution} pixels a side" if self.resolution else "of no size of its own"
        other = f" (made for {self.made_for})" if self.made_for not in (0, self.resolution) else ""
        distilled = "" if self.most_steps is None else f", distilled to {self.most_steps} steps at most"
        line = f"{self.field}: a {self.pipeline}{painting}, {side}{other}{distilled}."
        if not self.whole:
            return line
        return f"{line}\n  Run whole, as diffusers runs it: no step-level batching, and no {', '.join(self.unavailable)}."


@dataclass(frozen=True, slots=True)
class Needs:
    """About the GPU memory that a spec needs in half precision, GiB; None: of what it does not do."""

    generating: int
    learning_tokens: int | None
    learning_lora: int | None

    @property
    def text(self) -> str:
        aims = (
            (self.generating, "to generate"),
            (self.learning_tokens, "to learn tokens"),
            (self.learning_lora, "to learn a LoRA"),
        )
        return f"GPU memory, in half precision about: {', '.join(f'{gib} GiB {aim}' for gib, aim in aims if gib)}."


def describe(checkpoints: Checkpoints) -> list[Description]:
    """Each, as a spec's `models.resolution` has it used."""
    named = names(checkpoints.models)
    return [
        Description(
            field,
            named[field],
            inspection.kind,
            inspection.layout.inpainting,
            checkpoints.resolution(field),
            inspection.layout.resolution,
            inspection.most_steps,
            inspection.family is None,
            [feature.title for key, feature in FEATURES.items() if key in inspection.limits],
        )
        for field, inspection in checkpoints.inspections.items()
    ]


def needs(method: MethodSpec, checkpoints: Checkpoints, rows: int) -> Needs | None:
    """About the GPU memory for `rows` images at a time; None where it is unknown."""
    memory = side_by_side(checkpoints)
    if memory is None:
        return None
    return Needs(
        math.ceil(memory.generating(rows)),
        None if method.inversion is None else math.ceil(memory.learning_tokens(method.inversion.batch)),
        None if method.lora is None else math.ceil(memory.learning_lora(method.lora.batch)),
    )


def side_by_side(checkpoints: Checkpoints) -> Memory | None:
    """About what the checkpoints need together: the weights of all, and the activations of the one that has most, since one
    denoises at a time; None where it is unknown."""
    named, parts = names(checkpoints.models), []
    for field, name in named.items():
        inspection = checkpoints.inspections.get(field)
        if inspection is None:
            return None
        path = locate(field, resolve(name, "model"), DIFFUSERS)
        parts.append(memory_of(path, inspection.folder, checkpoints.resolution(field)))
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    halves, fulls = sum(part.halves for part in known), sum(part.fulls for part in known)
    largest = max(known, key=lambda part: part.predictions * part.prediction)
    return replace(largest, halves=halves, fulls=fulls)
