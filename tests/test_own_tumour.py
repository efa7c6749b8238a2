"""`own_tumour`: the score is the package's, the uncertainty is honest, and what is unlike the training is named."""

import dataclasses

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from radiogen_utils import figures, heatmaps, own_tumour, phantom, training
from radiogen_utils.course import precomputed
from radiogen_utils.data import own_image
from radiogen_utils.data.cohort import SEQUENCES, open_cohort
from radiogen_utils.data.own_image import OwnImage, UnusableImage
from radiogen_utils.patches import build_patches


@pytest.fixture(scope="module")
def networks():
    return own_tumour.load_networks(precomputed.flair_networks())


@pytest.fixture(scope="module")
def own():
    return own_tumour.phantom(2, aggressive=True)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return phantom.write_cohort(tmp_path_factory.mktemp("phantom"), 10)


@pytest.fixture(scope="module")
def reference():
    """Patients whose scores are too high, and half as steep as log-odds should be."""
    rng = np.random.default_rng(0)
    score = rng.normal(0, 1, 1500)
    return own_tumour.Reference.of((rng.random(1500) < expit(2 * score - 1)).astype(int), [score], n_resamples=50)


def test_the_score_is_what_the_package_gives_for_the_same_slices(cohort, networks, tmp_path):
    data, there = build_patches(cohort), open_cohort(cohort)
    patient = data.table.patient.iloc[0]
    rows = (data.table.patient == patient).to_numpy()
    expected = [training.predict(network, data.sequences(("FLAIR",))[rows]).mean() for network in networks]
    pairs = [
        there.read(case, number) for case, number in zip(data.table.case[rows], data.table.slice[rows], strict=True)
    ]
    for name, stack in (
        ("a.nii", np.stack([image[..., SEQUENCES.index("FLAIR")] for image, _ in pairs])),
        ("m.nii", np.stack([mask for _, mask in pairs]).astype(np.uint8)),
    ):
        nibabel.save(nibabel.Nifti1Image(stack.transpose(2, 1, 0)[::-1, ::-1], np.eye(4)), tmp_path / name)
    found = own_tumour.assess(own_image.read(tmp_path / "a.nii", tmp_path / "m.nii"), networks)
    assert found.scores == pytest.approx(expected, abs=1e-6) and found.score == pytest.approx(np.mean(expected))
    largest = int(data.masks[rows].sum((1, 2)).argmax())
    assert np.array_equal(found.patch, data.sequences(("FLAIR",))[rows][largest, 0])


def test_intensities_of_another_range_hardly_change_the_score(own, networks):
    scaled = own_image._eight_bits(own.values.astype(np.uint16) * 17, None)
    other = OwnImage(scaled, own.masks, "")
    assert own_tumour.assess(other, networks).score == pytest.approx(own_tumour.assess(own, networks).score, abs=0.05)


def test_every_network_of_the_published_run_answers(networks, own):
    found = own_tumour.assess(own, networks)
    assert len(networks) == len(found.scores) == 10 and np.ptp(found.scores) > 0.1
    assert found.attention.shape == (80, 80) and found.attention.min() >= 0 and found.unusual == ()


def test_sides_are_marked_where_they_are_known(networks, own, reference):
    found = own_tumour.assess(own, networks)
    for oriented in (True, False):
        figure = figures.own_tumour(dataclasses.replace(own, oriented=oriented), found, reference)
        marks = [text.get_text() for text in figure.axes[0].texts]
        assert marks == ["R", "L"] * oriented
        assert f"score {found.score:+.2f}; probability" in figure.alt and "like cluster 2: the largest" in figure.alt
        plt.close(figure)


def test_recalibration_finds_the_true_log_odds(reference):
    intercept, slope = reference.coefficients[0]
    assert intercept == pytest.approx(-1, abs=0.25) and slope == pytest.approx(2, abs=0.25)
    p, low, high = reference.probability([0.5])
    assert p == pytest.approx(0.5, abs=0.05) and low < p < high
    assert reference.below(-9) == (0, 0) and reference.below(9) == (1, 1)


def test_networks_that_disagree_widen_the_interval(reference):
    _, low, high = reference.probability([0.5] * 10)
    _, lower, higher = reference.probability(np.linspace(-0.5, 1.5, 10))
    assert higher - lower > 3 * (high - low)


def test_fewer_patients_widen_the_interval(reference):
    few = own_tumour.Reference.of(reference.y_true[:110], [reference.score[:110]], n_resamples=50)
    widths = [np.subtract(*one.probability([0.5])[:0:-1]) for one in (few, reference)]
    assert widths[0] > 3 * widths[1]


def test_moving_the_mask_moves_the_patch_and_growing_it_adds_a_margin(own):
    moved = own_tumour.moved(own, down=4, right=-3)
    assert np.array_equal(moved.masks, np.roll(own.masks, (4, -3), (1, 2)))
    area = [own_tumour.moved(own, grown=grown).masks.sum() for grown in (-3, 0, 3)]
    assert area[0] < 0.9 * area[1] < area[1] < 0.9 * area[2]
    images, masks = own_tumour.cut(own)
    shifted, _ = own_tumour.cut(own, down=5)
    assert np.array_equal(shifted[..., :-5, :], images[..., 5:, :]) and masks.shape == images[:, 0].shape
    with pytest.raises(UnusableImage, match="nothing is left of the mask"):
        own_tumour.moved(own, grown=-60)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda own: own_tumour.moved(own, right=-70), "brightness of the tumour"),
        (lambda own: own_tumour.moved(own, grown=-17), "pixels of tumour in the patch"),
        (lambda own: OwnImage(own.values[:, ::2, ::2], own.masks[:, ::2, ::2], ""), "length of the head in pixels"),
        (lambda own: OwnImage(own.values, own.masks, "", (0.5, 0.5)), "pixels of 0.5 × 0.5 mm"),
    ],
)
def test_what_is_unlike_the_training_is_named(change, words, own):
    changed = change(own)
    assert any(words in line for line in own_tumour.unusual(changed, *own_tumour.cut(changed)))


def test_a_square_beside_the_tumour_is_named(own):
    assert any("of the tumour in its slice" in line for line in own_tumour.unusual(own, *own_tumour.cut(own, right=60)))


def test_the_summary_says_score_probability_and_warning(own, networks, reference):
    found = own_tumour.assess(own, networks)
    text = own_tumour.summary(found, reference)
    assert f"{found.score:+.2f}" in text and "AUC" in text and "not for diagnosis" in text
    assert f"{reference.prevalence:.0%}" in text and "Unlike" not in text
    p = reference.probability(found.scores)[0]
    assert f"**{p:.0%}**" in text and logit(p) == pytest.approx(2 * found.score - 1, abs=0.5)


@pytest.mark.slow
def test_scores_of_the_cohort_come_out_again_and_the_limits_are_its_percentiles(real_archive, networks):
    published = precomputed.flair_scores().query("repeat == 0").set_index("patient")
    measured, found, maxima = [], {}, []

    def each(pairs):
        flair = np.stack([image[..., SEQUENCES.index("FLAIR")] for image, _ in pairs])
        own = OwnImage(flair, np.stack([mask for _, mask in pairs]), "")
        images, masks = own_tumour.cut(own)
        measured.append(own_tumour.measure(own, images, masks))
        return images

    by_case = open_cohort(real_archive, each)
    for patient, case in by_case.patients.case.items():
        images = by_case.by_case[case]
        found[patient] = training.predict(networks[published.fold[patient]], images).mean()
        maxima += list(np.mean([heatmaps.grad_cam(network, images) for network in networks], axis=0).max((1, 2)))
    assert published.score.to_dict() == pytest.approx(found, abs=1e-5)
    limits = pd.concat(measured).quantile([0.01, 0.99])
    for name, (low, high) in own_tumour.SEEN.items():
        assert limits[name].tolist() == pytest.approx([low, high], rel=0.01, abs=0.5 if high > 10 else 0.006)
    assert np.percentile(maxima, 99) == pytest.approx(figures.STRONG_ATTENTION, abs=0.005)
