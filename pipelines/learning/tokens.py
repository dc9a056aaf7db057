"""The learned tokens of a source, one a class: which images each is learned from, and the phrase of a class in a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines import parallel
from pipelines.chance import derive
from pipelines.errors import SpecError
from pipelines.learning import class_tokens
from pipelines.learning.image_words import ImageWords
from pipelines.learning.resources import Resources
from pipelines.learning.textual_inversion import CURVE, TextualInversion, Token, initial_vectors, load_token
from pipelines.parallel import Call
from pipelines.progress import Stage
from pipelines.prompts import token_phrase
from pipelines.records import Image, Item, Mask
from pipelines.regions import region
from pipelines.spec import Inversion
from pipelines.store.artifacts import Artifact
from pipelines.store.canonical import digest
from pipelines.vision.models import Models


def token_name(label: str) -> str:
    """What a class's token is called in prompts."""
    return f"<{label}>"


def extremes(ranked: Sequence[Item], count: int) -> list[Item]:
    """`count` items from both ends of a list in turn, the last first."""
    count = min(count, len(ranked))
    return [ranked[-1 - n // 2] if n % 2 == 0 else ranked[n // 2] for n in range(count)]


@dataclass(frozen=True)
class TokenTraining:
    """The training of one token: its images, settings and artifact."""

    images: Sequence[Image]
    masks: Sequence[Mask] | None  # where in them the object is; None to learn from whole images
    name: str
    word: str
    spec: Inversion
    seed: int
    facts: dict[str, object]
    artifact: Artifact  # holds the checkpoints
    templates: Sequence[Sequence[str]]  # of the prompts of each image


def train_token(training: TokenTraining, models: Models, progress: Stage) -> dict[str, bytes]:
    """The files of a token. In a process of its own, `models` are loaded there."""
    spec = training.spec
    inversion = TextualInversion(
        models.backbone,
        training.images,
        training.masks,
        training.name,
        training.word,
        spec,
        training.seed,
        training.templates,
    )
    losses = inversion.trainer.run(spec.steps, spec.checkpoint_every, training.artifact, progress)
    return inversion.files(training.facts, losses)


class Tokens:
    """Tokens of the classes that have a superclass. Others, and all without an inversion, are prompted by name."""

    def __init__(self, resources: Resources, superclass: str | Mapping[str, str] | None, spec: Inversion | None) -> None:
        self.resources, self.spec = resources, spec
        if isinstance(superclass, str):
            superclass = dict.fromkeys(resources.source.classes, superclass)
        self.words = dict(superclass or {})  # superclasses by class
        self.image_words = ImageWords(resources, self.words)

    def check(self) -> None:
        """Raises SpecError for a word that is not a single token, and so cannot begin one; and for an embedding of the
        user's own that is called as one."""
        if self.spec is not None:
            for number, embedding in enumerate(self.resources.spec.models.embeddings):
                if embedding.token in {token_name(label) for label in self.words}:
                    raise SpecError(
                        f"models.embeddings.{number}.token: {embedding.token!r} is what a class's own token is called; give "
                        "another word"
                    )
            for word in dict.fromkeys(self.beginnings(self.spec)):
                initial_vectors(self.resources.models.backbone, word, 1)

    def beginnings(self, spec: Inversion) -> list[str]:
        """The words that tokens begin as."""
        return [spec.initializer or word for word in self.words.values()]

    @cached_property
    def learned(self) -> dict[str, Token]:
        """Every token by its class, trained now or taken from the store, and set in the text encoder."""
        if self.spec is None:
            return {}
        self.check()
        resources, backbone = self.resources, self.resources.models.backbone
        stored = {label: self.stored(label) for label in self.words}
        artifacts = {label: artifact for label, artifact in stored.items() if artifact is not None}
        new = [label for label in self.words if label not in artifacts]
        self.segment(new, self.spec)
        pending: dict[str, Call] = {}
        for label in new:
            artifacts[label], call = self.prepare(label, self.spec)
            if not artifacts[label].complete:
                pending[label] = call
        results = parallel.run(pending.values(), backbone.device.type, resources.progress)
        for label, files in zip(pending, results, strict=True):
            artifacts[label].publish(files)
        tokens = {label: load_token(artifacts[label]) for label in self.words}
        for token in tokens.values():
            for target in resources.backbones:
                target.set_token(token.name, token.vectors)
        return tokens

    @property
    def curves(self) -> dict[str, Sequence[float]]:
        """The losses in training of the tokens that the version's record names, by token. No model is loaded."""
        stored = [artifact for label in self.words if (artifact := self.stored(label))] if self.spec is not None else []
        return {token.name: token.losses for token in map(load_token, stored)}

    def prepare(self, label: str, spec: Inversion) -> tuple[Artifact, Call]:
        """The artifact of a class's token, and the call that trains it. Raises SourceError where no object is detected."""
        resources, word = self.resources, self.words[label]
        if spec.objective == "classification":
            return class_tokens.prepare(resources, label, token_name(label), word, spec)
        pairs = self.training_images(label, spec)
        items = [item for item, _ in pairs]
        masks = [region(mask, "mask", spec.margin) for _, mask in pairs if mask is not None]
        facts = {
            "model": resources.models.revision,
            "resolution": resources.models.resolution,
            "framing": resources.view.framing,
            "images": [item.sha256 for item in items],
            "masks": digest([np.packbits(mask).tobytes().hex() for mask in masks]),
            "spec": spec.model_dump(),
            "word": word,
            "label": label,
            "seed": resources.spec.seed,
        } | self.image_words.facts_of(items)
        templates = [self.image_words.templates(item) for item in items]
        artifact = resources.artifacts.find(f"token/{label}", "token", lambda: facts, CURVE)
        seed = derive(resources.spec.seed, "token", label) % 2**31

        def arguments() -> tuple[TokenTraining, Models]:
            parts = resources.view.framed(items, masks) if masks else []
            images = [part.image for part in parts] or resources.view.images(items)
            objects = [part.mask for part in parts] or None
            training = TokenTraining(images, objects, token_name(label), word, spec, seed, facts, artifact, templates)
            return training, resources.models

        return artifact, Call(train_token, arguments, f"learn: token {token_name(label)}", spec.steps)

    def candidates(self, label: str, spec: Inversion) -> list[Item]:
        """Images of a class that its token may be learned from: half contradict the shortcut, half are typical.

        Those with the lowest probability by the judge are mostly those on another class's background, but atypical of their
        own class, too: from them alone, a boot becomes something like a sneaker. From both, each background is as frequent.
        """
        items = self.resources.source.of(label)
        if len(items) > spec.images:
            items = extremes([item for item, _ in self.resources.ranking[label]], 2 * spec.images)
        return items

    def segment(self, labels: Sequence[str], spec: Inversion) -> None:
        """Have the objects of these classes segmented together."""
        if spec.masked:
            items = [item for label in labels for item in self.candidates(label, spec)]
            self.resources.view.segment_objects(items, self.words)

    def training_images(self, label: str, spec: Inversion) -> list[tuple[Item, Mask | None]]:
        """The candidates of a class with the masks of their objects, as many as the spec says. Raises SourceError where no
        object is detected."""
        resources, word, items = self.resources, self.words[label], self.candidates(label, spec)
        masks = resources.view.object_masks(items, word) if spec.masked else [None] * len(items)
        pairs = [(i, m) for i, m in zip(items, masks, strict=True) if m is not None or not spec.masked][: spec.images]
        if not pairs:
            raise resources.view.undetected(word, len(items), label, ", or set inversion.masked to false")
        return pairs

    def stored(self, label: str) -> Artifact | None:
        """The token that the version's record names; else, of a class whose images are unchanged, the one that a refresh
        takes over."""
        name, artifacts, address = f"token/{label}", self.resources.artifacts, self.resources.reused_tokens.get(label)
        if (recorded := artifacts.named(name)) is not None or address is None:
            return recorded
        reused = Artifact(self.resources.store, "token", address, CURVE)
        return artifacts.use(name, reused) if reused.complete else None

    def phrase(self, label: str) -> str:
        """A class in a prompt: its name, or its token and the superclass."""
        if self.spec is None or label not in self.words:
            return self.resources.spec.method.names.get(label, label)
        return token_phrase(self.learned[label].name, self.spec.vectors, self.words[label])

    def phrase_for(self, item: Item) -> str:
        """An image of the source in a prompt: its class."""
        return self.phrase(item.label)

    def key(self, label: str) -> str | None:
        """The token's embedding in the store; None for a class that goes by its name."""
        return self.learned[label].key if label in self.learned else None
