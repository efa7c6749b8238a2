"""The rules, fixed before any result, by which the course answers yes or no."""

from . import article


def published_task(cohort: dict, label: dict) -> bool:
    """Whether a run asks the article's question about the article's cohort.

    Args:
        cohort, label: sections `cohort` and `patches` of results.json.
    """
    published = cohort["status"] in ("complete", "partial") and not cohort["problems"]
    return published and (label["column"], label["positive"]) == ("COCCluster", 2)


def reproduced(auc: float) -> bool:
    """Whether the glioblastoma arm's mean AUC is at most `article.MARGIN` from the published one."""
    # Rounded, because 0.78 - 0.73 is a little more than 0.05 in floating point.
    return bool(round(abs(auc - article.AUC["gbm"][0]), 9) <= article.MARGIN)


def clears_the_bar(low: float, high: float) -> str:
    """Whether a network ranks the patients better than the trees do, in words.

    Args:
        low, high: interval of the AUC of the trees minus that of the network.
    """
    if low > 0:
        return "no, the trees rank the patients better"
    if high < 0:
        return "yes, it ranks the patients better than the trees"
    return "not decided"


def at_the_margin(trained, learnt) -> str:
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
