"""Widgets draw a picture in batch, and draw anew when a control moves."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ipywidgets import IntSlider, VBox

from radiogen_utils import own_tumour
from radiogen_utils.course import precomputed, widgets
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.words import number


@pytest.fixture(autouse=True)
def no_screen():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def draw(number):
    figure, axes = plt.subplots()
    axes.set_title(f"number {number}")
    return figure


def test_in_batch_there_is_a_picture(monkeypatch):
    figure = widgets.explore(draw, number=IntSlider(3))
    assert figure.axes[0].get_title() == "number 3"


def test_moving_a_control_draws_anew(monkeypatch):
    monkeypatch.setattr(widgets, "is_interactive", lambda: True)
    slider = IntSlider(3)
    shown = widgets.explore(draw, number=slider)
    assert isinstance(shown, VBox)
    before = bytes(shown.children[0].value)
    slider.value = 4
    assert before.startswith(b"\x89PNG") and bytes(shown.children[0].value) != before
    assert plt.get_fignums() == []


def test_the_browser_begins_at_the_largest_tumour(tiny_cohort):
    cohort = open_cohort(tiny_cohort())
    patient = cohort.patients.index[1]
    figure = widgets.slice_browser(cohort, patient)
    assert figure.axes[0].get_title() == f"{patient}, slice 10, FLAIR"


@pytest.fixture(scope="module")
def tumour():
    scores = np.random.default_rng(0).normal(size=110)
    reference = own_tumour.Reference.of((scores > 1).astype(int), [scores + np.arange(110) % 3], n_resamples=20)
    return own_tumour.phantom(2), own_tumour.load_networks(precomputed.flair_networks()[:2]), reference


def test_in_batch_the_own_tumour_is_a_picture_with_its_score(tumour):
    own, networks, _ = tumour
    figure = widgets.own_tumour(*tumour, grown=3)
    score = own_tumour.assess(own_tumour.moved(own, grown=3), networks).score
    titles = [axes.get_title() for axes in figure.axes]
    assert any(f"score {number(score, '+.2f')}" in title for title in titles) and plt.get_fignums() == []


def test_moving_mask_or_square_of_the_own_tumour_scores_anew(tumour, monkeypatch):
    monkeypatch.setattr(widgets, "is_interactive", lambda: True)
    picture, *controls = widgets.own_tumour(*tumour).children
    seen = {bytes(picture.value)}
    for control in controls:
        control.value = -10
        seen.add(bytes(picture.value))
    assert len(seen) == 1 + len(controls) == 6
    assert plt.get_fignums() == []


def test_where_nothing_is_left_of_the_mask_the_picture_says_so(tumour):
    own, *rest = tumour
    small = replace(own, masks=own.masks & (np.cumsum(own.masks, 2) < 9))  # at most eight pixels wide
    figure = widgets.own_tumour(small, *rest, grown=-10)
    assert "nothing is left of the mask" in str(figure.axes[0].texts[0].get_text())


def test_the_threshold_begins_where_both_answers_are_equally_likely():
    score, y_true = np.array([-2.0, -1, 0.5, 1, 2]), np.array([0, 0, 1, 0, 1])
    figure = widgets.threshold(y_true, score)
    assert figure.axes[0].lines[0].get_xdata()[0] == pytest.approx(0)
    assert widgets.threshold(y_true, score + 10).axes[0].lines[0].get_xdata()[0] < 8.1


def test_who_executes_in_batch_is_noticed(monkeypatch):
    from types import SimpleNamespace

    monkeypatch.delenv("RADIOGEN_BATCH", raising=False)
    for allowed in (True, False):
        kernel = SimpleNamespace(_allow_stdin=allowed)
        monkeypatch.setattr(widgets, "get_ipython", lambda kernel=kernel: SimpleNamespace(kernel=kernel))
        assert widgets.is_interactive() == allowed
    monkeypatch.setattr(widgets, "get_ipython", lambda: None)
    assert not widgets.is_interactive()
