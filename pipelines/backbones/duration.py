"""About how long the denoising of a version takes, from the speed of the engine where it was measured."""

from dataclasses import dataclass
from math import ceil

from pipelines.backbones.cached_steps import cost
from pipelines.backbones.checkpoints import PAINTER, Checkpoints
from pipelines.backbones.families import STABLE_DIFFUSION, STABLE_DIFFUSION_XL
from pipelines.backbones.inspection import Inspection
from pipelines.spec import CounterfactualPairs, EditMix, ImageVariation, SpuriousRemoval, VersionSpec
from pipelines.spec.models import BUNDLED


@dataclass(frozen=True, slots=True)
class Pace:
    """A measured speed of the engine."""

    seconds: float  # of one row of the denoiser: an image's step, of which guidance makes two
    side: int  # pixels of the images
    machine: str


# The guide "Real checkpoints": `python -m tests.benchmarks.gpu OUT --speed`, in bf16.
H100 = "an NVIDIA H100"
PACES = ((STABLE_DIFFUSION_XL, Pace(0.0193, 1024, H100)), (STABLE_DIFFUSION, Pace(0.0033, 512, H100)))
BUNDLED_PACE = Pace(0.0033, 64, "two CPU cores")


def pace_of(name: str, inspection: Inspection) -> Pace | None:
    """None for a family that was not measured."""
    if name in BUNDLED:
        return BUNDLED_PACE
    return next((pace for family, pace in PACES if family is inspection.family), None)


def rows_per_image(spec: VersionSpec) -> float:
    """Whole rows of the denoiser that an image takes: its share of the steps, twice where it is guided, three times where by
    an image, too, and little where it keeps deep features."""
    method, strengths, again = spec.method, [1.0], 1
    if isinstance(method, EditMix) and method.editor == "instruct":
        again = 2
    elif isinstance(method, SpuriousRemoval | EditMix | CounterfactualPairs):
        strengths = [method.strength]
    elif isinstance(method, ImageVariation):
        strengths = list(method.strengths)
    low, high = method.guidance_interval if method.guidance > 1 else (0.0, 0.0)
    guided = [again * max(0.0, high - max(low, 1 - strength)) for strength in strengths]
    shares = [
        (strength + more) * cost(ceil(method.steps * strength), method.cache_interval)
        for strength, more in zip(strengths, guided, strict=True)
    ]
    return method.steps * sum(shares) / len(shares)


def duration(spec: VersionSpec, planned: int, checkpoints: Checkpoints) -> str | None:
    """In words, for so many images, each made once; None where it is unknown. `checkpoints`: those of the spec, all read."""
    models, hours, machines = spec.models, 0.0, set[str]()
    painting, shares = models.generators, models.shares
    if models.inpainting is not None:
        painting, shares = {PAINTER: models.inpainting}, [1.0]
    for (field, name), share in zip(painting.items(), shares, strict=True):
        pace, side = pace_of(name, checkpoints.inspections[field]), checkpoints.resolution(field)
        if pace is None or not side:
            return None
        hours += share * planned * rows_per_image(spec) * pace.seconds * (side / pace.side) ** 2 / 3600
        machines.add(pace.machine)
    if len(machines) > 1:  # measured apart
        return None
    minutes = 60 * hours
    time = f"{hours:,.1f} hours" if hours >= 1 else f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"
    return (
        f"Denoising takes about {time} on {machines.pop()}, and as long again for what filters drop; loading checkpoints, "
        "learning and evaluation are not counted."
    )
