"""All checkpoints that a spec names, read by their configurations and headers alone: without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.backbones.adapter_files import adapter_files
from pipelines.backbones.addition_files import check as check_additions
from pipelines.backbones.files import INDEX, PICKLES, configuration, is_weights
from pipelines.backbones.inspection import Inspection, inspect
from pipelines.backbones.locate import CLASSIFIER, CLIP, CLIPSEG, DETECTOR, LANGUAGE_MODEL, SAM, Kind, NotReadError, locate
from pipelines.builtin.checkpoints import resolve
from pipelines.errors import ModelError
from pipelines.spec import Models, VersionSpec
from pipelines.spec.models import BUILTIN, CROSS_ATTENTION
from pipelines.spec.written_words import ENDPOINT

WEIGHED = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")  # parts that have weights
BASE, PAINTER = "models.text_to_image", "models.inpainting"


@dataclass(frozen=True)
class Checkpoints:
    """What the diffusers checkpoints of a spec are, by field; and, inside `only_here`, why others were not looked at."""

    models: Models
    inspections: dict[str, Inspection] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)

    @property
    def painter(self) -> Inspection:
        """What paints: the inpainting checkpoint, or the text-to-image one."""
        return self.inspections.get(PAINTER, self.inspections[BASE])

    def resolution(self, field_name: str) -> int:
        """Pixels a side that a checkpoint is used at: models.resolution, or that of text_to_image for those that share its
        images, and of its own configuration for another; 0: unknown."""
        shared = BASE if field_name in self.models.generators and BASE in self.inspections else field_name
        return self.models.resolution or self.inspections[shared].layout.resolution

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Inside the block, a checkpoint that does not lie here is noted."""
        try:
            yield
        except NotReadError as error:
            self.not_read.append(str(error))


def names(models: Models) -> dict[str, str]:
    """What a spec calls its diffusers checkpoints, by field."""
    return {**models.generators, **({} if models.inpainting is None else {PAINTER: models.inpainting})}


def read_checkpoints(spec: VersionSpec) -> Checkpoints:
    """Raises ModelError for a checkpoint that cannot be used, does not fit the others, or is not there."""
    checkpoints = read_models(spec.models)
    if spec.classifier.checkpoint is not None:
        with checkpoints.reading():
            locate("classifier.checkpoint", spec.classifier.checkpoint, CLASSIFIER)
    return checkpoints


def read_models(models: Models) -> Checkpoints:
    """Raises ModelError."""
    checkpoints = Checkpoints(models)
    for field_name, name in names(models).items():
        with checkpoints.reading():
            inspection = inspect(resolve(name, "model"), name, field_name, models.config)
            check_weights(field_name, name, inspection.folder)
            checkpoints.inspections[field_name] = inspection
    base, painter = (checkpoints.inspections.get(field_name) for field_name in (BASE, PAINTER))
    if base is not None and painter is not None:
        check_twin(models, base, painter)
    if base is not None:
        with checkpoints.reading():
            check_additions(models, base.folder)
    for value, kind in segmenter_parts(models.segmenter):
        with checkpoints.reading():
            locate("models.segmenter", value, kind)
    with checkpoints.reading():
        locate("models.clip", resolve(models.clip, "clip"), CLIP)
    if models.language_model not in (None, ENDPOINT):
        with checkpoints.reading():
            locate("models.language_model", models.language_model, LANGUAGE_MODEL)
    if models.adapter != BUILTIN:
        with checkpoints.reading():
            adapter_files(models.adapter)
    return checkpoints


def check_weights(field_name: str, name: str, folder: Path) -> None:
    """Raises ModelError for a folder with a part whose weights are not there, or are pickles."""
    if not Path(name).is_dir():  # of the hub only what was looked at lies here
        return
    parts = [part for part, value in configuration(folder / INDEX).items() if isinstance(value, list) and part in WEIGHED]
    for part in parts:
        files = [file.name for file in (folder / part).glob("*")]
        if any(map(is_weights, files)):
            continue
        if any(file.endswith(PICKLES) for file in files):
            raise ModelError(
                f"{field_name}: the weights of {name!r} are pickles ({part}), which can run code when they are read; make "
                f"safetensors of them by `counterpoise convert {name} --out FOLDER`"
            )
        raise ModelError(f"{field_name}: {name!r} has no weights in {part}/; download all of it")


def check_twin(models: Models, base: Inspection, painter: Inspection) -> None:
    """Raises ModelError for an inpainting checkpoint of another kind, or of another base."""
    if "inpainting" in base.limits:  # what such a family is told instead: `check_capabilities`
        return
    if not painter.layout.inpainting:
        raise no_inpainting(str(models.inpainting))
    if painter.family is not base.family:
        raise ModelError(
            f"{PAINTER}: {models.inpainting!r} is a {painter.kind}, and {models.text_to_image!r} a {base.kind}; give the "
            "inpainting checkpoint of the same base"
        )


def no_inpainting(name: str) -> ModelError:
    return ModelError(f"{PAINTER}: {name!r} is no inpainting checkpoint; give one, or leave it out")


def segmenter_parts(segmenter: str) -> list[tuple[str, Kind]]:
    """The checkpoints of a segmenter, and what each must be: 'detector+sam', one, or none of its own."""
    if segmenter == CROSS_ATTENTION:
        return []
    if "+" in segmenter:
        return list(zip(segmenter.split("+", 1), (DETECTOR, SAM), strict=True))
    return [(resolve(segmenter, "segmenter"), CLIPSEG)]
