"""Hazard ratio of a group of patients, crude and adjusted, and whether it is one number at all times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import proportional_hazard_test


class HazardRatio(NamedTuple):
    """Of Cox's model (J R Stat Soc B 1972;34:187–220), with its 95 % interval.

    Attributes:
        ratio: hazard of death in the group divided by that of the others, at the same value of the covariates.
        low, high: 95 % interval (Wald).
        proportional_p: p value of the test that the ratio is the same at all times; where it is small, the ratio is an
            average over the follow-up, in which the times with many deaths count most.
        patients, deaths: those with no value missing, from which all the others come.
    """

    ratio: float
    low: float
    high: float
    proportional_p: float
    patients: int
    deaths: int


def hazard_ratio(table: pd.DataFrame, group: str, adjusted_for: Sequence[str] = ()) -> HazardRatio:
    """Hazard ratio of one group of patients against the others, at the same value of other covariates if any.

    Proportional hazards are tested by the correlation of the scaled Schoenfeld residuals with the rank of the time of
    death (Grambsch and Therneau, Biometrika 1994;81:515–526). A covariate that the group's biology brings about, as
    grade may be, is part of the group's effect: adjusting for it takes away more than confounding.

    Args:
        table: one row a patient, with `time_days` (days, > 0) and `event` (True for a death), as `clinical.survival`
            gives them, the group and the covariates. Rows with a value missing are left out.
        group: column of 0 and 1, or bool.
        adjusted_for: columns of numbers, say years of age.

    Raises:
        ValueError: the group is not of 0 and 1 with both present, or nobody has died.
        lifelines.exceptions.ConvergenceError: the model has no finite solution, for example where no patient of the
            group has died.
    """
    complete = table[["time_days", "event", group, *adjusted_for]].dropna().astype(float)
    values = set(complete[group].unique())
    if values != {0, 1}:
        raise ValueError(f"{group} must be 0 and 1 with both present; found {sorted(map(float, values))}")
    if not complete.event.any():
        raise ValueError("nobody has died: there is no hazard to compare")
    model = CoxPHFitter().fit(complete, "time_days", "event")
    bounds = np.exp(model.confidence_intervals_.loc[group])
    test = proportional_hazard_test(model, complete, time_transform="rank")
    p = test.summary.p[group]
    return HazardRatio(
        float(model.hazard_ratios_[group]), *map(float, bounds), float(p), len(complete), int(complete.event.sum())
    )


def hazard_ratios(table: pd.DataFrame, group: str, adjustments: dict[str, Sequence[str]]) -> pd.DataFrame:
    """`hazard_ratio` under several adjustments, a row each; one that has no solution is named and left out.

    Args:
        table: as for `hazard_ratio`.
        group: likewise.
        adjustments: row's name -> columns that are adjusted for.
    """
    rows = {}
    for name, covariates in adjustments.items():
        try:
            rows[name] = hazard_ratio(table, group, covariates)._asdict()
        except (ValueError, ConvergenceError) as reason:
            print(f"no hazard ratio, {name}: {str(reason).splitlines()[0]}")
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(HazardRatio._fields))


def median_survival(table: pd.DataFrame) -> str:
    """Median survival by the Kaplan–Meier estimate, in words.

    Args:
        table: `time_days` and `event` by patient.

    Example:
        >>> median_survival(pd.DataFrame({"time_days": [365.25, 730.5, 1000], "event": [True, True, False]}))
        '2.0 years'
        >>> median_survival(pd.DataFrame({"time_days": [365.25, 730.5, 1000], "event": [True, False, False]}))
        'not reached'
    """
    median = KaplanMeierFitter().fit(table.time_days / 365.25, table.event).median_survival_time_
    return f"{median:.1f} years" if np.isfinite(median) else "not reached"
