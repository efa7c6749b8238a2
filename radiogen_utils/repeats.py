"""Tables of AUCs over the repeats of a cross-validation, and what is particular to its folds."""

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from . import evaluation, facts
from .facts import Model


def score_matrix(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of one model from its rows of a table of scores.

    Args:
        rows: columns network, repeat, patient, y_true, score; each network and repeat scores each patient once.

    Returns:
        y_true (N,) int64 and scores (R, N) float64, a row for each pair of network and repeat, patients in alphabetical
        order, so that the columns of two models with the same patients correspond.

    Raises:
        ValueError: no rows, a patient missing from a repeat or scored twice in it, two labels of one patient.
    """
    rows = rows.assign(network=rows.network.fillna(-1))
    if rows.duplicated(["network", "repeat", "patient"]).any():
        raise ValueError("a patient is scored twice in one repeat; are these the rows of one model?")
    scores = rows.pivot(index=["network", "repeat"], columns="patient", values="score")
    labels = rows.groupby("patient").y_true
    if scores.empty or scores.isna().any(axis=None):
        raise ValueError("no rows, or a patient without a score in some repeat")
    if (labels.nunique() > 1).any():
        raise ValueError("a patient has different labels in different repeats")
    return labels.first().to_numpy(np.int64), scores.to_numpy(float)


def over_repeats(predictions: pd.DataFrame) -> pd.DataFrame:
    """AUC of every model, mean over its networks and the repeats of its cross-validation.

    Returns:
        The columns `facts.FACTS`, networks (how many are numbered; 0 where each fit draws its own weights), repeats,
        auc, sd (over networks and repeats; NaN for a single one), sd_networks (of the networks' means over the repeats;
        NaN for a single one), low, high (bootstrap), delong_low, delong_high, within_folds (mean of
        `within_fold_auc`; NaN where no fold has both classes) and ensemble (AUC of each patient's mean score: all
        networks as one, none of which has seen the patient).
    """
    rows = []
    for model, own in facts.by_model(predictions):
        y_true, scores = score_matrix(own)
        auc, *bootstrap = evaluation.auc_ci(y_true, scores)
        runs = own.groupby(["network", "repeat"], dropna=False)
        single = runs[["y_true", "score"]].apply(lambda rows: roc_auc_score(rows.y_true, rows.score))
        sds = single.std(), single.groupby("network").mean().std()
        within = np.mean([within_fold_auc(rows.y_true, rows.score, rows.fold) for _, rows in runs])
        ensemble = float(roc_auc_score(y_true, scores.mean(0)))
        delong = evaluation.delong_ci(y_true, scores)[1:]
        counts = own.network.nunique(), own.repeat.nunique()
        rows.append((*astuple(model), *counts, auc, *sds, *bootstrap, *delong, within, ensemble))
    columns = "networks repeats auc sd sd_networks low high delong_low delong_high within_folds ensemble".split()
    return pd.DataFrame(rows, columns=[*facts.FACTS, *columns]).astype({"pixels": facts.NUMBERS["pixels"]})


def compare_pairs(predictions: pd.DataFrame, pairs: list[tuple[Model, Model]]) -> pd.DataFrame:
    """Paired comparisons of the mean AUCs of two models; pairs of which one is missing are left out.

    Args:
        predictions: a table of scores.
        pairs: of models.

    Returns:
        Indexed by the models `first` and `second`: repeats (those of both, which share their folds), difference of the
        means, low, high (bootstrap) and delong_p.

    Raises:
        ValueError: two models were not scored on the same patients; others as `score_matrix`.
    """
    known = dict(facts.by_model(predictions))
    rows = {}
    for pair in pairs:
        if not set(pair) <= set(known):
            continue
        shared = tuple(set.intersection(*(set(known[model].repeat) for model in pair)))
        a, b = (facts.select(known[model], repeat=shared) for model in pair)
        if set(a.patient) != set(b.patient):
            raise ValueError(f"{pair[0]} − {pair[1]}: they were not scored on the same patients")
        (y_true, a), (_, b) = score_matrix(a), score_matrix(b)
        p = evaluation.delong_difference(y_true, a, b)[3]
        rows[pair] = (len(shared), *evaluation.auc_difference(y_true, a, b), p)
    columns = ["repeats", "difference", "low", "high", "delong_p"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["first", "second"]) if rows else _NO_PAIRS
    return pd.DataFrame(list(rows.values()), index, columns)


_NO_PAIRS = pd.MultiIndex.from_arrays([[], []], names=["first", "second"])


def initialisation_pairs(predictions: pd.DataFrame) -> list[tuple[Model, Model]]:
    """Every network against the same one from another initialisation: glioblastoma first, then natural images."""
    others = {"gbm": ("scratch", "natural"), "natural": ("scratch",)}
    return [
        (model, replace(model, arm=other, pretraining=""))
        for model, _ in facts.by_model(predictions)
        for other in others.get(model.arm, ())
    ]


def within_fold_auc(y_true: np.ndarray, score: np.ndarray, fold: np.ndarray) -> float:
    """Mean over the folds of the AUC within a fold: every pair that it compares was scored by one and the same model.

    The AUC of the pooled scores also compares patients that different models have scored; where their scales differ,
    that AUC is biased, downward as a rule (Airola et al., Comput Stat Data Anal 2011;55:1828–1844). A fold without one
    of the classes has no AUC and is left out; where all are, the mean is NaN.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,) of one repeat.
        fold: (N,) the fold in which each patient was held out.

    Raises:
        ValueError: as `evaluation.auc_ci`.
    """
    y_true, score = evaluation._check(y_true, score)
    fold = np.asarray(fold)
    members = [fold == name for name in np.unique(fold)]
    aucs = [roc_auc_score(y_true[own], score[own]) for own in members if 0 < y_true[own].sum() < own.sum()]
    return float(np.mean(aucs)) if aucs else np.nan


def permutation_within_folds(labels: np.ndarray, fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels permuted among the patients of each fold.

    Every fold keeps its number of positives, so that the folds, which were stratified by the true labels, are as
    balanced for the permuted ones, and the test is exact: given these numbers, all such permutations are equally likely
    if the images say nothing of the label (Good, Permutation, Parametric and Bootstrap Tests, 2005, chapter 3). That
    holds for the folds of one shuffle; each shuffle of a mean over several has its own.

    Args:
        labels: (N,) any dtype, which is kept.
        fold: (N,).
        rng: source of the permutation.
    """
    labels, fold = np.asarray(labels), np.asarray(fold)
    if labels.shape != fold.shape:
        raise ValueError(f"labels {labels.shape} and folds {fold.shape} must be of one length")
    permuted = labels.copy()
    for name in np.unique(fold):
        permuted[fold == name] = rng.permutation(labels[fold == name])
    return permuted
