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
    logits = np.array([training.predict(network, images)[:, 0] for network in networks])
    hints = {
        float(expit(logits).mean()): "that is a mean of probabilities; the score stays in log-odds",
        float(logits.sum()): "that is the sum; take the mean",
        float(logits[0].mean()): "that is the first network alone",
        float(logits[:, 0].mean()): "that is the first slice alone",
        float(np.median(logits)): "that is the median; the course takes the mean",
        float(logits.mean() * len(logits)): "that is the sum over the networks; take their mean, too",
        float(logits.mean() * logits.shape[1]): "that is the sum over the slices; take their mean, too",
        float(logits.max(1).mean()): "that is the highest slice of each network; take the mean of the slices",
    }
    if np.size(found) == len(networks) > 1:
        raise Wrong("there is a score for each network; the tumour's score is their mean")
    number(found, float(logits.mean()), 0.001, hints, "for this tumour")
    return f"{logits.mean():+.3f}, the mean of {logits.size} log-odds: {len(logits)} networks, {logits.shape[1]} slices"


@exercise
def wider_mask(answer: float, own: OwnImage, networks: Sequence[nn.Module], grown: int = 1) -> str:
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
        before: "that is the old score; by how much does it change?",
        score(3 * grown) - before: f"that is the change for {3 * grown} pixels; {grown} is asked for",
        0.0: "it does change: score the tumour with the wider mask",
    }
    if isinstance(answer, own_tumour.Assessment):
        raise Wrong("that is everything that is known of the tumour; its score is in `.score`")
    number(answer, change, 0.005, hints)
    return f"{change:+.2f} with a wider contour, and {narrower - before:+.2f} with one that is as much narrower"


def _odds(share: float) -> float:
    return share / (1 - share)


def _probability(odds: float) -> float:
    return odds / (1 + odds)


@exercise
def at_prevalence(answer: Callable[[float, float, float], float]) -> str:
    """Exercise: a probability carried over to a population in which the class is rarer or more frequent."""
    cases = {}
    for case in ((0.4, 0.22, 0.05), (0.22, 0.22, 0.5), (0.9, 0.5, 0.5)):
        p, old, new = case
        found = answer(*case)
        odds = _odds(p) * _odds(new) / _odds(old)
        cases[case] = _probability(odds)
        hints = {
            odds: "those are the odds; a probability is odds / (1 + odds)",
            p * new / old: "probabilities do not scale like that (they could exceed 1); odds do",
            p: "the answer does not depend on the prevalences yet",
            new: "the answer does not depend on the patient's own probability yet",
            1.0: "probabilities do not scale like that (they could exceed 1); odds do",
            _probability(_odds(p) * _odds(old) / _odds(new)): "`old` and `new` are swapped",
            _probability(_odds(p) * _odds(new)): "divide by the odds of `old`: they are in `p` already",
            _probability(_odds(p) * new / old): "the shares become odds, too: odds(new) / odds(old)",
        }
        number(found, cases[case], 1e-6, hints, f"at_prevalence{case}:")
    (p, old, new), carried = next(iter(cases.items()))
    return f"{p:.0%} among patients of whom {old:.0%} are positive becomes {carried:.0%} where {new:.0%} are"
