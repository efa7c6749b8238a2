"""`verdicts`: every word of every claim, and what happens just at each bound."""

import numpy as np
import pytest

from radiogen_utils import article, evaluation, verdicts
from radiogen_utils.verdicts import CONTRADICTED, NOT_TESTED, SUPPORTED, UNDECIDED


def test_one_vocabulary():
    words = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTED)
    assert words == ("supported", "contradicted", "undecided", "not tested")
    assert (verdicts.REPRODUCED, verdicts.NOT_REPRODUCED) == ("reproduced", "not reproduced")


def test_the_protocol_s_numbers():
    """They were fixed before any result; whoever changes them changes the question."""
    assert (article.MARGIN, verdicts.SIGNIFICANCE, verdicts.MIN_REPEATS) == (0.05, 0.05, 2)
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
def test_only_the_published_cohort_and_label_are_the_published_task(cohort, label, expected):
    assert verdicts.published_task(COHORT | cohort, LABEL | label) is expected


@pytest.mark.parametrize(
    "auc, word",
    [
        (0.730, "reproduced"),
        (0.780, "reproduced"),
        (0.680, "reproduced"),
        (0.7801, "not reproduced"),
        (0.6799, "not reproduced"),
        (0.5, "not reproduced"),
        (1.0, "not reproduced"),
    ],
)
def test_reproduced_is_within_0_05_of_0_730_both_included(auc, word):
    for number in (auc, np.float64(auc)):
        assert verdicts.reproduction(number, 0.4, 1, 2, True).word == word


@pytest.mark.parametrize(
    "auc, low, high, why",
    [
        (0.664, 0.567, 0.756, "each value lies within the other's interval"),
        (0.605, 0.5, 0.73, "each value lies within the other's interval"),  # bounds included
        (0.844, 0.73, 0.9, "each value lies within the other's interval"),
        (0.664, 0.6, 0.729, "ours lies within the article's interval, the article's outside ours"),
        (0.604, 0.4, 0.73, "the article's lies within our interval, ours outside the article's"),
        (0.845, 0.731, 0.9, "neither value lies within the other's interval"),
    ],
)
def test_the_intervals_are_another_question_than_the_margin(auc, low, high, why):
    verdict = verdicts.reproduction(auc, low, high, 5, True)
    assert verdict.why.endswith(f"; {why}") and f"{abs(auc - 0.73):.3f} from the article's 0.730" in verdict.why


def test_reproduction_needs_repeats_and_the_published_question():
    assert verdicts.reproduction(0.73, 0.6, 0.8, 1, True) == verdicts.SINGLE_REPEAT
    other = verdicts.reproduction(0.73, 0.6, 0.8, 5, False)
    assert other == (NOT_TESTED, "this is not the published cohort and label")


@pytest.mark.parametrize(
    "low, high, word",
    [
        (1e-9, 0.1, SUPPORTED),
        (0.0, 0.1, UNDECIDED),
        (-0.053, 0.052, UNDECIDED),
        (-0.1, 0.0, UNDECIDED),
        (-0.1, -1e-9, CONTRADICTED),
    ],
)
def test_a_higher_auc_by_the_interval_of_the_difference(low, high, word):
    verdict = verdicts.higher_auc(low, high, 2)
    assert verdict.word == word and verdict.why.startswith("the interval of the difference")
    assert verdicts.higher_auc(low, high, 1) == verdicts.SINGLE_REPEAT
    assert verdicts.SINGLE_REPEAT.word == NOT_TESTED
    assert verdicts.higher_auc(low, high, 5, same_images=False) == (NOT_TESTED, "the two see different sequences")


def test_the_reason_names_the_side():
    assert "above zero" in verdicts.higher_auc(0.1, 0.2, 5).why
    assert "below zero" in verdicts.higher_auc(-0.2, -0.1, 5).why
    assert "-0.053 to +0.052, includes zero" in verdicts.higher_auc(-0.053, 0.052, 5).why


@pytest.mark.parametrize(
    "p, smallest, word",
    [
        (0.0499, 0.005, SUPPORTED),
        (0.05, 0.005, UNDECIDED),
        (0.9, 0.005, UNDECIDED),
        (0.05, 0.05, NOT_TESTED),  # 19 permutations
        (0.9, 0.1, NOT_TESTED),
        (0.0477, 0.0477, NOT_TESTED),  # 20 permutations, fewer than the protocol asks for
        (1 / 199, 1 / 199, NOT_TESTED),
        (1 / 200, 1 / 200, SUPPORTED),  # 199 permutations
    ],
)
def test_more_than_chance_only_where_so_many_permutations_could_show_it(p, smallest, word):
    assert verdicts.more_than_chance(p, smallest).word == word


def test_19_permutations_cannot_show_anything_and_199_can():
    few, many = (evaluation.smallest_p(np.zeros(n)) for n in (19, 199))
    assert verdicts.more_than_chance(few, few).word == NOT_TESTED
    assert verdicts.more_than_chance(many, many).word == SUPPORTED


def test_beyond_size_is_judged_by_what_is_left_without_the_area():
    words = [verdicts.beyond_size(*interval).word for interval in ((0.51, 0.7), (0.4, 0.6), (0.3, 0.49))]
    assert words == [SUPPORTED, UNDECIDED, CONTRADICTED]


ABOVE, BELOW, AROUND = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)


@pytest.mark.parametrize(
    "trained, control, word, why",
    [
        (ABOVE, ABOVE, SUPPORTED, "trained networks show it, more than random weights"),
        (ABOVE, AROUND, UNDECIDED, "trained networks show it, not clearly more than random weights"),
        (ABOVE, (0, 0.2), UNDECIDED, "trained networks show it, not clearly more than random weights"),
        (ABOVE, (-0.2, 0), UNDECIDED, "trained networks show it, not clearly more than random weights"),
        (ABOVE, BELOW, CONTRADICTED, "trained networks show it, less than random weights"),
        (AROUND, ABOVE, UNDECIDED, "trained networks do not clearly show it, more than random weights"),
        ((0, 0.2), ABOVE, UNDECIDED, "trained networks do not clearly show it, more than random weights"),
        ((-0.2, 0), ABOVE, UNDECIDED, "trained networks do not clearly show it, more than random weights"),
        (BELOW, ABOVE, CONTRADICTED, "trained networks show the opposite, more than random weights"),
    ],
)
def test_the_claim_on_the_margin_needs_trained_networks_to_show_it_and_to_exceed_the_control(
    trained, control, word, why
):
    assert verdicts.at_the_margin(trained, {"random weights": control}) == (word, why)


@pytest.mark.parametrize(
    "second, word", [(ABOVE, SUPPORTED), (AROUND, UNDECIDED), (BELOW, CONTRADICTED)], ids=["above", "around", "below"]
)
def test_every_control_counts_and_one_is_needed(second, word):
    for pair in ((ABOVE, second), (second, ABOVE)):
        verdict = verdicts.at_the_margin(ABOVE, dict(zip(("random weights", "blurred images"), pair, strict=True)))
        assert verdict.word == word and verdict.why.index("random") < verdict.why.index("blurred")
    assert verdicts.at_the_margin(ABOVE, {}) == (NOT_TESTED, "there is no control")


@pytest.mark.parametrize(
    "permuted, word, part",
    [
        ((0.024, 1.0), SUPPORTED, "more than permuted labels"),
        ((0.025, 1.0), UNDECIDED, "not clearly more than permuted labels"),
        ((0.5, 0.5), UNDECIDED, "not clearly more than permuted labels"),
        ((1.0, 0.025), UNDECIDED, "not clearly more than permuted labels"),
        ((1.0, 0.024), CONTRADICTED, "less than permuted labels"),
    ],
)
def test_networks_of_permuted_labels_count_by_rank_at_two_sides(permuted, word, part):
    for beyond in ({"random weights": ABOVE}, {}):
        verdict = verdicts.at_the_margin(ABOVE, beyond, permuted)
        assert verdict.word == word and verdict.why.endswith(f", {part}")
    assert verdicts.at_the_margin(AROUND, {}, (0.024, 1.0)).word == UNDECIDED
    assert verdicts.at_the_margin(ABOVE, {"random weights": BELOW}, (0.024, 1.0)).word == CONTRADICTED


@pytest.mark.parametrize(
    "crude, adjusted, word",
    [
        ((2.1, 9.0), (1.1, 6.7), SUPPORTED),
        ((2.1, 9.0), (1.0, 6.7), UNDECIDED),
        ((1.0, 9.0), (1.1, 6.7), UNDECIDED),
        ((2.1, 9.0), (0.5, 1.0), UNDECIDED),
        ((2.1, 9.0), (0.5, 0.99), CONTRADICTED),
        ((0.2, 0.9), (0.5, 1.5), CONTRADICTED),
    ],
)
def test_shorter_survival_holds_with_and_without_age_and_grade(crude, adjusted, word):
    assert verdicts.shorter_survival(crude, adjusted, 0.5).word == word


def test_a_ratio_that_changes_with_time_is_said_to():
    found = [verdicts.shorter_survival((2.1, 9.0), (1.1, 6.7), p) for p in (0.022, 0.05)]
    assert found[0].word == found[1].word == SUPPORTED
    assert found[0].why == (
        "the ratio's interval lies above one, adjusted above one; the ratio changes with time (p = 0.022) and is an "
        "average over the follow-up"
    )
    assert found[1].why == "the ratio's interval lies above one, adjusted above one"
    assert "below one, adjusted on both sides" in verdicts.shorter_survival((0.2, 0.9), (0.5, 1.5), 0.5).why


@pytest.mark.parametrize(
    "share, p, smallest, word",
    [
        (0.8, 0.049, 0.001, SUPPORTED),
        (0.2, 0.049, 0.001, CONTRADICTED),
        (0.8, 0.05, 0.001, UNDECIDED),
        (0.9, 0.05, 0.05, NOT_TESTED),
    ],
)
def test_better_in_most_specifications_by_p_and_side(share, p, smallest, word):
    assert verdicts.better_in_most(share, p, smallest).word == word


@pytest.mark.parametrize(
    "auc, low, high, word, why",
    [
        (0.92, 0.871, 0.96, SUPPORTED, "reaches the goal of 0.87, which lies below"),
        (0.88, 0.87, 0.95, UNDECIDED, "reaches the goal of 0.87, which lies within"),
        (0.84, 0.78, 0.90, UNDECIDED, "falls short of the goal of 0.87, which lies within"),
        (0.80, 0.75, 0.869, CONTRADICTED, "falls short of the goal of 0.87, which lies above"),
    ],
)
def test_a_goal_by_the_interval_and_the_value(auc, low, high, word, why):
    found = verdicts.goal(auc, low, high, 0.87, 5)
    assert found.word == word and why in found.why
    assert verdicts.goal(auc, low, high, 0.87, 1).word == NOT_TESTED
