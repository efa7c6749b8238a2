"""The checks of notebooks 9 and 10 say what is wrong."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_predict

from radiogen_utils import decisions
from radiogen_utils.course.checks import beyond, multiverse
from radiogen_utils.multiverse import draw_specifications


def share(table, choice, means=None):
    means = table.groupby(choice).auc.transform("mean")
    return means.var() / table.auc.var()


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda table, choice: None, "returns nothing"),
        (lambda table, choice: table.groupby(choice).auc.mean().var(ddof=0) / table.auc.var(ddof=0), "weigh more"),
        (lambda table, choice: 1 - share(table, choice), "left unexplained"),
        (lambda table, choice: share(table, choice) ** 0.5, "standard deviations"),
    ],
)
def test_explained_variance_is_judged(answer, words):
    assert multiverse.explained(share)
    assert words in multiverse.explained(answer).message


@pytest.fixture(scope="module")
def garden():
    """The first start wins where three sequences are seen, and nowhere else."""
    drawn = draw_specifications(200).assign(number=range(200))
    rows = [drawn.assign(initialisation=name) for name in ("dense", "random")]
    table = pd.concat(rows, ignore_index=True)
    wins = (table.sequences == "all") == (table.initialisation == "dense")
    return table.assign(auc=0.6 + 0.1 * wins)


@pytest.mark.parametrize(
    "choices, words",
    [
        ("all", "a dictionary"),
        ({"window": "head median"}, "is no choice"),
        ({"sequences": "T2"}, "cannot be 'T2'"),
        ({"sequences": ["all", "FLAIR"]}, "a single option"),
        ({"seed": 1}, "nobody can defend"),
        ({"sequences": "FLAIR"}, "in 0% of the"),
        ({"sequences": "all", "pooling": "patch", "scale": "native", "folds": 5}, "fix fewer choices"),
    ],
)
def test_a_selection_is_judged(garden, choices, words):
    assert words in multiverse.selection(choices, garden, "dense", "random", 0.9).message
    assert multiverse.selection({"sequences": "all"}, garden, "dense", "random", 0.9)
    assert multiverse.selection({"sequences": "FLAIR"}, garden, "random", "dense", 0.9)


def inner_scores(model, x, y, method="decision_function"):
    return cross_val_predict(model, x, y, cv=5, method=method)


def probabilities(model, x, y):
    return inner_scores(model, x, y, "predict_proba")[:, 1]


def without_the_model(model, x, y):
    return x[:, :8].sum(1)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda model, x, y: None, "returns nothing"),
        (lambda model, x, y: model.fit(x, y).decision_function(x), "own label was seen"),
        (lambda model, x, y: cross_val_predict(model, x, y, cv=5), "these are classes"),
        (lambda model, x, y: x, "one score a patient"),
        (lambda model, x, y: np.stack([y, y], axis=1), "that of class 1"),
        (probabilities, "no probabilities"),
        (without_the_model, "other labels give the same scores"),
        (lambda model, x, y: -inner_scores(model, x, y), "fall where they should rise"),
        (lambda model, x, y: np.zeros(len(y)), "the same score"),
        (lambda model, x, y: np.random.default_rng().permutation(len(y)), "are they the model's"),
    ],
)
def test_scores_for_the_second_model_are_judged(answer, words):
    assert words in beyond.training_scores(answer).message


def test_scores_of_inner_folds_pass():
    assert beyond.training_scores(inner_scores)


@pytest.mark.parametrize(
    "answer, words",
    [
        (
            lambda y, p, t: ((p >= t) & (y == 1)).sum() - ((p >= t) & (y == 0)).sum() * t / (1 - t),
            "divide by the number",
        ),
        (
            lambda y, p, t: ((p >= t) & (y == 1)).mean() - ((p >= t) & (y == 0)).mean(),
            "as much as the threshold's odds",
        ),
        (lambda y, p, t: ((p >= t) & (y == 1)).mean() - ((p >= t) & (y == 0)).mean() * t, "not p"),
        (lambda y, p, t: ((p >= t) & (y == 1)).mean() - ((p >= t) & (y == 0)).mean() * (1 - t) / t, "upside down"),
        (lambda y, p, t: (p >= t)[y == 1].mean() - (p >= t)[y == 0].mean() * t / (1 - t), "all patients, not by that"),
        (lambda y, p, t: 0, "2 true and 4 false positives among 10"),
        (lambda y, p, t: p, "comes from `threshold`"),
        (lambda y, p, t: ((p > t) & (y == 1)).mean() - ((p > t) & (y == 0)).mean() * t / (1 - t), ">="),
    ],
)
def test_net_benefit_is_judged(answer, words):
    assert words in beyond.net_benefit(answer).message


def test_the_right_net_benefit_passes():
    assert beyond.net_benefit(lambda y, p, t: decisions.net_benefit(y, p, [t])[0])
