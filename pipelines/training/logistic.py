"""Multinomial logistic regression with an L1 or an L2 penalty, by L-BFGS-B."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from pipelines.progress import step

Array = NDArray[np.float64]


def l1_logistic(x: Array, targets: NDArray[np.int64], classes: int, c: float) -> tuple[Array, Array]:
    """Minimise `c` times the summed cross-entropy, plus the sum of the weights' absolute values.

    x: (n, width). Returns weights (classes, width) and the biases (classes,), which are not penalised. A weight is the
    difference of two variables that cannot be negative, so that the penalty is smooth.
    """
    size, truth = classes * x.shape[1], np.eye(classes)[targets]

    def parts(variables: Array) -> tuple[Array, Array]:
        return (variables[:size] - variables[size : 2 * size]).reshape(classes, -1), variables[2 * size :]

    def objective(variables: Array) -> tuple[float, Array]:
        step()
        weights, bias = parts(variables)
        log_shares = log_softmax(x @ weights.T + bias, axis=1)
        residual = c * (np.exp(log_shares) - truth)
        slope = (residual.T @ x).ravel()
        gradient = np.concatenate([1 + slope, 1 - slope, residual.sum(axis=0)])
        return float(variables[: 2 * size].sum() - c * (log_shares * truth).sum()), gradient

    bounds = [(0, None)] * (2 * size) + [(None, None)] * classes
    start = np.zeros(2 * size + classes)
    options = {"maxiter": 1000, "ftol": 1e-9}
    return parts(minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)


def l2_logistic(x: Array, targets: NDArray[np.int64], classes: int, weights: Array, penalty: float) -> tuple[Array, Array]:
    """Minimise the weighted cross-entropy of rows (n, width), plus half of `penalty` times the squared weights.

    Returns weights (classes, width) and biases (classes,), which are not penalised.
    """
    truth, size = np.eye(classes)[targets], classes * x.shape[1]

    def objective(variables: Array) -> tuple[float, Array]:
        step()
        slopes, bias = variables[:size].reshape(classes, -1), variables[size:]
        log_shares = log_softmax(x @ slopes.T + bias, axis=1)
        residual = weights[:, None] * (np.exp(log_shares) - truth)
        loss = 0.5 * penalty * (slopes**2).sum() - (weights[:, None] * log_shares * truth).sum()
        return float(loss), np.concatenate([(residual.T @ x + penalty * slopes).ravel(), residual.sum(axis=0)])

    start = np.zeros(size + classes)
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-10}).x
    return result[:size].reshape(classes, -1), result[size:]
