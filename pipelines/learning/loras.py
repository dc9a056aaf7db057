"""The LoRAs of a source, and which of them a generated image has.

DataDream (ECCV 2024, arXiv 2407.10910): one for each class, or one for all, of rank 16. LoFT (Kim et al. 2025, arXiv
2505.11703): one of rank 2 for each image, and several of a class fused for each generated one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from pipelines.backbones.row_loras import fused
from pipelines.chance import derive
from pipelines.learning.lora import CURVE, WEIGHTS, LoraTraining
from pipelines.learning.resources import Resources
from pipelines.learning.tokens import Tokens
from pipelines.progress import Stage
from pipelines.prompts import fill
from pipelines.records import Item
from pipelines.spec import Lora
from pipelines.store.artifacts import Artifact

SWITCHES = ("text_encoder", "keep_diversity")  # what changes nothing while it is off, nor the address of what is learned


@dataclass(frozen=True, slots=True)
class LoraSource:
    """What one LoRA is learned from."""

    name: str  # among the version's artifacts
    labels: Sequence[str]
    items: Sequence[Item]


class Loras:
    """The LoRAs of a source: none, one for all classes, one for each, or one for each image."""

    def __init__(self, resources: Resources, tokens: Tokens, spec: Lora | None) -> None:
        self.resources, self.tokens, self.spec = resources, tokens, spec

    @cached_property
    def learned(self) -> dict[str, list[str]]:
        """The keys of every class's LoRAs, trained now or taken from the store, and added to the model."""
        spec, classes = self.spec, list(self.resources.source.classes)
        if spec is None:
            return {}
        items = {label: self.resources.source.of(label)[: spec.images] for label in classes}
        if spec.scope == "dataset":
            name, every = "the dataset", [item for label in classes for item in items[label]]
            return dict.fromkeys(classes, self.learn(name, [LoraSource(name, classes, every)], spec))
        if spec.scope == "class":
            return {label: self.learn(label, [LoraSource(label, [label], items[label])], spec) for label in classes}
        alone = {
            label: [LoraSource(f"{label}/{number}", [label], [item]) for number, item in enumerate(items[label])]
            for label in classes
        }
        return {label: self.learn(f"each {label}", sources, spec) for label, sources in alone.items()}

    def key(self, label: str, seed: int) -> str | None:
        """The LoRA of a generated image; of scope image several of its class, drawn by the image's seed."""
        keys = self.learned.get(label, [])
        if self.spec is None or len(keys) < 2:
            return keys[0] if keys else None
        chance = np.random.default_rng(derive(seed, "lora"))
        drawn = chance.choice(len(keys), min(self.spec.fused, len(keys)), replace=False)
        return fused(sorted(keys[number] for number in drawn))

    def captions(self, items: Sequence[Item]) -> list[str]:
        """The prompts of the training images: the plain template, or one with the image's words, and its class's phrase."""
        return [fill(self.tokens.image_words.template(item), self.tokens.phrase_for(item)) for item in items]

    def learn(self, name: str, sources: Sequence[LoraSource], spec: Lora) -> list[str]:
        """The LoRAs of some sources, added to the model; their keys."""
        resources = self.resources
        pairs = [
            (source, resources.artifacts.find(f"lora/{source.name}", "lora", partial(self.facts, source, spec), CURVE))
            for source in sources
        ]
        pending = [(source, artifact) for source, artifact in pairs if not artifact.complete]
        if pending:
            stage = resources.progress.stage(f"learn: LoRA of {name}", spec.steps * len(pending))
            for source, artifact in pending:
                artifact.publish(self.train(source, artifact, spec, stage))
        artifacts = {artifact.key(WEIGHTS): artifact for _, artifact in pairs}  # of equal images there is one
        for key, artifact in artifacts.items():
            for target in resources.backbones:
                if spec.scope == "image":
                    target.loras.offer(key, partial(weights_of, artifact), spec.text_encoder)
                else:
                    target.loras.add(key, weights_of(artifact))
        return list(artifacts)

    def facts(self, source: LoraSource, spec: Lora) -> dict[str, Any]:
        """What determines a LoRA."""
        resources = self.resources
        return {
            "model": resources.models.revision,
            "resolution": resources.models.resolution,
            "framing": resources.view.framing,
            "images": [item.sha256 for item in source.items],
            "prompts": self.captions(source.items),
            "concepts": [self.tokens.key(label) for label in source.labels],
            "spec": settings(spec),
            "seed": resources.spec.seed,
        }

    def train(self, source: LoraSource, artifact: Artifact, spec: Lora, stage: Stage) -> dict[str, bytes]:
        """The files of a LoRA."""
        resources = self.resources
        image = [source.items[0].sha256] if spec.scope == "image" else []
        seed = derive(resources.spec.seed, "lora", *source.labels, *image) % 2**31
        images, prompts = resources.view.images(source.items), self.captions(source.items)
        training = LoraTraining(resources.models.backbone, images, prompts, spec, seed)
        try:
            losses = training.trainer.run(spec.steps, spec.checkpoint_every, artifact, stage)
            weights = training.weights()
        finally:
            training.stop()
        record = {**self.facts(source, spec), "losses": losses, "images_seen": spec.steps * spec.batch}
        return {WEIGHTS: save(weights), CURVE: (json.dumps(record, sort_keys=True) + "\n").encode()}


def settings(spec: Lora) -> dict[str, Any]:
    """The fields that a LoRA depends on. What is off is left out: the address of what is learned stays as it was."""
    off = {name for name in SWITCHES if not getattr(spec, name)}
    return spec.model_dump(exclude={"fused", *off, *(["images"] if spec.scope == "image" else [])})


def weights_of(artifact: Artifact) -> dict[str, Tensor]:
    return load(artifact.get(WEIGHTS))
