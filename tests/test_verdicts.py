"""`verdicts`: what happens just at each bound, and that the committed verdicts follow from the committed numbers."""

import json

import numpy as np
import pytest

from radiogen_utils import article, evaluation, verdicts
from radiogen_utils.support import project_root


@pytest.fixture(scope="module")
def committed():
    return json.loads((project_root() / "figures" / "results.json").read_text())


@pytest.mark.parametrize(
    "auc, expected",
    [(0.730, True), (0.780, True), (0.680, True), (0.7801, False), (0.6799, False), (0.5, False), (1.0, False)],
)
def test_reproduced_is_within_0_05_of_0_730_both_included(auc, expected):
    assert verdicts.reproduced(auc) is expected and verdicts.reproduced(np.float64(auc)) is expected


@pytest.mark.parametrize(
    "auc, repeats, article_task, answer",
    [
        (0.78, 2, True, (True, "reproduced")),
        (0.79, 5, True, (False, "not reproduced")),
        (0.73, 1, True, (None, "no verdict on one repeat")),
        (0.73, 5, False, (None, "no verdict, this is not the published cohort and label")),
    ],
)
def test_the_verdict_needs_repeats_and_the_article_s_task(auc, repeats, article_task, answer):
    assert verdicts.reproduction(auc, repeats, article_task) == answer


@pytest.mark.parametrize(
    "low, high, repeats, answer",
    [
        (0.01, 0.1, 2, "supported"),
        (0.0, 0.1, 2, "not decided"),
        (-0.1, 0.0, 2, "not decided"),
        (-0.1, -0.01, 2, "contradicted"),
        (0.01, 0.1, 1, "no verdict on one repeat"),
    ],
)
def test_one_arm_is_better_where_the_interval_says_so_and_not_on_one_repeat(low, high, repeats, answer):
    assert verdicts.better(low, high, repeats) == answer


def test_the_protocol_s_numbers():
    """They were fixed before any result; changing them changes the question."""
    assert article.MARGIN == 0.05
    assert article.AUC == {
        "gbm": (0.730, 0.605, 0.844),
        "scratch": (0.680, 0.538, 0.811),
        "natural": (0.640, 0.521, 0.763),
    }
    assert (article.POSITIVES, article.NEGATIVES) == (24, 86)


COHORT, LABEL = {"status": "complete", "problems": 0}, {"column": "COCCluster", "positive": 2}


@pytest.mark.parametrize(
    "cohort, label, expected",
    [
        ({}, {}, True),
        ({"status": "partial"}, {}, True),
        ({"status": "own"}, {}, False),
        ({"status": "synthetic"}, {}, False),
        ({"problems": 1}, {}, False),
        ({}, {"positive": 3}, False),
        ({}, {"column": "RPPACluster"}, False),
    ],
)
def test_only_the_published_cohort_and_label_get_a_verdict(cohort, label, expected):
    assert verdicts.is_article_task(COHORT | cohort, LABEL | label) is expected


@pytest.mark.parametrize(
    "low, high, answer",
    [(0.01, 0.2, "no, the trees"), (-0.2, -0.01, "yes, it"), (-0.1, 0.1, "not"), (0, 0.1, "not"), (-0.1, 0, "not")],
)
def test_an_interval_that_touches_0_decides_nothing_about_the_baseline(low, high, answer):
    assert verdicts.beats_baseline(low, high, 1) == "no verdict on one repeat"
    assert verdicts.beats_baseline(low, high, 2).startswith(answer)


ABOVE, BELOW, AROUND = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)


@pytest.mark.parametrize(
    "trained, learnt, answer",
    [
        (ABOVE, ABOVE, "supported"),
        (ABOVE, AROUND, "shown, but not more than by untrained networks"),
        (ABOVE, (0, 0.2), "shown, but not more than by untrained networks"),
        (ABOVE, (-0.2, 0), "shown, but not more than by untrained networks"),
        (ABOVE, BELOW, "shown, but less than by untrained networks"),
        (AROUND, ABOVE, "not supported"),
        ((0, 0.2), ABOVE, "not supported"),
        ((-0.2, 0), ABOVE, "not supported"),
        (BELOW, ABOVE, "contradicted"),
    ],
)
def test_the_claim_on_the_margin_needs_trained_networks_to_show_it_and_to_exceed_untrained_ones(
    trained, learnt, answer
):
    assert (
        verdicts.at_the_margin(*(dict(zip(("low", "high"), interval, strict=True)) for interval in (trained, learnt)))
        == answer
    )


def test_the_committed_verdicts_follow_from_the_committed_numbers(committed):
    roc, heatmaps = committed["roc"], committed["heatmaps"]
    assert verdicts.is_article_task(committed["cohort"], committed["patches"])
    ours = next(row["auc"] for row in roc["summary"] if [row["arm"], row["backbone"]] == roc["main"])
    assert roc["reproduced"] is verdicts.reproduced(ours)
    assert roc["difference_from_paper"] == pytest.approx(ours - article.AUC["gbm"][0])
    assert {arm: tuple(values) for arm, values in roc["article"].items()} == article.AUC
    against = {row["comparison"]: (row["low"], row["high"], row["repeats"]) for row in roc["comparisons"]}
    found = {}
    for comparison, interval in against.items():
        first, second = (part.rsplit(", ", 1) for part in comparison.split(" − "))
        initialisation, sequences = evaluation.split_arm(second[0])
        if first == ["image features", "trees"] and (initialisation, second[1]) == ("gbm", "compact"):
            found[sequences] = verdicts.beats_baseline(*interval)
    assert roc["beats_baseline"] == found and len(found) == 3
    summaries = {(row["question"], row["method"], row["network"]): row for row in heatmaps["summaries"]}
    for question, by_method in heatmaps["verdicts"].items():
        for method, answer in by_method.items():
            rows = (summaries[question, method, network] for network in ("trained", "trained − random"))
            assert answer == verdicts.at_the_margin(*rows)
    for row in roc["permutations"]:
        assert row["smallest_p"] == evaluation.smallest_p(np.zeros(int(row["permutations"])))
