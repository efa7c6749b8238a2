"""Checks of notebook 8."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ... import evaluation
from . import Wrong, exercise, number, numbers


@exercise
def one_number(answer: float, values: pd.Series, labels: pd.Series) -> str:
    """Exercise: the AUC of a single number of the image.

    Args:
        answer: the reader's.
        values: the number, by patient.
        labels: 0 or 1, by patient.
    """
    right = float(roc_auc_score(labels, values[labels.index]))
    called = float(roc_auc_score(labels, values[labels.index] > values.median()))
    shuffled = float(roc_auc_score(labels, values.sort_values()))
    hints = {
        1 - right: "that is the AUC of the number with its sign turned",
        called: "that is the AUC of a threshold; the number itself is the score",
        shuffled: "labels and numbers are of different patients: take the numbers in the order of the labels",
    }
    number(answer, right, 0.005, {value: hint for value, hint in hints.items() if abs(value - right) > 0.01})
    return f"{right:.3f}, with no model and nothing to train"


@exercise
def by_chance(answer: float, tests: int) -> str:
    """Exercise: how many of so many tests have p < 0.05 where there is nothing to find."""
    right = 0.05 * tests
    hints = {
        0: "each of them has one chance in twenty",
        1 - 0.95**tests: "that is the probability of at least one if they were independent; how many are expected?",
        0.05: "that is one test; there are more",
        1: "nearly: a mean need not be a whole number",
        5: "five in a hundred would be so many if there were 100 tests",
        tests: "that many are made; one in twenty is expected to be below 0.05",
    }
    number(answer, right, 0.051, hints)
    at_least_one = 1 - 0.95**tests
    return f"{right:.2f} of {tests}; if they were independent, at least one in {at_least_one:.0%} of such studies"


@exercise
def holm(answer: Callable[[np.ndarray], np.ndarray]) -> str:
    """Exercise: p values adjusted by Holm's method, in the given order."""
    cases = [np.array([0.01, 0.02, 0.03]), np.array([0.04, 0.001, 0.3, 0.012]), np.array([0.02, 0.021, 0.6, 0.9, 0.5])]
    for p in cases:
        given = p.copy()
        found = answer(p)
        if not np.array_equal(p, given):
            raise Wrong("the function changes the p values that it is given: work on a copy")
        found, right = numbers(found, "adjusted p values"), evaluation.holm(p)
        if found.shape != p.shape:
            raise Wrong(f"{p.size} p values are expected, and there are {found.size}")
        if np.allclose(found, right):
            continue
        if np.allclose(found, p):
            raise Wrong("these are the p values as they came; multiply the smallest by their number, and so on")
        order = np.argsort(p)
        plain = np.empty_like(p)
        plain[order] = p[order] * np.arange(p.size, 0, -1)
        if np.allclose(found, p * p.size) or np.allclose(found, np.minimum(p * p.size, 1)):
            raise Wrong("that is Bonferroni: every p times their number. Holm's factor falls by one from p to p")
        upwards = np.empty_like(p)
        upwards[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(1, p.size + 1)), 1)
        one_less = np.empty_like(p)
        one_less[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size - 1, -1, -1)), 1)
        if np.allclose(found, upwards):
            raise Wrong("the factors run the wrong way: the smallest p gets the largest, m, and the largest p gets 1")
        if np.allclose(found, one_less):
            raise Wrong("each factor is one too small: the smallest p gets m, and the largest p gets 1, not 0")
        if np.allclose(np.sort(found), np.sort(right)):
            raise Wrong("the right values in another order: give them back in the order of the p values")
        if np.allclose(np.minimum(found, 1), np.minimum(plain, 1)):
            raise Wrong("a larger p has got a smaller adjusted one: take the running maximum from the smallest p on")
        if np.allclose(np.minimum(found, 1), right):
            raise Wrong("an adjusted p exceeds 1: cut it off there")
        raise Wrong(f"{p.tolist()} become {found.round(4).tolist()}, where {right.round(4).tolist()} are expected")
    return "as `evaluation.holm`, in the order of the p values"
