"""Checks of notebook 1."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter

from . import Wrong, exercise, number


@exercise
def alive(answer: float, survival: pd.DataFrame, years: float) -> str:
    """Exercise: the share of a group that is alive after some years, by the Kaplan–Meier estimate.

    Args:
        answer: the reader's.
        survival: `time_days` and `event` of the group.
        years: after diagnosis.
    """
    time, event = survival.time_days / 365.25, survival.event

    def estimated(time: pd.Series, event: pd.Series | None = event) -> float:
        return float(KaplanMeierFitter().fit(time, event).predict(years))

    estimate, died = estimated(time), float((event & (time <= years)).mean())
    unit = f"the times and the argument of `predict` need one unit: with `time_days / 365.25` it is predict({years:g})"
    hints = {
        1 - died: "that counts everybody who left the study early as alive; they were followed for a shorter time",
        float((time > years).mean()): "that counts everybody who left the study early as dead; use the estimate",
        1 - estimate: "that is the share that has died",
        estimated(survival.time_days): unit,
        estimated(survival.time_days / 30.44): unit,
        estimated(time, None): "that takes everybody who left for dead: give `event` as well",
    }
    if isinstance(answer, KaplanMeierFitter):
        raise Wrong(f"that is the whole curve; its method `predict({years:g})` gives one value")
    if abs(estimate - (1 - died)) <= 0.005:
        hints.pop(1 - died)
    number(answer, estimate, 0.005, hints)
    return f"{estimate:.0%} are alive after {years:g} years"


@exercise
def survival_curve(answer: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """Exercise: the Kaplan–Meier estimate, written by hand; a function of times (N,) and deaths (N,)."""
    time, event = np.array([6.0, 2, 3, 5, 3, 8, 9, 5]), np.array([1, 1, 0, 1, 1, 0, 0, 1]) == 1
    found = answer(time, event)
    estimate = KaplanMeierFitter().fit(time, event).predict(float(time.max()))
    no_censoring, died_as_numbers = 1 - event.mean(), event.astype(int).tolist()
    at_risk_after = dead = 1.0
    for moment in np.unique(time[event]):
        died = (event & (time == moment)).sum()
        at_risk_after *= 1 - died / max((time > moment).sum(), 1)
        dead *= died / (time >= moment).sum()
    hints = {
        float(dead): "that multiplies the shares that die; multiply those that survive, 1 − d/n",
        0.0: "that steps down where somebody only leaves; go through the times of deaths, `time[died]`",
        float(no_censoring): "that is the plain share of survivors: the number at risk falls with everybody who leaves",
        float(
            np.prod([1 - (event & (time == t)).sum() / (time >= t).sum() for t in time[event]])
        ): "a time at which two die counts twice; go through each time once, `np.unique(time[died])`",
        float(
            np.prod([1 - (event & (time == t)).sum() / len(time) for t in np.unique(time[event])])
        ): "the number at risk falls with everybody who dies or leaves: `(time >= t).sum()`",
        float(
            1 - (event & (time == time.min())).sum() / len(time)
        ): "that is the first step only: is the `return` inside the loop?",
        float(at_risk_after): "whoever dies or leaves at a time is still at risk at that time: use >=, not >",
    }
    if np.size(found) > 1:
        raise Wrong("the curve has many values; return the last one, at the end of follow-up")
    where = f"for time = {time.tolist()} and died = {died_as_numbers}"
    number(found, float(estimate), 1e-6, hints, where.replace(".0", ""))
    fewer = event & (time < 6)
    if not np.isclose(answer(time, fewer), KaplanMeierFitter().fit(time, fewer).predict(float(time.max()))):
        raise Wrong("right for these patients, but not for others: is a number written into the function?")
    return "your product agrees with lifelines: whoever leaves is counted until then"


@exercise
def side(answer: str, shift: pd.Series, laterality: pd.Series) -> str:
    """Exercise: on which side of the image the patient's left lies.

    Args:
        answer: "left" or "right" of the image.
        shift: by patient, how far the tumour lies right of the head's middle in the image, in pixels.
        laterality: by patient, 1 where the clinical table says left and 3 where it says right.
    """
    left = shift[laterality == 1].mean()
    right = "right" if left > 0 else "left"
    said = str(answer).strip().lower()
    if said not in ("left", "right"):
        raise Wrong('answer with "left" or "right", in quotes')
    if said != right:
        raise Wrong(
            f"tumours that the table calls left lie {abs(left):.0f} pixels to the {right} of the middle on average"
        )
    return f"the patient's left is on the {right} of the image, as if you looked from the patient's feet"
