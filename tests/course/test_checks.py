"""The checks of the exercises say what is wrong, and never stop a notebook."""

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogen_utils import evaluation, own_tumour, patches, training
from radiogen_utils.course import precomputed
from radiogen_utils.course.checks import NOT_YET, Wrong, cohort, mri, number, reality, roc, transfer
from radiogen_utils.course.checks import own_tumour as own_check
from radiogen_utils.course.checks import patches as check


def test_an_unfinished_answer_and_an_error_are_red_lines():
    assert check.tumor_patch(...).message == NOT_YET
    found = check.tumor_patch(lambda image, mask: 1 / 0)
    assert not found and "ZeroDivisionError" in found.message and "✘" in repr(found)


def test_a_starter_is_neither_right_nor_wrong():
    found = check.tumor_patch(lambda image, mask: ...)
    assert not found and repr(found) == f"○ {NOT_YET}" and "#b2182b" not in found._repr_html_()


def test_the_line_that_stopped_is_named():
    def answer(image, mask):
        rows = np.nonzero(mask)[0]
        return rows[unknown]  # noqa: F821

    line = answer.__code__.co_firstlineno + 2
    assert f"line {line}, `return rows[unknown]" in check.tumor_patch(answer).message
    assert "cannot be used" in check.tumor_patch(lambda image: image).message


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "`print` shows a value"),
        ("0.8", "a text: leave out quotes"),
        (True, "True or False"),
        (np.mean, "call it, with round brackets"),
        (np.zeros(3), "3 values"),
        ([[1], [2, 3]], "2 values"),
        (np.nan, "divided by 0"),
        (80, "right in per cent"),
        (0.7, "too low"),
    ],
)
def test_what_is_no_number_is_named(answer, words):
    with pytest.raises(Wrong, match=words):
        number(answer, 0.8, 1e-6)


def test_a_number_may_come_in_an_array():
    assert number(pd.Series([0.8]), 0.8, 1e-6) == 0.8


def test_a_function_is_handed_over_and_not_called():
    assert "without brackets, not 4 values" in check.tumor_patch(np.zeros((2, 2))).message
    assert "`print` only shows it" in check.tumor_patch(lambda image, mask: print("patch")).message


def on_the_slice(image, mask):
    return patches.crop(image * mask, [n // 2 for n in image.shape], 80)


def cut_off(image, mask):
    rows, columns = np.nonzero(mask)
    return patches.crop(image * mask, [int(rows.mean()), int(columns.mean())], 80)


def shifted(image, mask):
    return patches.crop(image * mask, [c + 3 for c in patches.centre_of_mass(mask)], 80)


def in_place(image, mask):
    image[~mask] = 0
    return patches.tumor_patch(image, mask)


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda image, mask: None, "returns nothing"),
        (on_the_slice, "centred on the whole slice, not on the tumour: shift by"),
        (cut_off, "use round()"),
        (shifted, "off by (3, 3)"),
        (in_place, "changes the slice"),
        (lambda image, mask: patches.crop(image, patches.centre_of_mass(mask), 80), "still there"),
        (lambda image, mask: patches.tumor_patch(image, mask).T, "rows and columns are swapped"),
        (lambda image, mask: patches.tumor_patch(image, mask, 79), "(79, 79) pixels instead of (80, 80)"),
        (lambda image, mask: patches.tumor_patch(image, mask) // 2, "others than image × mask"),
    ],
)
def test_what_is_wrong_with_a_patch_is_said(answer, words):
    found = check.tumor_patch(answer)
    assert not found.passed and words in found.message


def test_a_right_patch_passes():
    assert check.tumor_patch(patches.tumor_patch)


def test_an_intensity_level_is_judged():
    assert check.level(lambda image, window: np.clip((image - window[0]) / (window[1] - window[0]), 0, 1))
    assert "np.clip" in check.level(lambda image, window: (image - window[0]) / (window[1] - window[0])).message
    assert "subtract" in check.level(lambda image, window: np.clip(image / window[1], 0, 1)).message


def test_the_share_kept_is_judged():
    masks = np.zeros((2, 4, 4), bool)
    masks[:, :2] = True
    whole = pd.Series([8, 24])
    assert check.kept(0.5, masks, whole)
    assert "divide by all tumour pixels" in check.kept(16, masks, whole).message
    assert "a number is expected" in check.kept("half", masks, whole).message


@pytest.fixture
def survival():
    return pd.DataFrame(
        {"time_days": 365.25 * np.array([1.0, 2, 3, 4, 5, 6]), "event": [True, False, False, True, False, False]}
    )


def test_the_share_alive_is_judged(survival):
    estimate = 5 / 6 * 2 / 3
    assert cohort.alive(estimate, survival, 4.5)
    assert "as alive" in cohort.alive(4 / 6, survival, 4.5).message
    assert "has died" in cohort.alive(1 - estimate, survival, 4.5).message
    assert "need one unit" in cohort.alive(1, survival, 4.5).message
    curve = KaplanMeierFitter().fit(survival.time_days / 365.25, survival.event)
    assert (
        cohort.alive(curve.predict([4.5]), survival, 4.5)
        and "`predict(4.5)`" in cohort.alive(curve, survival, 4.5).message
    )


def test_a_survival_curve_written_by_hand_is_judged():
    def right(time, event, at_risk=np.greater_equal):
        alive = 1.0
        for moment in np.unique(time[event]):
            alive *= 1 - (event & (time == moment)).sum() / at_risk(time, moment).sum()
        return alive

    assert cohort.survival_curve(right)
    assert "number at risk" in cohort.survival_curve(lambda time, event: 1 - event.mean()).message
    assert "use >=" in cohort.survival_curve(lambda time, event: right(time, event, np.greater)).message
    assert "only leaves" in cohort.survival_curve(lambda time, event: right(time, event | True)).message
    assert "return the last" in cohort.survival_curve(lambda time, event: time).message
    assert "for time = [6, 2, 3" in cohort.survival_curve(lambda time, event: 0.42).message
    assert "not for others" in cohort.survival_curve(lambda time, event: 0.3).message

    def each_death(time, event):
        return np.prod([1 - (event & (time == t)).sum() / (time >= t).sum() for t in time[event]])

    assert "each time once" in cohort.survival_curve(each_death).message
    everybody = cohort.survival_curve(lambda time, event: right(time, event, lambda t, moment: np.ones(len(t))))
    assert "(time >= t).sum()" in everybody.message

    def deaths(time, event):
        return np.prod([(event & (time == t)).sum() / (time >= t).sum() for t in np.unique(time[event])])

    assert "those that survive" in cohort.survival_curve(deaths).message


def test_the_side_is_judged():
    shift, laterality = pd.Series([20.0, 30, -20]), pd.Series([1, 1, 3])
    assert cohort.side("Right", shift, laterality)
    assert "in quotes" in cohort.side("R", shift, laterality).message
    assert "25 pixels to the right" in cohort.side("left", shift, laterality).message


@pytest.fixture(scope="module")
def tumour():
    return own_tumour.phantom(2), own_tumour.load_networks(precomputed.flair_networks()[:3])


def test_a_score_by_hand_is_judged(tumour):
    own, networks = tumour
    images, _ = own_tumour.cut(own)

    def mean(networks, images):
        return np.mean([training.predict(network, images) for network in networks])

    assert own_check.score(mean, networks, images)
    mixed = own_check.score(lambda n, i: np.mean([expit(training.predict(one, i)) for one in n]), networks, images)
    assert "log-odds" in mixed.message
    assert "first network" in own_check.score(lambda n, i: mean(n[:1], i), networks, images).message
    assert "the sum" in own_check.score(lambda n, i: mean(n, i) * len(n) * len(i), networks, images).message


def test_the_change_by_a_wider_mask_is_judged(tumour):
    own, networks = tumour
    wider, before, far = (own_tumour.assess(own_tumour.moved(own, grown=n), networks).score for n in (1, 0, 3))
    assert own_check.wider_mask(wider - before, own, networks)
    assert "for 3 pixels" in own_check.wider_mask(far - before, own, networks).message
    assert "sign" in own_check.wider_mask(before - wider, own, networks).message
    assert "subtract" in own_check.wider_mask(wider, own, networks).message


def test_a_probability_elsewhere_is_judged():
    def right(p, old, new):
        odds = p / (1 - p) * new / (1 - new) * (1 - old) / old
        return odds / (1 + odds)

    assert own_check.at_prevalence(right)
    assert "odds do" in own_check.at_prevalence(lambda p, old, new: p * new / old).message
    assert "does not depend" in own_check.at_prevalence(lambda p, old, new: p).message
    assert "swapped" in own_check.at_prevalence(lambda p, old, new: right(p, new, old)).message
    assert "at_prevalence(0.4, 0.22, 0.05): the answer is" in own_check.at_prevalence(lambda *given: 0.3).message


@pytest.fixture
def slices():
    patient = np.repeat(list("abcdef"), [3, 5, 4, 2, 6, 4])
    return pd.DataFrame({"patient": patient, "label": np.isin(patient, ["a", "b"]).astype(int)})


def test_slice_weights_are_judged(slices):
    of_slices = slices.groupby("patient").label.transform("size")
    assert transfer.slice_weights(training.slice_weights, slices)
    assert "divide by the patient's slices" in transfer.slice_weights(lambda t: np.ones(len(t)), slices).message
    found = transfer.slice_weights(lambda t: 1 / of_slices, slices).message
    assert "the rest together 2.00 times as much" in found
    assert "mean weight should be 1" in transfer.slice_weights(lambda t: 5 * training.slice_weights(t), slices).message
    assert "24 weights are expected" in transfer.slice_weights(lambda t: np.ones(6), slices).message


def probe(scaled=True, everybody=False, seen=False, classes=False, sign=1, early=False, swapped=False, blind=False):
    """A linear probe with one fault."""

    def answer(x, y, fold):
        if everybody:
            x = StandardScaler().fit_transform(x)
        scores = np.zeros(len(y))
        for name in np.unique(fold):
            out = fold == name
            train = np.full(len(y), True) if seen else ~out
            if swapped:
                train, out = out, train
            steps = [StandardScaler()] * (scaled and not everybody)
            model = make_pipeline(*steps, LogisticRegression(max_iter=2000)).fit(x[train], y[train])
            scores[out] = sign * (model.predict if classes else model.decision_function)(x[out])
            if early:
                break
        return x[:, 0] if blind else scores

    return answer


def pairs(y_true, score, tie=0.5):
    positive, negative = score[y_true == 1][:, None], score[y_true == 0]
    return ((positive > negative) + tie * (positive == negative)).mean()


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda y, s: pairs(y, s, 0), "counted as lost"),
        (lambda y, s: pairs(y, s, 1), "counted as won"),
        (lambda y, s: 1 - pairs(y, s), "scores lower"),
        (lambda y, s: pairs(y, s) * (y == 1).sum() * (y == 0).sum(), "that is the number of pairs"),
        (lambda y, s: None, "returns nothing"),
        (lambda y, s: (s[y == 1] > s[y == 0]).mean(), "makes a column"),
        (lambda y, s: 0.7, "for y_true = [1, 0, 1"),
    ],
)
def test_what_is_wrong_with_an_auc_is_said(answer, words):
    assert words in roc.auc(answer).message


def resampled(draw, percentiles=(2.5, 97.5)):
    """An answer to the bootstrap, from a function that draws: rng, y_true, score -> y_true, score."""

    def answer(y_true, score):
        rng = np.random.default_rng(0)
        return np.percentile([roc_auc_score(*draw(rng, y_true, score)) for _ in range(500)], percentiles)

    return answer


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"everybody": True}, "fit the scaling on the training patients"),
        ({"seen": True}, "labels of held-out patients change their own scores"),
        ({"classes": True}, "decision_function"),
        ({"scaled": False}, "another unit"),
        ({"sign": -1}, "do the scores rise"),
        ({"early": True}, "is the `return` inside the loop"),
        ({"swapped": True}, "some folds had no part"),
        ({"blind": True}, "other labels give the same scores"),
    ],
)
def test_a_linear_probe_is_judged(fault, words):
    rng = np.random.default_rng(0)
    names = [f"P{i:02d}" for i in range(60)]
    labels, folds = pd.Series(np.arange(60) % 3 == 0, names).astype(int), pd.Series(np.arange(60) % 5, names)
    features = pd.DataFrame(rng.normal(size=(60, 6)) + labels.to_numpy()[:, None], names)
    assert transfer.linear_probe(probe(), features, labels, folds)
    found = transfer.linear_probe(probe(**fault), features, labels, folds)
    assert not found and words in found.message


def test_a_split_by_slice_is_judged():
    rng = np.random.default_rng(0)
    patient = np.repeat([f"P{i:02d}" for i in range(30)], 6)
    table = pd.DataFrame({"patient": patient, "label": (pd.Series(patient).str[1:].astype(int) % 3 == 0).astype(int)})
    empty = np.zeros((len(table), 3, 1, 1), np.uint8)
    data = patches.Patches(empty, empty[:, 0], table, "")
    folds = pd.Series(np.arange(30) % 5, data.labels.index)
    own = pd.DataFrame(rng.normal(size=(30, 20)), data.labels.index)
    features = own.loc[patient]

    def judge(answer):
        return transfer.split_by_slice(answer, data, features, folds)

    found = judge(lambda table, n: np.arange(len(table)) % n)
    assert found and float(found.message.split()[-1]) > 0.7  # permuted labels
    assert "in one fold" in judge(lambda table, n: table.patient.map(folds)).message
    assert "0 to 4" in judge(lambda table, n: np.arange(len(table)) % n + 1).message
    assert "only 2 of 5" in judge(lambda table, n: np.arange(len(table)) % 2).message
    assert "180 folds are expected" in judge(lambda table, n: np.arange(n)).message


def drawn(rng, y_true, score):
    chosen = rng.integers(len(score), size=len(score))
    return y_true[chosen], score[chosen]


def reordered(rng, y_true, score):
    chosen = rng.permutation(len(score))
    return y_true[chosen], score[chosen]


@pytest.mark.parametrize(
    "answer, words",
    [
        (resampled(reordered), "with replacement"),
        (resampled(lambda rng, y, s: (y, rng.choice(s, len(s)))), "each with label and score"),
        (resampled(drawn, (5, 95)), "percentiles 2.5 and 97.5"),
        (resampled(drawn, (97.5, 2.5)), "lower end comes first"),
        (resampled(drawn, (0.025, 0.975)), "percentiles count to 100"),
        (lambda y, s: evaluation.auc_ci(y, s), "leave out the AUC itself"),
        (lambda y, s: 0.7, "two numbers"),
    ],
)
def test_what_is_wrong_with_a_bootstrap_is_said(answer, words):
    assert words in roc.interval(answer).message


def test_a_right_bootstrap_passes_whatever_its_draws():
    assert roc.interval(resampled(drawn))
    assert roc.interval(evaluation.delong_ci).passed is False  # three numbers


def test_the_number_of_patients_is_judged():
    assert roc.patients(4) and "square root" in roc.patients(2).message
    assert "that is the width" in roc.patients(0.5).message and "how many times" in roc.patients(440).message


def unpaired(y_true, a, b):
    rng = np.random.default_rng(0)
    aucs = [[roc_auc_score(*drawn(rng, y_true, score)) for _ in range(500)] for score in (a, b)]
    return np.percentile(np.subtract(*aucs), [2.5, 97.5])


def test_a_difference_is_judged():
    found = roc.paired(lambda *arms: evaluation.auc_difference(*arms, seed=3)[1:])
    assert found and "though the two intervals overlap" in found.message
    assert "same draw of patients" in roc.paired(unpaired).message
    assert "sign is turned" in roc.paired(lambda y, a, b: evaluation.auc_difference(y, b, a)[1:]).message


def permutation_p(y_true, score, n, better=np.greater_equal, one=1):
    rng, observed = np.random.default_rng(1), roc_auc_score(y_true, score)
    aucs = np.array([roc_auc_score(rng.permutation(y_true), score) for _ in range(n)])
    return (one + better(aucs, observed).sum()) / (one + n)


def test_a_permutation_test_written_by_hand_is_judged():
    def shuffles_the_labels_themselves(y_true, score, n):
        np.random.default_rng(0).shuffle(y_true)
        return 0.01

    def without_the_true_one(y_true, score, n):
        return permutation_p(y_true, score, n, one=0)

    def two_sided(y_true, score, n):
        p = permutation_p(y_true, score, n)
        return p if n < 100 else 2 * p

    def of_those_below(y_true, score, n):
        p = permutation_p(y_true, score, n)
        return p if n < 100 else 1 - p

    assert reality.permutation_test(permutation_p)
    assert "returns a shuffled copy" in reality.permutation_test(shuffles_the_labels_themselves).message
    assert "count as one more" in reality.permutation_test(without_the_true_one).message
    assert "at least as high" in reality.permutation_test(of_those_below).message
    assert not reality.permutation_test(two_sided)


def test_the_fewest_permutations_are_judged():
    assert reality.fewest(20)
    assert "not less" in reality.fewest(19).message and "fewer will do" in reality.fewest(100).message


def test_a_sensitivity_is_judged():
    def right(y_true, score, specificity):
        return (score[y_true == 1] > np.quantile(score[y_true == 0], specificity)).mean()

    assert reality.sensitivity(right)
    assert (
        "not from all patients"
        in reality.sensitivity(lambda y, s, specificity: (s[y == 1] > np.quantile(s, specificity)).mean()).message
    )
    assert "missed" in reality.sensitivity(lambda *given: 1 - right(*given)).message
    assert "predictive value" in reality.sensitivity(lambda y, s, k: y[s > np.quantile(s[y == 0], k)].mean()).message
    assert "that is the threshold" in reality.sensitivity(lambda y, s, k: np.quantile(s[y == 0], k)).message
    assert "at a specificity of 0.8 the answer is" in reality.sensitivity(lambda *given: 0.77).message
    assert (
        "look at the positives alone"
        in reality.sensitivity(lambda y, s, specificity: (s > np.quantile(s[y == 0], specificity)).mean()).message
    )


def test_the_auc_of_a_single_number_is_judged():
    rng = np.random.default_rng(0)
    labels = pd.Series(rng.permutation([1] * 10 + [0] * 20), [f"P{i:02}" for i in range(30)])
    values = pd.Series(rng.normal(size=30) + labels, labels.index)
    right = roc_auc_score(labels, values)
    assert mri.one_number(right, values.sample(frac=1, random_state=1), labels)
    assert "sign turned" in mri.one_number(1 - right, values, labels).message


def test_false_findings_and_holm_are_judged():
    assert mri.by_chance(1.15, 23) and not mri.by_chance(23, 23)
    assert "how many are expected" in mri.by_chance(1 - 0.95**23, 23).message
    assert mri.holm(evaluation.holm)
    assert "Bonferroni" in mri.holm(lambda p: np.minimum(p * len(p), 1)).message
    assert "another order" in mri.holm(lambda p: np.sort(evaluation.holm(p))).message

    def without_maximum(p):
        order, adjusted = np.argsort(p), np.empty(len(p))
        adjusted[order] = np.minimum(p[order] * np.arange(len(p), 0, -1), 1)
        return adjusted

    assert "running maximum" in mri.holm(without_maximum).message
    assert "as they came" in mri.holm(lambda p: p.copy()).message

    def with_factors(factors):
        def answer(p):
            order, adjusted = np.argsort(p), np.empty(len(p))
            adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors(len(p))), 1)
            return adjusted

        return answer

    assert "the wrong way" in mri.holm(with_factors(lambda m: np.arange(1, m + 1))).message
    assert "one too small" in mri.holm(with_factors(lambda m: np.arange(m)[::-1])).message
