"""Widgets draw a picture in batch, and draw anew when a control moves."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ipywidgets import IntSlider, VBox

from radiogen_utils.course import widgets
from radiogen_utils.data.cohort import open_cohort


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
