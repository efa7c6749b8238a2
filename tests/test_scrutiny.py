"""`scrutiny`: chance, institutions and calibration."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, facts, scrutiny

MAIN = facts.FIRST_STUDY
SITES = np.repeat(["A", "B"], 20)


@pytest.fixture
def y_true():
    return np.tile([1, 0, 0, 1, 0], 8)


def rows(model, y_true, score, network=None, repeat=0, fold=0):
    patients = [f"P_{site}_{i:02}" for i, site in enumerate(SITES)]
    return facts.table(model, network, repeat=repeat, fold=fold, patient=patients, y_true=y_true, score=score)


def test_the_line_that_mends_probabilities_is_the_one_that_bent_them():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=40000)
    y_true = rng.random(40000) < expit(truth)
    line = scrutiny.calibration_line(y_true, 2 * truth + 1)  # too extreme, and too high
    assert line.slope.value == pytest.approx(0.5, abs=0.03) and line.intercept.value == pytest.approx(-0.5, abs=0.05)
    assert line.slope.low < line.slope.value < line.slope.high < 1


def test_wald_intervals_are_those_of_a_table():
    """Two groups: the standard errors of a difference of log-odds are known."""
    group = np.r_[np.zeros(50), np.ones(50)]
    y_true = np.r_[np.ones(20), np.zeros(30), np.ones(30), np.zeros(20)]
    line = scrutiny.calibration_line(y_true, group)
    error = np.sqrt(1 / 20 + 1 / 30 + 1 / 30 + 1 / 20)
    assert line.slope.value == pytest.approx(logit(0.6) - logit(0.4), abs=1e-4)
    assert line.slope.high - line.slope.value == pytest.approx(evaluation.Z * error, rel=1e-3)


def test_the_permutation_test_is_of_the_first_repeat(y_true):
    rng = np.random.default_rng(0)
    scores = pd.concat([rows(MAIN, y_true, rng.normal(size=40) + y_true, repeat=repeat) for repeat in (0, 1)])
    observed = evaluation.patient_scores(scores, MAIN)
    auc = roc_auc_score(observed.y_true, observed.score)
    permutations = pd.DataFrame([vars(MAIN) | {"permutation": i, "auc": a} for i, a in enumerate((auc, 0.4, 0.5))])
    (found,) = scrutiny.chance_table(scores, permutations).to_dict("records")
    assert (found["observed"], found["permutations"], found["p"], found["smallest_p"]) == (auc, 3, 2 / 4, 1 / 4)
    assert scrutiny.chance_table(scores, permutations[:0]).empty
    perfect = pd.concat([rows(MAIN, y_true, y_true, network=1), scores.assign(network=0)])
    (found,) = scrutiny.chance_table(perfect, permutations).to_dict("records")
    assert found["observed"] == pytest.approx((auc + 1) / 2)


def test_a_score_of_the_institution_alone_is_worth_nothing_within(y_true):
    y_true = np.r_[np.tile([1, 1, 1, 0], 5), np.tile([1, 0, 0, 0], 5)]  # more positives in A
    by_site = (SITES == "A") * 1.0
    usual, left_out = MAIN, replace(MAIN, split="institution")
    tables = [rows(usual, y_true, by_site, network) for network in (0, 1)]
    tables += [rows(left_out, y_true, by_site, network, fold=(SITES == "A") * 1) for network in (0, 1)]
    (found,) = scrutiny.institutions_left_out(pd.concat(tables)).to_dict("records")
    assert found["random folds, mean"] == found["institution left out"] == pytest.approx(0.75)
    assert found["within"] == 0.5 and found["split"] == "folds"
    assert scrutiny.institutions_left_out(pd.concat(tables[:2])).empty


def test_an_operating_point_is_that_of_the_first_repeat(y_true):
    rng = np.random.default_rng(0)
    tables = [rows(MAIN, y_true, rng.normal(size=40) + y_true, repeat=repeat) for repeat in (0, 1)]
    found = scrutiny.operating_points(pd.concat(tables), [MAIN, facts.simple("absent", "trees")], 0.9)
    assert list(found.index) == [str(MAIN), "always the share of positives"]
    score = evaluation.patient_scores(tables[0], MAIN).score
    expected = evaluation.sensitivity_at(y_true, score, 0.9)
    assert tuple(found.iloc[0, 1:]) == expected and expected[1] < expected[0] < expected[2]
    assert found["Brier score"].iloc[0] == np.mean((evaluation.probabilities(score, 0.4) - y_true) ** 2)
    assert found["Brier score"].iloc[1] == pytest.approx(0.4 * 0.6)


def test_the_auc_with_size_is_that_of_all_repeats(y_true):
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=40) + y_true for _ in range(2)]
    table = pd.concat([rows(MAIN, y_true, score, repeat=repeat) for repeat, score in enumerate(scores)])
    without = pd.DataFrame([vars(MAIN) | {"auc": 0.6, "low": 0.52, "high": 0.7}]).astype({"pixels": "Int64"})
    (found,) = scrutiny.with_and_without_size(table, without).to_dict("records")
    assert found["auc with size"] == pytest.approx(np.mean([roc_auc_score(y_true, score) for score in scores]))
    assert (found["auc"], found["verdict"]) == (0.6, "supported")
