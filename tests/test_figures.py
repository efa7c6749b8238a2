"""`figures`: what is drawn is what was found."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from radiogen_utils import figures


@pytest.fixture(autouse=True)
def no_screen():
    with matplotlib.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def line(axes, start):
    """x and y of the one line whose label starts so."""
    (found,) = [line for line in axes.lines if line.get_label().startswith(start)]
    return found.get_xdata(), found.get_ydata()


def test_learning_curves_are_of_the_record():
    curve = [{"epoch": i, "training_loss": 1 / i, "held_out_loss": 1.1 / i} for i in (1, 2)]
    (axes,) = figures.learning_curves({"net": {"curve": curve, "prior_loss": 0.9, "entropy": 0.4}}).axes
    for start, values in (
        ("training", [1, 0.5]),
        ("held-out", [1.1, 0.55]),
        ("always the mean", [0.9] * 2),
        ("the true", [0.4] * 2),
    ):
        assert list(line(axes, start)[1]) == values


def test_heatmaps_share_one_scale_and_end_at_the_tumour():
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    maps = [np.full((80, 80), value) for value in (0.2, 0.0)]
    maps[0][0, 0] = 5  # outside the tumour
    patch = np.zeros((80, 80), np.uint8)
    tiles = [figures.Tile(f"P{i}", i == 1, patch, mask, {"map": heatmap}) for i, heatmap in enumerate(maps)]
    figure = figures.figure3({"group": tiles})
    assert [axes.get_title() for axes in figure.axes[:2]] == ["P0", "P1, wrong"]
    assert {text.get_text() for text in figure.axes[0].texts} == {"R", "L", "group\npatch"}
    assert "group: P0; P1, wrong. map: brightest in P0; dark in 1 of 2." in figure.alt
    shown = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert [image.get_clim() for image in shown] == [(0, 0.2)] * 2
    for image, heatmap in zip(shown, maps, strict=True):
        assert np.array_equal(image.get_array().mask, ~mask) and np.array_equal(image.get_array().data, heatmap)


def test_margins_of_every_network_stand_in_their_own_strip():
    tables = {
        name: pd.DataFrame({"contrast": [c, c], "rho": [r, r]})
        for name, c, r in (("trained", 0.5, 0.2), ("random weights", -0.5, -0.2))
    }
    summaries = pd.DataFrame(
        {
            (question, "Grad-CAM", name): {"low": sign * value, "median": sign * value, "high": sign * value}
            for question, value in (("margin − core", 0.5), ("irregularity ρ", 0.2))
            for name, sign in (("trained", 1), ("random weights", -1))
        }
    ).T
    left, right = figures.margins({"Grad-CAM": tables}, summaries).axes
    for axes, value in ((left, 0.5), (right, 0.2)):
        dots = [list(drawn.get_xdata()) for drawn in axes.lines if drawn.get_marker() == "."]
        assert dots == [[-value, -value], [value, value]]  # from the bottom
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == ["Grad-CAM, random weights", "Grad-CAM, trained"]
    told = "irregularity ρ: Grad-CAM, trained +0.20 (+0.20 to +0.20); Grad-CAM, random weights −0.20 (−0.20 to −0.20)."
    assert told in left.figure.alt


def test_the_networks_of_many_permutations_stand_beside_the_trained_ones():
    questions = ("margin − core", "irregularity ρ")
    medians = pd.Series({(q, "Grad-CAM", "trained"): v for q, v in zip(questions, (0.5, -0.1), strict=True)})
    draws = [{"question": q, "method": "Grad-CAM", "median": v} for q in questions for v in (-0.3, 0.1, 0.2)]
    draws.append(draws[0] | {"method": "occlusion"})
    summaries = medians.to_frame("median").rename_axis(["question", "method", "network"])
    left, right = figures.margins_by_chance(pd.DataFrame(draws), summaries).axes
    for axes, trained in ((left, 0.5), (right, -0.1)):
        dots, bar, _ = axes.lines
        assert list(dots.get_xdata()) == [-0.3, 0.1, 0.2] and set(bar.get_xdata()) == {trained}
    told = "irregularity ρ, Grad-CAM: trained −0.10; 3 permutations −0.30 to +0.20, median +0.10."
    assert told in left.figure.alt and "margin − core, Grad-CAM: trained +0.50;" in left.figure.alt


def test_a_patch_says_where_its_tumour_lies():
    patch = np.zeros((80, 80), np.uint8)
    patch[20:61, 30:50] = 90
    assert figures.patch_with_rulers(patch, "P0").alt == (
        "A tumour cut out of its slice, grey on black: P0. It fills rows 20 to 60 and columns 30 to 49."
    )


def test_slices_have_their_sides_marked_once_a_row():
    image, mask = np.zeros((9, 9, 2), np.uint8), np.zeros((9, 9), bool)
    figure = figures.slices([("slice 1", image, mask), ("slice 2", image, mask)], ("FLAIR", "post-contrast"))
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["R", "L"], []] * 2
    assert "slice 1; slice 2; of each FLAIR, post-contrast. The patient's right is on the left." in figure.alt


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_phantom_is_called_so_and_real_data_by_their_source(synthetic, tmp_path):
    figure, _ = plt.subplots()
    figures.finish(figure, tmp_path / "a.png", synthetic)
    texts = [text.get_text() for text in figure.texts]
    assert texts == [figures.SYNTHETIC if synthetic else figures.ATTRIBUTION]
    assert getattr(figure, "alt", "") == f"{figures.SYNTHETIC}." * synthetic
    again, _ = plt.subplots()
    (tmp_path / "again").mkdir()
    figures.finish(again, tmp_path / "again" / "a.png", synthetic)
    for name in ("a.png", "a.svg"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
