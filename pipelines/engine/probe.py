"""A look at rows on their way: those that will come to nothing need not be denoised to their end."""

from collections.abc import Sequence
from typing import Protocol

from pipelines.backbones.schedule import Step
from pipelines.records import Candidate, Verdict


class Probe(Protocol):
    @property
    def at(self) -> float | None:
        """When a row is looked at, as a share of the full run, from noise to image, 0 < at < 1; None: it is not."""

    def look(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Of rows as they are predicted to end: a verdict with a reason ends its row now."""


def steps_left(steps: Sequence[Step], at: float) -> int:
    """How many of a row's steps are to come when it is looked at: those that begin at this share of the full run, or later.
    Rows that begin later themselves are looked at after their first step. 0: there is nothing to be saved, and no look."""
    return min(sum(step.start >= at for step in steps), len(steps) - 1)
