"""`roc`: counts, mean curves and their band against scikit-learn; the pictures show what was found."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from sklearn.metrics import auc as area
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from radiogen_utils import article, evaluation, facts, figures, power, repeats, roc
from radiogen_utils.facts import Model


@pytest.fixture(autouse=True)
def no_screen():
    with matplotlib.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture
def untied():
    rng = np.random.default_rng(2)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    return y, rng.normal(size=(4, 110)) + 0.8 * y


def test_counts_are_those_of_scikit_learn(untied):
    y, (score, *_) = untied
    for threshold in (-9, 0.3, score[5], 9):
        found = roc.confusion(y, score, threshold)
        (tn, fp), (fn, tp) = confusion_matrix(y, score >= threshold, labels=[0, 1])
        assert found == (tp, fp, fn, tn)
        assert (found.sensitivity, found.specificity) == (tp / 24, tn / 86)


def test_the_curve_of_one_repeat_is_scikit_learn_s(untied):
    y, (score, *_) = untied
    false, true, _ = roc_curve(y, score, drop_intermediate=False)
    found = np.array(roc.mean_curve(y, score)).T
    assert {tuple(p) for p in found.round(9)} <= {tuple(p) for p in np.c_[false, true].round(9)}
    assert tuple(found[0]) == (0, 0) and tuple(found[-1]) == (1, 1)


def test_the_area_of_the_mean_curve_is_the_mean_auc_with_ties_too(untied, arms):
    for y, scores in (untied, (arms[0], arms[1])):
        assert area(*roc.mean_curve(y, scores)) == pytest.approx(np.mean([roc_auc_score(y, s) for s in scores]))


def test_the_mean_curve_is_the_mean_of_the_heights(untied):
    y, scores = untied
    rates = (np.arange(86) + 0.5) / 86
    heights = []
    for score in scores:
        false, true = roc.mean_curve(y, score)
        heights.append(np.interp(rates, false, true))
    np.testing.assert_allclose(np.interp(rates, *roc.mean_curve(y, scores)), np.mean(heights, axis=0))


def test_the_band_is_that_of_resampled_curves(untied):
    y, scores = untied
    rates = np.array([0.105, 0.4, 0.8])
    counts = evaluation._resample(y.astype(bool), 300, 0)
    expected = []
    for count in counts:
        drawn = np.repeat(np.arange(110), count)
        found = []
        for score in scores:
            negative = np.sort(score[drawn][y[drawn] == 0])[::-1]
            cut = negative[(rates * len(negative) + 1e-9).astype(int)]
            found.append([(score[drawn][y[drawn] == 1] > c).mean() for c in cut])
        expected.append(np.mean(found, axis=0))
    expected = np.percentile(expected, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(evaluation.roc_band(y, scores, rates, 300), expected)


def test_the_band_of_a_mean_is_narrower_than_that_of_one_repeat(untied):
    y, scores = untied
    one, mean = (np.subtract(*evaluation.roc_band(y, s, np.array([0.3]), 500)[::-1]) for s in (scores[0], scores))
    assert mean < one


@pytest.fixture
def predictions(untied):
    """Two repeats of the main arm and of random weights, on another input as well."""
    y, scores = untied
    patients = [f"P{i:03d}" for i in range(110)]
    models = [facts.FIRST_STUDY, Model("scratch"), Model("scratch", sequences="all")]
    return pd.concat(
        facts.table(model, repeat=r, fold=0, patient=patients, y_true=y, score=scores[r + i])
        for i, model in enumerate(models)
        for r in (0, 1)
    )


def test_figure_2_shows_the_mean_curves_their_areas_and_the_published_one(predictions):
    models = [facts.FIRST_STUDY, Model("scratch")]
    figure = roc.figure2(predictions, models)
    assert figure.alt.count("area 0.") == 3 and "article, glioblastoma MRI, area 0.730: sensitivity 0." in figure.alt
    (axes,) = figure.axes
    drawn = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    texts = [text.get_text() for text in axes.texts]
    np.testing.assert_array_equal(drawn[0], article.ROC.T)
    for line, model in zip(drawn[1:], models, strict=False):
        y, scores = repeats.score_matrix(facts.of_model(predictions, model))
        np.testing.assert_array_equal(line, roc.mean_curve(y, scores))
        auc = evaluation.auc_ci(y, scores, 2)[0]
        assert f"{auc:.3f}  here, {facts.NAMES[model.arm]}" in texts
    assert "0.730  article, glioblastoma MRI" in texts and len(texts) == 3
    numbers = [float(text[:5]) for text in texts]
    assert numbers == sorted(numbers, reverse=True)
    (band,) = axes.collections
    assert tuple(band.get_facecolor()[0][:3]) == to_rgb(figures.COLOURS["gbm"])


def test_the_threshold_s_picture_counts_and_marks_the_point(untied):
    y, (score, *_) = untied
    figure = roc.threshold_picture(y, score, 0.4)
    axes = {a.get_xlabel(): a for a in figure.axes}
    found = roc.confusion(y, score, 0.4)
    assert f"threshold, 0.40: {found.true_positives} true positives, " in figure.alt
    (point,) = [line for line in axes["1 − specificity"].lines if line.get_marker() == "o"]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1 - found.specificity, found.sensitivity)
    texts = [text.get_text() for text in axes[""].texts]
    for name, value in found._asdict().items():
        assert texts[texts.index(name.replace("_", " ")) - 1] == str(value)


def test_every_patient_is_drawn_the_far_ones_at_the_edge():
    score, y = np.r_[np.linspace(-1, 1, 19), -30.0], np.r_[np.ones(9, int), np.zeros(11, int)]
    dots = roc.threshold_picture(y, score, 0.0).axes[0]
    xs = np.concatenate([points.get_offsets()[:, 0] for points in dots.collections])
    assert len(xs) == 20 and xs.min() == dots.get_xlim()[0] > -4


def test_readouts_are_grouped_by_input_with_the_article_first(predictions):
    summary = repeats.over_repeats(predictions)
    rows = roc.readout_rows(summary)
    headings = [row for row in rows if isinstance(row, str)]
    assert headings[0] == "article: FLAIR" and "three sequences: full fine-tuning" in headings
    assert [row.value for row in rows[1:4]] == [article.AUC[arm][0] for arm in ("gbm", "scratch", "natural")]
    assert sorted(row.value for row in rows[4:] if not isinstance(row, str)) == sorted(summary.auc)


def test_the_power_s_picture_marks_the_cohort(untied):
    figure = roc.power_picture((0.73, 0.68), {"one": 0.5, "mean": 0.9}, 24 / 110, 110)
    assert "mean: " in figure.alt and figure.alt.count("with 110 patients, 80 % with ") == 2
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    for point, correlation in zip(points, (0.5, 0.9), strict=True):
        error = power.standard_error(0.73, 0.68, correlation, 24, 86)
        assert point.get_ydata()[0] == pytest.approx(power.normal_power(0.05, error))
