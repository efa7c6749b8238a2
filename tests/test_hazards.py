"""`hazards`: recovered from simulated survival, with and without confounding, proportional and not; the real cohort."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from radiogen_utils.data.clinical import survival
from radiogen_utils.hazards import hazard_ratio, hazard_ratios


def simulate(hazard, seed=0, n=400, censored_at=1500.0, **columns):
    """Exponential survival, a hazard per day for each patient, followed for up to `censored_at` days."""
    time = np.random.default_rng(seed).exponential(1 / hazard, n)
    return pd.DataFrame(
        {"time_days": np.minimum(time, censored_at), "event": time < censored_at, **columns},
        index=[f"P{i}" for i in range(n)],
    )


def test_a_ratio_is_found_again_and_is_proportional():
    group = np.arange(400) % 2
    found = hazard_ratio(simulate(0.001 * 3.0**group, group=group), "group")
    assert found.low < 3 < found.high and found.ratio == pytest.approx(3, rel=0.2)
    assert found.low < found.ratio < found.high and found.proportional_p > 0.05
    assert found.patients == 400 and 200 < found.deaths < 400
    as_bool = simulate(0.001 * 3.0**group, group=group == 1)
    assert hazard_ratio(as_bool, "group") == found


def test_the_ratio_maximises_cox_s_partial_likelihood():
    """Against the likelihood written out, patient by patient; survival times are all different."""
    group = np.arange(60) % 2
    table = simulate(0.001 * 2.0**group, seed=3, n=60, group=group)

    def loss(beta):
        total = 0
        for time, event, own in table.to_numpy(float):
            at_risk = table.group[table.time_days >= time]
            total -= event * (beta * own - np.log(np.exp(beta * at_risk).sum()))
        return total

    beta = optimize.minimize_scalar(loss, bracket=(0, 1)).x
    step = 1e-3
    information = (loss(beta + step) - 2 * loss(beta) + loss(beta - step)) / step**2
    found = hazard_ratio(table, "group")
    assert found.ratio == pytest.approx(np.exp(beta), rel=1e-4)
    for bound, sign in ((found.low, -1), (found.high, 1)):
        assert bound == pytest.approx(np.exp(beta + sign * 1.959964 / np.sqrt(information)), rel=1e-3)


def test_a_ratio_that_changes_with_time_is_not_proportional():
    """Five times the hazard in the first 300 days, a third of it from then on."""
    group = np.arange(400) % 2
    rng = np.random.default_rng(0)
    early, late = rng.exponential(1 / (0.001 * 5.0**group)), rng.exponential(1 / (0.001 * (1 / 3) ** group))
    time = np.where(early < 300, early, 300 + late)
    table = pd.DataFrame({"time_days": time, "event": True, "group": group})
    assert hazard_ratio(table, "group").proportional_p < 1e-6


def test_the_test_is_of_the_group_and_not_of_what_it_is_adjusted_for():
    rng = np.random.default_rng(0)
    group, other = np.arange(400) % 2, np.arange(400) // 2 % 2
    early, late = (rng.exponential(1 / (0.001 * 2.0**group * ratio**other)) for ratio in (5.0, 1 / 3))
    table = pd.DataFrame(
        {"time_days": np.where(early < 300, early, 300 + late), "event": True, "group": group, "other": other}
    )
    assert hazard_ratio(table, "group", ["other"]).proportional_p > 0.01
    assert hazard_ratio(table, "other", ["group"]).proportional_p < 1e-6


def test_the_test_of_proportionality_keeps_its_level():
    group = np.arange(100) % 2
    p = [
        hazard_ratio(simulate(0.001 * 2.0**group, seed, 100, group=group), "group").proportional_p
        for seed in range(100)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.13 and np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.2)


def test_a_confounder_is_adjusted_for():
    """Age alone kills, and the group is old: a ratio unadjusted, none adjusted."""
    rng = np.random.default_rng(1)
    group = np.arange(400) % 2
    age = 40 + 15 * group + rng.normal(0, 8, 400)
    table = simulate(0.0005 * np.exp(0.07 * (age - 40)), group=group, age=age)
    crude, adjusted = hazard_ratio(table, "group"), hazard_ratio(table, "group", ["age"])
    assert crude.low > 1.5 and adjusted.low < 1 < adjusted.high


def test_patients_with_a_value_missing_are_left_out():
    group = np.arange(400) % 2
    table = simulate(0.001 * 3.0**group, group=group, age=50.0 + np.arange(400) % 7, unused=np.nan)
    table.loc["P5", "age"] = np.nan
    assert hazard_ratio(table, "group").patients == 400
    adjusted = hazard_ratio(table, "group", ["age"])
    assert adjusted.patients == 399 and adjusted == hazard_ratio(table.drop("P5"), "group", ["age"])


def test_what_has_no_ratio_is_named():
    table = simulate(0.001, n=20, group=np.arange(20) % 2)
    with pytest.raises(ValueError, match="0 and 1 with both present; found \\[1.0\\]"):
        hazard_ratio(table[table.group == 1], "group")
    with pytest.raises(ValueError, match="found \\[1.0, 2.0\\]"):
        hazard_ratio(table.assign(group=table.group + 1), "group")
    with pytest.raises(ValueError, match="nobody has died"):
        hazard_ratio(table.assign(event=False), "group")


def test_the_real_cohort(real_cohort):
    table = survival(real_cohort).join(real_cohort.patients).assign(second=real_cohort.labels())
    crude = hazard_ratio(table, "second")
    assert crude[:3] == pytest.approx((4.35, 2.09, 9.05), abs=0.005)
    assert crude.proportional_p == pytest.approx(0.022, abs=5e-4)
    assert (crude.patients, crude.deaths) == (110, 32)
    age, grade = "age_at_initial_pathologic", "neoplasm_histologic_grade"
    adjusted = hazard_ratio(table, "second", [age, grade])
    assert adjusted[:3] == pytest.approx((2.71, 1.10, 6.66), abs=0.005) and adjusted.patients == 109
    # It is grade that takes from the ratio; age adds to it.
    assert hazard_ratio(table, "second", [age]).ratio == pytest.approx(5.61, abs=0.005)


def test_an_adjustment_without_a_solution_is_named_and_left_out(capsys):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"time_days": rng.exponential(500, 60) + 1, "event": True, "group": rng.integers(0, 2, 60) == 1}
    )
    table["constant"] = np.nan
    found = hazard_ratios(table, "group", {"alone": [], "with nothing known": ["constant"]})
    assert list(found.index) == ["alone"] and "no hazard ratio, with nothing known" in capsys.readouterr().out
    assert found.ratio["alone"] == hazard_ratio(table, "group").ratio
