"""How far predicted probabilities are from true ones: the straight line through the log-odds that would mend them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from .evaluation import Z, _check


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


class Line(NamedTuple):
    """Recalibrated log-odds are `intercept` + `slope` × log-odds."""

    intercept: Estimate
    slope: Estimate


def line(y_true: ArrayLike, log_odds: ArrayLike) -> Line:
    """Calibration intercept and slope: the logistic regression of the labels on the predicted log-odds.

    A slope of 1 and an intercept of 0 need no mending. A slope below 1: predictions are too extreme, as those of an
    overfitted model; above 1: too timid (Cox, Biometrika 1958;45:562–565). Intervals are Wald's.

    Args:
        y_true: (N,) 0 or 1.
        log_odds: (N,) predicted.

    Raises:
        ValueError: as `evaluation.auc_ci`.
    """
    y_true, log_odds = _check(y_true, log_odds)
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(log_odds[:, None], y_true)
    found = np.array([model.intercept_[0], model.coef_[0, 0]])
    design = np.column_stack([np.ones_like(log_odds), log_odds])
    chance = expit(design @ found)
    errors = np.sqrt(np.diag(np.linalg.inv((design * (chance * (1 - chance))[:, None]).T @ design)))
    return Line(*(Estimate(v, v - Z * e, v + Z * e) for v, e in zip(found.tolist(), errors.tolist(), strict=True)))
