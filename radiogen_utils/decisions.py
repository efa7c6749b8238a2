"""What a probability is worth to whoever must decide: calibration, Brier score and decision curve.

Log-odds are those of one repeat, (N,), or of several, (R, N); every estimate is the one of the mean over the repeats,
and intervals resample patients, each with all its repeats, as in `evaluation`.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from . import evaluation


def recalibration(y_true: np.ndarray, log_odds: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float]:
    """Intercept and slope that log-odds need to fit the outcomes (Cox, Biometrika 1958;45:562–565).

    Slope 1 is right; below 1, predictions are too extreme, above 1 too timid. The intercept is that of a model with the
    slope held at 1: above 0, there are more positives than predicted (calibration in the large).

    Args:
        y_true: (N,) 0 or 1.
        log_odds: (R, N).
        weight: (N,) how often each patient counts.
    """
    weight = np.ones(len(y_true)) if weight is None else weight
    weight = np.broadcast_to(weight, log_odds.shape)
    events = (weight * y_true).sum()
    intercept = brentq(lambda a: (weight * expit(a + log_odds)).sum() - events, -50, 50)
    target = np.broadcast_to(y_true, log_odds.shape).ravel()
    model = LogisticRegression(C=np.inf).fit(log_odds.reshape(-1, 1), target, weight.ravel())
    return float(intercept), float(model.coef_[0, 0])


def calibration_summary(y_true: ArrayLike, log_odds: ArrayLike, n_resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Intercept, slope and Brier score with their 95 % bootstrap intervals over patients.

    Args:
        y_true: (N,) 0 or 1.
        log_odds: (N,) or (R, N).
        n_resamples: of the bootstrap.
        seed: of the resampling.

    Returns:
        Rows intercept, slope, Brier score, scaled Brier score (1 is perfect, 0 is always to say the share of
        positives); columns value, low, high.
    """
    log_odds = np.atleast_2d(np.asarray(log_odds, float))
    y_true, *_ = evaluation._check(y_true, *log_odds)

    def measures(weight: np.ndarray) -> tuple[float, ...]:
        share = np.average(y_true, weights=weight)
        brier = np.average((expit(log_odds) - y_true) ** 2, axis=1, weights=weight).mean()
        return *recalibration(y_true, log_odds, weight), brier, 1 - brier / (share * (1 - share))

    drawn = [measures(counts) for counts in evaluation._resample(y_true, n_resamples, seed)]
    bounds = [evaluation._percentiles(values) for values in np.transpose(drawn)]
    rows = [(value, *bound) for value, bound in zip(measures(np.ones(len(y_true))), bounds, strict=True)]
    names = ["intercept", "slope", "Brier score", "scaled Brier score"]
    return pd.DataFrame(rows, names, ["value", "low", "high"])


def net_benefit(y_true: ArrayLike, probability: ArrayLike, threshold: ArrayLike) -> np.ndarray:
    r"""Net benefit of acting on every patient whose probability reaches a threshold.

    $$\text{net benefit} = \frac{TP}{n} - \frac{FP}{n}\,\frac{p_t}{1 - p_t}$$

    The threshold $p_t$ is the probability at which acting and not acting seem equally good, so its odds say how many
    true positives one false positive costs (Vickers and Elkin, Med Decis Making 2006;26:565–574).

    Args:
        y_true: (N,) 0 or 1.
        probability: (N,), or (R, N) for the mean over repeats.
        threshold: (T,) in [0, 1).

    Returns:
        (T,) true positives a patient.

    Example:
        >>> net_benefit([1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1], [0.2, 0.5]).round(3).tolist()
        [0.438, 0.0]
    """
    probability = np.atleast_2d(np.asarray(probability, float))
    y_true, *_ = evaluation._check(y_true, *probability)
    threshold = np.asarray(threshold, float)
    if ((threshold < 0) | (threshold >= 1)).any():
        raise ValueError("a threshold is a probability below 1")
    acts = probability[None] >= threshold[:, None, None]
    true, false = (acts & y_true).mean((1, 2)), (acts & ~y_true).mean((1, 2))
    return true - false * threshold / (1 - threshold)


def decision_curve(
    y_true: ArrayLike, probability: ArrayLike, threshold: np.ndarray, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Net benefit by threshold, beside acting on everybody; acting on nobody has 0.

    Args:
        y_true: (N,) 0 or 1.
        probability: (N,) or (R, N).
        threshold: (T,) in [0, 1).
        n_resamples: of the bootstrap over patients.
        seed: of the resampling.

    Returns:
        Indexed by threshold: model, low, high (95 %, pointwise, of the model), everybody, and gain, gain_low,
        gain_high: the model over the better of everybody and nobody.
    """
    probability = np.atleast_2d(np.asarray(probability, float))
    odds = threshold / (1 - threshold)
    model = net_benefit(y_true, probability, threshold)
    y_true = np.asarray(y_true, bool)
    share = y_true.mean()
    worth = np.where(y_true, 1.0, -odds[:, None])  # (T, N): what acting on a patient brings
    model_worth = (probability[None] >= threshold[:, None, None]).mean(1) * worth
    counts = evaluation._resample(y_true, n_resamples, seed) / len(y_true)
    drawn, everybody = counts @ model_worth.T, counts @ worth.T
    gains = drawn - np.maximum(everybody, 0)
    bounds = [np.percentile(values, [2.5, 97.5], axis=0) for values in (drawn, gains)]
    all_treated = share - (1 - share) * odds
    columns = {"model": model, "low": bounds[0][0], "high": bounds[0][1], "everybody": all_treated}
    columns |= {"gain": model - np.maximum(all_treated, 0), "gain_low": bounds[1][0], "gain_high": bounds[1][1]}
    return pd.DataFrame(columns, pd.Index(threshold, name="threshold"))
