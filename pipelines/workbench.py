"""What the stages of one version work with: the source, the store and the models, each opened once, when first needed."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load, save

from pipelines import paths
from pipelines.chance import derive
from pipelines.diffusion.model import DiffusionModel
from pipelines.errors import SourceError
from pipelines.progress import Progress
from pipelines.records import Image, Item, Mask, Problem
from pipelines.source import Source, open_source
from pipelines.spec import VersionSpec
from pipelines.store import Store, digest
from pipelines.tensors import choose_device
from pipelines.training.fit import Examples, Feed, fit
from pipelines.vision.classifier import Classifier, probabilities
from pipelines.vision.segmentation import Segmenter, open_segmenter

BATCH = 64  # images segmented at a time


def isolated(image: Image, mask: Mask) -> Image:
    """The object on plain grey."""
    return np.where(mask[..., None], image, 127).astype(np.uint8)


class Workbench:
    def __init__(self, spec: VersionSpec, store: Store, progress: Progress, number: int = 1) -> None:
        self.spec, self.store, self.progress, self.number = spec, store, progress, number
        self.root = paths.version(spec.name, number)
        self.tokens: dict[str, str] = {}  # digests of tokens, by class, that are used again without being looked for
        self.found: dict[tuple[str, str], NDArray[np.uint8] | None] = {}  # masks by (item, word), eight pixels a byte

    @cached_property
    def source(self) -> Source:
        return open_source(self.spec.source, self.store)

    @cached_property
    def model(self) -> DiffusionModel:
        return DiffusionModel(self.spec.models.text_to_image, self.spec.models.device)

    @cached_property
    def resolution(self) -> int:
        """Pixels a side of every image that goes into, or comes out of, the diffusion model."""
        return self.spec.models.resolution or self.model.resolution

    @cached_property
    def segmenter(self) -> Segmenter:
        return open_segmenter(self.spec.models.segmenter, self.model, self.spec.models.device)

    def images(self, items: Sequence[Item]) -> list[Image]:
        return [self.source.image(item, self.resolution) for item in items]

    def objects(self, items: Sequence[Item], word: str | None) -> list[Mask | None]:
        """Where `word` is in each source image, None where it is not found; no word: everywhere."""
        if word is None:
            return [np.ones((self.resolution, self.resolution), dtype=np.bool_) for _ in items]
        new = [item for item in items if (item.id, word) not in self.found]
        for item, mask in zip(new, self.find(self.images(new), word), strict=True):
            self.found[item.id, word] = None if mask is None else np.packbits(mask)
        shape = self.resolution, self.resolution
        packed = [self.found[item.id, word] for item in items]
        return [None if bits is None else np.unpackbits(bits).astype(np.bool_).reshape(shape) for bits in packed]

    def showing(self, items: Sequence[Item], word: str | None) -> tuple[list[Item], list[Problem]]:
        """The items in which `word` is found, and what is wrong with the others."""
        pairs = list(zip(items, self.objects(items, word), strict=True))
        missing = [Problem(item.id, f"no {word} found") for item, mask in pairs if mask is None]
        return [item for item, mask in pairs if mask is not None], missing

    def find(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        """Where `word` is in each image, None where it is not found."""
        batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
        return [mask for batch in batches for mask in self.segmenter.segment(batch, word)]

    def examples(self, split: str) -> Examples:
        items = self.source.splits[split]
        return Examples(self.images(items), [i.label for i in items], [i.group for i in items])

    @cached_property
    def validation(self) -> Examples:
        """The images that checkpoints are chosen on."""
        return self.examples("validation")

    @cached_property
    def judge(self) -> Classifier:
        """A plain classifier of the real images (ERM), shortcut and all: it ranks the source and judges candidates."""
        return self.learn_judge("image", lambda: self.examples("train"))

    @cached_property
    def object_judge(self) -> Classifier:
        """The same of the objects alone, cut out by the segmenter, so that no background can speak for a class."""
        return self.learn_judge("object", self.cut_out)

    def cut_out(self) -> Examples:
        items = self.source.splits["train"]
        found = self.objects(items, self.superclass)
        pairs = [(i, isolated(x, m)) for i, x, m in zip(items, self.images(items), found, strict=True) if m is not None]
        if not pairs:
            raise SourceError(
                f"method.superclass: no {self.superclass!r} was found in any training image; choose another word"
            )
        return Examples([x for _, x in pairs], [i.label for i, _ in pairs], [i.group for i, _ in pairs])

    @property
    def loaded(self) -> list[str]:
        """The models that are in memory now."""
        return [name for name in ("model", "segmenter", "judge", "object_judge") if name in vars(self)]

    @property
    def superclass(self) -> str:
        assert isinstance(self.spec.method.superclass, str)  # the spec was checked
        return self.spec.method.superclass

    def learn_judge(self, view: str, examples: Callable[[], Examples]) -> Classifier:
        """Learned once for a source, a view of it, a resolution and a classifier; no group label plays a part."""
        source, spec, device = self.source, self.spec.classifier, self.spec.models.device
        facts = {
            "source": source.fingerprint,
            "view": view,
            "segmenter": self.segmenter.revision if view == "object" else None,
            "superclass": self.superclass if view == "object" else None,
            "side": self.resolution,
            "spec": spec.model_dump(),
            "seed": self.spec.seed,
        }
        file = paths.concept("classifier", digest(facts), "model.safetensors")
        if self.store.exists(file):
            classifier = Classifier(source.classes, spec.checkpoint)
            classifier.load_state_dict(load(self.store.get(file)))
            return classifier.eval().to(choose_device(device))
        stage = self.progress.stage(f"learn: judge of the {view}", spec.steps)
        feed, seed = Feed(examples(), source.classes), derive(self.spec.seed, "judge", view)
        classifier = fit(spec, source.classes, feed, None, None, gamma=1, seed=seed % 2**31, device=device, progress=stage)
        self.store.create(file, save({k: v.cpu().contiguous() for k, v in classifier.state_dict().items()}))
        return classifier

    @cached_property
    def ranking(self) -> dict[str, list[tuple[Item, float]]]:
        """Training images of each class with the judge's probability of their own class, most typical first."""
        ranked = {}
        for label in self.source.classes:
            items = self.source.of(label)
            own = probabilities(self.judge.scores(self.images(items)))[:, self.source.classes.index(label)]
            ranked[label] = sorted(zip(items, own.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0].id))
        return ranked
