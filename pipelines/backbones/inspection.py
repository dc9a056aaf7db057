"""What a checkpoint is, by its configuration: no weight is read, and neither torch nor diffusers is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.backbones.autopipeline import draws_alone, whole_limits
from pipelines.backbones.families import NAMES, Family, family_of
from pipelines.backbones.files import CONFIG, INDEX, SCHEDULER, configuration
from pipelines.backbones.layout import Layout, whole_layout
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.backbones.scheduler_config import FEW_STEP_SCHEDULERS, most_steps
from pipelines.backbones.single_file import SingleFile
from pipelines.errors import ModelError


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the configuration of a checkpoint says."""

    kind: str  # its pipeline in diffusers
    family: Family | None  # None: it is run whole
    layout: Layout
    most_steps: int | None  # of one that is distilled to few steps, without guidance; None: as many as are asked for
    folder: Path  # of its configurations

    @property
    def limits(self) -> Mapping[str, str]:
        """What cannot be done with it: by the names of `features`, the reason, and what to do instead."""
        return whole_limits(self.kind) if self.family is None else self.family.limits


def inspect(checkpoint: str, name: str = "", field: str = "models.text_to_image", config: str | None = None) -> Inspection:
    """Read the configuration of a checkpoint, and no weight. Raises ModelError for one that cannot be used."""
    name, folder = name or checkpoint, locate(field, checkpoint, DIFFUSERS)
    if folder.is_file():
        single = SingleFile(folder, field, name, config)
        inspection = inspect(str(single.folder), field="models.config")
        return replace(inspection, layout=replace(inspection.layout, inpainting=single.inpainting))
    try:
        index = configuration(folder / INDEX)
        family = family_of(index)
        if family is None and not draws_alone(index):
            raise ModelError(f"{field}: {name!r} is a {index['_class_name']}; give one of {NAMES}")
        denoiser = configuration(folder / ("unet" if index.get("unet") else "transformer") / CONFIG)
        vae = configuration(folder / "vae" / CONFIG)
        solver, scheduler = index["scheduler"][1], configuration(folder / "scheduler" / SCHEDULER)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{field}: {name!r} is no diffusers checkpoint ({error})") from None
    if solver in FEW_STEP_SCHEDULERS or denoiser.get("time_cond_proj_dim"):
        raise ModelError(
            f"{field}: {name!r} is distilled to a few steps of a solver of its own ({solver}), and another would ruin "
            "its images; give the checkpoint that it was distilled from"
        )
    try:
        if family is None:
            return Inspection(index["_class_name"], None, whole_layout(denoiser, vae), None, folder)
        family.check_scheduler(solver, scheduler)
        layout = family.layout(denoiser, vae)
    except (ModelError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{field}: {name!r} cannot be used: {error}") from None
    return Inspection(index["_class_name"], family, layout, most_steps(solver, scheduler), folder)
