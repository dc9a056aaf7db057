"""The tokens of subpopulations: one for each class and one for each context, learned together.

A context that clusters of several classes have in common is one token: what is left to a class's own is what tells it from
the others in the same context, its object, and what is left to a context's is what its classes share."""

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import islice

from pipelines.chance import derive
from pipelines.learning.joint_inversion import JointTraining
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import Subpopulations
from pipelines.learning.textual_inversion import CURVE, Token, decode_token, encode_token
from pipelines.learning.tokens import Tokens, token_name
from pipelines.prompts import token_names, token_phrase
from pipelines.records import Item
from pipelines.spec import Inversion, Subpopulation
from pipelines.store.artifacts import Artifact

NAME = "tokens/subpopulations"  # of the artifact


def context_name(context: str) -> str:
    """What a context's token is called in prompts."""
    return f"<context/{context}>"


def context_phrase(phrase: str, context: str, vectors: int) -> str:
    """'<boot> <boot>_1 boot <context/sneaker> <context/sneaker>_1': the class, then what it comes with."""
    return " ".join([phrase, *token_names(context_name(context), vectors)])


class SubpopulationTokens(Tokens):
    def __init__(self, resources: Resources, method: Subpopulation, subpopulations: Subpopulations) -> None:
        super().__init__(resources, method.superclass, method.inversion)
        self.subpopulations = subpopulations

    def beginnings(self, spec: Inversion) -> list[str]:
        return [spec.initializer or "", *self.words.values()]

    @cached_property
    def learned(self) -> dict[str, Token]:
        """Every token by its name, trained now or taken from the store, and set in the text encoder."""
        if self.spec is None:
            return {}
        self.check()
        artifact = self.resources.artifacts.get_or_make(NAME, "tokens", self.facts, CURVE, self.train)
        tokens = read_tokens(artifact)
        for token in tokens.values():
            for target in self.resources.backbones:
                target.set_token(token.name, token.vectors)
        return tokens

    @property
    def curves(self) -> dict[str, Sequence[float]]:
        """The losses of their training, which is one. No model is loaded."""
        artifact = None if self.spec is None else self.resources.artifacts.named(NAME)
        return {} if artifact is None else {"all tokens together": artifact.json(CURVE)["losses"]}

    def class_phrase(self, label: str) -> str:
        """A class in a prompt: its token and its superclass or, without one, its name."""
        assert self.spec is not None
        word = self.words.get(label) or self.resources.spec.method.names.get(label, label)
        return token_phrase(token_name(label), self.spec.vectors, word)

    def phrase(self, label: str) -> str:
        return super().phrase(label) if self.spec is None else self.class_phrase(label)

    def phrase_of(self, label: str, number: int) -> str:
        """A cluster of a class in a prompt."""
        assert self.spec is not None
        return context_phrase(self.class_phrase(label), self.subpopulations.contexts[label][number], self.spec.vectors)

    def phrase_for(self, item: Item) -> str:
        if self.spec is None:
            return super().phrase_for(item)
        return self.phrase_of(item.label, self.subpopulations.numbers[item.id])

    def key(self, label: str) -> str | None:
        """The embedding of the class's token in the store."""
        return None if self.spec is None else self.learned[token_name(label)].key

    def key_of(self, label: str, number: int) -> str:
        """That of a cluster's context."""
        return self.learned[context_name(self.subpopulations.contexts[label][number])].key

    @cached_property
    def initial(self) -> dict[str, str]:
        """What each token begins as, by its name."""
        assert self.spec is not None
        word, tokens = self.spec.initializer or "", dict[str, str]()
        for label, contexts in self.subpopulations.contexts.items():
            tokens[token_name(label)] = self.words.get(label) or word
            tokens |= {context_name(context): word for context in contexts}
        return tokens

    @cached_property
    def drawn(self) -> list[tuple[Item, str]]:
        """The images to learn from with their phrases, as many of each cluster: a smaller one's are repeated."""
        assert self.spec is not None
        drawn: list[tuple[Item, str]] = []
        for label, clusters in self.subpopulations.members.items():
            for number, items in enumerate(clusters):
                rounds = (item for _ in range(self.spec.images) for item in items)
                phrase = self.phrase_of(label, number)
                drawn += [(item, phrase) for item in islice(rounds, self.spec.images)]
        return drawn

    def facts(self) -> dict[str, object]:
        """What the tokens depend on."""
        assert self.spec is not None
        resources = self.resources
        return {
            "model": resources.models.revision,
            "resolution": resources.models.resolution,
            "framing": resources.view.framing,
            "images": [item.sha256 for item, _ in self.drawn],
            "phrases": [phrase for _, phrase in self.drawn],
            "initial": list(self.initial.items()),
            "spec": self.spec.model_dump(),
            "seed": resources.spec.seed,
        } | self.image_words.facts_of([item for item, _ in self.drawn])

    def train(self, artifact: Artifact) -> dict[str, bytes]:
        """A file a token, as plain diffusers loads it, and the record of their training."""
        assert self.spec is not None
        spec, resources = self.spec, self.resources
        stage = resources.stage("learn: tokens of the subpopulations", spec.steps)
        chosen = {item.id: (item, phrase) for item, phrase in self.drawn}
        places = {name: place for place, name in enumerate(chosen)}
        training = JointTraining(
            resources.models.backbone,
            resources.view.images([item for item, _ in chosen.values()]),
            [places[item.id] for item, _ in self.drawn],
            [phrase for _, phrase in chosen.values()],
            self.initial,
            spec,
            derive(resources.spec.seed, "tokens") % 2**31,
            [self.image_words.templates(item) for item, _ in chosen.values()],
        )
        losses = training.trainer.run(spec.steps, spec.checkpoint_every, artifact, stage)
        record = {**self.facts(), "losses": losses, "images_seen": spec.steps * spec.batch}
        files = {file(n): encode_token(name, vectors) for n, (name, vectors) in enumerate(training.vectors.items())}
        return {**files, CURVE: (json.dumps(record, sort_keys=True) + "\n").encode()}


def file(number: int) -> str:
    """Of a token, by its number."""
    return f"learned_embeds_{number}.safetensors"


def read_tokens(artifact: Artifact) -> dict[str, Token]:
    """Finished tokens from the store, by name."""
    record, tokens = artifact.json(CURVE), dict[str, Token]()
    for number, (name, _) in enumerate(record["initial"]):
        vectors = decode_token(name, artifact.get(file(number)))
        tokens[name] = Token(name, artifact.key(file(number)), vectors, record["losses"])
    return tokens
