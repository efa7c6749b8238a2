"""`evaluation` against scikit-learn, brute force, and cases worked by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, roc_auc_score

from radiogen_utils import evaluation, published


@pytest.fixture
def scores():
    rng = np.random.default_rng(1)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    a = rng.normal(size=110) + y
    return y, a, a + rng.normal(size=110)


def test_the_published_points_have_the_published_area():
    assert auc(*published.ROC.T) == pytest.approx(0.7297, abs=5e-5)  # four decimals are given
    assert len(published.ROC) == 30 and published.ROC[-1].tolist() == [1, 1]


def test_published_points_equal_the_shared_ones(real_archive):
    table = pd.read_csv(real_archive.parent.parent / "published" / "roc_vertices.csv")
    expected = table / [published.NEGATIVES, published.POSITIVES]
    np.testing.assert_allclose(published.ROC, expected)


def test_auc_of_a_hand_computed_case():
    # positives 3, 1; negatives 2, 1, 0: wins 3 + (0 + 1/2 + 1) of 6
    assert evaluation.auc_ci([1, 1, 0, 0, 0], [3, 1, 2, 1, 0])[0] == pytest.approx(4.5 / 6)


def test_bootstrap_resamples_equal_scikit_learn(scores):
    y, a, _ = scores
    a = np.round(a, 1)  # with ties
    counts = evaluation._resample(y.astype(bool), 50, seed=3)
    expected = [roc_auc_score(np.repeat(y, c), np.repeat(a, c)) for c in counts]
    np.testing.assert_allclose(evaluation._resampled_auc(y.astype(bool), a, counts), expected)


def test_bootstrap_interval_is_deterministic_and_agrees_with_a_plain_loop(scores):
    y, a, _ = scores
    assert evaluation.auc_ci(y, a) == evaluation.auc_ci(y, a)
    assert evaluation.auc_ci(y, a) != evaluation.auc_ci(y, a, seed=1)
    rng = np.random.default_rng(9)
    loop = [roc_auc_score(y[rows], a[rows]) for rows in rng.integers(0, 110, (2000, 110))]
    _, low, high = evaluation.auc_ci(y, a)
    # Percentiles of 2,000 resamples scatter by about 0.005.
    assert (low, high) == pytest.approx(np.percentile(loop, [2.5, 97.5]), abs=0.02)


def test_resamples_with_one_class_are_drawn_again():
    y = np.r_[np.ones(1, bool), np.zeros(3, bool)]
    counts = evaluation._resample(y, 500, seed=0)
    assert counts[:, y].sum(1).min() >= 1 and counts[:, ~y].sum(1).min() >= 1 and (counts.sum(1) == 4).all()


def test_delong_variance_equals_the_definition(scores):
    y, a, b = scores
    x, z = a[y == 1], a[y == 0]

    def psi(p, q):
        return 1.0 if p > q else 0.5 if p == q else 0.0

    v10 = [np.mean([psi(p, q) for q in z]) for p in x]
    v01 = [np.mean([psi(p, q) for p in x]) for q in z]
    sd = np.sqrt(np.var(v10, ddof=1) / len(x) + np.var(v01, ddof=1) / len(z))
    area, low, high = evaluation.delong_ci(y, a)
    assert (low, high) == pytest.approx((area - 1.959964 * sd, area + 1.959964 * sd), abs=1e-6)


def test_delong_and_bootstrap_agree(scores):
    y, a, _ = scores
    # Both estimate the same standard error; with 24 positives they differ by a hundredth or two.
    assert evaluation.delong_ci(y, a) == pytest.approx(evaluation.auc_ci(y, a), abs=0.03)


def test_delong_p_agrees_with_a_permutation_of_the_pairs(scores):
    y, a, b = scores
    rank = [np.argsort(np.argsort(s)) for s in (a, b)]
    observed = abs(roc_auc_score(y, rank[0]) - roc_auc_score(y, rank[1]))
    rng = np.random.default_rng(0)
    swapped = []
    for _ in range(2000):
        swap = rng.random(110) < 0.5
        first, second = np.where(swap, rank[1], rank[0]), np.where(swap, rank[0], rank[1])
        swapped.append(abs(roc_auc_score(y, first) - roc_auc_score(y, second)) >= observed)
    # Another test of the same hypothesis: similar, not equal.
    assert evaluation.delong_test(y, a, b) == pytest.approx(np.mean(swapped), abs=0.1)


def test_delong_test_of_equal_rankings_is_1(scores):
    y, a, _ = scores
    assert evaluation.delong_test(y, a, a) == 1
    assert evaluation.delong_test(y, a, 2 * a + 1) == 1
    assert evaluation.delong_test(y, y, 1 - y) == 0  # no variance, opposite answers


def test_perfect_scores_have_an_interval_of_no_width():
    y = np.r_[np.ones(5), np.zeros(9)]
    assert evaluation.auc_ci(y, y) == (1, 1, 1) == evaluation.delong_ci(y, y)


def test_auc_difference_is_paired(scores):
    y, a, b = scores
    difference, low, high = evaluation.auc_difference(y, a, b)
    assert difference == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert low < difference < high
    assert evaluation.auc_difference(y, a, a) == (0, 0, 0)


def test_band_contains_the_curve_and_is_ordered(scores):
    y, a, _ = scores
    low, high = evaluation.roc_band(y, a, np.linspace(0, 1, 21), n_resamples=200)
    assert (low <= high).all() and high[0] < 1 and low[-1] == high[-1] == 1


@pytest.mark.parametrize(
    "y, score, message",
    [
        ([1, 1], [0.2, 0.3], "both present"),
        ([0, 2], [0.2, 0.3], "0 and 1"),
        ([0, 1], [0.2, np.nan], "NaN"),
        ([0, 1, 1], [0.2, 0.3], "one length"),
    ],
)
@pytest.mark.parametrize("function", [evaluation.auc_ci, evaluation.delong_ci])
def test_bad_input_is_named(function, y, score, message):
    with pytest.raises(ValueError, match=message):
        function(y, score)


def test_delong_needs_two_patients_of_each_class():
    with pytest.raises(ValueError, match="two patients"):
        evaluation.delong_ci([1, 0, 0], [3, 2, 1])


def predictions(scores):
    y, a, b = scores
    rows = dict(
        repeat=0, fold=np.arange(110) % 10, patient=[f"P{i:03d}" for i in range(110)], y_true=y, backbone="compact"
    )
    return pd.concat(
        [pd.DataFrame(dict(arm="gbm", score=a, **rows)), pd.DataFrame(dict(arm="scratch", score=b, **rows))]
    )


def test_tables_by_arm(scores):
    table = evaluation.auc_table(predictions(scores)).set_index("arm")
    assert table.auc["gbm"] == pytest.approx(roc_auc_score(scores[0], scores[1]))
    assert (table.patients == 110).all() and (table.positives == 24).all()
    comparison = evaluation.compare_arms(predictions(scores), "compact", "gbm", "scratch").iloc[0]
    assert comparison.difference == pytest.approx(table.auc["gbm"] - table.auc["scratch"])
    with pytest.raises(ValueError, match="no predictions of natural"):
        evaluation.patient_scores(predictions(scores), "natural", "compact")


def test_arms_on_other_patients_are_not_compared(scores):
    table = predictions(scores)
    with pytest.raises(ValueError, match="same patients"):
        evaluation.compare_arms(table.iloc[1:], "compact", "gbm", "scratch")
