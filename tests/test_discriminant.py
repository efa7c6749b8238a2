"""`discriminant`: the same answers as scikit-learn's, with more features than patients and with fewer."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from radiogen_utils.discriminant import ShrunkenDiscriminant


@pytest.mark.parametrize("features", [5, 40, 300])
def test_it_is_scikit_learn_s(features):
    rng = np.random.default_rng(features)
    y = (rng.random(70) < 0.25).astype(int)
    x = rng.normal(size=(70, features)) @ rng.normal(size=(features, features)) / np.sqrt(features) + 0.3 * y[:, None]
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5]).fit(x[:60], y[:60])
    ours = ShrunkenDiscriminant().fit(x[:60], y[:60])
    assert np.allclose(ours.decision_function(x), theirs.decision_function(x), rtol=1e-6, atol=1e-8)
    assert np.array_equal(ours.predict(x), theirs.predict(x))


def test_a_feature_that_never_changes_in_one_class_is_no_obstacle():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 6))
    x[y == 1, 2] = 0.5
    assert np.isfinite(ShrunkenDiscriminant().fit(x, y).decision_function(x)).all()
