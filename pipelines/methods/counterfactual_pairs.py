"""Counterfactual pairs: two images of a class from one noise, whose prompts differ in one word, so that little else does.

After TIDA (arXiv 2309.15991), which swaps a word of a real image's caption (a colour, a number, ...) and has the image
edited to match. Here both images are drawn, from noise or from one real image that is noised: no captioner is needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.chance import derive
from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.prompts import fill_template
from pipelines.records import Item, Mask, PlannedImage, Problem, Request
from pipelines.spec import CounterfactualPairs

PAIR = 2


class CounterfactualPairsMethod:
    def __init__(self, resources: Resources, spec: CounterfactualPairs) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if there are any."""
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        return [self.request(image, attempt) for image in planned]

    def request(self, planned: PlannedImage, attempt: int) -> Request:
        """One of a pair: its prompt is that of all attempts, its noise that of the pair at this one."""
        spec, first = self.spec, planned.first_sibling(PAIR)
        of_first = replace(planned, index=first)
        seed = self.concepts.seed(of_first, 0)
        word = swapped(spec.choices, seed) if planned.index > first else chosen(spec.choices, seed)
        tokens = self.concepts.tokens
        words = {**tokens.image_words.lists.of(planned.label), spec.swap: (word,)}
        return self.concepts.request(
            planned,
            attempt,
            seed=self.concepts.seed(of_first, attempt),
            prompt=fill_template(spec.templates, words, tokens.phrase(planned.label), seed),
            group_id=f"{first:08d}",
            **(self.start(planned) if spec.starts_from_images else {}),
        )

    def start(self, planned: PlannedImage) -> dict[str, Any]:
        """The real image that both of a pair start from; those of a class in turn."""
        view, items = self.resources.view, self.resources.source.of(planned.label)
        item = items[(planned.rank - planned.ordinal % PAIR) // PAIR % len(items)]
        (part,) = view.framed([item], [mask for mask in self.regions([item]) if mask is not None])
        image = {"image": part.image, "mask": part.mask, "frame": part.frame}
        return {"source": item, "strength": self.spec.strength, **image}


def chosen(choices: Sequence[str], seed: int) -> str:
    """The word of the first image of a pair."""
    return choices[derive(seed, "word") % len(choices)]


def swapped(choices: Sequence[str], seed: int) -> str:
    """Another, of the second."""
    others = [word for word in choices if word != chosen(choices, seed)]
    return others[derive(seed, "swap") % len(others)]
