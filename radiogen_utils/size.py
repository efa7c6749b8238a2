"""Is it only size? What a score tells of the label beyond the tumour's area."""

import numpy as np
from scipy import stats

from . import evaluation


def _residual_auc(y_true: np.ndarray, scores: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(B,) AUC of what the area's ranks leave of the scores' ranks; y_true, scores, area (B, N)."""
    x, y = (stats.rankdata(values, axis=1) for values in (area, scores))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    slope = (x * y).sum(1) / (x * x).sum(1)
    # Rounded, so that residuals that differ by the last bit alone are ties.
    ranks = stats.rankdata((y - slope[:, None] * x).round(8), axis=1)
    positives, n = y_true.sum(1), y_true.shape[1]
    wins = (ranks * y_true).sum(1) - positives * (positives + 1) / 2  # Mann and Whitney's U
    return wins / (positives * (n - positives))


def size_adjusted_auc(
    y_true: np.ndarray, score: np.ndarray, area: np.ndarray, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """AUC with the tumour's area taken out by rank, with its 95 % percentile bootstrap interval over patients.

    Score and area are replaced by their ranks, and the area's are taken out of the score's by linear regression; the
    AUC is that of the residuals, as the partial rank correlation is the correlation of such residuals (Conover and
    Iman, The American Statistician 1981;35:124–129). 0.5 means that the score adds nothing to area that a straight line
    in ranks can use; it does not mean that the score is area. Each resample ranks and regresses anew.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,), or (R, N) for the mean over R repeats, resampled together as in `evaluation.auc_ci`.
        area: (N,) of the tumour, any unit; volume serves as well.
        n_resamples: of the bootstrap.
        seed: of the resampling.

    Returns:
        AUC, low, high.

    Raises:
        ValueError: all areas equal; others as `evaluation.auc_ci`.
    """
    scores = np.atleast_2d(np.asarray(score, float))
    y_true, area, *scores = evaluation._check(y_true, area, *scores)
    if np.ptp(area) == 0:
        raise ValueError("all areas are equal: there is no size to take out")
    counts = evaluation._resample(y_true, n_resamples, seed)
    patients = np.tile(np.arange(len(area)), (n_resamples, 1))
    drawn = np.repeat(patients.ravel(), counts.ravel()).reshape(patients.shape)
    whole = np.arange(len(area))[None]
    auc, resampled = (
        np.mean([_residual_auc(y_true[own], values[own], area[own]) for values in scores], axis=0)
        for own in (whole, drawn)
    )
    return float(auc[0]), *evaluation._percentiles(resampled)
