"""What a figure shows, in words: its alternative text, computed from what is drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

FEW = 16
"""Rows that are told one by one; of more, a listener remembers none."""


def say(figure: Figure, *sentences: str) -> Figure:
    """Leave an alternative text on a figure, in its attribute `alt`.

    A notebook that shows the figure puts the text into the output's metadata, where nbconvert and the site look for it.

    Args:
        figure: complete.
        sentences: in any number of lines, with their full stops.

    Returns:
        The figure.
    """
    figure.alt = " ".join(" ".join(sentences).split())
    figure._repr_mimebundle_ = lambda **_: ({}, {"image/png": {"alt": figure.alt}})
    return figure


def number(value: float, form: str = ".3f") -> str:
    """A number with a true minus sign.

    Example:
        >>> number(-0.25, "+.2f")
        '−0.25'
    """
    return format(value, form).replace("-", "−")


def series(values: Sequence[float], form: str = ".3f") -> str:
    """Lowest, median and highest of some values.

    Example:
        >>> series([3, 1, 9], ".0f")
        '1 to 9, median 3'
    """
    low, middle, high = np.quantile(np.asarray(values, float), [0, 0.5, 1])
    return f"{number(low, form)} to {number(high, form)}, median {number(middle, form)}"


def rows_in_words(rows: Sequence[tuple | str], null: float) -> str:
    """The rows of a forest plot: each of them if they are few, else the range below each heading, and the extremes.

    Args:
        rows: (label, value, low, high, numbers as they stand beside the row), from top to bottom; a text is the
            heading of what follows.
        null: where there is nothing to find.
    """
    heading, found = "", []
    for row in rows:
        if isinstance(row, str):
            heading = row
        else:
            found.append((heading, *row))
    table = pd.DataFrame(found, columns=["heading", "label", "value", "low", "high", "numbers"])
    form, told = "+.3f" if null == 0 else ".3f", []
    few = len(table) <= FEW
    for heading, own in table.groupby("heading", sort=False):
        if few or len(own) == 1:
            told.append((heading and f"{heading}: ") + "; ".join(own.label + " " + own.numbers))
        elif heading:
            ends = number(own.value.min(), form), number(own.value.max(), form)
            told.append(f"{heading}: {len(own)} rows, {' to '.join(ends)}")
    if not few:
        for word, place in (("Lowest", table.value.idxmin()), ("Highest", table.value.idxmax())):
            row = table.loc[place]
            told.append(f"{word} of {len(table)}: {row.heading and f'{row.heading}, '}{row.label} {row.numbers}")
    inside = ((table.low <= null) & (null <= table.high)).sum()
    return ". ".join([*told, f"{inside} of {len(table)} intervals include {null:g}."])
