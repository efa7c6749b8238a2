"""Exercises that check themselves: one function an exercise, one module a notebook.

A check takes the reader's answer, says what is wrong with it, and never stops the notebook.
"""

import functools
import html
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_origin

import numpy as np

NOT_YET = "nothing to check yet: replace the dots by your answer"
NOTHING = "the function returns nothing: end it with `return` and the result (`print` only shows it)"


class Wrong(Exception):
    """What is wrong with an answer, in words that help to mend it."""


@dataclass(frozen=True)
class Check:
    """The verdict on an answer; a notebook shows it as one line, green or red, or grey where nothing is there.

    Attributes:
        passed: the answer is right.
        message: why, or what is wrong.
    """

    passed: bool
    message: str

    def __bool__(self) -> bool:
        """Whether the answer is right."""
        return self.passed

    def __repr__(self) -> str:
        """One line of text."""
        if self.message == NOT_YET:
            return f"○ {NOT_YET}"
        return f"{'✔ right' if self.passed else '✘ not yet'}: {self.message}"

    def _repr_html_(self) -> str:
        colour = "#595959" if self.message == NOT_YET else "#1b7837" if self.passed else "#b2182b"
        style = f"border-left: 5px solid {colour}; padding: 0.3em 0.8em; color: {colour}; font-weight: 600"
        return f'<div style="{style}">{html.escape(repr(self))}</div>'


def exercise(judge: Callable[..., str]) -> Callable[..., Check]:
    """Make a check of a function that raises `Wrong`, or returns what to say of a right answer.

    An answer that is still `...`, a function that returns nothing, and an error in the reader's code become a line.
    Where the judge's first argument is annotated as a `Callable`, the reader's function is expected there.
    """
    first = next(iter(inspect.signature(judge).parameters.values()))
    wants_function = get_origin(first.annotation) is Callable

    @functools.wraps(judge)
    def check(answer: object, *given: object, **named: object) -> Check:
        if answer is ...:
            return Check(False, NOT_YET)
        try:
            return Check(True, judge(_asked(answer) if wants_function else answer, *given, **named))
        except Wrong as wrong:
            return Check(False, str(wrong))
        except Exception as error:  # the reader's code may raise anything
            return Check(False, _stopped(answer, error))

    return check


def _asked(answer: object) -> Callable[..., object]:
    """The reader's function, which must return something."""
    if not callable(answer):
        raise Wrong(f"the function itself is expected, its name without brackets, not {kind(answer)}")

    def call(*given: object) -> object:
        found = answer(*given)
        if found is ...:
            raise Wrong(NOT_YET)
        if found is None:
            raise Wrong(NOTHING)
        return found

    return call


def _stopped(answer: object, error: Exception) -> str:
    """What an error says, and in which line of the reader's function it arose."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    own = getattr(getattr(answer, "__code__", None), "co_filename", None)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    if lines:
        return f"your code stopped in line {lines[-1].lineno}, `{lines[-1].line}`, with {said}"
    return f"your answer cannot be used: {said}"


def kind(answer: object) -> str:
    """What an answer is, in words."""
    if answer is None:
        return "None: `print` shows a value and hands nothing on"
    if isinstance(answer, str):
        return "a text: leave out quotes, units and %"
    if isinstance(answer, bool | np.bool_):
        return "True or False"
    if callable(answer):
        return "a function: call it, with round brackets"
    return f"{_size(answer):,} values" if _size(answer) != 1 else f"a {type(answer).__name__}"


def _size(answer: object) -> int:
    try:
        return np.size(answer)
    except ValueError:  # lists of unequal length
        return len(answer)


def numbers(found: object, what: str = "numbers") -> np.ndarray:
    """An answer as an array of numbers, of whatever shape; lists, tables and tensors will do.

    Args:
        found: the reader's.
        what: the numbers are, for the message.

    Raises:
        Wrong: it has other things, or values that are missing.
    """
    try:
        values = np.asarray(found.detach() if hasattr(found, "detach") else found, float)
    except (TypeError, ValueError):
        raise Wrong(f"{what} are expected, not {kind(found)}") from None
    if np.isnan(values).any():
        raise Wrong(f"{np.isnan(values).sum():,} of the {what} are no numbers (nan): was something divided by 0?")
    return values


def number(
    answer: object, right: float, tolerance: float, hints: dict[float, str] | None = None, where: str = ""
) -> float:
    """The answer as a number, if it is the right one.

    Args:
        answer: the reader's.
        right: the value expected.
        tolerance: how far an answer may lie from it.
        hints: mistaken value -> what led to it. One that happens to be the right value counts for nothing.
        where: for a function's answer, what it was given; then the right value is told.

    Raises:
        Wrong: no number, or another one.
    """
    if answer is None or isinstance(answer, str | bool | np.bool_) or _size(answer) != 1:
        raise Wrong(f"a number is expected, not {kind(answer)}")
    try:
        found = float(np.ravel(answer)[0])
    except (TypeError, ValueError):
        raise Wrong(f"a number is expected, not {kind(answer)}") from None
    if np.isnan(found):
        raise Wrong("that is no number (nan): was something divided by 0, or is a value missing?")
    if abs(found - right) <= tolerance:
        return found
    for mistake, hint in (hints or {}).items():
        if abs(found - mistake) <= tolerance:
            raise Wrong(f"{found:.4g}: {hint}")
    if 0 < right < 1 and abs(found - 100 * right) <= 100 * tolerance:
        raise Wrong(f"{found:.4g}: right in per cent; give it as a share between 0 and 1")
    if where:
        raise Wrong(f"{where} the answer is {right:.4g}, and yours {round(found, 9):.4g}")
    raise Wrong(f"{found:.4g} is too {'high' if found > right else 'low'}")
