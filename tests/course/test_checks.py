"""The checks of the exercises say what is wrong, and never stop a notebook."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from radiogen_utils import own_tumour, patches, training
from radiogen_utils.course import precomputed
from radiogen_utils.course.checks import NOT_YET, cohort
from radiogen_utils.course.checks import own_tumour as own_check
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
    wider, before = (own_tumour.assess(own_tumour.moved(own, grown=n), networks).score for n in (3, 0))
    assert own_check.wider_mask(wider - before, own, networks)
    assert "sign" in own_check.wider_mask(before - wider, own, networks).message
    assert "subtract" in own_check.wider_mask(wider, own, networks).message


def test_a_probability_elsewhere_is_judged():
    def right(p, old, new):
        odds = p / (1 - p) * new / (1 - new) * (1 - old) / old
        return odds / (1 + odds)

    assert own_check.at_prevalence(right)
    assert "odds do" in own_check.at_prevalence(lambda p, old, new: p * new / old).message
    assert "does not depend" in own_check.at_prevalence(lambda p, old, new: p).message
