"""Checks of notebook 7."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from . import Wrong, exercise, number


def _scores(shift: float, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 12 positives and 28 others, and scores (40,)."""
    rng = np.random.default_rng(7)
    y_true = rng.permutation(np.r_[np.ones(12, int), np.zeros(28, int)])
    return y_true, spread * rng.normal(size=40) + shift * y_true


@exercise
def permutation_test(answer: Callable[[np.ndarray, np.ndarray, int], float]) -> str:
    """Exercise: the one-sided p value of an AUC by permuting the labels; of labels, scores, and how many times."""
    y_true, score = _scores(9, 0.1)
    before, n = y_true.copy(), 99
    found = answer(y_true, score, n)
    if not np.array_equal(y_true, before):
        raise Wrong("the labels themselves are shuffled: `rng.permutation` returns a shuffled copy")
    hints = {
        0: "p is 0 where no permutation does as well; the true labels count as one more of them, above and below",
        1 / n: "count the true labels in the denominator, too: 1 + n",
        1: "nearly no permutation does as well here, so p is small: count those at least as high as the true AUC",
        100 / (1 + n): "right in per cent; give it as a share between 0 and 1",
    }
    found = number(found, 1 / (1 + n), 1e-9, hints, f"where none of {n} permutations does as well,")
    y_true, score = _scores(0.45)
    observed, rng, n = roc_auc_score(y_true, score), np.random.default_rng(0), 400
    aucs = np.array([roc_auc_score(rng.permutation(y_true), score) for _ in range(2000)])
    right, found = float((1 + (aucs >= observed).sum()) / 2001), float(answer(y_true, score, n))
    error = 4 * np.sqrt(right * (1 - right) * (1 / n + 1 / 2000)) + 1 / n
    if abs(found - right) <= error:
        return f"p = {found:.3f}, and the smallest that {n} permutations can give is {1 / (1 + n):.4f}"
    if found in (0, 1 / n, 1 / (1 + n), 1):
        raise Wrong(
            f"p = {found:.3f}, where {right:.3f} is expected: is every permutation another one? Make the generator "
            "before the loop, and compare each AUC with the true one"
        )
    if abs(found - (1 - right)) <= error:
        raise Wrong(f"{found:.3f}: count the permutations whose AUC is at least as high as the true one, not lower")
    raise Wrong(
        f"p = {found:.3f}, where {right:.3f} is expected: is the AUC of each permutation compared with the true?"
    )


@exercise
def fewest(answer: float) -> str:
    """Exercise: how many permutations p < 0.05 needs at least."""
    hints = {
        19: "19 permutations reach 1/20, which is 0.05 and not less",
        21: "one fewer will do",
        199: "so many reach 0.005; fewer will do for less than 0.05",
        0.05: "that is p; how many permutations does it take?",
    }
    if (found := number(answer, answer, 0)) > 20:
        raise Wrong(f"{found:g} reach {1 / (1 + found):.4f}; fewer will do for less than 0.05")
    number(answer, 20, 1e-9, hints)
    return "1/21 is less than 0.05, and 1/20 is not"


@exercise
def sensitivity(answer: Callable[[np.ndarray, np.ndarray, float], float]) -> str:
    """Exercise: the share of positives above the threshold that leaves the given share of the others below it."""
    others = np.arange(20.0)
    positive = np.array([3.2, 9.4, 12.5, 14.5, 16.6, 19.5, 21, 25])
    y_true = np.r_[np.ones(8, int), np.zeros(20, int)]
    score, n = np.r_[positive, others], 20
    for specificity in (0.8, 0.9):
        k = round(specificity * n)
        right = float((positive > others[k - 1] + 0.5).mean())
        calls = float((score > others[k - 1] + 0.5).mean())
        quantile = float((positive > np.quantile(positive, specificity)).mean())
        everybody = float((positive > np.quantile(score, specificity)).mean())
        swapped = float((positive > np.quantile(others, 1 - specificity)).mean())
        hints = {
            calls: "that is the share of all patients who are called positive; look at the positives alone",
            quantile: "the threshold comes from the scores of the others, not from those of the positives",
            everybody: "the threshold comes from the others alone, not from all patients",
            swapped: "specificity is the share of the others who lie below the threshold, not above it",
            1 - right: "that is the share of positives who are missed",
            right * positive.size / score.size: "divide by the positives, not by all patients",
            right * positive.size / (calls * score.size): "that is the share of calls that are right (the positive "
            "predictive value); look at the positives alone",
            float(others[k - 1] + 0.2): "that is the threshold; what share of the positives lies above it?",
            right * positive.size: "that is the number of positives; divide by how many there are",
        }
        number(answer(y_true, score, specificity), right, 1e-9, hints, f"at a specificity of {specificity}")
    return "it depends on where the threshold lies, hence one number a threshold, and one AUC for all of them"
