"""The learned tokens of a source, one a class: which images each is learned from, and the phrase of a class in a prompt."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.learning.resources import Resources
from pipelines.learning.textual_inversion import CURVE, TextualInversion, Token, initial_vectors, load_token
from pipelines.prompts import token_phrase
from pipelines.records import Item, Mask
from pipelines.regions import region
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifact
from pipelines.store.canonical import digest


def extremes(ranked: Sequence[Item], count: int) -> list[Item]:
    """`count` items from both ends of a list in turn, the last first."""
    count = min(count, len(ranked))
    return [ranked[-1 - n // 2] if n % 2 == 0 else ranked[n // 2] for n in range(count)]


class Tokens:
    """Tokens of the classes that have a superclass. A class without, or all without an inversion, go by their names."""

    def __init__(self, resources: Resources, superclass: str | Mapping[str, str] | None, spec: Inversion | None) -> None:
        self.resources, self.spec = resources, spec
        if isinstance(superclass, str):
            superclass = dict.fromkeys(resources.source.classes, superclass)
        self.words = dict(superclass or {})  # superclasses by class

    @cached_property
    def learned(self) -> dict[str, Token]:
        """Every token by its class, trained now or taken from the store, and set in the text encoder."""
        if self.spec is None:
            return {}
        backbone = self.resources.models.backbone
        for word in dict.fromkeys(self.spec.initializer or word for word in self.words.values()):
            initial_vectors(backbone, word, 1)  # or say now that it cannot be
        tokens = {label: self.learn(label, self.spec) for label in self.words}
        for token in tokens.values():
            backbone.set_token(token.name, token.vectors)
        return tokens

    def training_images(self, label: str, spec: Inversion) -> list[tuple[Item, Mask | None]]:
        """Images of a class with the masks of their objects: half contradict the shortcut, half are typical.

        Those with the lowest probability by the judge are mostly those on another class's background, but atypical of their
        own class, too: from them alone, a boot becomes something like a sneaker. From both, each background is as frequent.
        """
        resources, word = self.resources, self.words[label]
        items = resources.source.of(label)
        if len(items) > spec.images:
            items = extremes([item for item, _ in resources.ranking[label]], 2 * spec.images)
        masks = resources.view.object_masks(items, word) if spec.masked else [None] * len(items)
        pairs = [(i, m) for i, m in zip(items, masks, strict=True) if m is not None or not spec.masked][: spec.images]
        if not pairs:
            raise SourceError(
                f"method.superclass: no {word!r} was found in any image of class {label!r}; choose another word, or set "
                "inversion.masked to false"
            )
        return pairs

    def learn(self, label: str, spec: Inversion) -> Token:
        """The token of one class. Raises SourceError when its object is not detected in any image."""
        resources, word, backbone = self.resources, self.words[label], self.resources.models.backbone
        if label in resources.reused_tokens:
            reused = resources.artifacts.find("token", resources.reused_tokens[label], CURVE)
            if reused.complete:
                return load_token(reused)
        pairs = self.training_images(label, spec)
        masks = [region(mask, "mask", spec.margin) for _, mask in pairs if mask is not None]
        facts = {
            "model": backbone.revision,
            "resolution": resources.models.resolution,
            "images": [item.sha256 for item, _ in pairs],
            "masks": digest([np.packbits(mask).tobytes().hex() for mask in masks]),
            "spec": spec.model_dump(),
            "word": word,
            "label": label,
            "seed": resources.spec.seed,
        }

        def train(artifact: Artifact) -> dict[str, bytes]:
            stage = resources.progress.stage(f"learn: token <{label}>", spec.steps)
            seed = derive(resources.spec.seed, "token", label) % 2**31
            images = resources.view.images([item for item, _ in pairs])
            inversion = TextualInversion(backbone, images, masks or None, f"<{label}>", word, spec, seed)
            return inversion.files(facts, inversion.trainer.run(spec.steps, spec.checkpoint_every, artifact, stage))

        return load_token(resources.artifacts.get_or_make("token", facts, CURVE, train))

    def phrase(self, label: str) -> str:
        """A class in a prompt: its name, or its token and the superclass."""
        if self.spec is None or label not in self.words:
            return label
        return token_phrase(self.learned[label].name, self.spec.vectors, self.words[label])

    def key(self, label: str) -> str | None:
        """The token's embedding in the store; None for a class that goes by its name."""
        return self.learned[label].key if label in self.learned else None
