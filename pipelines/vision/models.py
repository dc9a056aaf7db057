"""The models that a spec names, each loaded once, when it is first used."""

from functools import cached_property

from pipelines import spec
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.image_prompts import AdapterFiles, IpAdapter, UnClip, adapter_files
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import ADAPTER, BUILTIN, resolve
from pipelines.vision.clip import Clip
from pipelines.vision.segmentation import Segmenter, open_segmenter


class Models:
    """Loaded models, kept for the next unit of work, and for the next version that names the same ones."""

    def __init__(self, models: spec.Models, precision: spec.Precision = "auto") -> None:
        """`precision` is that of the backbone: a property of the machine, not of the spec."""
        self.spec, self.precision = models, precision

    def __reduce__(self) -> tuple[type["Models"], tuple[spec.Models, spec.Precision]]:
        """In another process, they are loaded anew."""
        return Models, (self.spec, self.precision)

    @cached_property
    def backbone(self) -> Backbone:
        checkpoint = resolve(self.spec.text_to_image, "model")
        return open_backbone(checkpoint, self.spec.device, self.spec.text_to_image, self.precision)

    @cached_property
    def resolution(self) -> int:
        """Pixels a side of every image that goes into, or comes out of, the backbone."""
        return self.spec.resolution or self.backbone.resolution

    @cached_property
    def segmenter(self) -> Segmenter:
        return open_segmenter(resolve(self.spec.segmenter, "segmenter"), lambda: self.backbone, self.spec.device)

    @cached_property
    def clip(self) -> Clip:
        return Clip(resolve(self.spec.clip, "clip"), self.spec.device)

    @property
    def image_conditioning(self) -> IpAdapter | UnClip:
        """The backbone's image conditioning: an unCLIP checkpoint's own, else the adapter. Raises ModelError."""
        if self.spec.adapter == BUILTIN:
            files = AdapterFiles(BUILTIN, f"{resolve(BUILTIN, 'adapter')}/{ADAPTER}", resolve(BUILTIN, "clip"))
        else:
            files = adapter_files(self.spec.adapter)
        return self.backbone.load_ip_adapter(files)

    def forget_loras(self) -> None:
        """Take those of an earlier version out of the backbone: they would pile up."""
        if "backbone" in vars(self):
            self.backbone.remove_loras()

    @property
    def loaded(self) -> list[str]:
        """Names of those that are in memory."""
        return [name for name in ("backbone", "segmenter", "clip") if name in vars(self)]
