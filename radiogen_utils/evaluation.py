"""ROC analysis of patients' scores: AUC, its intervals, paired comparison of two sets of scores.

Scores are those of one repeat, (N,), or of several, (R, N): reshuffled folds, other seeds, other networks. Each repeat
scores the same patients, so the mean AUC is the mean over the pairs of a positive and a negative of how often, over the
repeats, the pair is in order, and DeLong's variance and the bootstrap apply to these averaged placements as they do to
one repeat's. Neither the median of the repeats' p values nor the mean of their bounds is a test or an interval of the
mean.

The intervals say how the mean would vary over patients, with the repeats as they were; how much one repeat differs from
another is their standard deviation.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit
from sklearn.metrics import roc_curve

from . import facts
from .facts import Model

CONFIDENCE = 0.95
Z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


def _check(y_true: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, ...]:
    """Labels as bool and scores as float64, all (N,); refuses what no ROC curve can be drawn from."""
    y_true, scores = np.asarray(y_true), [np.asarray(score, float) for score in scores]
    if any(score.shape != y_true.shape or y_true.ndim != 1 for score in scores):
        raise ValueError(f"labels {y_true.shape} and scores {[score.shape for score in scores]} must be of one length")
    if set(np.unique(y_true)) != {0, 1}:
        raise ValueError(f"labels must be 0 and 1 with both present; found {np.unique(y_true).tolist()}")
    if not all(np.isfinite(score).all() for score in scores):
        raise ValueError("a score is NaN or infinite; a patient without a prediction must be left out explicitly")
    return y_true.astype(bool), *scores


def _order(y_true: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(positives, negatives): 1 where the positive scores higher, 1/2 on a tie, 0 else; its mean is the AUC."""
    positive, negative = score[y_true][:, None], score[~y_true][None, :]
    return (positive > negative) + 0.5 * (positive == negative)


def _placements(y_true: ArrayLike, *arms: ArrayLike) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels as bool, and of each arm (positives, negatives): share of the repeats in which the pair is in order."""
    arms = [np.atleast_2d(np.asarray(scores, float)) for scores in arms]
    y_true, *_ = _check(y_true, *(score for scores in arms for score in scores))
    return y_true, [np.mean([_order(y_true, score) for score in scores], axis=0) for scores in arms]


def _resample(y_true: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """(n_resamples, N): how often each patient is drawn; resamples with one class only are drawn again."""
    rng = np.random.default_rng(seed)
    n = len(y_true)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    while (one_class := np.isin(counts[:, y_true].sum(1), (0, n))).any():
        counts[one_class] = rng.multinomial(n, np.full(n, 1 / n), size=one_class.sum())
    return counts


def _percentiles(values: ArrayLike) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def _bootstrap(y_true: np.ndarray, placements: np.ndarray, n_resamples: int, seed: int) -> tuple[float, float]:
    counts = _resample(y_true, n_resamples, seed)
    positive, negative = counts[:, y_true], counts[:, ~y_true]
    wins = np.einsum("bp,pn,bn->b", positive, placements, negative, optimize=True)
    return _percentiles(wins / (positive.sum(1) * negative.sum(1)))


def auc_ci(y_true: ArrayLike, y_score: ArrayLike, n_resamples: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """AUC, or its mean over repeats, with its 95 % percentile bootstrap interval over patients.

    The semantics are those of the article's author (mateuszbuda/ml-stat-util): patients are resampled with
    replacement, and a resample with one class only is drawn again. All repeats are evaluated on the same resample.

    Args:
        y_true: (N,) 0 or 1.
        y_score: (N,), or (R, N), one row a repeat; higher for 1.
        n_resamples: resamples of the patients.
        seed: of the resampling.

    Returns:
        AUC, low, high.

    Raises:
        ValueError: other labels, one class only, scores that are not finite or of another length.

    Example:
        >>> auc, low, high = auc_ci([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.5, 0.3, 0.8, 0.9])
        >>> round(auc, 3), low < auc < high
        (0.778, True)
    """
    y_true, (placements,) = _placements(y_true, y_score)
    return float(placements.mean()), *_bootstrap(y_true, placements, n_resamples, seed)


def auc_difference(
    y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """AUC of one arm minus that of another on the same patients, with its 95 % paired bootstrap interval.

    Args:
        y_true: (N,) 0 or 1.
        score_a: (N,), or (R, N) for the mean over repeats.
        score_b: likewise; the number of repeats may be another.
        n_resamples: resamples of the patients, applied to both arms and all repeats.
        seed: of the resampling.

    Returns:
        Difference, low, high. Errors as for `auc_ci`.
    """
    y_true, (a, b) = _placements(y_true, score_a, score_b)
    return float(a.mean() - b.mean()), *_bootstrap(y_true, a - b, n_resamples, seed)


def delong_covariance(y_true: ArrayLike, *arms: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """AUCs, or their means over repeats, and their covariance (DeLong et al., Biometrics 1988;44:837–845, equation 6).

    A placement value, the share of the other class that a patient outranks, is averaged over the repeats first. The
    covariance of the averages is the average of the covariances between all repeats of the one arm and all of the
    other.

    Args:
        y_true: (N,) 0 or 1, at least two patients of each.
        arms: K times (N,) or (R, N), each with its own number of repeats R.

    Returns:
        AUCs (K,) and covariance (K, K).

    Raises:
        ValueError: as for `auc_ci`, and where a class has a single patient.
    """
    y_true, placements = _placements(y_true, *arms)
    positives, negatives = int(y_true.sum()), int((~y_true).sum())
    if min(positives, negatives) < 2:
        raise ValueError("DeLong's variance needs at least two patients of each class")
    by_positive = np.atleast_2d(np.cov([arm.mean(1) for arm in placements]))
    by_negative = np.atleast_2d(np.cov([arm.mean(0) for arm in placements]))
    return np.array([arm.mean() for arm in placements]), by_positive / positives + by_negative / negatives


def delong_ci(y_true: ArrayLike, y_score: ArrayLike) -> tuple[float, float, float]:
    """AUC, or its mean over repeats, with DeLong's 95 % interval: normal, cut at 0 and 1.

    Arguments, returns and errors as for `auc_ci` and `delong_covariance`.

    Example:
        >>> [round(value, 3) for value in delong_ci([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.5, 0.3, 0.8, 0.9])]
        [0.778, 0.291, 1.0]
    """
    (auc,), ((variance,),) = delong_covariance(y_true, y_score)
    half = Z * np.sqrt(variance)
    return float(auc), float(max(auc - half, 0)), float(min(auc + half, 1))


def delong_difference(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> tuple[float, float, float, float]:
    """Paired comparison of two AUCs, or of their means over repeats, by DeLong's method.

    Arguments as for `auc_difference`, errors as for `delong_covariance`.

    Returns:
        Difference, low, high (95 %, normal) and the two-sided p value; p is 1 where both arms rank all patients alike.

    Example:
        >>> delong_difference([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8], [1, 4, 3, 8])
        (0.0, 0.0, 0.0, 1.0)
    """
    (a, b), covariance = delong_covariance(y_true, score_a, score_b)
    difference, variance = float(a - b), covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if np.isclose(variance, 0, atol=1e-15):
        return difference, difference, difference, 1.0 if np.isclose(difference, 0) else 0.0
    error = float(np.sqrt(variance))
    p = float(2 * stats.norm.sf(abs(difference) / error))
    return difference, difference - Z * error, difference + Z * error, p


def delong_test(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> float:
    """The p value of `delong_difference` alone."""
    return delong_difference(y_true, score_a, score_b)[3]


def _above(y_true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the negatives, the highest score first, and (positives, negatives) whether each positive lies above."""
    order = np.argsort(-score[~y_true], kind="stable")
    return order, _order(y_true, score)[:, order]


def roc_band(
    y_true: ArrayLike, y_score: ArrayLike, rates: np.ndarray, n_resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise 95 % bootstrap band of the ROC curve, or of the mean curve over repeats (`roc.mean_curve`).

    Args:
        y_true: (N,) 0 or 1.
        y_score: (N,) higher for 1, or (R, N), one row a repeat; each resample is applied to all at once.
        rates: (M,) false-positive rates at which the band is wanted.
        n_resamples: resamples of the patients.
        seed: of the resampling.

    Returns:
        low (M,), high (M,): true-positive rates.
    """
    scores = np.atleast_2d(np.asarray(y_score, float))
    y_true, *scores = _check(y_true, *scores)
    counts = _resample(y_true, n_resamples, seed)
    positive, negative = counts[:, y_true].astype(float), counts[:, ~y_true]
    false = np.asarray(rates)[:, None] * negative.sum(1)  # (M, B), in patients
    mean = np.zeros(false.shape)
    for score in scores:
        order, above = _above(y_true, score)
        heights = np.c_[positive @ above / positive.sum(1, keepdims=True), np.ones(n_resamples)]
        passed = negative[:, order].cumsum(1)
        for row, at in zip(mean, false, strict=True):
            row += heights[np.arange(n_resamples), (passed <= at[:, None] + 1e-9).sum(1)]
    low, high = np.percentile(mean / len(scores), [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=1)
    return low, high


def sensitivity_at(
    y_true: ArrayLike, y_score: ArrayLike, specificity: float, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Sensitivity where the ROC curve has a given specificity, with its 95 % bootstrap interval over patients.

    The curve is read between its corners, as it is drawn.

    Args:
        y_true: (N,) 0 or 1.
        y_score: (N,) higher for 1.
        specificity: in [0, 1].
        n_resamples: resamples of the patients.
        seed: of the resampling.

    Returns:
        Sensitivity, low, high. Errors as for `auc_ci`.
    """
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity {specificity} is not in [0, 1]")
    low, high = roc_band(y_true, y_score, np.array([1 - specificity]), n_resamples, seed)
    false, true, _ = roc_curve(y_true, y_score, drop_intermediate=False)
    return float(np.interp(1 - specificity, false, true)), float(low[0]), float(high[0])


def probabilities(log_odds: ArrayLike, prevalence: ArrayLike) -> np.ndarray:
    """Probabilities of class 1 from the log-odds of a model for which both classes weighed the same.

    Such a model answers as if half of the patients were positive; adding the log-odds of the true share undoes that
    (Saerens et al., Neural Computation 2002, equation 2.4).

    Args:
        log_odds: (N,).
        prevalence: share of class 1 among the training patients, one number or (N,).
    """
    prevalence = np.asarray(prevalence, float)
    return expit(np.asarray(log_odds, float) + np.log(prevalence / (1 - prevalence)))


def calibration(y_true: ArrayLike, probability: ArrayLike, bins: int = 5) -> pd.DataFrame:
    """Predicted against observed share of class 1, in bins of equally many patients.

    Returns:
        One row a bin: patients, predicted (mean probability), observed (share of class 1), low, high (its 95 % Wilson
        interval).
    """
    y_true, probability = _check(y_true, probability)
    rows = []
    for patients in np.array_split(np.argsort(probability, kind="stable"), bins):
        n, positives = len(patients), int(y_true[patients].sum())
        interval = stats.binomtest(positives, n).proportion_ci(CONFIDENCE, method="wilson")
        rows.append((n, probability[patients].mean(), positives / n, *interval))
    return pd.DataFrame(rows, columns=["patients", "predicted", "observed", "low", "high"])


def permutation_p(observed: float, permuted: ArrayLike) -> float:
    """One-sided p value of a statistic from its values under permuted labels.

    The observed one counts as one of them, so that p is never 0 (Phipson and Smyth, 2010).

    Example:
        >>> permutation_p(0.73, [0.48, 0.55, 0.51, 0.75])
        0.4
    """
    permuted = np.asarray(permuted, float)
    if permuted.size == 0 or not np.isfinite(permuted).all():
        raise ValueError("permuted statistics must be finite, at least one of them")
    return float((1 + (permuted >= observed).sum()) / (1 + permuted.size))


def smallest_p(permuted: ArrayLike) -> float:
    """The p value that `permutation_p` gives when no permutation does as well: the smallest that so many can reach."""
    return permutation_p(np.inf, permuted)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p values for their number (Holm, Scand J Statist 1979;6:65–70), in the given order.

    Example:
        >>> holm([0.5, 0.01, 0.02]).tolist()
        [0.5, 0.03, 0.04]
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(adjusted, 1)
    return result


def by_group(y_true: ArrayLike, y_score: ArrayLike, group: ArrayLike) -> pd.DataFrame:
    """AUC within each group of patients, say each institution, and pooled within all.

    Returns:
        Indexed by group, "within groups" last: patients, positives, auc, low, high (DeLong). The last row's AUC counts
        the pairs of a positive and another patient of the same group only, so that no difference between groups can
        raise it; its interval is NaN. AUC and interval are NaN where a group lacks two patients of a class; the
        interval alone where the AUC is 0 or 1, since DeLong's variance is 0 there.
    """
    y_true, y_score = _check(y_true, y_score)
    group = np.asarray(group)
    rows, wins, pairs = {}, 0.0, 0
    for name in np.unique(group):
        label, score = y_true[group == name], y_score[group == name]
        enough = min(label.sum(), (~label).sum()) >= 2
        auc, low, high = delong_ci(label, score) if enough else [np.nan] * 3
        rows[name] = (len(label), label.sum(), auc, *([np.nan, np.nan] if auc in (0, 1) else [low, high]))
        placements = _order(label, score)
        wins, pairs = wins + placements.sum(), pairs + placements.size
    rows["within groups"] = (len(y_true), y_true.sum(), wins / pairs if pairs else np.nan, np.nan, np.nan)
    return pd.DataFrame.from_dict(rows, "index", columns=["patients", "positives", "auc", "low", "high"])


def patient_scores(predictions: pd.DataFrame, model: Model, repeat: int = 0) -> pd.DataFrame:
    """Rows of one model and repeat, indexed and sorted by patient; columns fold, y_true, score.

    Raises:
        ValueError: there are none, or several networks have scored a patient.
    """
    chosen = facts.select(facts.of_model(predictions, model), repeat=repeat)
    if chosen.empty or chosen.patient.duplicated().any():
        raise ValueError(f"{'several' if len(chosen) else 'no'} predictions of {model}, repeat {repeat}")
    return chosen.set_index("patient").sort_index()[["fold", "y_true", "score"]]


def auc_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """AUC of every model, network and repeat from its pooled out-of-fold scores.

    Returns:
        The columns `facts.FACTS`, network, repeat, patients, positives, auc, low, high (bootstrap), delong_low,
        delong_high.
    """
    keys, rows = [*facts.FACTS, "network", "repeat"], []
    for values, group in predictions.groupby(keys, sort=False, dropna=False):
        auc, low, high = auc_ci(group.y_true, group.score)
        _, delong_low, delong_high = delong_ci(group.y_true, group.score)
        rows.append((*values, len(group), group.y_true.sum(), auc, low, high, delong_low, delong_high))
    columns = "patients positives auc low high delong_low delong_high".split()
    return pd.DataFrame(rows, columns=[*keys, *columns]).astype(facts.NUMBERS)
