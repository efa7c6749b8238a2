"""The notebooks' environment: figures have alternative texts."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure

from radiogen_utils import charts
from radiogen_utils.course import environment


@pytest.fixture
def shown():
    """What a notebook shows of a figure: data and metadata."""
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda figure: print_figure(figure, "png", base64=True))
    plt.switch_backend("agg")
    with matplotlib.rc_context(fname=Path(environment.__file__).with_name("matplotlibrc")):
        yield formatter.format
        plt.close("all")


def test_a_figure_says_what_it_shows(shown):
    data, metadata = shown(charts.forest([charts.Row("a", 0.1, 0.0, 0.2)], "x", 0))
    text = charts.forest.__doc__.splitlines()[0] + " Horizontal axis: x"
    assert data["image/png"] and metadata == {"image/png": {"alt": text}}


def outer() -> plt.Figure:
    """More than a forest."""
    return charts.forest([charts.Row("a", 0.1, 0.0, 0.2)], "x", 0)


def test_the_outer_of_two_drawing_functions_speaks(shown):
    assert shown(outer())[1]["image/png"]["alt"] == "More than a forest. Horizontal axis: x"


def test_a_figure_of_the_reader_s_own_is_shown_as_it_is(shown):
    data, metadata = shown(plt.subplots()[0])
    assert data["image/png"] and not metadata
