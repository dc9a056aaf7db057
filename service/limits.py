"""What a spec may name: only folders and checkpoints that the operator allows. Checked by the API, and by workers again."""

from pathlib import Path

from pipelines.errors import SpecError
from pipelines.spec import FolderSource, VersionSpec
from service.settings import Settings


def inside(path: str, roots: list[Path]) -> bool:
    """Whether a path lies in one of the roots, all links followed."""
    real = Path(path).resolve()
    return any(real.is_relative_to(root.resolve()) for root in roots)


def refuse(field: str, value: str, roots: list[Path], variable: str) -> SpecError:
    allowed = ", ".join(map(str, roots)) or "nothing"
    return SpecError(f"{field}: {value!r} is not allowed here; the operator allows {allowed} ({variable})")


def check_size(images: int, shard_size: int, settings: Settings) -> None:
    """Raises SpecError for a version that is too large for this service."""
    if images > settings.max_images:
        raise SpecError(
            f"amount: {images} images are more than the {settings.max_images} that the operator allows "
            "(COUNTERPOISE_MAX_IMAGES); ask for fewer"
        )
    if -(-images // shard_size) > settings.max_shards:
        raise SpecError(
            f"shard_size: {images} images in shards of {shard_size} are more than the {settings.max_shards} shards that the "
            "operator allows (COUNTERPOISE_MAX_SHARDS); make them larger"
        )


def check(spec: VersionSpec, settings: Settings) -> None:
    """Raises SpecError that names the field and what is allowed."""
    check_size(spec.amount.total or spec.amount.per_class or 0, spec.shard_size, settings)
    source = spec.source
    if isinstance(source, FolderSource) and not inside(source.path, settings.source_roots):
        refused = refuse("source.path", source.path, settings.source_roots, "COUNTERPOISE_SOURCE_ROOTS")
        raise SpecError(f"{refused}. Or send the images to /v1/sources/NAME, and name them: {{type: uploaded, name: NAME}}")
    named = {
        "models.text_to_image": [spec.models.text_to_image],
        "models.clip": [spec.models.clip],
        "models.segmenter": spec.models.segmenter.split("+"),
        "classifier.checkpoint": [spec.classifier.checkpoint] if spec.classifier.checkpoint else [],
    }
    for field, values in named.items():
        for value in values:
            builtin = value in ("builtin", "cross-attention")
            hub = value.split("/")[0] in settings.hub_organisations and value.count("/") == 1
            if not (builtin or hub or inside(value, settings.model_roots)):
                raise refuse(field, value, settings.model_roots, "COUNTERPOISE_MODEL_ROOTS, COUNTERPOISE_HUB_ORGANISATIONS")
