"""`repeats` against brute force, its own case of one repeat, and the published scores."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, repeats
from radiogen_utils.support import project_root


@pytest.fixture
def arms():
    """24 positives, 86 negatives; three repeats of one arm, two of another; scores with ties."""
    rng = np.random.default_rng(1)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    signal = rng.normal(size=110) + y
    return y, (signal + rng.normal(size=(3, 110))).round(1), (signal + 2 * rng.normal(size=(2, 110))).round(1)


@pytest.fixture(scope="module")
def predictions():
    return pd.read_csv(project_root() / "figures" / "predictions.csv")


def auc(y, scores):
    return np.mean([roc_auc_score(y, score) for score in scores])


def test_one_repeat_is_what_evaluation_says(arms):
    y, a, b = arms
    for one in (a[:1], a[0]):
        assert repeats.auc_ci(y, one) == pytest.approx(evaluation.auc_ci(y, a[0]))
        assert repeats.delong_ci(y, one) == pytest.approx(evaluation.delong_ci(y, a[0]))
        assert repeats.auc_difference(y, one, b[0]) == pytest.approx(evaluation.auc_difference(y, a[0], b[0]))
        assert repeats.delong_difference(y, one, b[0])[3] == pytest.approx(evaluation.delong_test(y, a[0], b[0]))


def test_the_mean_is_of_the_repeats_aucs(arms):
    y, a, b = arms
    for function in (repeats.auc_ci, repeats.delong_ci):
        assert function(y, a)[0] == pytest.approx(auc(y, a))
    for function in (repeats.auc_difference, repeats.delong_difference):
        assert function(y, a, b)[0] == pytest.approx(auc(y, a) - auc(y, b))


def test_a_resample_of_patients_is_applied_to_all_repeats(arms):
    y, a, b = arms
    counts = evaluation._resample(y.astype(bool), 40, seed=3)
    drawn = [np.repeat(np.arange(110), own) for own in counts]
    means = np.array([[auc(y[own], scores[:, own]) for scores in (a, b)] for own in drawn])
    found = repeats.auc_ci(y, a, n_resamples=40, seed=3)[1:]
    assert found == pytest.approx(np.quantile(means[:, 0], [0.025, 0.975]))
    found = repeats.auc_difference(y, a, b, n_resamples=40, seed=3)[1:]
    assert found == pytest.approx(np.quantile(means[:, 0] - means[:, 1], [0.025, 0.975]))
    assert repeats.auc_ci(y, a, seed=1) == repeats.auc_ci(y, a, seed=1) != repeats.auc_ci(y, a, seed=2)


def test_delong_covariance_of_means_is_the_mean_of_all_covariances(arms):
    """The covariance is bilinear: that of two means is the mean over all pairs of repeats, one of each arm."""
    y, a, b = arms
    whole = evaluation._delong_covariance(y.astype(bool), *a, *b)
    aucs, covariance = repeats.delong_covariance(y, a, b)
    blocks = [whole[:3, :3].mean(), whole[:3, 3:].mean(), whole[3:, :3].mean(), whole[3:, 3:].mean()]
    np.testing.assert_allclose(covariance.ravel(), blocks)
    error = np.sqrt(blocks[0] + blocks[3] - 2 * blocks[1])
    difference, low, high, p = repeats.delong_difference(y, a, b)
    assert (low, high) == pytest.approx((difference - 1.959964 * error, difference + 1.959964 * error), abs=1e-6)
    assert p == pytest.approx(2 * stats.norm.sf(abs(aucs[0] - aucs[1]) / error))
    assert repeats.delong_difference(y, b, a) == pytest.approx((-difference, -high, -low, p))
    mean, low, high = repeats.delong_ci(y, a)
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(blocks[0]), abs=1e-6)


def test_repeats_that_agree_bring_nothing_and_noise_averages_out(arms):
    y, a, b = arms
    thrice = np.repeat(a[:1], 3, axis=0)
    assert repeats.delong_ci(y, thrice) == pytest.approx(repeats.delong_ci(y, a[0]))
    assert repeats.auc_ci(y, thrice) == pytest.approx(repeats.auc_ci(y, a[0]))
    widths = [high - low for _, low, high in (repeats.delong_ci(y, own) for own in (b, *b))]
    assert widths[0] < np.mean(widths[1:])  # mean of bounds is too wide


def test_delong_s_test_keeps_its_level_and_its_interval_covers_the_true_auc():
    """Studies of 24 and 86 patients, three noisy repeats of two arms with equal true AUCs."""
    truth = stats.norm.cdf(1 / 2)  # a shift of 1, of two scores each with the variance 1 + 1
    rng = np.random.default_rng(0)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    p, covered = [], []
    for _ in range(600):
        a, b = (rng.normal(size=(3, 110)) + (rng.normal(size=110) + y) for _ in range(2))
        p.append(repeats.delong_difference(y, a, b)[3])
        _, low, high = repeats.delong_ci(y, a)
        covered.append(low <= truth <= high)
    # Standard errors 0.009 and 0.010; over 4,000 studies the shares are 0.052 and, as intervals from 24 positives are
    # slightly short, 0.931.
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.07)
    assert np.mean(covered) == pytest.approx(0.931, abs=0.03)


def test_extremes():
    y = np.r_[np.ones(5, int), np.zeros(9, int)]
    perfect = np.array([y, 2 * y])
    assert repeats.auc_ci(y, perfect) == (1, 1, 1) == repeats.delong_ci(y, perfect)
    assert repeats.delong_difference(y, perfect, perfect[:1]) == (0, 0, 0, 1)
    assert repeats.delong_difference(y, perfect, -perfect) == (1, 1, 1, 0)
    nearly = y + np.r_[-0.6, np.zeros(12), 0.5]
    assert repeats.delong_ci(y, nearly)[2] == 1 and repeats.delong_ci(1 - y, nearly)[1] == 0


@pytest.mark.parametrize(
    "y, scores, message",
    [
        ([1, 1], [[0.2, 0.3]], "both present"),
        ([0, 1], [[0.2, 0.3], [0.2, np.nan]], "NaN"),
        ([0, 1, 1], [[0.2, 0.3]], "one length"),
    ],
)
def test_bad_input_is_named(y, scores, message):
    for function in (repeats.auc_ci, repeats.delong_ci):
        with pytest.raises(ValueError, match=message):
            function(y, scores)
    for function in (repeats.auc_difference, repeats.delong_difference):
        with pytest.raises(ValueError, match=message):
            function(y, scores, scores)


def test_delong_needs_two_patients_of_each_class():
    for y in ([1, 0, 0], [1, 1, 0]):
        with pytest.raises(ValueError, match="two patients"):
            repeats.delong_ci(y, [[3, 2, 1]])


def test_rows_become_a_matrix_with_corresponding_columns():
    rows = pd.DataFrame(
        [(1, "B", 0, 5.0), (0, "A", 1, 1.0), (0, "B", 0, 2.0), (1, "A", 1, 4.0)],
        columns=["repeat", "patient", "y_true", "score"],
    )
    y, scores = repeats.score_matrix(rows)
    assert y.tolist() == [1, 0] and scores.tolist() == [[1, 2], [4, 5]]
    for bad, message in (
        (rows[:3], "without a score"),
        (rows[:0], "no rows"),
        (pd.concat([rows, rows[:1]]), "twice"),
        (rows.assign(y_true=[0, 0, 0, 1]), "different labels"),
        (rows.assign(score=[1, 2, np.nan, 3]), "without a score"),
    ):
        with pytest.raises(ValueError, match=message):
            repeats.score_matrix(bad)


@pytest.mark.parametrize(
    "backbone, bootstrap, delong, p",
    [
        ("compact", (-0.053, 0.052), (-0.050, 0.056), 0.908),
        ("efficientnet_lite0", (-0.008, 0.125), (-0.005, 0.126), 0.071),
    ],
)
def test_glioblastoma_against_scratch_in_the_first_study(predictions, backbone, bootstrap, delong, p):
    (y, a), (_, b) = (
        repeats.score_matrix(predictions[(predictions.arm == arm) & (predictions.backbone == backbone)])
        for arm in ("gbm", "scratch")
    )
    assert repeats.auc_difference(y, a, b)[1:] == pytest.approx(bootstrap, abs=5e-4)
    assert repeats.delong_difference(y, a, b)[1:] == pytest.approx((*delong, p), abs=5e-4)


def test_auc_within_folds_by_hand():
    y, fold = [1, 0, 0, 1, 0, 0], [7, 7, 7, 2, 2, 5]
    # Fold 7: 1 of 2 pairs; fold 2: 1 of 1; fold 5 has no positive.
    assert repeats.within_fold_auc(y, [2, 1, 3, 9, 8, 99], fold) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="no fold"):
        repeats.within_fold_auc([1, 0], [1, 2], [0, 1])


def test_auc_within_folds_ignores_what_shifts_a_whole_fold(arms):
    y, a, _ = arms
    fold = np.arange(110) % 10
    shifted = a[0] + 5 * fold
    assert repeats.within_fold_auc(y, shifted, fold) == pytest.approx(repeats.within_fold_auc(y, a[0], fold))
    assert repeats.within_fold_auc(y, a[0], np.zeros(110)) == pytest.approx(roc_auc_score(y, a[0]))
    assert roc_auc_score(y, shifted) < 0.65 < repeats.within_fold_auc(y, shifted, fold)


def test_permutations_keep_each_fold_s_labels_and_are_equally_likely():
    labels, fold = np.array([1, 0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 0, 1])
    rng = np.random.default_rng(0)
    drawn = [repeats.permutation_within_folds(labels, fold, rng) for _ in range(3600)]
    assert labels.tolist() == [1, 0, 0, 1, 1, 0]  # untouched
    for own in (0, 1):
        assert (np.sort(np.array(drawn)[:, fold == own]) == np.sort(labels[fold == own])).all()
    found = pd.Series([tuple(own.tolist()) for own in drawn]).value_counts()
    assert len(found) == 9 and stats.chisquare(found).pvalue > 0.001  # three ways in each of the two folds
    again = repeats.permutation_within_folds(labels, fold, np.random.default_rng(0))
    assert (again == drawn[0]).all() and again.dtype == labels.dtype
    with pytest.raises(ValueError, match="one length"):
        repeats.permutation_within_folds(labels, fold[:5], rng)
