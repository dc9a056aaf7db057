"""The models that a spec names, each loaded once, when it is first used."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pipelines import spec
from pipelines.backbones import additions
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.image_prompts import AdapterFiles, IpAdapter, UnClip, adapter_files
from pipelines.backbones.loading import Inspection, inspect, open_checkpoint, taken_apart
from pipelines.backbones.locate import CLIP, DIFFUSERS, locate
from pipelines.backbones.memory import Memory, memory_of
from pipelines.backbones.revision import revision_of
from pipelines.backbones.single_file import SingleFile
from pipelines.backbones.whole import WholePipeline
from pipelines.builtin.checkpoints import ADAPTER, resolve
from pipelines.errors import ModelError
from pipelines.spec.models import BUILTIN, CROSS_ATTENTION
from pipelines.store.canonical import digest
from pipelines.vision.clip import Clip
from pipelines.vision.segmentation import Segmenter, open_segmenter, segmenter_parts


class Models:
    """Loaded models, kept for the next unit of work, and for the next version that names the same ones."""

    def __init__(self, models: spec.Models, machine: spec.Machine | None = None) -> None:
        """`machine` is what they compute on; None: whatever there is."""
        self.spec, self.machine = models, machine or spec.Machine()

    def __reduce__(self) -> tuple[type["Models"], tuple[spec.Models, spec.Machine]]:
        """In another process, they are loaded anew."""
        return Models, (self.spec, self.machine)

    def inspect(self) -> dict[str, Inspection]:
        """What the diffusers checkpoints are, by field, from their configuration alone.

        Raises ModelError for one that cannot be used, and for any other model that is not there.
        """
        named = {"models.text_to_image": self.spec.text_to_image, "models.inpainting": self.spec.inpainting}
        fields = {field: name for field, name in named.items() if name is not None}
        config = self.spec.config
        checkpoints = {field: inspect(resolve(name, "model"), name, field, config) for field, name in fields.items()}
        base, painter = checkpoints["models.text_to_image"], checkpoints.get("models.inpainting")
        # What a family without inpainting checkpoints is told instead: `check_capabilities`.
        if painter is not None and "inpainting" not in base.limits and not painter.layout.inpainting:
            raise self.no_inpainting()
        if painter is not None and "inpainting" not in base.limits and painter.family is not base.family:
            raise ModelError(
                f"models.inpainting: {self.spec.inpainting!r} is a {painter.kind}, and {self.spec.text_to_image!r} a "
                f"{base.kind}; give the inpainting checkpoint of the same base"
            )
        additions.check(self.spec, base.folder)
        self.check_helpers()
        return checkpoints

    def memory(self, checkpoints: Mapping[str, Inspection]) -> Memory | None:
        """About the GPU memory that the inspected checkpoints need, side by side; None where it is unknown."""
        named = {"models.text_to_image": self.spec.text_to_image, "models.inpainting": self.spec.inpainting or ""}
        parts = []
        for field, inspection in checkpoints.items():
            path = locate(field, resolve(named[field], "model"), DIFFUSERS)
            parts.append(memory_of(path, inspection.folder, self.spec.resolution or inspection.layout.resolution))
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        halves, fulls = sum(part.halves for part in known), sum(part.fulls for part in known)
        return replace(known[0], halves=halves, fulls=fulls)

    def check_helpers(self) -> None:
        """Raises ModelError for a segmenter, a CLIP or an adapter that is not there, or is something else."""
        if self.spec.segmenter != CROSS_ATTENTION:
            for value, kind in segmenter_parts(resolve(self.spec.segmenter, "segmenter")):
                locate("models.segmenter", value, kind)
        locate("models.clip", resolve(self.spec.clip, "clip"), CLIP)
        if self.spec.adapter != BUILTIN:
            adapter_files(self.spec.adapter)

    def no_inpainting(self) -> ModelError:
        return ModelError(
            f"models.inpainting: {self.spec.inpainting!r} is no inpainting checkpoint; give one, or leave it out"
        )

    @cached_property
    def text_to_image(self) -> Backbone | WholePipeline:
        return self.open(self.spec.text_to_image, "models.text_to_image")

    @property
    def backbone(self) -> Backbone:
        """The text-to-image checkpoint, where it is taken apart. Raises ModelError where it is run whole."""
        return taken_apart(self.text_to_image)

    def open(self, name: str, field: str) -> Backbone | WholePipeline:
        return open_checkpoint(
            resolve(name, "model"), self.machine, name, field, self.spec.config, self.spec.loras, self.spec.embeddings
        )

    @cached_property
    def painter(self) -> Backbone | WholePipeline:
        """What repaints parts of images: the inpainting checkpoint, or text_to_image itself. Raises ModelError."""
        if self.spec.inpainting is None:
            return self.text_to_image
        name = self.spec.inpainting
        painter = taken_apart(self.open(name, "models.inpainting"))
        if not painter.inpainting:
            raise self.no_inpainting()
        if not painter.reads_as(self.backbone):
            raise ModelError(
                f"models.inpainting: {name!r} reads prompts otherwise than {self.backbone.name!r}, so tokens that are "
                "learned on one say nothing to the other; give the inpainting checkpoint of the same base"
            )
        return painter

    @cached_property
    def revision(self) -> str:
        """Of the files of the text-to-image checkpoint, none of which is loaded. Raises ModelError."""
        return self.revision_of(self.spec.text_to_image, "models.text_to_image")

    @cached_property
    def painter_revision(self) -> str:
        """Of those of the inpainting checkpoint, the text-to-image one's where there is none. Raises ModelError."""
        if self.spec.inpainting is None:
            return self.revision
        return self.revision_of(self.spec.inpainting, "models.inpainting")

    def revision_of(self, name: str, field: str) -> str:
        path = locate(field, resolve(name, "model"), DIFFUSERS, weights=True)
        configuration = SingleFile(path, field, name, self.spec.config).folder if path.is_file() else None
        revision, added = revision_of(path, configuration), additions.facts(self.spec)
        return digest([revision, *added]) if added else revision

    @cached_property
    def segmenter_revision(self) -> str:
        """Of the segmenter's files: what is learned from its masks depends on them. Raises ModelError."""
        if self.spec.segmenter == CROSS_ATTENTION:
            return self.revision
        parts = segmenter_parts(resolve(self.spec.segmenter, "segmenter"))
        return "+".join(revision_of(locate("models.segmenter", value, kind, weights=True)) for value, kind in parts)

    @cached_property
    def resolution(self) -> int:
        """Pixels a side of every image that goes into, or comes out of, the backbone."""
        return self.spec.resolution or self.text_to_image.resolution

    @cached_property
    def segmenter(self) -> Segmenter:
        return open_segmenter(resolve(self.spec.segmenter, "segmenter"), lambda: self.backbone, self.machine.device)

    @cached_property
    def clip(self) -> Clip:
        return Clip(resolve(self.spec.clip, "clip"), self.machine.device)

    @property
    def image_conditioning(self) -> IpAdapter | UnClip:
        """The backbone's image conditioning: an unCLIP checkpoint's own, else the adapter. Raises ModelError."""
        if self.spec.adapter == BUILTIN:
            folder, encoder = Path(resolve(BUILTIN, "adapter")), Path(resolve(BUILTIN, "clip"))
            return self.backbone.load_ip_adapter(AdapterFiles(BUILTIN, folder / ADAPTER, encoder))
        return self.backbone.load_ip_adapter(adapter_files(self.spec.adapter))

    def forget_loras(self) -> None:
        """Take those of an earlier version out of the backbone: they would pile up."""
        for name in {"text_to_image", "painter"} & vars(self).keys():
            getattr(self, name).remove_loras()

    @property
    def loaded(self) -> list[str]:
        """Names of those that are in memory."""
        return [name for name in ("text_to_image", "painter", "segmenter", "clip") if name in vars(self)]
