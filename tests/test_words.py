"""`words`: every figure has an alternative text, and notebooks keep it."""

import ast

import matplotlib.pyplot as plt
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure

from radiogen_utils import words
from radiogen_utils.support import project_root

PACKAGE = project_root() / "radiogen_utils"


@pytest.fixture
def shown():
    """What a notebook shows of a figure: data and metadata."""
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda figure: print_figure(figure, "png", base64=True))
    plt.switch_backend("agg")
    yield formatter.format
    plt.close("all")


def test_a_notebook_keeps_what_is_said(shown):
    figure = words.say(plt.subplots()[0], "One line\nand another.", "A sentence.")
    data, metadata = shown(figure)
    assert data["image/png"] and metadata == {"image/png": {"alt": "One line and another. A sentence."}}
    assert shown(words.say(figure, "First.", figure.alt))[1]["image/png"]["alt"].startswith("First. One line")


def test_a_figure_of_the_reader_s_own_is_shown_as_it_is(shown):
    data, metadata = shown(plt.subplots()[0])
    assert data["image/png"] and not metadata


def drawing(path):
    """Functions of a module that return a figure."""
    functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    return [node for node in functions if node.returns and ast.unparse(node.returns) == "plt.Figure"]


def returned(node):
    """What a function returns, without those within it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return):
            yield child.value
        elif not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield from returned(child)


def test_every_function_that_draws_a_figure_says_what_it_shows():
    modules = [*PACKAGE.glob("*.py"), PACKAGE / "course" / "widgets.py"]
    found = [(path.stem, node) for path in modules for node in drawing(path)]
    assert len(found) > 30
    speaking = {"say", *(node.name for _, node in found)}
    for module, node in found:
        for value in returned(node):
            called = ast.unparse(value.func).split(".")[-1] if isinstance(value, ast.Call) else ""
            assert called in speaking, f"{module}.{node.name} returns a figure that says nothing"


def row(name, value):
    return name, value, value - 0.1, value + 0.1, f"{words.number(value, '.2f')} as drawn"


def test_few_rows_are_told_one_by_one():
    rows = ["first", row("a", 0.45), row("b", 0.7), "second", row("c", 0.8)]
    text = words.rows_in_words(rows, 0.5)
    assert text == "first: a 0.45 as drawn; b 0.70 as drawn. second: c 0.80 as drawn. 1 of 3 intervals include 0.5."
    assert words.rows_in_words(rows[1:2], 0).startswith("a 0.45 as drawn. 0 of 1")


def test_of_many_rows_the_ranges_and_the_extremes_are_told():
    rows = ["first", *(row(f"a{i}", 0.6 + 0.01 * i) for i in range(8)), "second", *(row(f"b{i}", -0.1) for i in "xyz")]
    text = words.rows_in_words([*rows, *rows, "alone", row("c", 0.4)], 0)
    assert text == (
        "first: 16 rows, +0.600 to +0.670. second: 6 rows, −0.100 to −0.100. alone: c 0.40 as drawn. "
        "Lowest of 23: second, bx −0.10 as drawn. Highest of 23: first, a7 0.67 as drawn. 6 of 23 intervals include 0."
    )
