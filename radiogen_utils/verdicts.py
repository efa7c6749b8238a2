"""The rules, fixed before any result, by which the course reaches its verdicts."""

from collections.abc import Mapping

from . import article

MIN_REPEATS = 2
"""Repeats of the cross-validation that a verdict needs: another shuffle may contradict a single one."""
ONE_REPEAT = "no verdict on one repeat"


def is_article_task(cohort: dict, label: dict) -> bool:
    """Whether a run predicts the article's label in the article's cohort.

    Args:
        cohort: section `cohort` of results.json.
        label: its section `patches`.
    """
    same_cohort = cohort["status"] in ("complete", "partial") and not cohort["problems"]
    return same_cohort and (label["column"], label["positive"]) == ("COCCluster", 2)


def reproduced(auc: float) -> bool:
    """Whether the glioblastoma arm's mean AUC is at most `article.MARGIN` from the published one."""
    # Rounded, because 0.78 - 0.73 is a little more than 0.05 in floating point.
    return bool(round(abs(auc - article.AUC["gbm"][0]), 9) <= article.MARGIN)


def reproduction(auc: float, repeats: int, article_task: bool) -> tuple[bool | None, str]:
    """The verdict on the article's AUC, and in words; `None` without one.

    Args:
        auc: mean of the glioblastoma arm's AUC over the repeats.
        repeats: how many there are.
        article_task: `is_article_task` of the run.
    """
    if not article_task:
        return None, "no verdict, this is not the published cohort and label"
    if repeats < MIN_REPEATS:
        return None, ONE_REPEAT
    return reproduced(auc), "reproduced" if reproduced(auc) else "not reproduced"


def better(low: float, high: float, repeats: int) -> str:
    """The claim that one arm has the greater AUC, in words.

    Args:
        low: lower end of the interval of its AUC minus that of the other arm.
        high: upper end.
        repeats: of the cross-validation.

    Example:
        >>> better(0.02, 0.11, repeats=5), better(-0.03, 0.11, repeats=5)
        ('supported', 'not decided')
    """
    if repeats < MIN_REPEATS:
        return ONE_REPEAT
    return "supported" if low > 0 else "contradicted" if high < 0 else "not decided"


def beats_baseline(low: float, high: float, repeats: int) -> str:
    """Whether a network ranks the patients better than the baseline, the trees, in words.

    Args:
        low: lower end of the interval of the AUC of the trees minus that of the network.
        high: upper end.
        repeats: of the cross-validation.
    """
    if repeats < MIN_REPEATS:
        return ONE_REPEAT
    if low > 0:
        return "no, the trees rank the patients better"
    if high < 0:
        return "yes, it ranks the patients better than the trees"
    return "not decided"


def at_the_margin(trained: Mapping[str, float], learnt: Mapping[str, float]) -> str:
    """The article's claim on heatmaps, in words: it holds if the trained networks show it and exceed untrained ones.

    Args:
        trained: `heatmaps.summarise` of the trained networks.
        learnt: the same of the patients' differences, trained minus untrained.
    """
    if trained["low"] <= 0:
        return "contradicted" if trained["high"] < 0 else "not supported"
    if learnt["low"] > 0:
        return "supported"
    return f"shown, but {'less' if learnt['high'] < 0 else 'not more'} than by untrained networks"
