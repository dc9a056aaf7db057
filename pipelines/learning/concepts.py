"""The concepts of a method: tokens and LoRAs of a source's classes, and the requests that use them."""

from typing import Any

from pipelines.chance import derive
from pipelines.learning.loras import Loras
from pipelines.learning.resources import Resources
from pipelines.learning.tokens import Tokens
from pipelines.records import PlannedImage, Request
from pipelines.spec import FromNoise, MethodSpec
from pipelines.spec.helpers import segmenter_users
from pipelines.vision.source_view import BATCH


class Concepts:
    """Learned tokens and LoRAs; either is empty where the spec has none."""

    def __init__(self, resources: Resources, spec: MethodSpec, tokens: Tokens | None = None) -> None:
        """`tokens` are the method's own; none: one a class."""
        self.resources, self.spec = resources, spec
        self.tokens = tokens or Tokens(resources, spec.superclass, spec.inversion)
        self.loras = Loras(resources, self.tokens, spec.lora)
        self.detected = False  # whether an object of each class was looked for, and was there

    def check(self) -> None:
        """Raises SpecError for words that no token can begin with, before anything is trained."""
        self.tokens.check()

    def check_detected(self) -> None:
        """Look for the objects that the spec has segmented. Raises SourceError for a class in which none is detected, before
        anything is trained."""
        words = self.tokens.words if segmenter_users(self.resources.spec) else {}
        if self.detected or not words:
            return
        progress, view = self.resources.stage("look for the objects", len(words)), self.resources.view
        view.segment_objects([item for label in words for item in self.resources.source.of(label)[:BATCH]], words)
        for label, word in words.items():
            view.check_detected(label, word)
            progress(1)
        self.detected = True

    def learn(self) -> None:
        """Train them, or take them from the store. Resumable; running it again costs nothing."""
        self.tokens.image_words.learn()
        self.tokens.learned  # noqa: B018  (learned on first use)
        self.loras.learned  # noqa: B018

    def seed(self, planned: PlannedImage, attempt: int) -> int:
        """The seed of one image's noise and random choices."""
        return derive(self.resources.spec.seed, "image", planned.index, attempt)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of images that start from noise."""
        side = self.resources.models.resolution
        return (self.spec.height or side, self.spec.width or side) if isinstance(self.spec, FromNoise) else (side, side)

    def request(self, planned: PlannedImage, attempt: int, *, prompt_seed: int | None = None, **changes: Any) -> Request:
        """A text-to-image request for a planned image, with `changes` to its fields. `prompt_seed` draws its prompt, none:
        the image's own seed."""
        seed, label = self.seed(planned, attempt), planned.label
        prompt_seed = seed if prompt_seed is None else prompt_seed
        fields = {
            "seed": seed,
            "prompt": self.tokens.image_words.prompt(label, self.tokens.phrase(label), prompt_seed),
            "concept": self.tokens.key(label),
            "lora": self.loras.key(label, seed),
            "guidance": self.spec.guidance,
            "guidance_rescale": self.spec.guidance_rescale,
            "guidance_interval": self.spec.guidance_interval,
            "entropy_guidance": self.spec.entropy_guidance,
            "steps": self.spec.steps,
            "solver": self.spec.solver,
            "negative_prompt": self.spec.negative_prompt,
            "size": self.size,
        }
        return Request(index=planned.index, attempt=attempt, label=label, method=self.spec.type, **{**fields, **changes})
