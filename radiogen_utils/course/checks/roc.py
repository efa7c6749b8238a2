"""Checks of notebook 5."""

from collections.abc import Callable

import numpy as np

from ... import evaluation
from . import Wrong, exercise, number, numbers


def _scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of 24 positives and 86 others, and the scores (N,) of two models that often agree."""
    rng = np.random.default_rng(5)
    y_true = rng.permutation(np.r_[np.ones(24, int), np.zeros(86, int)])
    shared = rng.normal(size=110) + 0.7 * y_true
    better, worse = (shared + shift * y_true + 0.2 * rng.normal(size=110) for shift in (0.3, -0.1))
    return y_true, better, worse


def _interval(found: object) -> tuple[float, float]:
    ends = numbers(found, "the lower and the upper end")
    if ends.shape == (3,):
        raise Wrong(
            "two numbers are expected, the lower and the upper end; leave out the AUC itself, the first of the three"
        )
    if ends.shape != (2,):
        raise Wrong("two numbers are expected, the lower and the upper end")
    low, high = (float(value) for value in ends)
    if low > high:
        raise Wrong("the lower end comes first")
    return low, high


@exercise
def auc(answer: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """Exercise: the share of pairs of a positive and another patient in which the positive scores higher."""
    y_true, score = np.array([1, 0, 1, 0, 0, 1, 0]), np.array([0.9, 0.4, 0.4, 0.7, 0.1, 0.7, 0.4])
    positive, negative = score[y_true == 1][:, None], score[y_true == 0]
    higher, equal = (positive > negative).mean(), (positive == negative).mean()
    right = higher + equal / 2
    hints = {
        higher: "pairs of equal scores are counted as lost; they count one half",
        higher + equal: "pairs of equal scores are counted as won; they count one half",
        1 - right: "that is the share of pairs in which the positive scores lower",
        right * positive.size * negative.size: "that is the number of pairs; divide by how many there are",
        right * positive.size * negative.size / score.size**2: "divide by the pairs of one positive and one other "
        "patient only",
    }
    where = f"for y_true = {y_true.tolist()} and score = {score.tolist()}"
    try:
        found = answer(y_true, score)
    except ValueError as error:
        if "broadcast" not in str(error):
            raise
        raise Wrong(
            "compare every positive with every other patient: `[:, None]` makes a column of the positives"
        ) from None
    number(found, right, 1e-9, hints, where)
    y_true, score, _ = _scores()
    number(answer(y_true, score), evaluation.auc_ci(y_true, score, 2)[0], 1e-9)
    return "the same as `sklearn.metrics.roc_auc_score`, equal scores included"


@exercise
def interval(answer: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> str:
    """Exercise: the percentile bootstrap interval of an AUC."""
    y_true, score, _ = _scores()
    low, high = _interval(answer(y_true, score))
    auc, right_low, right_high = evaluation.auc_ci(y_true, score)
    width, right_width = high - low, right_high - right_low
    if width < 1e-9:
        raise Wrong("all resamples have the same AUC: draw with replacement, and draw anew each time")
    if high < auc and abs((low + high) / 2 - 0.5) >= 0.03:
        raise Wrong(f"both ends lie below the AUC itself, {auc:.3f}: percentiles count to 100, so 2.5 and 97.5")
    if abs((low + high) / 2 - 0.5) < 0.03:
        raise Wrong("your AUCs lie around 0.5: draw patients, each with label and score, not both by themselves")
    if max(abs(low - right_low), abs(high - right_high)) <= 0.025:
        if width < 0.92 * right_width:
            raise Wrong("a little too narrow: 95 % lie between the percentiles 2.5 and 97.5")
        return f"{low:.3f} to {high:.3f}; the package finds {right_low:.3f} to {right_high:.3f} with other draws"
    if width < 0.9 * right_width:
        raise Wrong("too narrow: draw as many patients as there are, and take the percentiles 2.5 and 97.5")
    raise Wrong(f"{low:.3f} to {high:.3f} is far from {right_low:.3f} to {right_high:.3f}")


@exercise
def patients(answer: float) -> str:
    """Exercise: how many times as many patients an interval of half the width needs."""
    hints = {
        2: "the width falls with the square root of the number of patients",
        2**0.5: "the other way round",
        0.5: "that is the width; how many more patients does it take?",
        0.25: "the other way round: with a quarter of the patients it is twice as wide",
    }
    if (found := number(answer, answer, 0)) > 20:
        raise Wrong(f"{found:g}: how many times as many is asked, whatever the number now")
    number(answer, 4, 1e-9, hints)
    return "the width falls with the square root of the number of patients, so four times as many"


@exercise
def paired(answer: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]) -> str:
    """Exercise: the bootstrap interval of the difference of two AUCs on the same patients."""
    y_true, a, b = _scores()
    low, high = _interval(answer(y_true, a, b))
    difference, right_low, right_high = evaluation.auc_difference(y_true, a, b)
    alone = [evaluation.auc_ci(y_true, score) for score in (a, b)]
    if max(abs(low - right_low), abs(high - right_high)) <= 0.02:
        overlap = alone[1][2] - alone[0][1]
        return (
            f"the difference lies between {low:+.3f} and {high:+.3f}, above zero, though the two intervals overlap by "
            f"{overlap:.2f}"
        )
    if max(abs(low + right_high), abs(high + right_low)) <= 0.02:
        raise Wrong("the sign is turned: a minus b is asked for")
    if low < difference < high and high - low > 1.2 * (right_high - right_low):
        raise Wrong("too wide: both models must be judged on the same draw of patients")
    raise Wrong(f"{low:+.3f} to {high:+.3f} is not the interval of the AUC of a minus that of b")
