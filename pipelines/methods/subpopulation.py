"""Subpopulations: a class is drawn as often with what it seldom comes with, and nobody says what that is.

SAGE (2026): the training images of each class in clusters, as proxies for what the class comes with; a token for each,
learned from its images; as many images of each cluster as it has few (inverse density). Neither a group label nor a word for
the shortcut is read. Beyond the paper: a token for the class itself, and one for what clusters of several classes have in
common, learned together, in place of a LoRA; and clusters by what a plain classifier takes images for. The paper clusters
embeddings by affinity propagation, and merges clusters whose tokens are alike.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulation_tokens import SubpopulationTokens
from pipelines.learning.subpopulations import Subpopulations
from pipelines.methods.shares import share_of
from pipelines.records import Item, Mask, PlannedImage, Problem, Request
from pipelines.spec import Subpopulation


def inverse_density(sizes: Sequence[int], density: float) -> list[float]:
    """The share of a class's images that falls to each of its clusters, as 1 over its size to a power; they sum to 1."""
    weights = [size**-density for size in sizes]
    return [weight / sum(weights) for weight in weights]


class SubpopulationMethod:
    def __init__(self, resources: Resources, spec: Subpopulation) -> None:
        self.resources, self.spec = resources, spec
        self.subpopulations = Subpopulations(resources)
        self.tokens = SubpopulationTokens(resources, spec, self.subpopulations)
        self.concepts = Concepts(resources, spec, self.tokens)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Cluster the training images, and learn the tokens."""
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    @cached_property
    def ends(self) -> dict[str, list[float]]:
        """Of each class, up to where between 0 and 1 its clusters' shares reach."""
        members = self.subpopulations.members
        return {label: [*accumulate(inverse_density([*map(len, own)], self.spec.density))] for label, own in members.items()}

    def cluster(self, planned: PlannedImage) -> int:
        """The cluster that a planned image is of: any run of a class's images has about the right share of each."""
        return share_of(planned.rank, self.ends[planned.label])

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        if self.tokens.spec is None:  # a preview of what is not learned yet
            return [self.concepts.request(image, attempt) for image in planned]
        return [self.request(image, attempt) for image in planned]

    def request(self, planned: PlannedImage, attempt: int) -> Request:
        label, number, seed = planned.label, self.cluster(planned), self.concepts.seed(planned, attempt)
        prompt = self.tokens.image_words.prompt(label, self.tokens.phrase_of(label, number), seed)
        return self.concepts.request(planned, attempt, prompt=prompt, concept=self.tokens.key_of(label, number))
