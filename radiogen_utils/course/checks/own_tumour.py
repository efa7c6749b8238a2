"""Checks of notebook 11."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit
from torch import nn

from ... import own_tumour, training
from ...data.own_image import OwnImage
from . import Wrong, exercise, number


@exercise
def score(answer: Callable[..., float], networks: Sequence[nn.Module], images: np.ndarray) -> str:
    """Exercise: the score of a tumour from several networks and slices, as `own_tumour.assess`.

    Args:
        answer: function of networks and images.
        networks: the ten.
        images: (S, 1, 80, 80) uint8.
    """
    found = answer(networks, images)
    if found is None or found is ...:
        raise Wrong("the function returns nothing yet: end it with `return` and the score")
    logits = np.array([training.predict(network, images)[:, 0] for network in networks])
    hints = {
        float(expit(logits).mean()): "that is a mean of probabilities; the score stays in log-odds",
        float(logits.sum()): "that is the sum; take the mean",
        float(logits[0].mean()): "that is the first network alone",
        float(logits[:, 0].mean()): "that is the first slice alone",
        float(np.median(logits)): "that is the median; the course takes the mean",
    }
    number(float(np.mean(found)) if np.size(found) == 1 else found, logits.mean(), 0.001, hints)
    return f"{logits.mean():+.3f}, the mean of {logits.size} log-odds: {len(logits)} networks, {logits.shape[1]} slices"


@exercise
def wider_mask(answer: float, own: OwnImage, networks: Sequence[nn.Module], grown: int = 3) -> str:
    """Exercise: by how much the score changes when the mask grows.

    Args:
        answer: score with the wider mask minus score.
        own: the tumour.
        networks: the ten.
        grown: pixels by which the mask grows.
    """

    def score(grown: int) -> float:
        return own_tumour.assess(own_tumour.moved(own, grown=grown), networks).score

    before, wider, narrower = score(0), score(grown), score(-grown)
    change = wider - before
    hints = {
        -change: "right but for its sign: the new score minus the old one",
        wider: "that is the new score; subtract the old one",
        narrower - before: "that is the change for a narrower mask",
    }
    number(answer, change, 0.005, hints)
    return f"{change:+.2f} with a contour {grown} pixels wider, and {narrower - before:+.2f} with one {grown} narrower"


@exercise
def at_prevalence(answer: Callable[[float, float, float], float]) -> str:
    """Exercise: a probability carried over to a population in which the class is rarer or more frequent."""
    cases = {}
    for case in ((0.4, 0.22, 0.05), (0.22, 0.22, 0.5), (0.9, 0.5, 0.5)):
        p, old, new = case
        found = answer(*case)
        if found is None or found is ...:
            raise Wrong("the function returns nothing yet: end it with `return` and the probability")
        odds = p / (1 - p) * (new / (1 - new)) / (old / (1 - old))
        cases[case] = odds / (1 + odds)
        hints = {
            odds: "those are the odds; a probability is odds / (1 + odds)",
            p * new / old: "probabilities do not scale like that (they could exceed 1); odds do",
            p: "the answer does not depend on the prevalences yet",
        }
        number(found, cases[case], 1e-6, hints)
    (p, old, new), carried = next(iter(cases.items()))
    return f"{p:.0%} among patients of whom {old:.0%} are positive becomes {carried:.0%} where {new:.0%} are"
