"""What a spec may name: only folders and checkpoints that the operator allows. Checked by the API, and by workers again."""

import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import make_url

from pipelines.errors import SpecError
from pipelines.spec import HubSource, SourceSpec, VersionSpec
from pipelines.spec.models import BUNDLED, WEIGHTS_SUFFIX, split_revision
from pipelines.spec.sources import PathSource, local, remote
from pipelines.spec.written_words import ENDPOINT
from service.settings import Settings


def inside(path: str, roots: Sequence[str | Path]) -> bool:
    """Whether a path lies in one of the roots, all links followed; or an s3:// prefix, by whole names, in an s3:// root."""
    if remote(path):
        parts = path.rstrip("/").split("/")
        prefixes = [str(root).rstrip("/").split("/") for root in roots if remote(str(root))]
        return any(parts[: len(prefix)] == prefix for prefix in prefixes)
    if path.startswith("~"):  # somebody's home, not a folder of that name here
        return False
    real = Path(path).resolve()
    return any(real.is_relative_to(Path(root).resolve()) for root in roots if not remote(str(root)))


def own_place(path: str, settings: Settings) -> str | None:
    """The setting of what a path would open up: the state folder, the database or the store that it holds, or lies in."""
    store, path = settings.store.removeprefix("file://"), path.removeprefix("file://")
    places = {"COUNTERPOISE_STORE_URL": store, "COUNTERPOISE_STATE_DIR": str(settings.state_dir)}
    if settings.database.startswith("sqlite"):
        places["COUNTERPOISE_DATABASE_URL"] = make_url(settings.database).database or ":memory:"
    held = (setting for setting, place in places.items() if inside(place, [path]))
    return next(held, "COUNTERPOISE_STORE_URL" if inside(path, [store]) else None)


def check_roots(settings: Settings) -> None:
    """Raises SpecError for a root through which one tenant could read another's data, or the database."""
    sources = [("COUNTERPOISE_SOURCE_ROOTS", root) for root in settings.source_roots]
    models = [("COUNTERPOISE_MODEL_ROOTS", str(root)) for root in settings.model_roots]
    for variable, root in sources + models:
        if own := own_place(root, settings):
            raise SpecError(
                f"{variable}: {root!r} holds, or lies in, what the service keeps for all ({own}), so that one tenant could "
                "read what is another's; name folders beside it, or move that elsewhere"
            )


def allowed(path: str, roots: Sequence[str | Path], settings: Settings) -> bool:
    """Whether a path lies in one of the roots, and is none of the service's own."""
    return inside(path, roots) and own_place(path, settings) is None


def on_hub(identity: str, settings: Settings, *, file: bool = False) -> bool:
    """Whether it is a repository of an allowed organisation; or, with `file`, a file in one. Either may have @REVISION."""
    name, revision = split_revision(identity)
    organisation, *names = name.split("/")
    deep = len(names) > 1 if file else len(names) == 1
    return organisation in settings.hub_organisations and deep and ".." not in [*names, *(revision or "").split("/")]


def refusal(field: str, value: str, roots: Sequence[str | Path], variable: str) -> SpecError:
    names = ", ".join(map(str, roots)) or "nothing"
    return SpecError(f"{field}: {value!r} is not allowed here; the operator allows {names} ({variable})")


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


def check_source(source: SourceSpec, settings: Settings) -> None:
    """Raises SpecError for images that the operator does not allow to be read."""
    roots, variable = settings.source_roots, "COUNTERPOISE_SOURCE_ROOTS"
    if isinstance(source, PathSource) and not allowed(source.path, roots, settings):
        refused = refusal("source.path", source.path, roots, variable)
        raise SpecError(f"{refused}. Or send the images to /v1/sources/NAME, and name them: {{type: uploaded, name: NAME}}")
    if isinstance(source, HubSource):
        if local(source.id) and not allowed(source.id, roots, settings):
            raise refusal("source.id", source.id, roots, variable)
        if not local(source.id) and not on_hub(source.id, settings):
            raise refusal("source.id", source.id, settings.hub_organisations, "COUNTERPOISE_HUB_ORGANISATIONS")


def check(spec: VersionSpec, settings: Settings) -> None:
    """Raises SpecError that names the field and what is allowed."""
    check_size(spec.amount.total or spec.amount.per_class or 0, spec.shard_size, settings)
    check_source(spec.source, settings)
    checkpoints = {
        **{field: [name] for field, name in spec.models.generators.items()},
        "models.inpainting": [spec.models.inpainting] if spec.models.inpainting else [],
        **{f"models.loras.{number}.path": [lora.path] for number, lora in enumerate(spec.models.loras)},
        **{f"models.embeddings.{number}.path": [one.path] for number, one in enumerate(spec.models.embeddings)},
        "models.config": [spec.models.config] if spec.models.config else [],
        "models.adapter": [spec.models.adapter],
        "models.clip": [spec.models.clip],
        "models.language_model": [spec.models.language_model] if spec.models.language_model else [],
        "models.segmenter": spec.models.segmenter.split("+"),
        "classifier.checkpoint": [spec.classifier.checkpoint] if spec.classifier.checkpoint else [],
    }
    if spec.models.language_model == ENDPOINT and not settings.language_model_url:
        raise SpecError(
            "models.language_model: the operator has no endpoint (COUNTERPOISE_LANGUAGE_MODEL_URL); name a checkpoint, or "
            "write the words yourself"
        )
    for field, values in checkpoints.items():
        for value in values:
            builtin = value in (*BUNDLED, "cross-attention", ENDPOINT)
            # A path that exists is read, whatever it looks like.
            file = field == "models.adapter" or split_revision(value)[0].endswith(WEIGHTS_SUFFIX)
            hub = on_hub(value, settings, file=file) and not os.path.exists(value)
            if not (builtin or hub or allowed(value, settings.model_roots, settings)):
                raise refusal(field, value, settings.model_roots, "COUNTERPOISE_MODEL_ROOTS, COUNTERPOISE_HUB_ORGANISATIONS")
