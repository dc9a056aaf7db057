"""The models that a spec names, each loaded once, when it is first used."""

from functools import cached_property
from pathlib import Path

from pipelines import spec
from pipelines.backbones.adapter_files import AdapterFiles, adapter_files
from pipelines.backbones.addition_files import facts
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.checkpoints import no_inpainting, segmenter_parts
from pipelines.backbones.image_prompts import IpAdapter, UnClip
from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_checkpoint, taken_apart
from pipelines.backbones.locate import CLIP, DIFFUSERS, locate
from pipelines.backbones.revision import revision_of
from pipelines.backbones.single_file import SingleFile
from pipelines.backbones.whole import WholePipeline
from pipelines.builtin.checkpoints import ADAPTER, resolve
from pipelines.errors import ModelError
from pipelines.spec.models import BUILTIN, CROSS_ATTENTION
from pipelines.store.canonical import digest
from pipelines.vision.clip import Clip
from pipelines.vision.segmentation import Segmenter, open_segmenter


class Models:
    """Loaded models, kept for the next unit of work, and for the next version that names the same ones."""

    def __init__(self, models: spec.Models, machine: spec.Machine | None = None) -> None:
        """`machine` is what they compute on; None: whatever there is."""
        self.spec, self.machine = models, machine or spec.Machine()

    def __reduce__(self) -> tuple[type["Models"], tuple[spec.Models, spec.Machine]]:
        """In another process, they are loaded anew."""
        return Models, (self.spec, self.machine)

    @cached_property
    def text_to_image(self) -> Backbone | WholePipeline:
        return self.open(self.spec.text_to_image, "models.text_to_image")

    @property
    def backbone(self) -> Backbone:
        """The text-to-image checkpoint, where it is taken apart. Raises ModelError where it is run whole."""
        return taken_apart(self.text_to_image)

    def open(self, name: str, field: str) -> Backbone | WholePipeline:
        models = self.spec
        return open_checkpoint(
            resolve(name, "model"), self.machine, name, field, models.config, models.loras, models.embeddings, models.erase
        )

    @cached_property
    def painter(self) -> Backbone | WholePipeline:
        """What repaints parts of images: the inpainting checkpoint, or text_to_image itself. Raises ModelError."""
        if self.spec.inpainting is None:
            return self.text_to_image
        name = self.spec.inpainting
        painter = taken_apart(self.open(name, "models.inpainting"))
        if not painter.inpainting:
            raise no_inpainting(name)
        if not painter.reads_as(self.backbone):
            raise ModelError(
                f"models.inpainting: {name!r} reads prompts otherwise than {self.backbone.name!r}, so tokens that are "
                "learned on one say nothing to the other; give the inpainting checkpoint of the same base"
            )
        return painter

    @cached_property
    def further(self) -> list[Backbone | WholePipeline]:
        """The other checkpoints that draw a share of the images. Raises ModelError."""
        return [self.open(name, field) for field, name in [*self.spec.generators.items()][1:]]

    @cached_property
    def further_revisions(self) -> list[str]:
        """Of their files. Raises ModelError."""
        return [self.revision_of(name, field) for field, name in [*self.spec.generators.items()][1:]]

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
        revision, added = revision_of(path, configuration), facts(self.spec)
        return digest([revision, *added]) if added else revision

    @cached_property
    def segmenter_revision(self) -> str:
        """Of the segmenter's files: what is learned from its masks depends on them. Raises ModelError."""
        if self.spec.segmenter == CROSS_ATTENTION:
            return self.revision
        parts = segmenter_parts(self.spec.segmenter)
        return "+".join(revision_of(locate("models.segmenter", value, kind, weights=True)) for value, kind in parts)

    @cached_property
    def clip_revision(self) -> str:
        """Of the files of CLIP. Raises ModelError."""
        return revision_of(locate("models.clip", resolve(self.spec.clip, "clip"), CLIP, weights=True))

    @cached_property
    def resolution(self) -> int:
        """Pixels a side of every image that goes into, or comes out of, the backbone."""
        if self.spec.resolution:
            return self.spec.resolution
        name = self.spec.text_to_image  # whose weights a report need not load
        return inspect(resolve(name, "model"), name, config=self.spec.config).layout.resolution

    @cached_property
    def segmenter(self) -> Segmenter:
        return open_segmenter(resolve(self.spec.segmenter, "segmenter"), lambda: self.backbone, self.machine.device)

    @cached_property
    def clip(self) -> Clip:
        return Clip(resolve(self.spec.clip, "clip"), self.machine.device)

    @property
    def adapter(self) -> AdapterFiles:
        """The files of the IP-Adapter. Raises ModelError."""
        if self.spec.adapter == BUILTIN:
            return AdapterFiles(BUILTIN, Path(resolve(BUILTIN, "adapter")) / ADAPTER, Path(resolve(BUILTIN, "clip")))
        return adapter_files(self.spec.adapter)

    @property
    def image_encoder_revision(self) -> str:
        """Of what embeds image prompts: the encoder of an unCLIP checkpoint, else of the adapter. Raises ModelError."""
        return digest([self.revision, revision_of(self.adapter.encoder)])

    @property
    def image_conditioning(self) -> IpAdapter | UnClip:
        """The backbone's image conditioning: an unCLIP checkpoint's own, else the adapter. Raises ModelError."""
        return self.backbone.load_ip_adapter(self.adapter)

    def forget_loras(self) -> None:
        """Take those of an earlier version out of the backbone: they would pile up."""
        for name in {"text_to_image", "painter"} & vars(self).keys():
            getattr(self, name).remove_loras()

    @property
    def loaded(self) -> list[str]:
        """Names of those that are in memory."""
        return [name for name in ("text_to_image", "painter", "further", "segmenter", "clip") if name in vars(self)]
