"""Real images beside themselves in another style: DiffuseMix (CVPR 2024, arXiv 2405.14881), GenMix (arXiv 2412.02366).

A real image is edited in one of the styles; half of it and the other half of the edited one are joined by a smooth ramp, and
blended with a fractal; the label stays. Beyond the papers: any checkpoint can edit, by noising and denoising (SDEdit).
"""

from collections.abc import Sequence

from pipelines.chance import derive
from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.methods.fractals import fractal
from pipelines.records import FramedImage, Item, Mask, Mix, PlannedImage, Problem, Request
from pipelines.spec import EditMix

INSTRUCTION = "A transformed version of image into {}"  # DiffuseMix's


class EditMixMethod:
    def __init__(self, resources: Resources, spec: EditMix) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if there are any."""
        self.concepts.check()
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        pools = {label: self.resources.source.of(label) for label in {image.label for image in planned}}
        items = [pools[image.label][image.rank % len(pools[image.label])] for image in planned]
        masks = [mask for mask in self.regions(items) if mask is not None]
        parts = self.resources.view.framed(items, masks)
        return [self.request(*one, attempt) for one in zip(planned, items, parts, strict=True)]

    def request(self, planned: PlannedImage, item: Item, part: FramedImage, attempt: int) -> Request:
        """An edit of one source image, with what is mixed into it."""
        spec, seed, instruct = self.spec, self.concepts.seed(planned, attempt), self.spec.editor == "instruct"
        style = spec.styles[derive(seed, "style") % len(spec.styles)]
        if instruct:
            prompt = INSTRUCTION.format(style)
        else:
            tokens = self.concepts.tokens
            prompt = f"{tokens.image_words.prompt(planned.label, tokens.phrase(planned.label), seed)}, {style}"
        pattern = fractal(derive(seed, "fractal"), len(part.image))
        return self.concepts.request(
            planned, attempt, source=item, image=part.image, mask=part.mask, frame=part.frame, prompt=prompt,
            strength=1.0 if instruct else spec.strength, image_guidance=spec.image_guidance,
            mix=Mix(bool(derive(seed, "halves") % 2), pattern, spec.fractal),
        )  # fmt: skip
