"""What an evaluation trains: every arm, and the version's on shares of its samples, with every seed."""

from dataclasses import dataclass

from pipelines.spec import Evaluation
from pipelines.spec.arms import VERSION


@dataclass(frozen=True, slots=True)
class Run:
    """One training."""

    arm: str
    seed: int
    share: float = 1.0  # of the images that the arm adds, above 0 up to 1

    @property
    def title(self) -> str:
        """Of its stage of the progress."""
        return f"train: {self.arm}, {'' if self.share == 1 else f'{self.share} of it, '}seed {self.seed}"


def shares(spec: Evaluation) -> list[float]:
    """Of the version's samples: those that are trained on beside all of them, the smallest first."""
    return sorted(share for share in spec.amounts if share < 1)


def trainings(spec: Evaluation) -> list[Run]:
    """Every arm with every seed, then every share with every seed."""
    whole = [Run(arm, seed) for arm in spec.arms for seed in spec.seeds]
    return whole + [Run(VERSION, seed, share) for share in shares(spec) for seed in spec.seeds]


def units(spec: Evaluation) -> int:
    """Into how many units an evaluation is divided: its trainings, and the probe."""
    return len(trainings(spec)) + 1
