"""`charts`: what is drawn is what was found."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from radiogen_utils import charts, evaluation, facts
from radiogen_utils.charts import Row


@pytest.fixture(autouse=True)
def no_screen():
    with matplotlib.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def bars(axes):
    """(value, low, high) of every error bar, from top to bottom."""
    found = []
    for marker, _, (segments,) in (container.lines for container in axes.containers):
        (x,), (y,) = marker.get_data()
        (low, _), (high, _) = segments.get_segments()[0]
        found.append((y, x, low, high))
    return [values for _, *values in sorted(found)]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_forest_has_its_rows_in_order_with_their_numbers():
    rows = ["heading", Row("first", 0.1, -0.2, 0.3), Row("second", 0.4, 0.2, 0.5)]
    figure = charts.forest(rows, "difference\nof two", 0)
    (axes,) = figure.axes
    assert figure.alt == (
        "difference, of two. heading: first +0.100 (−0.200 to +0.300); second +0.400 (+0.200 to +0.500). "
        "1 of 2 intervals include 0."
    )
    np.testing.assert_allclose(bars(axes), [[0.1, -0.2, 0.3], [0.4, 0.2, 0.5]])
    assert texts(axes)[:3] == ["heading", "first", "+0.100 (−0.200 to +0.300)"] and axes.yaxis_inverted()


def test_chance_counts_the_permutations_that_do_as_well():
    figure = charts.chance({"net": (np.array([0.4, 0.5, 0.61, 0.7]), 0.6)})
    assert "net: 0.400 to 0.700, median 0.555; true labels 0.600, and 2 of 4 reach that." in figure.alt
    (axes,) = figure.axes
    assert texts(axes)[0] == "true labels: 0.600" and axes.get_title("left") == "net: 4 permutations"
    assert "2 at least\nas high" in texts(axes)
    assert sum(patch.get_height() for patch in axes.patches) == 4


def test_patients_beyond_the_axis_become_triangles():
    rng = np.random.default_rng(0)
    score, site = rng.normal(size=100), np.repeat(["A", "B"], 50)
    score[3] = 50
    y_true = np.tile([1, 0], 50)
    table = evaluation.by_group(y_true, score, site)
    figure = charts.sites(y_true, score, site, table)
    assert "A: 25 of 50 positive, AUC 0." in figure.alt and "B: 25 of 50 positive" in figure.alt
    (axes,) = figure.axes
    drawn = {marker: sum(len(own.get_xdata()) for own in axes.lines if own.get_marker() == marker) for marker in "o<>"}
    assert sum(drawn.values()) == 100 and drawn[">"] >= 1 and axes.get_xlim()[1] < 10
    assert "A: 25 of 50" in texts(axes) and any(text.startswith("AUC 0.") for text in texts(axes))


def test_before_and_after_are_told_apart():
    figure = charts.before_after(["FLAIR", ("net", 0.66, 0.54, 0.45, 0.64)], ("AUC", "area taken out"))
    assert "first in 1 of 1. FLAIR: net 0.660, then 0.540 (0.450 to 0.640). 1 of 1 intervals" in figure.alt
    (axes,) = figure.axes
    dots = {to_rgba(line.get_markerfacecolor()): line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"}
    assert dots == {to_rgba("white"): 0.66, to_rgba(charts.AFTER): 0.54}
    assert {"0.660 → 0.540 (0.450 to 0.640)", "○ AUC", "● area taken out"} < set(texts(axes))


def test_every_patient_is_a_tick_of_the_calibration():
    y_true, probability = np.tile([0, 0, 1], 20), np.linspace(0.01, 0.9, 60)
    bins = evaluation.calibration(y_true, probability)
    figure = charts.calibration(y_true, probability, bins)
    assert figure.alt.count("(") == len(bins) and f"{bins.predicted[0]:.2f}, {bins.observed[0]:.2f} (" in figure.alt
    (axes,) = figure.axes
    assert sum(len(own.get_segments()) for own in axes.collections if len(own.get_segments()) >= 20) == 60
    beyond = (probability[y_true == 1] > 0.7).sum()
    assert 0.6 < bins.high.max() < 0.7 and f"positives, {beyond} beyond 0.7" in texts(axes)
    assert axes.get_xlim()[1] == axes.get_ylim()[1] == 0.7 and axes.get_aspect() == 1
    high = charts.calibration(y_true, probability, bins.assign(high=0.82)).axes[0]
    assert high.get_xlim()[1] == high.get_ylim()[1] == 0.9  # no interval is cut off


def test_all_networks_are_dots_and_the_best_has_an_interval():
    table = pd.DataFrame({"auc": [0.6, 0.7, 0.65], "low": [0.5, 0.6, 0.55], "high": [0.7, 0.8, 0.75]})
    figure = charts.inputs([Row("trees", 0.775, 0.67, 0.87)], [("FLAIR", table)], 0.775)
    assert "networks: FLAIR, 3 kinds best 0.700 (0.600 to 0.800)." in figure.alt
    (axes,) = figure.axes
    np.testing.assert_allclose(bars(axes), [[0.775, 0.67, 0.87], [0.7, 0.6, 0.8]])
    assert "FLAIR, 3 kinds" in texts(axes) and "best 0.700 (0.600 to 0.800)" in texts(axes)
    assert [0.6, 0.7, 0.65] in [list(own.get_xdata()) for own in axes.lines]


def test_clusters_are_filled_where_they_hold_after_the_correction():
    columns = ["clustering", "cluster", "patients", "positives", "auc", "low", "high", "p", "holm"]
    rows = [("ACluster", 1, 90, 20, 0.8, 0.7, 0.85, 0.001, 0.003), ("ACluster", 2, 90, 30, 0.6, 0.5, 0.75, 0.03, 0.06)]
    clusters = pd.DataFrame([*rows, ("BCluster", 1, 80, 25, 0.5, 0.35, 0.6, 0.5, 0.5)], columns=columns)
    figure = charts.clusterings(clusters, {"ACluster": "methylation"})
    assert "methylation: 1 (20 of 90) 0.800" in figure.alt and "Filled are 1 of 3: methylation 1." in figure.alt
    (axes,) = figure.axes
    np.testing.assert_allclose(bars(axes), clusters[["auc", "low", "high"]])
    white = [to_rgba(container[0].get_markerfacecolor()) == (1, 1, 1, 1) for container in axes.containers]
    assert white == [False, True, True]
    assert {"methylation", "BCluster", "1 (20 of 90)"} < set(texts(axes))


def test_a_network_in_short():
    assert charts.short(facts.SECOND_STUDY) == "glioblastoma MRI, dense, linear probe"
    assert charts.short(facts.FIRST_STUDY) == "glioblastoma MRI, composition, full fine-tuning"
    assert charts.short(facts.Model("scratch")) == "from scratch, full fine-tuning"
    assert charts.short(facts.simple("image features", "trees")) == "image features, trees"


def test_rows_have_a_heading_an_input():
    models = [facts.Model("scratch"), facts.Model("scratch", sequences="all"), facts.simple("age", "logistic")]
    table = pd.DataFrame([vars(model) | {"a": 0.7, "b": 0.6, "low": 0.5, "high": 0.8} for model in models])
    rows = charts.by_input(table, "a", "b", "study")
    assert rows[::2] == ["study, FLAIR", "study, three sequences", "study, simple models"]
    assert rows[1] == ("from scratch, full fine-tuning", 0.7, 0.6, 0.5, 0.8) and rows[5][0] == "age, logistic"
