"""`size`: an AUC with area taken out, against regression by scikit-learn and what must come out by construction."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, size


@pytest.fixture
def patients():
    """Label, area that depends on it, and a signal that depends on it independently of area."""
    rng = np.random.default_rng(4)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    return y, np.exp(rng.normal(size=110) - y).round(1), rng.normal(size=110) + y


def by_scikit_learn(y, score, area):
    x, ranks = stats.rankdata(area)[:, None], stats.rankdata(score)
    return roc_auc_score(y, (ranks - LinearRegression().fit(x, ranks).predict(x)).round(8))


def test_the_residual_s_auc_equals_scikit_learn_s_and_so_do_the_resamples(patients):
    y, area, signal = patients
    score = signal - np.log(area + 0.1)
    found = size.size_adjusted_auc(y, score, area, n_resamples=30, seed=5)
    drawn = [np.repeat(np.arange(110), c) for c in evaluation._resample(y.astype(bool), 30, seed=5)]
    expected = [by_scikit_learn(y[own], score[own], area[own]) for own in drawn]
    assert found == pytest.approx((by_scikit_learn(y, score, area), *np.quantile(expected, [0.025, 0.975])))


def test_a_score_that_is_area_leaves_a_half(patients):
    y, area, _ = patients
    for score in (area, -area, np.log1p(area)):
        assert size.size_adjusted_auc(y, score, area, 50) == (0.5, 0.5, 0.5)
        assert abs(roc_auc_score(y, score) - 0.5) > 0.15


def test_a_score_that_knows_nothing_of_area_keeps_its_auc(patients):
    y, _, signal = patients
    area = np.random.default_rng(0).random(110)
    auc, low, high = size.size_adjusted_auc(y, signal, area)
    assert auc == pytest.approx(roc_auc_score(y, signal), abs=0.03) and low < auc < high
    assert size.size_adjusted_auc(y, np.exp(signal), 100 * area**3) == (auc, low, high)  # ranks alone count


def test_signal_beside_size_survives_and_only_that(patients):
    y, area, signal = patients
    noise = np.random.default_rng(1).normal(size=110)
    with_signal, without = (size.size_adjusted_auc(y, own - 2 * np.log(area + 0.1), area) for own in (signal, noise))
    assert with_signal[1] > 0.5 > without[1] and without[2] > 0.5
    assert without[0] < roc_auc_score(y, noise - 2 * np.log(area + 0.1)) - 0.1


def test_a_mean_over_repeats(patients):
    y, area, signal = patients
    scores = signal + np.random.default_rng(2).normal(size=(3, 110))
    found = size.size_adjusted_auc(y, scores, area, n_resamples=30, seed=5)
    drawn = [np.arange(110), *(np.repeat(np.arange(110), c) for c in evaluation._resample(y.astype(bool), 30, 5))]
    means = [np.mean([by_scikit_learn(y[own], score[own], area[own]) for score in scores]) for own in drawn]
    assert found == pytest.approx((means[0], *np.quantile(means[1:], [0.025, 0.975])))


def test_residuals_that_are_equal_but_for_the_last_bit_are_ties():
    area, score = [8, 3, 7, 4, 7, 4, 5], [6, 2, 3, 2, 0, 1, 3]
    for y in ([0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]):  # residuals 5/3, 5/6, 5/6, 1/6, −11/3, −4/3, 3/2
        assert size.size_adjusted_auc(y, score, area, 1)[0] == pytest.approx(3.5 / 6)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="all areas"):
        size.size_adjusted_auc([0, 1, 1], [1, 2, 3], [5, 5, 5])
    with pytest.raises(ValueError, match="one length"):
        size.size_adjusted_auc([0, 1, 1], [1, 2, 3], [5, 6])
    with pytest.raises(ValueError, match="NaN"):
        size.size_adjusted_auc([0, 1, 1], [1, 2, 3], [5, 6, np.nan])
