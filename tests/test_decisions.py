"""`decisions`: calibration against known truths, decision curve against values computed by hand."""

import numpy as np
import pytest
from scipy.special import expit

from radiogen_utils import decisions

RNG = np.random.default_rng(0)


def outcomes(log_odds):
    return (RNG.random(len(log_odds)) < expit(log_odds)).astype(int)


def test_net_benefit_by_hand():
    y_true, probability = [1, 1, 0, 0, 0], [0.8, 0.3, 0.5, 0.2, 0.1]
    # At 0.25: two true positives, a false one at odds 1/3. At 0.5, which one patient just reaches: one and one, odds 1.
    expected = [2 / 5 - 1 / 5 / 3, 1 / 5 - 1 / 5 * 1, 1 / 5]
    assert decisions.net_benefit(y_true, probability, [0.25, 0.5, 0.6]) == pytest.approx(expected)
    assert decisions.net_benefit(y_true, probability, [0.0]) == pytest.approx([2 / 5])


def test_everybody_by_hand_and_the_gain_over_the_better_of_both():
    y_true, probability = np.array([1, 0, 0, 0]), np.array([0.9, 0.2, 0.2, 0.2])
    curve = decisions.decision_curve(y_true, probability, np.array([0.1, 0.5]), n_resamples=50)
    assert curve.everybody.tolist() == pytest.approx([1 / 4 - 3 / 4 / 9, 1 / 4 - 3 / 4])
    assert curve.model.tolist() == pytest.approx([1 / 4 - 3 / 4 / 9, 1 / 4])
    assert curve.gain.tolist() == pytest.approx([0, 1 / 4])
    assert (curve.low <= curve.model + 1e-9).all() and (curve.high >= curve.model - 1e-9).all()


def test_a_useless_model_gains_nothing():
    y_true = outcomes(np.full(4000, -1.3))
    probability = expit(-1.3 + 0.8 * RNG.normal(size=4000))
    curve = decisions.decision_curve(y_true, probability, np.array([0.1, 0.2, 0.3, 0.4]), n_resamples=100)
    assert (curve.gain < 0.005).all() and (curve.gain_low <= 0).all()


def test_the_mean_over_repeats_is_the_mean_of_the_net_benefits():
    y_true = outcomes(np.zeros(50))
    two = RNG.random((2, 50))
    thresholds = [0.2, 0.6]
    single = [decisions.net_benefit(y_true, one, thresholds) for one in two]
    assert decisions.net_benefit(y_true, two, thresholds) == pytest.approx(np.mean(single, axis=0))


def test_a_threshold_of_one_is_refused():
    with pytest.raises(ValueError, match="below 1"):
        decisions.net_benefit([0, 1], [0.1, 0.9], [1.0])


@pytest.mark.parametrize("intercept, slope", [(0.0, 1.0), (0.0, 0.5), (0.7, 1.0)])
def test_recalibration_finds_what_is_wrong(intercept, slope):
    log_odds = RNG.normal(-1, 1.5, 20000)
    y_true = outcomes(intercept + slope * log_odds)
    found = decisions.recalibration(y_true, log_odds[None])
    assert found[1] == pytest.approx(slope, abs=0.06)
    if slope == 1:
        assert found[0] == pytest.approx(intercept, abs=0.06)


def test_calibration_of_repeats_and_its_intervals():
    truth = RNG.normal(-1, 1.2, 400)
    y_true = outcomes(truth)
    one = decisions.calibration_summary(y_true, truth, n_resamples=100)
    same = decisions.calibration_summary(y_true, np.stack([truth, truth]), n_resamples=100)
    assert np.allclose(one, same, atol=1e-4)
    assert one.loc["slope", "low"] < 1 < one.loc["slope", "high"]
    assert one.loc["Brier score", "value"] == pytest.approx(np.mean((expit(truth) - y_true) ** 2))
    overconfident = decisions.calibration_summary(y_true, 3 * truth, n_resamples=100)
    assert overconfident.loc["slope", "high"] < 0.6
    share = y_true.mean()
    constant = np.full(400, np.log(share / (1 - share))) + 1e-6 * RNG.normal(size=400)
    scaled = decisions.calibration_summary(y_true, constant, n_resamples=5).loc["scaled Brier score", "value"]
    assert scaled == pytest.approx(0, abs=1e-4)
