"""`power` against theory: closed forms against each other and simulated estimates, and the simulation against them."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, power

THREE = np.array([[1, 0.8, 0.6], [0.8, 1, 0.5], [0.6, 0.5, 1]])
AUCS = [0.73, 0.68, 0.64]


def test_hanley_and_mcneil_s_variance_is_that_of_exponential_scores_and_about_that_of_normal_ones():
    positives, negatives, auc = 8, 20, 0.75
    rng = np.random.default_rng(0)
    positive = rng.exponential(auc / (1 - auc), (20_000, positives, 1))
    aucs = (positive > rng.exponential(1, (20_000, 1, negatives))).mean((1, 2))
    assert aucs.mean() == pytest.approx(auc, abs=0.005)
    # Standard error of a variance from 20,000 values: 1 %.
    assert aucs.var() == pytest.approx(power.hanley_mcneil_variance(auc, positives, negatives), rel=0.05)
    for auc in (0.6, 0.7, 0.8, 0.9):  # classes of one size, in which the shapes of their laws balance
        exact = power.auc_covariance([auc], [[1]], 55, 55)[0, 0]
        assert np.sqrt(power.hanley_mcneil_variance(auc, 55, 55)) == pytest.approx(np.sqrt(exact), rel=0.07)
    # AUC 1/2: the variance of Mann and Whitney's U.
    for variance in (power.hanley_mcneil_variance(0.5, 24, 86), power.auc_covariance([0.5], [[1]], 24, 86)[0, 0]):
        assert variance == pytest.approx(111 / (12 * 24 * 86), rel=1e-6)


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.3, 0.95])
def test_covariance_of_indicators_equals_the_bivariate_normal(correlation):
    h, k = 0.6, -0.2
    both = stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]]).cdf([h, k])
    expected = both - stats.norm.cdf(h) * stats.norm.cdf(k)
    assert power._indicators_covariance(h, k, correlation) == pytest.approx(expected, abs=1e-5)
    assert power._indicators_covariance(h, h, 1) == pytest.approx(stats.norm.cdf(h) * stats.norm.sf(h), abs=1e-6)


def test_exact_covariance_is_that_of_simulated_aucs():
    found = []
    for by_positive, by_negative in power._studies(AUCS, THREE, 8, 12, studies=20_000, seed=0):
        np.testing.assert_allclose(by_positive.mean(2), by_negative.mean(2))
        found.append(by_positive.mean(2))
    found = np.concatenate(found)
    np.testing.assert_allclose(found.mean(0), AUCS, atol=0.004)  # standard error 0.001
    exact = power.auc_covariance(AUCS, THREE, 8, 12)
    # Standard error of a variance from 20,000 values: 1 %.
    np.testing.assert_allclose(np.cov(found.T), exact, rtol=0.05)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        error = power.standard_error(AUCS[i], AUCS[j], THREE[i, j], 8, 12)
        assert error == pytest.approx(np.sqrt(exact[i, i] + exact[j, j] - 2 * exact[i, j]))


def test_obuchowski_s_covariance_is_that_of_maximum_likelihood_estimates():
    positives, negatives, correlation = 200, 400, 0.7
    rng, aucs = np.random.default_rng(0), np.array([0.8, 0.65])
    root = np.linalg.cholesky([[1, correlation], [correlation, 1]])
    y = rng.standard_normal((3000, positives, 2)) @ root.T + np.sqrt(2) * stats.norm.ppf(aucs)
    x = rng.standard_normal((3000, negatives, 2)) @ root.T
    estimates = stats.norm.cdf((y.mean(1) - x.mean(1)) / np.sqrt(y.var(1) + x.var(1)))
    expected = [
        [power.obuchowski_covariance(a, b, 1 if a == b else correlation, negatives / positives) for b in aucs]
        for a in aucs
    ]
    # Standard error of a variance from 3,000 values: 2.6 %.
    np.testing.assert_allclose(np.cov(estimates.T) * positives, expected, rtol=0.09)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_obuchowski_s_sample_size_agrees_with_ours(correlation):
    """Her binormal estimates are more efficient than the empirical AUCs: fewer patients, by at most a sixth."""
    ours = power.patients_needed(0.73, 0.68, correlation, 24 / 110)
    hers = power.obuchowski_positives(0.73, 0.68, correlation, 86 / 24)
    assert 0.83 < hers / ours[0] < 1
    # A test that compares with itself: 2(V − C) = 0, so that nothing but the difference of the AUCs is left.
    assert power.obuchowski_covariance(0.7, 0.7, 1, 3) == pytest.approx(
        np.exp(-(stats.norm.ppf(0.7) ** 2)) / (4 * np.pi) * (4 / 3) * (1 + stats.norm.ppf(0.7) ** 2 / 4)
    )


def test_obuchowski_s_sample_size_by_hand():
    """Uncorrelated tests, as many negatives: n = (1.96 √(2 V₁) + 0.84 √(V₁ + V₂))² / Δ²."""
    v1, v2 = (power.obuchowski_covariance(auc, auc, 1, 1) for auc in (0.8, 0.7))
    c = power.obuchowski_covariance(0.8, 0.7, 0, 1)
    assert c == 0
    expected = (1.959964 * np.sqrt(2 * v1) + 0.841621 * np.sqrt(v1 + v2)) ** 2 / 0.1**2
    assert power.obuchowski_positives(0.8, 0.7, 0, 1) == pytest.approx(expected, rel=1e-5)
    assert power.obuchowski_positives(0.8, 0.7, 0, 1, power=0.9) > expected


def test_a_simulated_study_is_tested_as_the_data_are():
    """Placement values and decisions of simulated studies against `evaluation` on the same scores."""
    root = power._root([[1, 0.6], [0.6, 1]])
    (by_positive, by_negative), *rest = power._studies([0.75, 0.6], [[1, 0.6], [0.6, 1]], 5, 6, 300, seed=4)
    scores = root @ np.random.default_rng(4).standard_normal((300, 2, 11))
    scores[..., :5] += np.sqrt(2) * stats.norm.ppf([0.75, 0.6])[:, None]
    y = np.r_[np.ones(5, int), np.zeros(6, int)]
    found = []
    for study, (a, b) in enumerate(scores):
        for arm, score in enumerate((a, b)):
            placements = evaluation._order(y.astype(bool), score)
            np.testing.assert_allclose(by_positive[study, arm], placements.mean(1))
            np.testing.assert_allclose(by_negative[study, arm], placements.mean(0))
        found.append(evaluation.delong_difference(y, a, b)[3] < 0.05)
    assert not rest and 0 < sum(found) < 300
    share, error = power.simulated_power(0.75, 0.6, 0.6, 5, 6, studies=300, seed=4)
    assert share == np.mean(found) and error == pytest.approx(np.sqrt(share * (1 - share) / 300))


def test_power_by_simulation_agrees_with_theory_and_equal_arms_are_told_apart_in_5_per_cent():
    for correlation in (0.3, 0.8):
        theory = power.normal_power(0.05, power.standard_error(0.73, 0.68, correlation, 100, 300))
        share, error = power.simulated_power(0.73, 0.68, correlation, 100, 300, studies=3000)
        assert error < 0.01 and share == pytest.approx(theory, abs=4 * error)
    share, error = power.simulated_power(0.7, 0.7, 0.8, 24, 86)
    assert error < 0.0025 and share == pytest.approx(0.05, abs=0.01)
    assert power.simulated_power(0.7, 0.7, 0.8, 24, 86, 500) == power.simulated_power(0.7, 0.7, 0.8, 24, 86, 500)
    assert power.simulated_power(0.7, 0.7, 0.8, 24, 86, 500, 1) != power.simulated_power(0.7, 0.7, 0.8, 24, 86, 500)


def test_normal_power():
    assert power.normal_power(0, 1) == pytest.approx(0.05)
    assert power.normal_power(1.959964 + 0.841621, 1) == pytest.approx(0.8, abs=1e-6)
    assert power.normal_power(-0.1, 0.04) == power.normal_power(0.1, 0.04)


def test_as_many_patients_as_the_power_needs_and_no_more():
    positives, negatives = power.patients_needed(0.73, 0.68, 0.8, 24 / 110)
    assert positives / (positives + negatives) == pytest.approx(24 / 110, abs=1e-3)
    fewer = round((positives + negatives - 1) * 24 / 110)
    for counts, enough in (((positives, negatives), True), ((fewer, positives + negatives - 1 - fewer), False)):
        assert (power.normal_power(0.05, power.standard_error(0.73, 0.68, 0.8, *counts)) >= 0.8) is enough
    share, error = power.simulated_power(0.73, 0.68, 0.8, positives, negatives, studies=3000)
    assert share == pytest.approx(0.8, abs=4 * error)
    assert sum(power.patients_needed(0.73, 0.68, 0.8, 24 / 110, power=0.9)) > 1.2 * (positives + negatives)
    with pytest.raises(ValueError, match="difference of 0"):
        power.patients_needed(0.7, 0.7, 0.8, 0.2)


def test_the_true_order_of_three_arms():
    share, error = power.simulated_order(AUCS, THREE, 24, 86, studies=4000)
    assert error == pytest.approx(np.sqrt(share * (1 - share) / 4000), rel=1e-6)
    assert share == pytest.approx(power.normal_order(AUCS, THREE, 24, 86), abs=4 * error)
    turned = [1, 2, 0]  # arms in another sequence
    again = power.normal_order(np.array(AUCS)[turned], THREE[np.ix_(turned, turned)], 24, 86)
    assert again == pytest.approx(power.normal_order(AUCS, THREE, 24, 86), abs=1e-4)
    share, error = power.simulated_order(np.array(AUCS)[turned], THREE[np.ix_(turned, turned)], 24, 86, 4000)
    assert share == pytest.approx(again, abs=4 * error)
    # Arms that hardly differ: each of the six orders as often as the others.
    share, error = power.simulated_order([0.7, 0.7 + 1e-9, 0.7 + 2e-9], np.eye(3), 24, 86, 4000)
    assert share == pytest.approx(1 / 6, abs=4 * error + 0.01)  # ties are no order
    assert power.simulated_order([0.9, 0.7, 0.5], np.eye(3), 400, 400, 200).share == 1


def test_latent_correlations_are_found_again():
    covariance = power.auc_covariance(AUCS, THREE, 24, 86)
    np.testing.assert_allclose(power.latent_correlations(AUCS, covariance, 24, 86), THREE, atol=1e-6)
    # From scores, whose scale means nothing.
    rng = np.random.default_rng(0)
    y = np.r_[np.ones(1500, int), np.zeros(3000, int)]
    scores = power._root(THREE) @ rng.standard_normal((3, 4500)) + np.outer(stats.norm.ppf(AUCS), y) * np.sqrt(2)
    aucs, covariance = evaluation.delong_covariance(y, np.exp(scores[0]), scores[1] ** 3, scores[2])
    assert aucs[0] == pytest.approx(roc_auc_score(y, scores[0]))
    np.testing.assert_allclose(power.latent_correlations(aucs, covariance, 1500, 3000), THREE, atol=0.04)


def test_errors_that_no_correlation_gives_are_named():
    covariance = power.auc_covariance([0.7, 0.7], [[1, 0.5], [0.5, 1]], 24, 86)
    for factor in (1e-6, 10):
        with pytest.raises(ValueError, match="no correlation gives arms 0 and 1"):
            power.latent_correlations([0.7, 0.7], factor * covariance, 24, 86)
    for impossible in ([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]], [[2, 0], [0, 1]], [[1, 0.5], [0.2, 1]]):
        with pytest.raises(ValueError, match="not a matrix of correlations"):
            power.simulated_order(AUCS[: len(impossible)], impossible, 24, 86, 10)


def test_arms_of_fewer_networks_meet_several_of_the_others():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3 == 0
    many = labels + rng.normal(0, 1.5, (4, 60))
    few = many[:2] + rng.normal(0, 0.5, (2, 60))
    single, averaged = power.correlations_of_arms(labels, [many, few], 20, 40)
    pairs = [(many[0], few[0]), (many[1], few[1]), (many[2], few[0]), (many[3], few[1])]
    one = [power.latent_correlations(*evaluation.delong_covariance(labels, *pair), 20, 40)[0, 1] for pair in pairs]
    assert single[0, 1] == pytest.approx(np.mean(one))
    assert averaged[0, 1] > single[0, 1] and single[0, 0] == pytest.approx(1)
