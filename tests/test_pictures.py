"""`pictures`, and what they show of a cohort: what is drawn is what was found."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from radiogen_utils import article, patches, pictures
from radiogen_utils.data.cohort import open_cohort


@pytest.fixture(autouse=True)
def no_screen():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_the_curves_are_of_the_group_and_of_all_others():
    index = pd.Index([f"p{i}" for i in range(4)])
    survival = pd.DataFrame({"time_days": [365.25, 730.5, 365.25, 1461], "event": [True, True, False, False]}, index)
    figure = pictures.survival_curves(survival, pd.Series([True, True, False, False], index), "those")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["those (2)", "all others (2)"]
    assert "those: 2 patients, 0% after 2 years. all others: 2 patients, 100% after 2 years." in figure.alt
    first, *_ = (line for line in figure.axes[0].lines if len(line.get_xdata()) > 2)
    assert list(first.get_ydata())[-1] == 0 and max(first.get_xdata()) == pytest.approx(2)


def test_the_square_is_where_the_patch_comes_from():
    mask = np.zeros((256, 256), bool)
    mask[100:110, 150:250] = True
    figure = pictures.square_on_slice(np.full((256, 256), 200, np.uint8), mask, "name")
    left, right = figure.axes
    (square,) = (patch for patch in left.patches if isinstance(patch, Rectangle))
    assert (square.get_x() + 0.5, square.get_y() + 0.5) == (200 - 40, 104 - 40)
    assert "cut off, 20%" in left.get_title() and "cuts off 20% of it" in figure.alt
    np.testing.assert_array_equal(right.images[0].get_array() > 0, patches.crop(mask, [104, 200], 80))


def test_both_renderings_show_their_levels():
    rng = np.random.default_rng(0)
    values, masks = rng.integers(0, 200, (2, 64, 64), np.uint8), np.zeros((2, 64, 64), bool)
    masks[:, 20:40, 20:40] = True
    figure = pictures.renderings({"one": (values, masks, 1)})
    window = patches.head_window(values)
    assert figure.axes[1].get_title() == f"networks: 0–{window[1]:.0f}" and figure.axes[1].get_title() in figure.alt
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), patches.stretch(values[1], window))
    assert len(pictures.densities({"one": (values, masks)}).axes) == 1


def test_the_slice_in_front_has_its_sides_marked():
    images = [(np.zeros((64, 64), np.uint8), np.zeros((64, 64), bool))] * 2
    figure = pictures.patient_to_label("P1", images, "", "cluster 2\n→ yes")
    marks = [[text.get_text() for text in axes.texts] for axes in figure.axes[0].child_axes]
    assert marks == [[], ["R", "L"]] and "(P1)" in figure.alt and "(cluster 2 → yes)" in figure.alt


def test_how_far_a_tumour_lies_to_the_right_of_the_head(tiny_cohort):
    cohort = open_cohort(tiny_cohort())
    shift = patches.sideways(cohort)  # columns 30 to 39 of a head that fills 64
    assert list(shift.index) == list(cohort.patients.index) and shift.between(1, 5).all()
    assert patches.largest_slices(cohort).slice.eq(10).all()


def test_figure_1_is_drawn_by_lot_where_the_published_slices_are_not_there(tiny_cohort):
    cohort = open_cohort(tiny_cohort(n_patients=7))
    chosen = patches.figure1_slices(cohort, "COCCluster", article.FIGURE1, seed=0)
    assert [len(items) for items in chosen.values()] == [3, 2, 2]
    assert chosen == patches.figure1_slices(cohort, "COCCluster", article.FIGURE1, seed=0)
    mine = {1: [(cohort.slices.case[1], int(cohort.slices.slice[1]))]}
    assert patches.figure1_slices(cohort, "COCCluster", mine, seed=0) == mine
    assert patches.figure1_slices(cohort, "RPPACluster", mine, seed=0) != mine


def test_a_caption_tells_age_and_grade_where_they_are_known(tiny_cohort):
    cohort = open_cohort(tiny_cohort())
    case = cohort.patients.case.iloc[0]
    assert patches.caption(cohort, case, 2) == "TCGA-XX-0001, slice 2\n40 years"
    cohort.patients["neoplasm_histologic_grade"] = 2.0
    assert patches.caption(cohort, case, 2).endswith("40 years, grade III")


def test_each_hospital_has_its_patients_and_the_share_of_the_group():
    patients = pd.Index(list("abcde"))
    inside = pd.Series([True, False, False, True, True], patients)
    figure = pictures.institutions(inside, pd.Series(["DU", "DU", "DU", "DU", "own"], patients), "those")
    axes = figure.axes[0]
    assert figure.alt.endswith(": Henry Ford Hospital (DU) 2 of 4; own 1 of 1.")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["own", "Henry Ford Hospital (DU)"]
    assert [text.get_text().strip() for text in axes.texts[:2]] == ["1 of 1: 100%", "2 of 4: 50%"]
