"""What the pictures of scores show."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from radiogen_utils import score_pictures as pictures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def scores():
    return pd.DataFrame({"label": [1, 1, 0, 0, 0], "score": [0.5, 1.0, -0.4, -1.2, 0.1]})


def drawn(axes, markers="o"):
    return sorted(float(x) for line in axes.lines if line.get_marker() in markers for x in line.get_xdata())


def words(figure):
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_one_fold_shows_every_loss_and_every_held_out_patient(scores):
    figure = pictures.one_fold([0.7, 0.65, 0.6], scores)
    left, right = figure.axes
    assert "3 epochs, 0.70 to 0.60" in figure.alt and "2 positive, 0.50 to 1.00, median 0.75; 3 rest" in figure.alt
    assert list(left.lines[0].get_ydata()) == [0.7, 0.65, 0.6]
    assert drawn(right) == sorted(scores.score) and "positive (2)" in words(figure) and "rest (3)" in words(figure)


def test_outliers_are_clipped_to_the_edge_marked_and_counted(scores):
    many = pd.concat([scores] * 20)
    figure = pictures.arms([("a", many, ("0.9",)), ("b", many.assign(score=many.score / 2), ("0.8",))], ("AUC",))
    assert "beyond" not in figure.axes[0].get_xlabel()
    strange = many.assign(score=np.where(np.arange(100) == 7, -80, many.score))
    axes = pictures.arms([("a", strange, ("0.9",)), ("b", many, ("0.8",))], ("AUC",)).axes[0]
    assert "1 scores beyond ±2" in axes.get_xlabel() and drawn(axes, "<") == [-2.0] and drawn(axes, ">") == []
    assert axes.get_xscale() == "linear" and len(drawn(axes)) == 199
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a"]


@pytest.mark.filterwarnings("error")
def test_a_panel_a_sequence_and_a_line_an_initialisation():
    names = itertools.product(("FLAIR", "post-contrast"), ("scratch", "gbm"), ("probe", "full"))
    table = pd.DataFrame(names, columns=["sequences", "arm", "readout"])
    table = table.assign(auc=np.linspace(0.6, 0.8, 8), low=0.5, high=0.9)
    alone = table[:1].assign(arm="natural", sequences="post-contrast")  # a point needs no line
    figure = pictures.readouts(pd.concat([table, alone]))
    assert [axes.get_title() for axes in figure.axes] == ["FLAIR", "post-contrast"]
    assert "FLAIR, from scratch: linear probe 0.600, full fine-tuning 0.629." in figure.alt
    curves = [c.lines[0].get_ydata() for c in figure.axes[0].containers]
    assert [list(curve) for curve in curves if len(curve)] == [list(table.auc[:2]), list(table.auc[2:4])]
    assert "natural" not in "".join(text.get_text() for text in figure.axes[0].texts) and "natural" in words(figure)


def test_leaks_show_true_labels_filled_and_the_mean_of_permuted_ones_hollow():
    table = pd.DataFrame(
        {"leak": "slices", "permutation": [0, 1, 2], "honest": [0.7, 0.4, 0.6], "leaking": [0.9, 0.7, 0.8]}
    )
    figure = pictures.leaks(table)
    assert "split by slice: true 0.700 to 0.900, permuted 0.500 to 0.750." in figure.alt
    axes = figure.axes[0]
    big = {
        round(float(line.get_xdata()[0]), 3): line.get_markerfacecolor() for line in axes.lines if line.get_ms() == 8
    }
    assert set(big) == {0.7, 0.9, 0.5, 0.75} and big[0.5] == big[0.75] == "white" and big[0.9] != "white"
    assert drawn(axes, ".") == [0.4, 0.6, 0.7, 0.8]
