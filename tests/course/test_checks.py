"""The checks of the exercises say what is wrong, and never stop a notebook."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, patches
from radiogen_utils.course.checks import NOT_YET, cohort, roc
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


def unpaired(y_true, a, b):
    rng = np.random.default_rng(0)
    aucs = [[roc_auc_score(*drawn(rng, y_true, score)) for _ in range(500)] for score in (a, b)]
    return np.percentile(np.subtract(*aucs), [2.5, 97.5])


def test_a_difference_is_judged():
    found = roc.paired(lambda *arms: evaluation.auc_difference(*arms, seed=3)[1:])
    assert found and "though the two intervals overlap" in found.message
    assert "same draw of patients" in roc.paired(unpaired).message
    assert "sign is turned" in roc.paired(lambda y, a, b: evaluation.auc_difference(y, b, a)[1:]).message
