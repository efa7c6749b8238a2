"""ROC analysis of patients' scores: AUC, its intervals, paired comparison of two sets of scores."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit
from sklearn.metrics import roc_auc_score, roc_curve

from . import article

CONFIDENCE = 0.95
LEFT_OUT = ", institution left out"
"""End of an arm's name where the folds are the institutions."""
FROZEN = "frozen "
"""Beginning of an arm's name for a linear probe of the network before any training on the labels."""


def split_arm(arm: str) -> tuple[str, str]:
    """Initialisation and sequences in an arm's name.

    The article's sequence, which the name leaves out, is FLAIR; a simple model has its name and "".

    Example:
        >>> split_arm("gbm-post-contrast"), split_arm("gbm"), split_arm("age and grade")
        (('gbm', 'post-contrast'), ('gbm', 'FLAIR'), ('age and grade', ''))
    """
    name = arm.removeprefix(FROZEN).removesuffix(LEFT_OUT)
    initialisation, _, sequences = name.partition("-")
    return (initialisation, sequences or "FLAIR") if initialisation in article.AUC else (name, "")


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


def _placements(y_true: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(positives, negatives): 1 where the positive scores higher, 1/2 on a tie, 0 else; its mean is the AUC."""
    positive, negative = score[y_true][:, None], score[~y_true][None, :]
    return (positive > negative) + 0.5 * (positive == negative)


def _resample(y_true: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """(n_resamples, N): how often each patient is drawn; resamples with one class only are drawn again."""
    rng = np.random.default_rng(seed)
    n = len(y_true)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    while (one_class := np.isin(counts[:, y_true].sum(1), (0, n))).any():
        counts[one_class] = rng.multinomial(n, np.full(n, 1 / n), size=one_class.sum())
    return counts


def _resampled_auc(y_true: np.ndarray, score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    positive, negative = counts[:, y_true], counts[:, ~y_true]
    wins = np.einsum("bp,pn,bn->b", positive, _placements(y_true, score), negative, optimize=True)
    return wins / (positive.sum(1) * negative.sum(1))


def _percentiles(values: ArrayLike) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def auc_ci(y_true: ArrayLike, y_score: ArrayLike, n_resamples: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """AUC with its 95 % percentile bootstrap interval over patients.

    The semantics are those of the article's author (mateuszbuda/ml-stat-util): patients are resampled with
    replacement, and a resample with one class only is drawn again.

    Args:
        y_true: (N,) 0 or 1.
        y_score: (N,) higher for 1.
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
    y_true, y_score = _check(y_true, y_score)
    resampled = _resampled_auc(y_true, y_score, _resample(y_true, n_resamples, seed))
    return float(roc_auc_score(y_true, y_score)), *_percentiles(resampled)


def auc_difference(
    y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """AUC of `score_a` minus AUC of `score_b` on the same patients, with its 95 % paired bootstrap interval.

    Arguments, returns and errors as for `auc_ci`; both scores are resampled together.
    """
    y_true, score_a, score_b = _check(y_true, score_a, score_b)
    counts = _resample(y_true, n_resamples, seed)
    difference = _resampled_auc(y_true, score_a, counts) - _resampled_auc(y_true, score_b, counts)
    return float(roc_auc_score(y_true, score_a) - roc_auc_score(y_true, score_b)), *_percentiles(difference)


def _delong_covariance(y_true: np.ndarray, *scores: np.ndarray) -> np.ndarray:
    """Covariance of the AUCs of several scores on the same patients (DeLong et al., Biometrics 1988, equation 6)."""
    if min(y_true.sum(), (~y_true).sum()) < 2:
        raise ValueError("DeLong's variance needs at least two patients of each class")
    placements = [_placements(y_true, score) for score in scores]
    by_positive = np.atleast_2d(np.cov([matrix.mean(1) for matrix in placements]))
    by_negative = np.atleast_2d(np.cov([matrix.mean(0) for matrix in placements]))
    return by_positive / y_true.sum() + by_negative / (~y_true).sum()


def delong_ci(y_true: ArrayLike, y_score: ArrayLike) -> tuple[float, float, float]:
    """AUC with DeLong's 95 % interval (Biometrics 1988;44:837–845): normal, cut at 0 and 1.

    Arguments, returns and errors as for `auc_ci`; moreover each class needs two patients.

    Example:
        >>> [round(value, 3) for value in delong_ci([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.5, 0.3, 0.8, 0.9])]
        [0.778, 0.291, 1.0]
    """
    y_true, y_score = _check(y_true, y_score)
    auc = float(roc_auc_score(y_true, y_score))
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(_delong_covariance(y_true, y_score)[0, 0])
    return auc, float(max(auc - half, 0)), float(min(auc + half, 1))


def delong_test(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> float:
    """Two-sided p value of DeLong's test that two scores have the same AUC on the same patients.

    1 where the two scores rank the patients alike. Arguments and errors as for `delong_ci`.

    Example:
        >>> delong_test([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8], [1, 4, 3, 8])
        1.0
    """
    y_true, score_a, score_b = _check(y_true, score_a, score_b)
    covariance = _delong_covariance(y_true, score_a, score_b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference = roc_auc_score(y_true, score_a) - roc_auc_score(y_true, score_b)
    if np.isclose(variance, 0, atol=1e-15):
        return 1.0 if np.isclose(difference, 0) else 0.0
    return float(2 * stats.norm.sf(abs(difference) / np.sqrt(variance)))


def roc_band(
    y_true: ArrayLike, y_score: ArrayLike, rates: np.ndarray, n_resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise 95 % bootstrap band of the ROC curve.

    Args:
        y_true: (N,) 0 or 1.
        y_score: (N,) higher for 1.
        rates: (M,) false-positive rates at which the band is wanted.
        n_resamples: resamples of the patients.
        seed: of the resampling.

    Returns:
        low (M,), high (M,): true-positive rates.
    """
    y_true, y_score = _check(y_true, y_score)
    curves = []
    for counts in _resample(y_true, n_resamples, seed):
        false, true, _ = roc_curve(y_true, y_score, sample_weight=counts, drop_intermediate=False)
        curves.append(np.interp(rates, false, true))
    low, high = np.percentile(curves, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=0)
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
        placements = _placements(label, score)
        wins, pairs = wins + placements.sum(), pairs + placements.size
    rows["within groups"] = (len(y_true), y_true.sum(), wins / pairs if pairs else np.nan, np.nan, np.nan)
    return pd.DataFrame.from_dict(rows, "index", columns=["patients", "positives", "auc", "low", "high"])


def patient_scores(predictions: pd.DataFrame, arm: str, backbone: str, repeat: int = 0) -> pd.DataFrame:
    """Rows of one arm and repeat, indexed and sorted by patient; columns fold, y_true, score."""
    chosen = predictions.query("arm == @arm and backbone == @backbone and repeat == @repeat")
    if chosen.empty:
        raise ValueError(f"no predictions of {arm} with {backbone}, repeat {repeat}")
    return chosen.set_index("patient").sort_index()[["fold", "y_true", "score"]]


def auc_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """AUC of every arm, backbone and repeat from its pooled out-of-fold scores.

    Returns:
        Columns arm, backbone, repeat, patients, positives, auc, low, high (bootstrap), delong_low, delong_high.
    """
    rows = []
    for (arm, backbone, repeat), group in predictions.groupby(["arm", "backbone", "repeat"], sort=False):
        auc, low, high = auc_ci(group.y_true, group.score)
        _, delong_low, delong_high = delong_ci(group.y_true, group.score)
        rows.append((arm, backbone, repeat, len(group), group.y_true.sum(), auc, low, high, delong_low, delong_high))
    columns = "arm backbone repeat patients positives auc low high delong_low delong_high".split()
    return pd.DataFrame(rows, columns=columns)


def over_repeats(predictions: pd.DataFrame) -> pd.DataFrame:
    """AUC of every arm and backbone over the repeats of its cross-validation.

    Returns:
        Columns arm, backbone, repeats, auc (mean), sd (NaN for a single repeat), low, high, delong_low, delong_high
        (means of the repeats' bounds) and ensemble (AUC of each patient's mean score: the repeats' networks as one,
        none of which has seen the patient).
    """
    table = auc_table(predictions)
    bounds = ["low", "high", "delong_low", "delong_high"]
    rows = []
    for (arm, backbone), repeats in table.groupby(["arm", "backbone"], sort=False):
        mean = mean_scores(predictions, arm, backbone)
        ensemble = float(roc_auc_score(mean.y_true, mean.score))
        auc = repeats.auc.mean(), repeats.auc.std()
        rows.append((arm, backbone, len(repeats), *auc, *repeats[bounds].mean(), ensemble))
    return pd.DataFrame(rows, columns=["arm", "backbone", "repeats", "auc", "sd", *bounds, "ensemble"])


def mean_scores(predictions: pd.DataFrame, arm: str, backbone: str) -> pd.DataFrame:
    """Mean of each patient's scores over the repeats of one arm, by patient; columns y_true, score."""
    chosen = predictions.query("arm == @arm and backbone == @backbone")
    return chosen.groupby("patient").agg(y_true=("y_true", "first"), score=("score", "mean"))


def compare_arms(predictions: pd.DataFrame, first: tuple[str, str], second: tuple[str, str]) -> pd.DataFrame:
    """Paired comparison of two (arm, backbone), one row a repeat: difference, low, high (bootstrap), delong_p."""
    repeats = [
        set(predictions.query("arm == @arm and backbone == @backbone").repeat) for arm, backbone in (first, second)
    ]
    rows = []
    for repeat in sorted(set.intersection(*repeats)):
        a, b = (patient_scores(predictions, *pair, repeat) for pair in (first, second))
        if not a.index.equals(b.index):
            raise ValueError(f"{' '.join(first)} and {' '.join(second)} were not scored on the same patients")
        rows.append((repeat, *auc_difference(a.y_true, a.score, b.score), delong_test(a.y_true, a.score, b.score)))
    return pd.DataFrame(rows, columns=["repeat", "difference", "low", "high", "delong_p"])


def compare_pairs(predictions: pd.DataFrame, pairs: list[tuple[tuple[str, str], tuple[str, str]]]) -> pd.DataFrame:
    """`compare_arms` of several pairs; those of which an arm is missing are left out.

    Returns:
        Indexed by comparison ("arm, backbone − arm, backbone"): repeats, difference, low, high (means over the repeats)
        and delong_p (their median).
    """
    present = set(zip(predictions.arm, predictions.backbone, strict=True))
    rows = {}
    for first, second in pairs:
        if {first, second} <= present:
            found = compare_arms(predictions, first, second)
            means = found[["difference", "low", "high"]].mean()
            rows[f"{', '.join(first)} − {', '.join(second)}"] = (len(found), *means, found.delong_p.median())
    columns = ["repeats", "difference", "low", "high", "delong_p"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).rename_axis("comparison")
