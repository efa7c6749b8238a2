"""Checks of notebook 9."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ...multiverse import CHOICES, paired_aucs
from . import Wrong, exercise, number

ENOUGH = 20
"""Specifications that a selection must keep: fewer are a handful of draws."""


@exercise
def explained(answer: Callable[[pd.DataFrame, str], float]) -> str:
    """Exercise: share of the variance of the AUCs that one choice explains; a function of the table and its name."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"colour": rng.choice(["red", "green", "blue"], 200, p=[0.6, 0.3, 0.1])})
    table["auc"] = 0.6 + 0.1 * (table.colour == "red") + rng.normal(0, 0.04, len(table))
    found = answer(table.copy(), "colour")
    means = table.groupby("colour").auc
    total = table.auc.var(ddof=0)
    right = means.transform("mean").var(ddof=0) / total
    hints = {
        float(means.mean().var(ddof=0) / total): "options that were drawn more often must weigh more: `transform`",
        float(means.mean().var() / total): "options that were drawn more often must weigh more: `transform`",
        float(1 - right): "that is the share that is left unexplained",
        float(means.transform("mean").var(ddof=0)): "that is a variance; divide it by the variance of all AUCs",
        float(np.sqrt(right)): "that is a ratio of standard deviations; the variance is their square",
        float(means.var().mean() / total): "that is the variance within the options; take that of their means",
    }
    number(found, float(right), 0.006, hints, "for a table of 200 rows and a choice of three options")
    return f"{right:.0%} of the variance, as `multiverse.explained_variance` finds"


@exercise
def selection(answer: dict, table: pd.DataFrame, first: str, second: str, share: float) -> str:
    """Exercise: choices, each defensible, under which one start beats another in at least this share.

    Args:
        answer: name of a choice -> option.
        table: frozen specifications.
        first: the start that is to win.
        second: the other.
        share: how often it has to.
    """
    if not isinstance(answer, dict) or not answer:
        raise Wrong('a dictionary is expected, such as {"sequences": "FLAIR"}')
    for name, option in answer.items():
        if name not in CHOICES:
            raise Wrong(f"{name!r} is no choice; there are {', '.join(CHOICES)}")
        if isinstance(option, list | tuple | set):
            raise Wrong(f"{name}: fix it to a single option, not to several")
        if option not in CHOICES[name]:
            raise Wrong(f"{name} cannot be {option!r}; there are {', '.join(map(repr, CHOICES[name]))}")
    if "seed" in answer:
        raise Wrong("nobody can defend the choice of a seed")
    pairs = paired_aucs(table, first, second)
    own = pairs[np.logical_and.reduce([pairs[name] == option for name, option in answer.items()])]
    if len(own) < ENOUGH:
        raise Wrong(f"only {len(own)} specifications are left; at least {ENOUGH} are wanted, so fix fewer choices")
    won = float(np.mean((np.sign(own["first"] - own["second"]) + 1) / 2))
    if won < share:
        raise Wrong(f"{first} beats {second} in {won:.0%} of the {len(own)} specifications; {share:.0%} are wanted")
    return f"{first} beats {second} in {won:.0%} of {len(own)} specifications, and no reader would object"
