"""What a study of so many patients can show: power of a paired comparison of AUCs, and whether their order is found.

Model: in each arm the scores of the negatives are normal, those of the positives likewise but shifted by what makes the
arm's AUC (the binormal model with equal variances: shift = √2 Φ⁻¹(AUC)); within a patient the arms' scores correlate,
in both classes alike. AUCs depend on ranks alone, so that any strictly increasing transformation of an arm's scores is
covered too.

The correlation is latent: it is not that of the scores, whose scale means nothing, but the one with which the model's
standard error of the AUC difference, which has a closed form, equals DeLong's in the data (`latent_correlations`). So
whatever else moves two arms together or apart, averaging over repeats included, is in it. Then studies are simulated
and each is tested as the data are, by DeLong's paired test; the closed forms here say what must come out about.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from .evaluation import delong_covariance

SIGNIFICANCE = 0.05
"""Two-sided."""


class Share(NamedTuple):
    """A share of simulated studies and its Monte Carlo standard error."""

    share: float
    error: float


def hanley_mcneil_variance(auc: float, positives: int, negatives: int) -> float:
    """Variance of one empirical AUC by the formula of Hanley and McNeil (Radiology 1982;143:29–36).

    Exact for exponential scores, whose spread grows with their mean. With normal scores of equal variance, for which
    `auc_covariance` is exact, the standard error of an AUC of 0.73 from 24 positives and 86 negatives is 9 % smaller.

    >>> round(hanley_mcneil_variance(0.893, 51, 58) ** 0.5, 4)  # standard error, 51 abnormal and 58 normal images
    0.0325
    """
    both_above, both_below = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    pairs = auc * (1 - auc) + (positives - 1) * (both_above - auc**2) + (negatives - 1) * (both_below - auc**2)
    return pairs / (positives * negatives)


def obuchowski_covariance(auc_a: float, auc_b: float, correlation: float, ratio: float) -> float:
    """Covariance of two binormal AUCs of the same patients, fitted by maximum likelihood, times the positives' number.

    Obuchowski and McClish (Statistics in Medicine 1997;16:1529–1542), equation 5, for equal variances of the two
    classes and one correlation in both. A test's covariance with itself, at correlation 1, is its variance. (Equation 4
    for the variance, as the R package pROC has it, leaves out the covariance of the curve's two parameters; two tests
    that always agree would then seem to differ.) Empirical AUCs vary a little more: `auc_covariance`.

    Args:
        auc_a: true AUC of the first test.
        auc_b: of the second.
        correlation: of the two tests' latent scores.
        ratio: negatives per positive.
    """
    a, b = np.sqrt(2) * ndtri([auc_a, auc_b])
    density = np.exp(-(a**2 + b**2) / 4) / (4 * np.pi)  # product of the AUCs' derivatives by intercept
    intercepts = correlation * (1 + 1 / ratio) + correlation**2 * a * b / 2
    slopes = a * b / 4 * correlation**2 * (1 + ratio) / (2 * ratio)
    return float(density * (intercepts + slopes - correlation**2 * a * b / 2))


def obuchowski_positives(auc_a: float, auc_b: float, correlation: float, ratio: float, power: float = 0.8) -> float:
    """Positives that a paired comparison needs (Obuchowski, Investigative Radiology 1994;29:238–243).

    Arguments as for `obuchowski_covariance`. Under the null hypothesis both tests have the first one's AUC.
    """

    def spread(first: float, second: float) -> float:
        variances = (obuchowski_covariance(auc, auc, 1, ratio) for auc in (first, second))
        return np.sqrt(sum(variances) - 2 * obuchowski_covariance(first, second, correlation, ratio))

    quantiles = ndtri(1 - SIGNIFICANCE / 2) * spread(auc_a, auc_a) + ndtri(power) * spread(auc_a, auc_b)
    return float((quantiles / (auc_a - auc_b)) ** 2)


def _indicators_covariance(h: np.ndarray, k: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Covariance of 1[X < h] and 1[Y < k] for standard normal X, Y: ∫₀^ρ φ₂(h, k; r) dr (Plackett, Biometrika 1954)."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    half = np.arcsin(np.asarray(correlation, float))[..., None] / 2  # r = sin θ makes the integrand smooth
    theta = half * (nodes + 1)
    h, k = (np.asarray(value, float)[..., None] for value in (h, k))
    density = np.exp(-(h**2 + k**2 - 2 * h * k * np.sin(theta)) / (2 * np.cos(theta) ** 2))
    return (half * weights * density).sum(-1) / (2 * np.pi)


def auc_covariance(aucs: np.ndarray, correlation: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    """Exact covariance of the empirical AUCs of several arms on the same patients under the binormal model.

    An AUC is a mean over pairs, one of each class. Two pairs with both patients, one, or none in common correlate in
    their latent differences by the arms' correlation, by half of it, and not at all.

    Args:
        aucs: (K,) true AUCs.
        correlation: (K, K) of the latent scores, ones on the diagonal.
        positives: positive patients.
        negatives: negative ones.

    Returns:
        (K, K).
    """
    z = ndtri(np.asarray(aucs, float))
    both, one = (_indicators_covariance(z[:, None], z, factor * np.asarray(correlation)) for factor in (1, 0.5))
    return (both + (positives + negatives - 2) * one) / (positives * negatives)


def _pair(correlation: float) -> np.ndarray:
    return np.array([[1, correlation], [correlation, 1]])


def standard_error(auc_a: float, auc_b: float, correlation: float, positives: int, negatives: int) -> float:
    """Exact standard error of the difference of two empirical AUCs on the same patients under the binormal model."""
    covariance = auc_covariance([auc_a, auc_b], _pair(correlation), positives, negatives)
    return float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0)))


def latent_correlations(aucs: np.ndarray, covariance: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    """Correlations of the arms' latent scores with which the model has the observed errors of the AUC differences.

    Args:
        aucs: (K,) observed AUCs.
        covariance: (K, K) of them, by DeLong's method, as of `evaluation.delong_covariance`.
        positives: positive patients.
        negatives: negative ones.

    Returns:
        (K, K), ones on the diagonal.

    Raises:
        ValueError: a standard error that no correlation gives, or correlations that cannot hold together.
    """
    found = np.eye(len(aucs))
    for i, j in zip(*np.triu_indices(len(aucs), 1), strict=True):
        observed = np.sqrt(covariance[i][i] + covariance[j][j] - 2 * covariance[i][j])

        def excess(correlation: float, i: int = i, j: int = j, observed: float = observed) -> float:
            return standard_error(aucs[i], aucs[j], correlation, positives, negatives) - observed

        bounds = -0.999, 0.999
        if excess(bounds[0]) < 0 or excess(bounds[1]) > 0:
            raise ValueError(f"no correlation gives arms {i} and {j} a standard error of {observed:.4f}")
        found[i, j] = found[j, i] = brentq(excess, *bounds)
    _root(found)
    return found


def correlations_of_arms(
    labels: np.ndarray, arms: Sequence[np.ndarray], positives: int, negatives: int
) -> tuple[np.ndarray, np.ndarray]:
    """How closely arms agree: one network of each at a time, and their means over networks and shuffles.

    Args:
        labels: (N,) 0 or 1.
        arms: (fits, N) scores of each arm. An arm of fewer fits has fewer networks in the same shuffles, which then
            meet several networks of the others.
        positives: of the study whose power is asked for.
        negatives: likewise.

    Returns:
        Two latent correlations between the arms, (arms, arms): mean over the fits, and of the means.
    """
    fits = max(len(scores) for scores in arms)
    arms = [np.tile(scores, (fits // len(scores), 1)) for scores in arms]

    def agreement(*scores: np.ndarray) -> np.ndarray:
        return latent_correlations(*delong_covariance(labels, *scores), positives, negatives)

    return np.mean([agreement(*rows) for rows in zip(*arms, strict=True)], axis=0), agreement(*arms)


def _root(correlation: np.ndarray) -> np.ndarray:
    """Symmetric square root; raises `ValueError` for a matrix that is no correlation."""
    correlation = np.asarray(correlation, float)
    values, vectors = np.linalg.eigh(correlation)
    if not np.allclose(correlation, correlation.T) or not np.allclose(np.diag(correlation), 1) or values[0] < -1e-9:
        raise ValueError(f"not a matrix of correlations: {correlation.tolist()}")
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def _studies(
    aucs: np.ndarray, correlation: np.ndarray, positives: int, negatives: int, studies: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Placement values of simulated studies, some at a time: by positive (B, K, positives), by negative likewise.

    A positive's is the share of the negatives that it outranks, from ranks (Sun and Xu, IEEE Signal Processing Letters
    2014;21:1389–1393).
    """
    rng, root, shift = np.random.default_rng(seed), _root(correlation), np.sqrt(2) * ndtri(np.asarray(aucs, float))
    patients = positives + negatives
    at_once = max(1, 2_000_000 // (patients * len(shift)))
    for start in range(0, studies, at_once):
        scores = root @ rng.standard_normal((min(at_once, studies - start), len(shift), patients))
        scores[..., :positives] += shift[:, None]
        pooled = stats.rankdata(scores, axis=-1)
        by_positive = pooled[..., :positives] - stats.rankdata(scores[..., :positives], axis=-1)
        by_negative = pooled[..., positives:] - stats.rankdata(scores[..., positives:], axis=-1)
        yield by_positive / negatives, 1 - by_negative / positives


def _share(hits: list[np.ndarray]) -> Share:
    found = np.concatenate(hits)
    return Share(float(found.mean()), float(found.std() / np.sqrt(len(found))))


def simulated_power(
    auc_a: float,
    auc_b: float,
    correlation: float,
    positives: int,
    negatives: int,
    studies: int = 10_000,
    seed: int = 0,
) -> Share:
    """Share of simulated studies in which DeLong's paired test finds the arms' AUCs to differ (5 %, two-sided).

    With equal true AUCs: how often the test is wrong.

    Args:
        auc_a: true AUC of the first test.
        auc_b: of the second.
        correlation: of the latent scores, as of `latent_correlations`.
        positives: positive patients of a study.
        negatives: negative ones.
        studies: how many are simulated.
        seed: of the simulation.
    """
    hits, threshold = [], ndtri(1 - SIGNIFICANCE / 2)
    for placements in _studies([auc_a, auc_b], _pair(correlation), positives, negatives, studies, seed):
        differences = [values[:, 0] - values[:, 1] for values in placements]
        variance = sum(values.var(axis=1, ddof=1) / values.shape[1] for values in differences)
        hits.append(np.abs(differences[0].mean(1)) > threshold * np.sqrt(variance))
    return _share(hits)


def normal_power(difference: float, error: float) -> float:
    """Power of a two-sided test at 5 % of a normal estimate with a known standard error."""
    threshold = ndtri(1 - SIGNIFICANCE / 2)
    return float(ndtr(difference / error - threshold) + ndtr(-difference / error - threshold))


def patients_needed(
    auc_a: float, auc_b: float, correlation: float, prevalence: float, power: float = 0.8
) -> tuple[int, int]:
    """Smallest study, with a given share of positives, that has the power to tell two AUCs apart.

    From the exact standard error and `normal_power`; `simulated_power` of the answer says how well that holds.

    Args:
        auc_a: true AUC of the first arm.
        auc_b: of the second.
        correlation: of the latent scores, as of `latent_correlations`.
        prevalence: share of positives.
        power: to be reached.

    Returns:
        Positives, negatives.

    Raises:
        ValueError: equal AUCs.
    """
    if auc_a == auc_b:
        raise ValueError("no study is large enough to find a difference of 0")

    def split(patients: int) -> tuple[int, int]:
        positives = round(prevalence * patients)
        return positives, patients - positives

    def of(patients: int) -> float:
        return normal_power(auc_a - auc_b, standard_error(auc_a, auc_b, correlation, *split(patients)))

    fewest = int(np.ceil(2 / min(prevalence, 1 - prevalence)))  # two of each class
    return split(bisect_left(range(10_000_000), power, lo=fewest, key=of))


def simulated_order(
    aucs: np.ndarray, correlation: np.ndarray, positives: int, negatives: int, studies: int = 10_000, seed: int = 0
) -> Share:
    """Share of simulated studies in which the sample's AUCs have the order of the true ones.

    Args:
        aucs: (K,) true AUCs, all different.
        correlation: (K, K) of the latent scores, as of `latent_correlations`.
        positives: positive patients of a study.
        negatives: negative ones.
        studies: how many are simulated.
        seed: of the simulation.
    """
    order = np.argsort(aucs)
    hits = []
    for by_positive, _ in _studies(aucs, correlation, positives, negatives, studies, seed):
        hits.append((np.diff(by_positive.mean(2)[:, order]) > 0).all(1))
    return _share(hits)


def normal_order(aucs: np.ndarray, correlation: np.ndarray, positives: int, negatives: int) -> float:
    """What `simulated_order` gives about: the AUCs as normal with their exact covariance."""
    order = np.argsort(aucs)
    means = np.diff(np.asarray(aucs, float)[order])
    contrasts = np.diff(np.eye(len(order))[order], axis=0)
    covariance = contrasts @ auc_covariance(aucs, correlation, positives, negatives) @ contrasts.T
    return float(stats.multivariate_normal(-means, covariance, allow_singular=True).cdf(np.zeros(len(means))))
