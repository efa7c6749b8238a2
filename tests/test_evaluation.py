"""`evaluation` against scikit-learn, brute force, and cases worked by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import auc, roc_auc_score, roc_curve

from radiogen_utils import article, evaluation, facts
from radiogen_utils.facts import Model


@pytest.fixture
def scores():
    rng = np.random.default_rng(1)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    a = rng.normal(size=110) + y
    return y, a, a + rng.normal(size=110)


def test_the_published_points_have_the_published_area():
    assert auc(*article.ROC.T) == pytest.approx(0.7297, abs=5e-5)  # four decimals are given
    assert len(article.ROC) == 30 and article.ROC[-1].tolist() == [1, 1]


def test_published_points_equal_the_shared_ones(real_archive):
    table = pd.read_csv(real_archive.parent.parent / "published" / "roc_vertices.csv")
    expected = table / [article.NEGATIVES, article.POSITIVES]
    np.testing.assert_allclose(article.ROC, expected)


def test_auc_of_a_hand_computed_case():
    # positives 3, 1; negatives 2, 1, 0: wins 3 + (0 + 1/2 + 1) of 6
    assert evaluation.auc_ci([1, 1, 0, 0, 0], [3, 1, 2, 1, 0])[0] == pytest.approx(4.5 / 6)


def test_bootstrap_resamples_equal_scikit_learn(scores):
    y, a, _ = scores
    a = np.round(a, 1)  # with ties
    counts = evaluation._resample(y.astype(bool), 50, seed=3)
    expected = [roc_auc_score(np.repeat(y, c), np.repeat(a, c)) for c in counts]
    _, low, high = evaluation.auc_ci(y, a, n_resamples=50, seed=3)
    assert (low, high) == pytest.approx(np.quantile(expected, [0.025, 0.975]))


def test_bootstrap_interval_is_deterministic_and_agrees_with_drawing_patients(scores):
    y, a, _ = scores
    assert evaluation.auc_ci(y, a) == evaluation.auc_ci(y, a)
    assert evaluation.auc_ci(y, a) != evaluation.auc_ci(y, a, seed=1)
    rows = np.random.default_rng(9).integers(0, 110, (2000, 110))
    positives, ranks = y[rows].sum(1), stats.rankdata(a[rows], axis=1)
    wins = (ranks * y[rows]).sum(1) - positives * (positives + 1) / 2  # Mann and Whitney's U
    drawn = wins / (positives * (110 - positives))
    _, low, high = evaluation.auc_ci(y, a)
    # Percentiles of 2,000 resamples scatter by about 0.005.
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)


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


def test_delong_s_test_and_interval_equal_mlstatkit_s(scores):
    """It computes them from ranks, without any pair (Sun and Xu, IEEE Signal Processing Letters 2014;21:1389–1393)."""
    mlstatkit = pytest.importorskip("MLstatkit")
    y, a, b = scores
    for first, second in ((a, b), (b, a), (np.round(a), b), (a, np.round(a)), (a, np.round(b, 1))):
        _, p, interval, _, auc, *_ = mlstatkit.Delong_test(y, first, second)
        assert 1e-12 < p < 1 and evaluation.delong_difference(y, first, second)[3] == pytest.approx(p, rel=1e-9)
        assert evaluation.delong_ci(y, first) == pytest.approx((auc, *interval), rel=1e-9)


def test_delong_s_interval_ends_at_0_and_1():
    y, score = np.r_[np.ones(5, int), np.zeros(5, int)], np.r_[5, 6, 7, 8, 2.5, 0, 1, 2, 3, 4]
    area, low, high = evaluation.delong_ci(y, score)
    assert 0.5 < low < area < high == 1
    assert evaluation.delong_ci(1 - y, score) == pytest.approx((1 - area, 0, 1 - low))


def test_delong_and_bootstrap_agree(scores):
    y, a, _ = scores
    # Both estimate the same standard error; with 24 positives they differ by a hundredth or two.
    assert evaluation.delong_ci(y, a) == pytest.approx(evaluation.auc_ci(y, a), abs=0.03)


def test_delong_p_agrees_with_a_permutation_of_the_pairs(scores):
    y, a, b = scores
    first, second = (np.argsort(np.argsort(s)) for s in (a, b))
    swap = np.random.default_rng(0).random((2000, 110)) < 0.5

    def sum_of_ranks(scores):
        return stats.rankdata(scores, axis=-1)[..., y == 1].sum(-1)  # a rising line turns it into the AUC

    observed = abs(sum_of_ranks(first) - sum_of_ranks(second))
    swapped = sum_of_ranks(np.where(swap, second, first)) - sum_of_ranks(np.where(swap, first, second))
    # Another test of the same hypothesis: similar, not equal.
    assert evaluation.delong_difference(y, a, b)[3] == pytest.approx(np.mean(abs(swapped) >= observed), abs=0.1)


def test_delong_test_of_equal_rankings_is_1(scores):
    y, a, _ = scores
    assert evaluation.delong_difference(y, a, a)[3] == 1
    assert evaluation.delong_difference(y, a, 2 * a + 1)[3] == 1
    assert evaluation.delong_difference(y, y, 1 - y)[3] == 0  # no variance, opposite answers


def test_perfect_scores_have_an_interval_of_no_width():
    y = np.r_[np.ones(5), np.zeros(9)]
    assert evaluation.auc_ci(y, y) == (1, 1, 1) == evaluation.delong_ci(y, y)


def test_auc_difference_is_paired(scores):
    y, a, b = scores
    difference, low, high = evaluation.auc_difference(y, a, b)
    assert difference == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert low < difference < high
    assert evaluation.auc_difference(y, a, a) == (0, 0, 0)


def test_the_difference_s_interval_is_of_both_scores_in_the_same_resamples(scores):
    y, a, b = scores
    counts = evaluation._resample(y.astype(bool), 50, seed=3)
    drawn = [[np.repeat(values, c) for values in (y, a, b)] for c in counts]
    expected = [roc_auc_score(labels, first) - roc_auc_score(labels, second) for labels, first, second in drawn]
    _, low, high = evaluation.auc_difference(y, a, b, n_resamples=50, seed=3)
    assert (low, high) == pytest.approx(np.quantile(expected, [0.025, 0.975]))


def test_the_band_is_of_the_resamples_curves(scores):
    """Against the patients drawn, one by one: a curve each, read at the rates, and the middle 95 % of what was read."""
    y, a, _ = scores
    rates = np.array([0, 0.03, 0.2, 0.5, 0.9, 1])
    low, high = evaluation.roc_band(y, a, rates, n_resamples=40, seed=5)
    counts = evaluation._resample(y.astype(bool), 40, seed=5)
    curves = [roc_curve(np.repeat(y, c), np.repeat(a, c), drop_intermediate=False) for c in counts]
    read = [np.interp(rates, false, true) for false, true, _ in curves]
    np.testing.assert_allclose(low, np.quantile(read, 0.025, axis=0))
    np.testing.assert_allclose(high, np.quantile(read, 0.975, axis=0))
    assert (low[1:4] < high[1:4]).all() and low[-1] == high[-1] == 1
    again = evaluation.roc_band(y, a, rates, n_resamples=40, seed=6)
    assert not np.array_equal(again[0], low)


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


@pytest.mark.parametrize("function", [evaluation.auc_difference, evaluation.delong_difference])
def test_a_missing_score_in_either_of_two_is_named(function):
    whole, missing = [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, np.nan, 0.4]
    for pair in ((whole, missing), (missing, whole)):
        with pytest.raises(ValueError, match="must be left out explicitly"):
            function([0, 1, 0, 1], *pair)


def test_delong_needs_two_patients_of_each_class():
    for y in ([1, 0, 0], [1, 1, 0]):
        with pytest.raises(ValueError, match="two patients"):
            evaluation.delong_ci(y, [3, 2, 1])
        with pytest.raises(ValueError, match="two patients"):
            evaluation.delong_difference(y, [3, 2, 1], [1, 2, 3])


def predictions(scores):
    y, *both = scores
    rows = dict(repeat=0, fold=np.arange(110) % 10, patient=[f"P{i:03d}" for i in range(110)], y_true=y)
    models = (facts.FIRST_STUDY, Model("scratch"))
    return pd.concat([facts.table(model, score=score, **rows) for model, score in zip(models, both, strict=True)])


def test_tables_by_arm(scores):
    table = evaluation.auc_table(predictions(scores)).set_index("arm")
    assert table.auc["gbm"] == pytest.approx(roc_auc_score(scores[0], scores[1]))
    assert (table.patients == 110).all() and (table.positives == 24).all() and table.network.isna().all()
    for column, bound in (("low", 1), ("high", 2)):
        assert table[column]["gbm"] == evaluation.auc_ci(*scores[:2])[bound]
        assert table[f"delong_{column}"]["gbm"] == evaluation.delong_ci(*scores[:2])[bound]
    both = pd.concat([predictions(scores), predictions(scores).assign(network=1)])
    assert len(evaluation.auc_table(both)) == 4
    with pytest.raises(ValueError, match="no predictions of compact, FLAIR, natural images, repeat 0"):
        evaluation.patient_scores(predictions(scores), Model("natural"))


def test_scores_are_of_one_model_and_repeat():
    kinds = [(facts.simple(arm, backbone), repeat) for arm in "xy" for backbone in "ab" for repeat in (0, 1)]
    columns = {"patient": ["Q", "P"], "fold": 0, "y_true": [0, 1]}
    tables = [facts.table(m, repeat=r, score=[10 * i, 10 * i + 1], **columns) for i, (m, r) in enumerate(kinds)]
    table = pd.concat(tables)
    first, other = facts.simple("x", "b"), facts.simple("y", "a")
    assert evaluation.patient_scores(table, first, 1).score.to_dict() == {"P": 31, "Q": 30}
    assert evaluation.patient_scores(table, other).score.to_dict() == {"P": 41, "Q": 40}
    assert list(evaluation.patient_scores(table, other).index) == ["P", "Q"]
    with pytest.raises(ValueError, match="several predictions of x, b, repeat 1"):
        evaluation.patient_scores(pd.concat([table, table.assign(network=1)]), first, 1)


def test_sensitivity_of_the_published_curve():
    """A patient for each step of the published curve: its corners are read back."""
    steps = np.rint(np.diff(article.ROC * [article.NEGATIVES, article.POSITIVES], axis=0, prepend=0)).astype(int)
    rows = [(label, -i) for i, step in enumerate(steps) for label, n in ((0, step[0]), (1, step[1])) for _ in range(n)]
    y, score = map(np.array, zip(*rows, strict=True))
    for false in article.ROC[[5, 15, 25], 0]:
        at_corner = article.ROC[np.isclose(article.ROC[:, 0], false), 1]
        found, low, high = evaluation.sensitivity_at(y, score, 1 - false, n_resamples=50)
        assert at_corner.min() - 1e-9 <= found <= at_corner.max() + 1e-9 and low <= found <= high
    with pytest.raises(ValueError, match="not in"):
        evaluation.sensitivity_at(y, score, 90)


def test_sensitivity_by_hand():
    y, score = [1, 1, 1, 1, 0, 0, 0, 0], [8, 7, 4, 2, 6, 5, 3, 1]
    assert evaluation.sensitivity_at(y, score, 1, 10)[0] == 0.5  # before the first negative
    assert evaluation.sensitivity_at(y, score, 0.5, 10)[0] == pytest.approx(0.75)
    assert evaluation.sensitivity_at(y, score, 0, 10)[0] == 1


def test_the_sensitivity_s_interval_is_of_the_resamples_curves(scores):
    y, a, _ = scores
    found = evaluation.sensitivity_at(y, a, 0.9, n_resamples=40, seed=5)
    drawn = [(np.repeat(y, c), np.repeat(a, c)) for c in evaluation._resample(y.astype(bool), 40, seed=5)]
    read = [np.interp(0.1, *roc_curve(*pair, drop_intermediate=False)[:2]) for pair in ((y, a), *drawn)]
    assert found == pytest.approx((read[0], *np.quantile(read[1:], [0.025, 0.975])))
    assert found[1] < found[0] < found[2]


def test_probabilities_undo_balanced_weights():
    """A logistic model fitted with balanced weights, corrected, is the one fitted without."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = (rng.random(20000) < 0.2).astype(int)
    x = rng.normal(size=(20000, 1)) + y[:, None]
    balanced, plain = (LogisticRegression(C=1e6, class_weight=weight).fit(x, y) for weight in ("balanced", None))
    found = evaluation.probabilities(balanced.decision_function(x), y.mean())
    # Both estimate the same law from 20,000 rows; the slopes' standard errors are about 0.02.
    np.testing.assert_allclose(found, plain.predict_proba(x)[:, 1], atol=0.02)
    assert evaluation.probabilities(0.3, 0.5) == pytest.approx(1 / (1 + np.exp(-0.3)))


def test_calibration_agrees_with_scikit_learn_and_the_wilson_interval():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(2)
    probability = rng.random(100)
    y = (rng.random(100) < probability).astype(int)
    table = evaluation.calibration(y, probability, bins=5)
    observed, predicted = calibration_curve(y, probability, n_bins=5, strategy="quantile")
    np.testing.assert_allclose(table.observed, observed)
    np.testing.assert_allclose(table.predicted, predicted)
    assert table.patients.tolist() == [20] * 5
    n, p, z = 20, table.observed, 1.959964
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(table.low, (middle - half) / (1 + z**2 / n), atol=1e-6)
    np.testing.assert_allclose(table.high, (middle + half) / (1 + z**2 / n), atol=1e-6)


def test_permutation_p_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import permutation_test_score

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    x[:, 0] += 0.4 * y
    observed, permuted, p = permutation_test_score(LogisticRegression(), x, y, scoring="roc_auc", n_permutations=40)
    assert evaluation.permutation_p(observed, permuted) == pytest.approx(p)
    assert evaluation.permutation_p(0.9, [0.5, 0.6, 0.4]) == 1 / 4 == evaluation.smallest_p([0.5, 0.6, 0.4])
    assert evaluation.permutation_p(0.6, [0.5, 0.6, 0.7]) == 3 / 4  # as good counts as well
    assert evaluation.smallest_p(np.ones(19)) == 0.05
    for unusable in ([], [0.5, np.nan], [0.5, np.inf]):
        with pytest.raises(ValueError, match="finite"):
            evaluation.permutation_p(0.9, unusable)


def test_holm_by_the_textbook():
    # Smallest times 4, next times 3, …, never decreasing.
    np.testing.assert_allclose(evaluation.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(evaluation.holm([0.6, 0.9]), [1, 1])


def test_auc_within_groups_ignores_differences_between_them():
    rng = np.random.default_rng(0)
    group = np.repeat(["A", "B"], 200)
    y = np.r_[rng.random(200) < 0.8, rng.random(200) < 0.2].astype(int)
    score = rng.normal(size=400) + 3 * (group == "A")  # tells the group, nothing else
    table = evaluation.by_group(y, score, group)
    assert roc_auc_score(y, score) > 0.7
    assert abs(table.auc["within groups"] - 0.5) < 0.08  # standard error 0.035
    assert table.patients.tolist() == [200, 200, 400]
    assert table.positives.tolist() == [y[:200].sum(), y[200:].sum(), y.sum()]
    assert table.auc["A"] == pytest.approx(roc_auc_score(y[:200], score[:200]))
    weights = [y[g].sum() * (1 - y[g]).sum() for g in (group == "A", group == "B")]
    assert table.auc["within groups"] == pytest.approx(np.average(table.auc[["A", "B"]], weights=weights))
    lone = evaluation.by_group([1, 0, 1, 0, 0, 1], [1, 2, 3, 4, 5, 6], list("AABBBB"))
    assert np.isnan(lone.auc["A"]) and lone.patients["within groups"] == 6
    for labels, area in (([0, 0, 1, 1], 1), ([1, 1, 0, 0], 0)):
        apart = evaluation.by_group(labels, [1, 2, 3, 4], list("AAAA")).loc["A"]
        assert apart.auc == area and np.isnan(apart.low) and np.isnan(apart.high)
    row = evaluation.by_group(y, score, group).loc["B", ["auc", "low", "high"]]
    assert tuple(row) == evaluation.delong_ci(y[200:], score[200:])


def mean_auc(y, scores):
    return np.mean([roc_auc_score(y, score) for score in scores])


def test_one_repeat_as_a_row_is_one_repeat(arms):
    y, a, b = arms
    for function in (evaluation.auc_ci, evaluation.delong_ci):
        assert function(y, a[:1]) == function(y, a[0])
    for function in (evaluation.auc_difference, evaluation.delong_difference):
        assert function(y, a[:1], b[:1]) == function(y, a[0], b[0])


def test_the_mean_is_of_the_repeats_aucs(arms):
    y, a, b = arms
    for function in (evaluation.auc_ci, evaluation.delong_ci):
        assert function(y, a)[0] == pytest.approx(mean_auc(y, a))
    for function in (evaluation.auc_difference, evaluation.delong_difference):
        assert function(y, a, b)[0] == pytest.approx(mean_auc(y, a) - mean_auc(y, b))


def test_a_resample_of_patients_is_applied_to_all_repeats(arms):
    y, a, b = arms
    counts = evaluation._resample(y.astype(bool), 40, seed=3)
    drawn = [np.repeat(np.arange(110), own) for own in counts]
    means = np.array([[mean_auc(y[own], scores[:, own]) for scores in (a, b)] for own in drawn])
    found = evaluation.auc_ci(y, a, n_resamples=40, seed=3)[1:]
    assert found == pytest.approx(np.quantile(means[:, 0], [0.025, 0.975]))
    found = evaluation.auc_difference(y, a, b, n_resamples=40, seed=3)[1:]
    assert found == pytest.approx(np.quantile(means[:, 0] - means[:, 1], [0.025, 0.975]))
    assert evaluation.auc_ci(y, a, seed=1) == evaluation.auc_ci(y, a, seed=1) != evaluation.auc_ci(y, a, seed=2)


def test_delong_covariance_of_means_is_the_mean_of_all_covariances(arms):
    """The covariance is bilinear: that of two means is the mean over all pairs of repeats, one of each arm."""
    y, a, b = arms
    _, whole = evaluation.delong_covariance(y, *a, *b)
    aucs, covariance = evaluation.delong_covariance(y, a, b)
    blocks = [whole[:3, :3].mean(), whole[:3, 3:].mean(), whole[3:, :3].mean(), whole[3:, 3:].mean()]
    np.testing.assert_allclose(covariance.ravel(), blocks)
    error = np.sqrt(blocks[0] + blocks[3] - 2 * blocks[1])
    difference, low, high, p = evaluation.delong_difference(y, a, b)
    assert (low, high) == pytest.approx((difference - 1.959964 * error, difference + 1.959964 * error), abs=1e-6)
    assert p == pytest.approx(2 * stats.norm.sf(abs(aucs[0] - aucs[1]) / error))
    assert evaluation.delong_difference(y, b, a) == pytest.approx((-difference, -high, -low, p))
    mean, low, high = evaluation.delong_ci(y, a)
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(blocks[0]), abs=1e-6)


def test_repeats_that_agree_bring_nothing_and_noise_averages_out(arms):
    y, a, b = arms
    thrice = np.repeat(a[:1], 3, axis=0)
    assert evaluation.delong_ci(y, thrice) == pytest.approx(evaluation.delong_ci(y, a[0]))
    assert evaluation.auc_ci(y, thrice) == pytest.approx(evaluation.auc_ci(y, a[0]))
    widths = [high - low for _, low, high in (evaluation.delong_ci(y, own) for own in (b, *b))]
    assert widths[0] < np.mean(widths[1:])  # mean of bounds is too wide


def test_delong_s_test_keeps_its_level_and_its_interval_covers_the_true_auc():
    """Studies of 24 and 86 patients, three noisy repeats of two arms with equal true AUCs."""
    truth = stats.norm.cdf(1 / 2)  # a shift of 1, of two scores each with the variance 1 + 1
    rng = np.random.default_rng(0)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    p, covered = [], []
    for _ in range(600):
        a, b = (rng.normal(size=(3, 110)) + (rng.normal(size=110) + y) for _ in range(2))
        p.append(evaluation.delong_difference(y, a, b)[3])
        _, low, high = evaluation.delong_ci(y, a)
        covered.append(low <= truth <= high)
    # Standard errors 0.009 and 0.010; over 4,000 studies the shares are 0.052 and, as intervals from 24 positives are
    # slightly short, 0.931.
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.07)
    assert np.mean(covered) == pytest.approx(0.931, abs=0.03)


def test_extremes_over_repeats():
    y = np.r_[np.ones(5, int), np.zeros(9, int)]
    perfect = np.array([y, 2 * y])
    assert evaluation.auc_ci(y, perfect) == (1, 1, 1) == evaluation.delong_ci(y, perfect)
    assert evaluation.delong_difference(y, perfect, perfect[:1]) == (0, 0, 0, 1)
    assert evaluation.delong_difference(y, perfect, -perfect) == (1, 1, 1, 0)
    nearly = y + np.r_[-0.6, np.zeros(12), 0.5]
    assert evaluation.delong_ci(y, nearly)[2] == 1 and evaluation.delong_ci(1 - y, nearly)[1] == 0
    with pytest.raises(ValueError, match="NaN"):
        evaluation.auc_ci([0, 1], [[0.2, 0.3], [0.2, np.nan]])


def test_the_functions_that_others_rely_on_keep_their_names():
    y_true, y_score = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.3]
    assert len(evaluation.auc_ci(y_true=y_true, y_score=y_score, n_resamples=50, seed=1)) == 3
    assert len(evaluation.delong_ci(y_true=y_true, y_score=y_score)) == 3
    p = evaluation.delong_test(y_true=y_true, score_a=y_score, score_b=y_score[::-1])
    assert p == evaluation.delong_difference(y_true, y_score, y_score[::-1])[3] and 0 < p < 1
