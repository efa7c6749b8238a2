"""From results to words: the rules, fixed before any result, by which the course says what a result means.

One vocabulary for every claim. *Supported*: an interval lies wholly on the claim's side. *Contradicted*: wholly on the
other. *Undecided*: the data allow both. *Not tested*: what was done could not have decided, whatever came out. A claim
with several parts is supported where all are, contradicted where one is.
"""

from collections.abc import Mapping
from typing import NamedTuple

from . import article

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTED = "supported", "contradicted", "undecided", "not tested"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"

MIN_REPEATS = 2
"""Repeats of the cross-validation that a verdict needs: one is a single draw, which the next shuffle contradicts."""
SIGNIFICANCE = 0.05
MIN_PERMUTATIONS = 199
"""Permutations of the labels that a verdict needs, by the protocol, of any network."""

Interval = tuple[float, float]


class Verdict(NamedTuple):
    """A word of the vocabulary, and why: a clause without a capital letter or a full stop."""

    word: str
    why: str


SINGLE_REPEAT = Verdict(NOT_TESTED, "a single repeat is one draw, which the next shuffle may contradict")


def published_task(cohort: Mapping, label: Mapping) -> bool:
    """Whether a run asks the article's question about the article's cohort.

    Args:
        cohort: section `cohort` of results.json.
        label: its section `patches`.
    """
    published = cohort["status"] in ("complete", "partial") and not cohort["problems"]
    return published and (label["column"], label["positive"]) == ("COCCluster", 2)


def reproduction(auc: float, low: float, high: float, repeats: int, published: bool) -> Verdict:
    """Whether the glioblastoma arm reproduces the article's AUC: within `article.MARGIN` of it, bounds included.

    The reason adds whether each value lies in the other's 95 % interval, which is another question: the margin was
    fixed beforehand, the intervals are as wide as the patients are few.

    Args:
        auc: mean of the arm's AUC over the repeats.
        low: lower end of its interval.
        high: upper end.
        repeats: how many there are.
        published: `published_task` of the run.

    Returns:
        reproduced, not reproduced, or not tested.
    """
    if not published:
        return Verdict(NOT_TESTED, "this is not the published cohort and label")
    if repeats < MIN_REPEATS:
        return SINGLE_REPEAT
    theirs, their_low, their_high = article.AUC["gbm"]
    # Rounded, because 0.78 - 0.73 is a little more than 0.05 in floating point.
    distance = round(abs(auc - theirs), 9)
    word = REPRODUCED if distance <= article.MARGIN else NOT_REPRODUCED
    within = f"{distance:.3f} from the article's {theirs:.3f}, where at most {article.MARGIN} was to be reproduced"
    return Verdict(word, f"{within}; {_mutual(their_low <= auc <= their_high, low <= theirs <= high)}")


def _mutual(ours_in_theirs: bool, theirs_in_ours: bool) -> str:
    if ours_in_theirs and theirs_in_ours:
        return "each value lies within the other's interval"
    if ours_in_theirs:
        return "ours lies within the article's interval, the article's outside ours"
    if theirs_in_ours:
        return "the article's lies within our interval, ours outside the article's"
    return "neither value lies within the other's interval"


def _sign(low: float, high: float, null: float = 0) -> str:
    """Of the claim that a number exceeds `null`, by its interval; one that touches it decides nothing."""
    return SUPPORTED if low > null else CONTRADICTED if high < null else UNDECIDED


def _all(words: list[str]) -> str:
    """Of a claim from its parts."""
    return next((word for word in (CONTRADICTED, UNDECIDED) if word in words), SUPPORTED)


def higher_auc(low: float, high: float, repeats: int, same_images: bool = True) -> Verdict:
    """The claim that one arm or model has the higher AUC than another.

    Args:
        low: lower end of the interval of its AUC minus the other's on the same patients.
        high: upper end.
        repeats: of the cross-validation, the fewer of the two.
        same_images: whether both see the same sequences; a difference could come from them as well as from the model.
    """
    if not same_images:
        return Verdict(NOT_TESTED, "the two see different sequences")
    if repeats < MIN_REPEATS:
        return SINGLE_REPEAT
    word = _sign(low, high)
    reason = {
        SUPPORTED: "the interval of the difference lies above zero",
        CONTRADICTED: "the interval of the difference lies below zero",
        UNDECIDED: f"the interval of the difference, {low:+.3f} to {high:+.3f}, includes zero",
    }
    return Verdict(word, reason[word])


def more_than_chance(p: float, smallest_p: float) -> Verdict:
    """The claim that labels can be predicted at all, by permutation; a one-sided test cannot contradict it.

    Args:
        p: of the permutation test.
        smallest_p: that so many permutations can give (`evaluation.smallest_p`).
    """
    if smallest_p >= SIGNIFICANCE:
        return Verdict(NOT_TESTED, f"so few permutations cannot give less than p = {smallest_p:.2g}")
    if (permutations := round(1 / smallest_p) - 1) < MIN_PERMUTATIONS:
        return Verdict(
            NOT_TESTED, f"the protocol asks for {MIN_PERMUTATIONS} permutations, and there are {permutations}"
        )
    if p < SIGNIFICANCE:
        return Verdict(SUPPORTED, f"p = {p:.2g} is less than {SIGNIFICANCE}")
    return Verdict(UNDECIDED, f"p = {p:.2g} is not less than {SIGNIFICANCE}")


def better_in_most(share: float, p: float, smallest_p: float) -> Verdict:
    """The claim that one initialisation ranks better than another in most specifications of a multiverse.

    Args:
        share: of the specifications in which it does.
        p: two-sided, of the share (`multiverse.share_p`), adjusted where several are tested.
        smallest_p: that so many permutations can give.
    """
    if smallest_p >= SIGNIFICANCE:
        return Verdict(NOT_TESTED, f"so few permutations cannot give less than p = {smallest_p:.2g}")
    found = f"it ranks better in {share:.0%} of the specifications, p = {p:.2g}"
    if p < SIGNIFICANCE:
        return Verdict(SUPPORTED if share > 0.5 else CONTRADICTED, found)
    return Verdict(UNDECIDED, f"{found}, which is no more than exchanging patients' ranks gives")


def goal(auc: float, low: float, high: float, wanted: float, repeats: int) -> Verdict:
    """The claim that an AUC reaches a goal that was set beforehand.

    Args:
        auc: mean over the repeats.
        low: lower end of its interval.
        high: upper end.
        wanted: the goal.
        repeats: how many there are.
    """
    if repeats < MIN_REPEATS:
        return SINGLE_REPEAT
    side = "reaches" if auc >= wanted else "falls short of"
    place = {SUPPORTED: "below", CONTRADICTED: "above", UNDECIDED: "within"}
    word = _sign(low, high, wanted)
    return Verdict(word, f"the AUC, {auc:.3f}, {side} the goal of {wanted:.2f}, which lies {place[word]} its interval")


def beyond_size(low: float, high: float) -> Verdict:
    """The claim that a score tells something of the label that the tumour's area does not.

    That is less than to rank the patients better than the area does.

    Args:
        low: lower end of the interval of its AUC with the area taken out (`size.size_adjusted_auc`).
        high: upper end.
    """
    word = _sign(low, high, null=0.5)
    reason = {
        SUPPORTED: "what is left without the area lies above one half",
        CONTRADICTED: "what is left without the area lies below one half",
        UNDECIDED: f"what is left without the area, {low:.3f} to {high:.3f}, includes one half",
    }
    return Verdict(word, reason[word])


def at_the_margin(
    trained: Interval, beyond: Mapping[str, Interval], permuted: tuple[float, float] | None = None
) -> Verdict:
    """The article's claims on heatmaps: trained networks show it, and more so than each control.

    Args:
        trained: interval of the measure in the trained networks.
        beyond: control, such as "random weights" -> interval of the patients' differences, trained minus control.
        permuted: p values, each one-sided, that networks of permuted labels show it as much, and as little
            (`heatmaps.among_permutations`), where there are many permutations; a single one decides nothing. Without
            any control the claim is not tested: what such networks do as well was not learnt of the label.
    """
    words = [_sign(*trained), *(_sign(*interval) for interval in beyond.values())]
    names = list(beyond)
    if permuted is not None:
        more, less = (p < SIGNIFICANCE / 2 for p in permuted)
        words.append(SUPPORTED if more else CONTRADICTED if less else UNDECIDED)
        names.append("permuted labels")
    if not names:
        return Verdict(NOT_TESTED, "there is no control")
    reasons = {
        SUPPORTED: ("trained networks show it", "more than {}"),
        CONTRADICTED: ("trained networks show the opposite", "less than {}"),
        UNDECIDED: ("trained networks do not clearly show it", "not clearly more than {}"),
    }
    controls = zip(words[1:], names, strict=True)
    parts = [reasons[words[0]][0], *(reasons[word][1].format(name) for word, name in controls)]
    return Verdict(_all(words), ", ".join(parts))


def shorter_survival(crude: Interval, adjusted: Interval, proportional_p: float) -> Verdict:
    """The claim that the cluster's patients live shorter, by hazard ratios against the others.

    Args:
        crude: interval of the hazard ratio (`hazards.hazard_ratio`).
        adjusted: the same, adjusted for age and grade.
        proportional_p: of the test that the crude ratio is the same at all times.
    """
    words = [_sign(*interval, null=1) for interval in (crude, adjusted)]
    reason = {
        SUPPORTED: "above one",
        CONTRADICTED: "below one",
        UNDECIDED: "on both sides of one",
    }
    why = f"the ratio's interval lies {reason[words[0]]}, adjusted {reason[words[1]]}"
    if proportional_p < SIGNIFICANCE:
        why += f"; the ratio changes with time (p = {proportional_p:.2g}) and is an average over the follow-up"
    return Verdict(_all(words), why)
