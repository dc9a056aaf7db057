"""Context words of real images, in the prompts that they are learned with and in those that images are drawn with.

BOB, Beyond Objects (CVPR 2026, arXiv 2510.24078): background, pose and the like of each image go into its training prompt,
so that a token or LoRA need not learn them; images are drawn with all words of one real image together, of any class, so
that no class keeps what it came with. The paper has a captioner name them; here zero-shot CLIP chooses among the spec's
lists, or the spec says them.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Tensor

from pipelines.chance import derive
from pipelines.learning.resources import Resources
from pipelines.learning.written_words import WrittenWords
from pipelines.prompts import TEMPLATES, fill, fill_template, placeholders, with_words
from pipelines.records import Item
from pipelines.source.requirements import check_image_words
from pipelines.store.artifacts import Artifact
from pipelines.vision.clip import BATCH
from pipelines.vision.image_features import FACTS

WORDS = "words.json"  # of every image by its id: its word for each name
Words = Mapping[str, str]  # by the name in the templates that each stands for


class ImageWords:
    """The prompts of a source's images: with their own words, or the plain templates where the spec has none of them."""

    def __init__(self, resources: Resources, superclasses: Mapping[str, str]) -> None:
        """`superclasses` are words by class, which CLIP may know where it does not know the class."""
        self.resources, self.spec, self.superclasses = resources, resources.spec.method, superclasses
        self.lists = WrittenWords(resources)

    @property
    def items(self) -> list[Item]:
        return self.resources.source.splits["train"]

    def learn(self) -> None:
        """Have the lists written that are to be, and the words of images chosen."""
        self.lists.written  # noqa: B018  (written on first use)
        self.chosen  # noqa: B018

    @cached_property
    def chosen(self) -> Mapping[str, Words]:
        """The words of each training image by its id: given, chosen now, or taken from the store. Raises SpecError where an
        image has none."""
        if self.spec.image_words != "by_clip":
            check_image_words(self.resources.spec, self.resources.source)
            return self.spec.image_words or {}
        artifacts = self.resources.view.artifacts
        artifact = artifacts.get_or_make("words/images", "image_words", self.facts, FACTS, self.choose)
        return dict(artifact.json(WORDS))

    def templates(self, item: Item) -> tuple[str, ...]:
        """What an image is learned with: as many templates as another, each with a place for its class alone."""
        if self.spec.image_words is None:
            return TEMPLATES
        return tuple(with_words(template, self.chosen[item.id]) for template in self.spec.templates)

    def template(self, item: Item) -> str:
        """The one that an image is learned with where it has one."""
        templates = self.templates(item)
        return templates[0 if self.spec.image_words is None else derive(0, "template", item.id) % len(templates)]

    def facts_of(self, items: Sequence[Item]) -> dict[str, object]:
        """What is learned with these images depends on, beside the images: nothing where none has words of its own."""
        return {} if self.spec.image_words is None else {"templates": [self.templates(item) for item in items]}

    def prompt(self, label: str, phrase: str, seed: int) -> str:
        """A prompt to draw an image of a class with: by its phrase, and the words of one real image, drawn by the seed."""
        if self.spec.image_words is None:
            return fill_template(self.spec.templates, self.lists.of(label), phrase, seed)
        templates = self.templates(self.items[derive(seed, "words") % len(self.items)])
        return fill(templates[derive(seed, "template") % len(templates)], phrase)

    def named(self, label: str) -> str:
        """A class as CLIP is told it: by its superclass or, without one, its name."""
        return self.superclasses.get(label) or self.spec.names.get(label, label)

    def prompts(self, label: str, name: str) -> list[list[str]]:
        """For each word of a name, the prompts that say it of a class: without the other names."""
        templates = [template for template in self.spec.templates if name in placeholders(template)]
        return [
            [fill(with_words(template, {name: word}), self.named(label)) for template in templates]
            for word in self.lists.of(label)[name]
        ]

    @property
    def names(self) -> list[str]:
        """Those in the templates."""
        return list(dict.fromkeys(name for template in self.spec.templates for name in placeholders(template) if name))

    def facts(self) -> dict[str, object]:
        """What the choice depends on."""
        resources, labels = self.resources, self.resources.source.classes
        return {
            "clip": resources.models.clip_revision,
            "side": resources.view.resolution,
            "framing": resources.view.framing,
            "images": [item.sha256 for item in self.items],
            "ids": [item.id for item in self.items],
            "prompts": {label: {name: self.prompts(label, name) for name in self.names} for label in labels},
            "words": {label: {name: list(self.lists.of(label)[name]) for name in self.names} for label in labels},
        }

    def choose(self, artifact: Artifact) -> dict[str, bytes]:
        """The words of every image, by CLIP: of each list the one that fits best."""
        stage, chosen = self.resources.stage("choose words: images", len(self.items)), dict[str, Words]()
        for label in self.resources.source.classes:
            items = self.resources.source.of(label)
            for start in range(0, len(items), BATCH):
                batch = items[start : start + BATCH]
                chosen |= zip((item.id for item in batch), self.best(label, batch), strict=True)
                stage(len(batch))
        ordered = {item.id: chosen[item.id] for item in self.items}
        return {WORDS: json.dumps(ordered, indent=0).encode(), FACTS: json.dumps(self.facts(), sort_keys=True).encode()}

    def best(self, label: str, items: Sequence[Item]) -> list[Words]:
        """The words of some images of a class."""
        clip = self.resources.models.clip
        embeddings = clip.embed_images(self.resources.view.images(items))
        places = {name: (embeddings @ self.texts[label][name].T).argmax(dim=1).tolist() for name in self.names}
        lists = self.lists.of(label)
        return [{name: lists[name][rows[n]] for name, rows in places.items()} for n in range(len(items))]

    @cached_property
    def texts(self) -> dict[str, dict[str, Tensor]]:
        """The embedding of every word, (words, width), by class and name."""
        clip = self.resources.models.clip
        return {
            label: {name: clip.embed_prompts(self.prompts(label, name)) for name in self.names}
            for label in self.resources.source.classes
        }
