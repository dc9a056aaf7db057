"""Deterministic solvers, as the weights of their steps. Symbols as in `schedule`; lambda = log(alpha / sigma)."""

from math import log

from pipelines.backbones.schedule import Level, Weights


def first_order(level: Level, level_next: Level) -> Weights:
    """x0 and eps stay as they are predicted: DDIM (Song et al. 2021, arXiv 2010.02502), and of a flow Euler's method."""
    ratio = level_next.sigma / level.sigma
    return Weights(ratio, level_next.alpha - ratio * level.alpha, 0.0)


def second_order(level_previous: Level | None, level: Level, level_next: Level) -> Weights:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095): x0 is extrapolated in lambda, to the middle of the step.

    Of first order without a previous step, at a step of no length, and at one that ends without noise, lambda infinite.
    """
    weights = first_order(level, level_next)
    if level_previous is None or level_previous == level or not level_next.sigma:
        return weights
    excess = (log_ratio(level_next) - log_ratio(level)) / (log_ratio(level) - log_ratio(level_previous)) / 2
    return Weights(weights.x, weights.x0 * (1 + excess), -weights.x0 * excess)


def log_ratio(level: Level) -> float:
    """lambda, half the logarithm of the signal-to-noise ratio."""
    return log(level.alpha / level.sigma)
