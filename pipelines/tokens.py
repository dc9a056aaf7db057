"""One learned token a class: which images it is learned from, and how it is said in a prompt."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from pipelines import inversion, paths
from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.inversion import Inverter, Token
from pipelines.prompts import noun
from pipelines.records import Item
from pipelines.spec import Inversion
from pipelines.store import digest
from pipelines.vision.segmentation import region
from pipelines.workbench import Workbench


def extremes(ranked: Sequence[Item], count: int) -> list[Item]:
    """`count` items from both ends of a list in turn, the last first."""
    count = min(count, len(ranked))
    return [ranked[-1 - n // 2] if n % 2 == 0 else ranked[n // 2] for n in range(count)]


class Tokens:
    """The tokens of the classes that have a superclass. Without one, or an inversion, a class is said by its name."""

    def __init__(self, bench: Workbench, superclass: str | Mapping[str, str] | None, spec: Inversion | None) -> None:
        self.bench, self.spec = bench, spec
        if isinstance(superclass, str):
            superclass = dict.fromkeys(bench.source.classes, superclass)
        self.words = dict(superclass or {})  # superclasses by class

    @cached_property
    def learned(self) -> dict[str, Token]:
        """Every token by its class, learned now or taken from the store, and put into the text encoder."""
        if self.spec is None:
            return {}
        for word in dict.fromkeys(self.spec.initializer or word for word in self.words.values()):
            inversion.initial(self.bench.model, word, 1)  # or say now that it cannot be
        found = {label: self.learn(label, self.spec) for label in self.words}
        for token in found.values():
            self.bench.model.set_token(token.name, token.vectors)
        return found

    def learn(self, label: str, spec: Inversion) -> Token:
        """Learn one class half from what contradicts the shortcut, half from what is typical.

        The images that the judge likes least are mostly those on another class's background, but atypical of their own
        class, too: from them alone, a boot becomes something like a sneaker. From both, each background is as frequent.
        """
        bench, word = self.bench, self.words[label]
        if (known := bench.tokens.get(label)) and (token := inversion.cached(bench.store, known)):
            return token
        chosen = bench.source.of(label)
        if len(chosen) > spec.images:
            chosen = extremes([item for item, _ in bench.ranking[label]], 2 * spec.images)
        found = bench.objects(chosen, word) if spec.masked else [None] * len(chosen)
        pairs = [(i, m) for i, m in zip(chosen, found, strict=True) if m is not None or not spec.masked][: spec.images]
        if not pairs:
            raise SourceError(
                f"method.superclass: no {word!r} was found in any image of class {label!r}; choose another word, or set "
                "inversion.masked to false"
            )
        masks = [region(mask, "mask", spec.margin) for _, mask in pairs if mask is not None]
        facts = {
            "model": bench.model.revision,
            "resolution": bench.resolution,
            "images": [item.sha256 for item, _ in pairs],
            "masks": digest([np.packbits(mask).tobytes().hex() for mask in masks]),
            "spec": spec.model_dump(),
            "word": word,
            "label": label,
            "seed": bench.spec.seed,
        }
        key = digest(facts)
        token = inversion.cached(bench.store, key)
        if token is None:
            stage = bench.progress.stage(f"learn: token <{label}>", spec.steps)
            seed = derive(bench.spec.seed, "token", label) % 2**31
            images = bench.images([item for item, _ in pairs])
            inverter = Inverter(bench.model, images, masks or None, f"<{label}>", word, spec, seed)
            token = inversion.learn(inverter, bench.store, key, facts, stage)
        return token

    def said(self, label: str) -> str:
        """How a class is said in a prompt: by its name, or by its token and the superclass."""
        if self.spec is None or label not in self.words:
            return label
        return noun(self.learned[label].name, self.spec.vectors, self.words[label])

    def address(self, label: str) -> str | None:
        """Where the token of a class lies in the store; None where classes are said by their names."""
        return paths.concept("token", self.learned[label].digest, inversion.EMBEDS) if label in self.learned else None
