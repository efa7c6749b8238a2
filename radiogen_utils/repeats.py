"""Intervals and tests of an AUC averaged over repeats: reshuffled folds, other seeds, other networks.

Each repeat scores the same patients, so that its AUC is a mean over the same pairs of a positive and a negative. The
mean AUC is therefore the mean over the pairs of how often, over the repeats, the pair is in order, and DeLong's
variance and the bootstrap apply to these averaged placements as they do to one repeat's. Neither the median of the
repeats' p values nor the mean of their bounds is a test or an interval of the mean.

The intervals say how the mean would vary over patients, with the repeats as they were; how much one repeat differs from
another is their standard deviation, reported beside.
"""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from . import evaluation

Z = float(stats.norm.ppf((1 + evaluation.CONFIDENCE) / 2))


def score_matrix(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of one model from its rows of predictions.csv.

    Args:
        rows: columns repeat, patient, y_true, score; each repeat scores each patient once.

    Returns:
        y_true (N,) int64 and scores (R, N) float64, patients in alphabetical order, so that the columns of two models
        with the same patients correspond.

    Raises:
        ValueError: no rows, a patient missing from a repeat or scored twice in it, two labels of one patient.
    """
    if rows.duplicated(["repeat", "patient"]).any():
        raise ValueError("a patient is scored twice in one repeat; are these the rows of one model?")
    scores = rows.pivot(index="repeat", columns="patient", values="score")
    labels = rows.groupby("patient").y_true
    if scores.empty or scores.isna().any(axis=None):
        raise ValueError("no rows, or a patient without a score in some repeat")
    if (labels.nunique() > 1).any():
        raise ValueError("a patient has different labels in different repeats")
    return labels.first().to_numpy(np.int64), scores.to_numpy(float)


def _placements(y_true: np.ndarray, *arms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels as bool, and of each arm (positives, negatives): share of the repeats in which the pair is in order."""
    arms = [np.atleast_2d(np.asarray(scores, float)) for scores in arms]
    y_true, *_ = evaluation._check(y_true, *(score for scores in arms for score in scores))
    return y_true, [np.mean([evaluation._placements(y_true, score) for score in scores], axis=0) for scores in arms]


def _bootstrap(y_true: np.ndarray, placements: np.ndarray, n_resamples: int, seed: int) -> tuple[float, float]:
    counts = evaluation._resample(y_true, n_resamples, seed)
    positive, negative = counts[:, y_true], counts[:, ~y_true]
    wins = np.einsum("bp,pn,bn->b", positive, placements, negative, optimize=True)
    return evaluation._percentiles(wins / (positive.sum(1) * negative.sum(1)))


def auc_ci(
    y_true: np.ndarray, scores: np.ndarray, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean AUC over repeats with its 95 % percentile bootstrap interval over patients.

    A resample draws patients; all repeats are evaluated on it and their AUCs averaged.

    Args:
        y_true: (N,) 0 or 1.
        scores: (R, N) higher for 1; one row a repeat. `evaluation.auc_ci` is the case R = 1.
        n_resamples: of the bootstrap.
        seed: of the resampling.

    Returns:
        AUC, low, high.

    Raises:
        ValueError: as `evaluation.auc_ci`.
    """
    y_true, (placements,) = _placements(y_true, scores)
    return float(placements.mean()), *_bootstrap(y_true, placements, n_resamples, seed)


def auc_difference(
    y_true: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean AUC of one arm minus that of another on the same patients, with its 95 % paired bootstrap interval.

    Args:
        y_true: (N,) 0 or 1.
        scores_a: (R, N) of the one arm, as for `auc_ci`.
        scores_b: (S, N) of the other; the numbers of repeats may differ.
        n_resamples: of the bootstrap.
        seed: of the resampling.

    Returns:
        Difference, low, high.
    """
    y_true, (a, b) = _placements(y_true, scores_a, scores_b)
    return float(a.mean() - b.mean()), *_bootstrap(y_true, a - b, n_resamples, seed)


def delong_covariance(y_true: np.ndarray, *arms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean AUCs over repeats and their covariance by DeLong's method (Biometrics 1988;44:837–845, equation 6).

    A placement value, the share of the other class that a patient outranks, is averaged over the repeats first. The
    covariance of the averages is the average of the covariances between all repeats of one arm and all of the other.

    Args:
        y_true: (N,) 0 or 1, at least two patients of each.
        arms: K arrays (R, N), each with its own number of repeats R.

    Returns:
        AUCs (K,) and covariance (K, K).

    Raises:
        ValueError: as `evaluation.delong_ci`.
    """
    y_true, placements = _placements(y_true, *arms)
    positives, negatives = int(y_true.sum()), int((~y_true).sum())
    if min(positives, negatives) < 2:
        raise ValueError("DeLong's variance needs at least two patients of each class")
    by_positive = np.atleast_2d(np.cov([arm.mean(1) for arm in placements]))
    by_negative = np.atleast_2d(np.cov([arm.mean(0) for arm in placements]))
    return np.array([arm.mean() for arm in placements]), by_positive / positives + by_negative / negatives


def delong_ci(y_true: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    """Mean AUC over repeats with DeLong's 95 % interval: normal, cut at 0 and 1.

    Arguments, returns and errors as for `auc_ci` and `delong_covariance`.
    """
    (auc,), ((variance,),) = delong_covariance(y_true, scores)
    half = Z * np.sqrt(variance)
    return float(auc), float(max(auc - half, 0)), float(min(auc + half, 1))


def delong_difference(
    y_true: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray
) -> tuple[float, float, float, float]:
    """Paired comparison of two mean AUCs by DeLong's method.

    Arguments as for `auc_difference`, errors as for `delong_covariance`.

    Returns:
        Difference, low, high (95 %, normal) and the two-sided p value; p is 1 where both arms rank all patients alike.
    """
    (a, b), covariance = delong_covariance(y_true, scores_a, scores_b)
    difference, variance = float(a - b), covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if np.isclose(variance, 0, atol=1e-15):
        return difference, difference, difference, 1.0 if np.isclose(difference, 0) else 0.0
    error = float(np.sqrt(variance))
    p = float(2 * stats.norm.sf(abs(difference) / error))
    return difference, difference - Z * error, difference + Z * error, p


def within_fold_auc(y_true: np.ndarray, score: np.ndarray, fold: np.ndarray) -> float:
    """Mean over the folds of the AUC within a fold: every pair that it compares was scored by one and the same model.

    The AUC of the pooled scores also compares patients that different models have scored; where their scales differ,
    that AUC is biased, downward as a rule (Airola et al., Comput Stat Data Anal 2011;55:1828–1844). A fold without one
    of the classes has no AUC and is left out.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,) of one repeat.
        fold: (N,) the fold in which each patient was held out.

    Raises:
        ValueError: no fold has both classes; others as `evaluation.auc_ci`.
    """
    y_true, score = evaluation._check(y_true, score)
    fold = np.asarray(fold)
    members = [fold == name for name in np.unique(fold)]
    aucs = [roc_auc_score(y_true[own], score[own]) for own in members if 0 < y_true[own].sum() < own.sum()]
    if not aucs:
        raise ValueError("no fold has patients of both classes")
    return float(np.mean(aucs))


def permutation_within_folds(labels: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels permuted among the patients of each fold.

    Every fold keeps its number of positives, so that the folds, which were stratified by the true labels, are as
    balanced for the permuted ones, and the test is exact: given these numbers, all such permutations are equally likely
    if the images say nothing of the label (Good, Permutation, Parametric and Bootstrap Tests, 2005, chapter 3). That
    holds for the folds of one shuffle; each shuffle of a mean over several has its own.

    Args:
        labels: (N,) any dtype, which is kept.
        fold: (N,).
        rng: source of the permutation.
    """
    labels, fold = np.asarray(labels), np.asarray(fold)
    if labels.shape != fold.shape:
        raise ValueError(f"labels {labels.shape} and folds {fold.shape} must be of one length")
    permuted = labels.copy()
    for name in np.unique(fold):
        permuted[fold == name] = rng.permutation(labels[fold == name])
    return permuted
