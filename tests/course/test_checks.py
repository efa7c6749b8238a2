"""The checks of the exercises say what is wrong, and never stop a notebook."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, patches
from radiogen_utils.course.checks import NOT_YET, cohort, mri, reality
from radiogen_utils.course.checks import patches as check


def test_an_unfinished_answer_and_an_error_are_red_lines():
    assert check.tumor_patch(...).message == NOT_YET
    found = check.tumor_patch(lambda image, mask: 1 / 0)
    assert not found and "ZeroDivisionError" in found.message and "✘" in repr(found)


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


def test_a_survival_curve_written_by_hand_is_judged():
    def right(time, event, at_risk=np.greater_equal):
        alive = 1.0
        for moment in np.unique(time[event]):
            alive *= 1 - (event & (time == moment)).sum() / at_risk(time, moment).sum()
        return alive

    assert cohort.survival_curve(right)
    assert "number at risk" in cohort.survival_curve(lambda time, event: 1 - event.mean()).message
    assert "use >=" in cohort.survival_curve(lambda time, event: right(time, event, np.greater)).message


def test_the_side_is_judged():
    shift, laterality = pd.Series([20.0, 30, -20]), pd.Series([1, 1, 3])
    assert cohort.side("Right", shift, laterality)
    assert "25 pixels to the right" in cohort.side("left", shift, laterality).message


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
    assert "not less" in reality.fewest(19).message


def test_a_sensitivity_is_judged():
    def right(y_true, score, specificity):
        return (score[y_true == 1] > np.quantile(score[y_true == 0], specificity)).mean()

    assert reality.sensitivity(right)
    assert (
        "not from all patients"
        in reality.sensitivity(lambda y, s, specificity: (s[y == 1] > np.quantile(s, specificity)).mean()).message
    )
    assert "missed" in reality.sensitivity(lambda *given: 1 - right(*given)).message
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
