"""Is an AUC real? Tables on chance, institutions, calibration, operating points and size."""

from collections.abc import Iterable
from dataclasses import astuple, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from . import evaluation, facts, verdicts
from .repeats import over_repeats, score_matrix


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


class Line(NamedTuple):
    """Recalibrated log-odds are `intercept` + `slope` × log-odds."""

    intercept: Estimate
    slope: Estimate


def calibration_line(y_true: ArrayLike, log_odds: ArrayLike) -> Line:
    """Calibration intercept and slope: the logistic regression of the labels on the predicted log-odds.

    A slope of 1 and an intercept of 0 need no mending. A slope below 1: predictions are too extreme, as those of an
    overfitted model; above 1: too timid (Cox, Biometrika 1958;45:562–565). Intervals are Wald's.

    Args:
        y_true: (N,) 0 or 1.
        log_odds: (N,) predicted.

    Raises:
        ValueError: as `evaluation.auc_ci`.
    """
    y_true, log_odds = evaluation._check(y_true, log_odds)
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(log_odds[:, None], y_true)
    found = np.array([model.intercept_[0], model.coef_[0, 0]])
    design = np.column_stack([np.ones_like(log_odds), log_odds])
    chance = expit(design @ found)
    half = evaluation.Z * np.sqrt(np.diag(np.linalg.inv((design.T * (chance * (1 - chance))) @ design)))
    return Line(*(Estimate(float(v), float(v - h), float(v + h)) for v, h in zip(found, half, strict=True)))


def chance_table(scores: pd.DataFrame, permutations: pd.DataFrame) -> pd.DataFrame:
    """The permutation test of every model whose labels were permuted, on its first repeat, mean over its networks.

    Args:
        scores: a table of scores.
        permutations: AUCs under permuted labels, `facts.FACTS`, permutation, auc.

    Returns:
        `facts.FACTS`, observed (AUC of the true labels), permutations (how many), mean and sd of their AUCs, p, and
        smallest_p (that so many can give).
    """
    rows = []
    for model, permuted in facts.by_model(permutations):
        first = facts.select(facts.of_model(scores, model), repeat=0)
        observed = np.mean([roc_auc_score(own.y_true, own.score) for _, own in first.groupby("network", dropna=False)])
        p = evaluation.permutation_p(observed, permuted.auc), evaluation.smallest_p(permuted.auc)
        rows.append((*astuple(model), observed, len(permuted), permuted.auc.mean(), permuted.auc.std(), *p))
    return pd.DataFrame(rows, columns=[*facts.FACTS, *"observed permutations mean sd p smallest_p".split()])


def institutions_left_out(scores: pd.DataFrame) -> pd.DataFrame:
    """What becomes of an AUC where each patient is scored by a model that has seen nobody of the institution.

    Args:
        scores: a table of scores, those with random folds and those with institutions left out.

    Returns:
        `facts.FACTS` with random folds; "random folds, mean" and "institution left out", the AUCs, the latter with low
        and high (bootstrap); and within, the share of pairs in order among those of one institution. Over all networks
        and repeats.
    """
    rows = []
    for model, rest in facts.by_model(facts.select(scores, split="institution")):
        usual = replace(model, split="folds")
        y_true, usually = score_matrix(facts.of_model(scores, usual))
        mean = np.mean([roc_auc_score(y_true, score) for score in usually])
        single = [own for _, own in rest.groupby(["network", "repeat"], dropna=False)]
        within = [evaluation.by_group(own.y_true, own.score, own.fold).auc["within groups"] for own in single]
        rows.append((*astuple(usual), mean, *evaluation.auc_ci(*score_matrix(rest)), np.mean(within)))
    columns = ["random folds, mean", "institution left out", "low", "high", "within"]
    return pd.DataFrame(rows, columns=[*facts.FACTS, *columns])


def operating_points(scores: pd.DataFrame, models: Iterable[facts.Model], specificity: float) -> pd.DataFrame:
    """What each model is worth at one threshold and as a probability, on its first repeat.

    Args:
        scores: a table of scores.
        models: those without scores are left out.
        specificity: at which the sensitivity is read.

    Returns:
        Indexed by the model's label: Brier score, "sensitivity at specificity …", low and high (95 %, bootstrap). The
        last row answers always with the share of positives, and has a Brier score only.
    """
    rows = {}
    for model in models:
        if facts.of_model(scores, model).empty:
            continue
        own = evaluation.patient_scores(scores, model)
        prevalence = own.y_true.mean()
        brier = brier_score_loss(own.y_true, evaluation.probabilities(own.score, prevalence))
        rows[str(model)] = (brier, *evaluation.sensitivity_at(own.y_true, own.score, specificity))
    rows["always the share of positives"] = (prevalence * (1 - prevalence), *[np.nan] * 3)
    columns = ["Brier score", f"sensitivity at specificity {specificity}", "low", "high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("model")


def with_and_without_size(scores: pd.DataFrame, without: pd.DataFrame) -> pd.DataFrame:
    """AUCs of networks as they are, beside those with the tumour's area taken out.

    Args:
        scores: a table of scores.
        without: `facts.FACTS`, auc, low, high of `size.size_adjusted_auc`.

    Returns:
        The rows of `without`, and "auc with size" (mean over the repeats, as `repeats.over_repeats`), with its low and
        high, and the verdict on whether more than size is seen.
    """
    models = [facts.Model.of(row) for row in without.to_dict("records")]
    with_size = over_repeats(pd.concat(facts.of_model(scores, model) for model in models))
    both = without.merge(with_size, on=facts.FACTS, suffixes=("", " with size"))
    return both.assign(verdict=[verdicts.beyond_size(row.low, row.high).word for row in both.itertuples()])
