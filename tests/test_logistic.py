"""`logistic`: the same models as scikit-learn's, whatever the number of features, and errors instead of nonsense."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from radiogen_utils import logistic
from radiogen_utils.baselines import Baseline


@pytest.fixture(params=[3, 60], ids=["few features", "more features than patients"])
def problem(request):
    """Standardised features of 40 patients, and six labellings, the first of which the features tell."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, request.param))
    true = (values[:, 0] + rng.normal(size=40) > 0.7).astype(int)
    return values, np.array([true, *(rng.permutation(true) for _ in range(5))])


def test_coefficients_are_those_of_scikit_learn(problem):
    values, labels = problem
    weights = np.random.default_rng(1).integers(0, 3, labels.shape).astype(float)  # some patients are left out
    penalty = np.array([0.1, 1, 10, 100, 1000, 1])
    found = logistic.fit(values, labels, weights, penalty)
    for own, y, weight, strength in zip(found, labels, weights, penalty, strict=True):
        model = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10000).fit(values, y, weight)
        # The gradient is within 1e-4 of zero, and the penalty bounds how flat the loss can be.
        np.testing.assert_allclose(own, [*model.coef_[0], *model.intercept_], atol=2e-3)


def test_the_inner_cross_validation_is_that_of_scikit_learn(problem):
    values, labels = problem
    reference = Baseline("", "logistic", None).create(3)[-1].set_params(tol=1e-9)
    found, penalties = logistic.cross_validated(values, labels, 1 / reference.Cs, 5, 3)
    for own, penalty, y in zip(found, penalties, labels, strict=True):
        model = reference.fit(values, y)
        areas = model.scores_.mean(0).ravel()
        # Several penalties may rank the few patients of the inner folds alike; then either may be taken.
        chosen = np.flatnonzero(np.isclose(1 / reference.Cs, penalty))[0]
        assert areas[chosen] == pytest.approx(areas.max())
        if chosen == areas.argmax():
            np.testing.assert_allclose(own, [*model.coef_[0], *model.intercept_], atol=2e-3)


def test_what_does_not_converge_is_an_error():
    values, labels = np.array([[-1.0], [1.0]]), np.array([[0, 1]])
    with pytest.raises(RuntimeError, match="1 of 1"):
        logistic.fit(values, labels, np.full((1, 2), np.nan), np.ones(1))
