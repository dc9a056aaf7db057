"""Whether a checkpoint can do what a spec asks of it, by its configuration."""

from collections.abc import Mapping

from pipelines.backbones.layout import Layout
from pipelines.backbones.loading import Inspection
from pipelines.errors import SpecError
from pipelines.spec import AugmentedConditioning, FromNoise, VersionSpec
from pipelines.spec.helpers import segmenter_users


def check_capabilities(spec: VersionSpec, checkpoints: Mapping[str, Inspection]) -> None:
    """`checkpoints` are the spec's, by field. Raises SpecError."""
    method, models, base = spec.method, spec.models, checkpoints["models.text_to_image"]
    name = f"{models.text_to_image!r} is a {base.kind}"
    asked_for = {
        "method.inversion": method.inversion is not None,
        "method.negative_prompt": bool(method.negative_prompt),
        "method.guidance_rescale": method.guidance_rescale > 0,
        "models.embeddings": bool(models.embeddings),
        "method.type": isinstance(method, AugmentedConditioning),
        "models.segmenter": models.segmenter == "cross-attention" and bool(segmenter_users(spec)),
    }
    for field, reason in base.family.limits.items():
        if asked_for[field]:
            raise SpecError(f"{field}: {name}, and {reason}")
    most = min((each.most_steps for each in checkpoints.values() if each.most_steps), default=None)
    if most is not None and method.guidance > 1:
        raise SpecError("method.guidance: the checkpoint is distilled to few steps without guidance; set it to 1")
    if most is not None and method.steps > most:
        raise SpecError(
            f"method.steps: the checkpoint is distilled to few steps, {most} at most by the solver here; set it to {most}"
        )
    check_side("models.resolution", models.resolution or base.layout.resolution, base.layout, name)
    for field, side in (("width", method.width), ("height", method.height)) if isinstance(method, FromNoise) else ():
        if side is not None:
            check_side(f"method.{field}", side, base.layout, name)


def check_side(field: str, pixels: int, layout: Layout, name: str) -> None:
    """Raises SpecError for a side that a checkpoint cannot paint."""
    multiple, largest = layout.multiple, layout.largest
    if pixels % multiple:
        below = max(multiple, pixels // multiple * multiple)
        raise SpecError(f"{field}: {name}, whose sides are multiples of {multiple} pixels; set it to {below}")
    if largest is not None and pixels > largest:
        raise SpecError(f"{field}: {name}, whose sides have {largest} pixels at most; set it to that, or fewer")
