"""Exercises that check themselves: one function an exercise, one module a notebook.

A check takes the reader's answer, says what is wrong with it, and never stops the notebook.
"""

import functools
import html
from collections.abc import Callable
from dataclasses import dataclass

NOT_YET = "nothing to check yet: replace the dots by your answer"


class Wrong(Exception):
    """What is wrong with an answer, in words that help to mend it."""


@dataclass(frozen=True)
class Check:
    """The verdict on an answer; a notebook shows it as one green or red line.

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
        return f"{'✔ right' if self.passed else '✘ not yet'}: {self.message}"

    def _repr_html_(self) -> str:
        colour = "#1b7837" if self.passed else "#b2182b"
        style = f"border-left: 5px solid {colour}; padding: 0.3em 0.8em; color: {colour}; font-weight: 600"
        return f'<div style="{style}">{html.escape(repr(self))}</div>'


def exercise(judge: Callable[..., str]) -> Callable[..., Check]:
    """Make a check of a function that raises `Wrong`, or returns what to say of a right answer.

    An answer that is still `...`, and an error in the reader's code, become a red line.
    """

    @functools.wraps(judge)
    def check(*answers: object, **given: object) -> Check:
        if any(answer is ... for answer in answers):
            return Check(False, NOT_YET)
        try:
            return Check(True, judge(*answers, **given))
        except Wrong as wrong:
            return Check(False, str(wrong))
        except Exception as error:  # the reader's code may raise anything
            return Check(False, f"your code stopped with {type(error).__name__}: {error}")

    return check


def number(answer: object, right: float, tolerance: float, hints: dict[float, str] | None = None) -> float:
    """The answer as a number, if it is the right one.

    Args:
        answer: the reader's.
        right: the value expected.
        tolerance: how far an answer may lie from it.
        hints: mistaken value -> what led to it.

    Raises:
        Wrong: no number, or another one.
    """
    try:
        found = float(answer)
    except (TypeError, ValueError):
        raise Wrong(f"a number is expected, not {type(answer).__name__}") from None
    if abs(found - right) <= tolerance:
        return found
    for mistake, hint in (hints or {}).items():
        if abs(found - mistake) <= tolerance:
            raise Wrong(f"{found:.4g}: {hint}")
    raise Wrong(f"{found:.4g} is too {'high' if found > right else 'low'}")
