"""Which steps of an image compute the deep features of the denoiser, and which take those that are kept: without torch."""

from math import ceil

FIRST = 4  # steps of an image, in which features change most, compute them all; then the next one of every interval
OUTERMOST = 0.08  # of a forward's operations are left without them: in Stable Diffusion 1 and 3, more than in XL or Flux


def computes(step: int, interval: int) -> bool:
    """Whether the step of this number, from 0, computes deep features."""
    return step < FIRST or (step - FIRST) % interval == 0


def cost(steps: int, interval: int) -> float:
    """Of a step of so many, on average, as a share of one that computes them."""
    whole = min(steps, FIRST) + ceil(max(0, steps - FIRST) / interval)
    return (whole + OUTERMOST * (steps - whole)) / steps
