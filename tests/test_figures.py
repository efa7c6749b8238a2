"""`figures`: what is drawn is what was found."""

from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from sklearn.metrics import roc_curve

from radiogen_utils import article, evaluation, facts, figures, repeats
from radiogen_utils.facts import Model


@pytest.fixture(autouse=True)
def no_screen():
    with matplotlib.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def predictions():
    """Two repeats of two arms, one of them with another backbone and on another sequence as well, and of trees."""
    rng, y = np.random.default_rng(0), np.r_[np.ones(12, int), np.zeros(28, int)]
    models = [
        MAIN,
        Model("scratch"),
        replace(MAIN, backbone="efficientnet_lite0"),
        replace(MAIN, sequences="post-contrast"),
        facts.simple("image features", "trees"),
    ]
    columns = {"fold": 0, "y_true": y, "patient": range(40)}
    tables = [
        facts.table(model, repeat=repeat, score=rng.normal(size=40) + y, **columns)
        for model in models
        for repeat in (0, 1)
    ]
    return pd.concat(tables, ignore_index=True)


MAIN = facts.FIRST_STUDY


@pytest.fixture
def panels(predictions):
    figure = figures.figure2(predictions, evaluation.auc_table(predictions), repeats.over_repeats(predictions), MAIN)
    return figure.axes


def line(axes, start):
    """x and y of the one line whose label starts so."""
    (found,) = [line for line in axes.lines if line.get_label().startswith(start)]
    return found.get_xdata(), found.get_ydata()


def bars(axes):
    """Each error bar from below: its middle, low and high."""
    rows = []
    for container in axes.containers:
        middle, _, (segments,) = container
        ((low, position), (high, _)) = segments.get_segments()[0]
        rows.append((position, middle.get_xdata()[0], low, high))
    return np.array(sorted(rows))[:, 1:]


def test_the_curves_of_figure_2_are_those_of_the_first_repeat(predictions, panels):
    curves = {
        "glioblastoma MRI, compact": MAIN,
        "from scratch, compact": Model("scratch"),
        "glioblastoma MRI, efficientnet_lite0": replace(MAIN, backbone="efficientnet_lite0"),
    }
    for name, model in curves.items():
        scores = evaluation.patient_scores(predictions, model)
        area = evaluation.auc_ci(scores.y_true, scores.score)[0]
        expected = roc_curve(scores.y_true, scores.score, drop_intermediate=False)[:2]
        np.testing.assert_array_equal(line(panels[0], f"{name}: {area:.3f}"), expected)
    published = line(panels[0], "published (glioblastoma MRI): 0.730")
    np.testing.assert_array_equal(published, article.ROC.T)
    assert len(panels[0].lines) == len(curves) + 2  # and the diagonal: no other sequence, no second repeat


def test_the_band_of_figure_2_is_of_the_main_curve(predictions, panels):
    scores = evaluation.patient_scores(predictions, MAIN)
    rates = np.linspace(0, 1, 101)
    low, high = evaluation.roc_band(scores.y_true, scores.score, rates)
    (band,) = panels[0].collections
    drawn = {tuple(point) for point in band.get_paths()[0].vertices.round(9)}
    assert drawn == {tuple(point) for bound in (low, high) for point in np.c_[rates, bound].round(9)}
    assert to_rgba(band.get_facecolor()[0])[:3] == figures.COLOURS["gbm"] and "95 %" in band.get_label()


def test_the_areas_of_figure_2_are_the_paper_s_and_the_means_over_the_repeats(predictions, panels):
    expected = [article.AUC[start] for start in ("gbm", "scratch", "natural")]
    table = evaluation.auc_table(predictions)
    means = repeats.over_repeats(predictions)[["auc", "low", "high"]]
    names = ["paper, glioblastoma MRI", "paper, from scratch", "paper, natural images"]
    names += ["compact, FLAIR, glioblastoma MRI", "compact, FLAIR, from scratch"]
    names += ["efficientnet_lite0, FLAIR, glioblastoma MRI", "compact, post-contrast, glioblastoma MRI"]
    names += ["image features, trees"]
    np.testing.assert_allclose(bars(panels[1])[::-1], [*expected, *means.to_numpy()])  # the paper on top
    assert [label.get_text() for label in panels[1].get_yticklabels()][::-1] == names
    texts = [text.get_text() for text in panels[1].texts][::-1]
    assert texts == [f"{auc:.3f} ({low:.3f}–{high:.3f})" for auc, low, high in [*expected, *means.to_numpy()]]
    dots = [(line.get_xdata(), line.get_ydata()) for line in panels[1].lines if line.get_marker() == "."]
    single = [list(own.auc) for _, own in facts.by_model(table)]
    for (x, y), areas, position in zip(dots[::-1], single, range(4, -1, -1), strict=True):
        assert list(x) == areas and np.allclose(y, position + 0.25)


@pytest.fixture
def clusters():
    columns = ["clustering", "cluster", "patients", "positives", "auc", "low", "high", "p", "holm"]
    rows = [("ACluster", 1, 90, 20, 0.8, 0.7, 0.85, 0.001, 0.003), ("ACluster", 2, 90, 30, 0.6, 0.5, 0.75, 0.03, 0.06)]
    return pd.DataFrame([*rows, ("BCluster", 1, 80, 25, 0.5, 0.35, 0.6, 0.5, 0.5)], columns=columns)


def test_areas_stand_beside_their_names(clusters):
    (axes,) = figures.auc_intervals(["first", "second", "third"], clusters).axes
    np.testing.assert_allclose(bars(axes)[::-1], clusters[["auc", "low", "high"]])
    assert [label.get_text() for label in axes.get_yticklabels()][::-1] == ["first", "second", "third"]


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
    rows = {"group": [(f"P{i}", np.zeros((80, 80), np.uint8), mask, heatmap) for i, heatmap in enumerate(maps)]}
    figure = figures.figure3(rows)
    shown = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert [image.get_clim() for image in shown] == [(0, 0.2)] * 2
    for image, heatmap in zip(shown, maps, strict=True):
        assert np.array_equal(image.get_array().mask, ~mask) and np.array_equal(image.get_array().data, heatmap)


def test_margins_of_the_trained_networks_stand_beside_the_control_s():
    trained, control = (pd.DataFrame({"contrast": [c, c], "rho": [r, r]}) for c, r in ((0.5, 0.2), (-0.5, -0.2)))
    left, right = figures.margins({"Grad-CAM": trained}, {"Grad-CAM": control}).axes
    for axes, value in ((left, 0.5), (right, 0.2)):
        dots = [tuple(points.get_offsets()[:, 1]) for points in axes.collections if len(points.get_offsets())]
        assert dots == [(value, value), (-value, -value)]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["trained", "random weights"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_phantom_is_called_so_and_real_data_by_their_source(synthetic, tmp_path):
    figure, _ = plt.subplots()
    figures.finish(figure, tmp_path / "a.png", synthetic)
    texts = [text.get_text() for text in figure.texts]
    assert texts == [figures.SYNTHETIC if synthetic else figures.ATTRIBUTION]
    again, _ = plt.subplots()
    figures.finish(again, tmp_path / "b.png", synthetic)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
