"""Attempts: what was generated for the planned images of a shard, what was kept of it, and what is generated again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipelines.filters import Comparisons
from pipelines.records import PlannedImage, Sample


@dataclass
class Attempt:
    """The candidates of a shard that are at the same attempt."""

    expected: int = 0  # candidates, of which some may still be generated
    judged: int = 0
    passed: list[Sample] = field(default_factory=list)  # which every filter has kept


class Attempts:
    """A shard on its way: each planned image is generated until it is kept, in at most so many attempts.

    What a filter drops is generated again at once. What all of them keep waits for the rest of its attempt: comparisons take
    that as a whole, in the order of the index. So the outcome does not depend on the order in which images are finished.
    """

    def __init__(self, number: int, planned: Sequence[PlannedImage], most: int, comparisons: Comparisons) -> None:
        """`number` is the shard's."""
        self.number, self.comparisons = number, comparisons
        self.planned = {image.index: image for image in planned}
        self.attempts = [Attempt() for _ in range(most)]
        self.attempts[0].expected = len(planned)
        self.current = 0  # the first attempt that is not complete
        self.kept: list[Sample] = []
        self.dropped: list[Sample] = []

    @property
    def done(self) -> bool:
        return self.current == len(self.attempts) or not self.attempts[self.current].expected

    @property
    def settled(self) -> int:
        """How many of the planned images are kept, or given up."""
        last = len(self.attempts) - 1
        return len(self.kept) + sum(sample.candidate.request.attempt == last for sample in self.dropped)

    def add(self, samples: Iterable[Sample]) -> list[tuple[PlannedImage, int]]:
        """Note what the filters said of candidates; return the images to be generated again, each with its attempt.

        Raises RuntimeError for a candidate that was not asked for.
        """
        again = []
        for sample in samples:
            attempt = self.attempts[sample.candidate.request.attempt]
            attempt.judged += 1
            if attempt.judged > attempt.expected:
                raise RuntimeError(f"shard {self.number}: an image came twice: {sample.candidate.request.index}")
            if sample.verdict.kept:
                attempt.passed.append(sample)
            else:
                again += self.drop(sample)
        while not self.done and (attempt := self.attempts[self.current]).judged == attempt.expected:
            self.current += 1
            for sample in self.comparisons.judge(sorted(attempt.passed, key=index)):
                if sample.verdict.kept:
                    self.kept.append(sample)
                else:
                    again += self.drop(sample)
        return again

    def drop(self, sample: Sample) -> list[tuple[PlannedImage, int]]:
        """Note a sample that is dropped; return its next attempt, if there is one."""
        self.dropped.append(sample)
        request = sample.candidate.request
        if request.attempt + 1 == len(self.attempts):
            return []
        self.attempts[request.attempt + 1].expected += 1
        return [(self.planned[request.index], request.attempt + 1)]

    def sort(self) -> None:
        """Bring the samples into the order of their index and attempt."""
        self.kept.sort(key=index)
        self.dropped.sort(key=lambda sample: (sample.candidate.request.attempt, index(sample)))


def index(sample: Sample) -> int:
    return sample.candidate.request.index
