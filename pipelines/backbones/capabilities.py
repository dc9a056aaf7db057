"""Whether a checkpoint can do what a spec asks of it, by its configuration."""

from collections.abc import Mapping

from pipelines.backbones.checkpoints import BASE, Checkpoints, read_checkpoints
from pipelines.backbones.features import FEATURES
from pipelines.backbones.inspection import Inspection
from pipelines.backbones.layout import Layout
from pipelines.backbones.vocabulary import check_words
from pipelines.errors import SpecError
from pipelines.spec import FromNoise, VersionSpec
from pipelines.spec.helpers import check_helpers

OF_THE_FIRST = frozenset({"cross_attention", "diffusion_classifier", "reencode"})  # whatever else draws


def check_models(spec: VersionSpec) -> Checkpoints:
    """All that can be refused without an image, by what a spec says and the configurations of its checkpoints.
    Raises SpecError or ModelError."""
    check_helpers(spec)
    checkpoints = read_checkpoints(spec)
    check_capabilities(spec, checkpoints.inspections)
    return checkpoints


def check_capabilities(spec: VersionSpec, checkpoints: Mapping[str, Inspection]) -> None:
    """`checkpoints` are the spec's, by field: without one to draw with, nothing is known of it. Raises SpecError."""
    method, models, base = spec.method, spec.models, checkpoints.get(BASE)
    if base is None:
        return
    sharing = {
        f"{name!r} is a {checkpoints[field].kind}": checkpoints[field]
        for field, name in models.generators.items()
        if field in checkpoints
    }
    for name, inspection in sharing.items():
        for key, feature in FEATURES.items():
            limited = key in inspection.limits and feature.used(spec)
            if limited and (inspection is base or key not in OF_THE_FIRST):
                raise SpecError(f"{feature.field}: {name}, and {inspection.limits[key]}")
    most = min((each.most_steps for each in checkpoints.values() if each.most_steps), default=None)
    if most is not None and method.guidance > 1:
        raise SpecError("method.guidance: the checkpoint is distilled to few steps without guidance; set it to 1")
    if most is not None and method.steps > most:
        raise SpecError(
            f"method.steps: the checkpoint is distilled to few steps, {most} at most by the solver here; set it to {most}"
        )
    if most is not None and method.solver == "dpmsolver++":
        raise SpecError("method.solver: the checkpoint is distilled to few steps of first order; set it to auto")
    inversion = method.inversion
    drawing = inversion is not None and inversion.objective == "classification"
    if most and inversion and drawing and (inversion.guidance > 1 or inversion.denoising_steps > most):
        raise SpecError(
            "method.inversion.guidance: the checkpoint is distilled to few steps without guidance; set it to 1, and "
            f"method.inversion.denoising_steps to {most}"
        )
    if most is not None and method.cache_interval > 1:
        raise SpecError("method.cache_interval: the checkpoint is distilled to few steps that differ too much; set it to 1")
    resolution = models.resolution or base.layout.resolution
    if not resolution:
        raise SpecError(
            f"models.resolution: {models.text_to_image!r} is a {base.kind}, whose configuration does not say for which; "
            "give it: mostly 1024"
        )
    for name, inspection in sharing.items():
        check_side("models.resolution", resolution, inspection.layout, name)
        if isinstance(method, FromNoise):
            check_side("method.width", method.width or resolution, inspection.layout, name)
            check_side("method.height", method.height or resolution, inspection.layout, name)
    check_words(spec, base.folder)


def check_side(field: str, side: int, layout: Layout, name: str) -> None:
    """Raises SpecError for pixels a side that a checkpoint cannot paint."""
    multiple, largest = layout.multiple, layout.largest
    if side % multiple:
        below = max(multiple, side // multiple * multiple)
        raise SpecError(f"{field}: {name}, whose sides are multiples of {multiple} pixels; set it to {below}")
    if largest is not None and side > largest:
        raise SpecError(f"{field}: {name}, whose sides have {largest} pixels at most; set it to that, or fewer")
