"""Checks of notebook 10."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from ...decisions import net_benefit as reference
from ...stacking import Ingredient
from . import Wrong, exercise, number, numbers


def noise(patients: int = 100, columns: int = 120, seed: int = 0) -> tuple[Ingredient, pd.Series]:
    """Features that say nothing of the labels: an ingredient and the labels of as many patients."""
    rng = np.random.default_rng(seed)
    labels = pd.Series((rng.permutation(patients) < patients // 4).astype(int), name="label")
    return Ingredient("noise", "discriminant", rng.normal(size=(1, patients, columns))), labels


@exercise
def training_scores(answer: Callable[[Pipeline, np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Exercise: the scores from which the second model of a stack may learn its weights.

    A function of the untrained model, the training patients' features (N, F) and labels (N,).
    """
    aucs = []
    for seed in range(4):
        part, labels = noise(seed=seed)
        model, values, y = part.create(0), part.values[0], labels.to_numpy()
        try:
            found = answer(clone(model), values, y)
        except AttributeError as error:
            if "predict_proba" not in str(error):
                raise
            raise Wrong("this model gives no probabilities; ask for its scores: method='decision_function'") from None
        found = numbers(found, "scores")
        if found.shape == (*y.shape, 2):
            raise Wrong("there is a column for each class; take that of class 1, `[:, 1]`")
        if found.shape != y.shape:
            raise Wrong(f"one score a patient is expected, {y.shape}; the function returns {found.shape}")
        if len(np.unique(found)) == 1:
            raise Wrong("every patient has the same score")
        if set(np.unique(found)) <= {0.0, 1.0}:
            raise Wrong("these are classes, 0 and 1; ask for scores: method='decision_function'")
        aucs.append(roc_auc_score(y, found))
    if np.mean(aucs) > 0.75:
        raise Wrong(
            f"the features are noise, yet these scores have an AUC of {np.mean(aucs):.2f}: each patient's own label "
            "was seen; use cross_val_predict"
        )
    part, labels = noise(seed=0)
    signal = part.values[0].copy()
    signal[:, :8] += 1.5 * labels.to_numpy()[:, None]
    found_there = answer(part.create(0), signal, labels.to_numpy())
    auc = roc_auc_score(labels, found_there)
    if auc < 0.25:
        raise Wrong(f"where features tell the label, they have an AUC of {auc:.2f}: they fall where they should rise")
    if np.allclose(answer(part.create(0), signal, labels.to_numpy()[::-1]), found_there):
        raise Wrong("other labels give the same scores: fit `model` in inner folds")
    if auc < 0.75:
        raise Wrong(f"where features tell the label, they have an AUC of {auc:.2f}: are they the model's?")
    return (
        f"on noise these scores have an AUC of {np.mean(aucs):.2f}, on a signal {auc:.2f}: nobody's own label was seen"
    )


@exercise
def net_benefit(answer: Callable[[np.ndarray, np.ndarray, float], float]) -> str:
    """Exercise: net benefit at one threshold; a function of labels (N,), probabilities (N,) and the threshold."""
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.5, 0.1, 0.6, 0.3, 0.25, 0.2, 0.1, 0.05, 0.02])
    for threshold in (0.2, 0.4):
        found = answer(y, p, threshold)
        acts, odds = p >= threshold, threshold / (1 - threshold)
        true, false = (acts & (y == 1)).sum(), (acts & (y == 0)).sum()
        hints = {
            float(true - false * odds): "divide by the number of patients",
            float(
                true / y.sum() - false / (y == 0).sum() * odds
            ): "divide both by the number of all patients, not by that of the positives and of the others",
            float(100 * (true - false * odds) / len(y)): "that is for 100 patients; give it for one",
            float((true - false) / len(y)): "a false positive weighs as much as the threshold's odds, p / (1 - p)",
            float((true - false * threshold) / len(y)): "the weight is the threshold's odds, p / (1 - p), not p",
            float((true - false / odds) / len(y)): "the odds are upside down: p / (1 - p)",
            float(((p > threshold) & (y == 1)).sum() / len(y) - ((p > threshold) & (y == 0)).sum() / len(y) * odds): (
                "who is exactly at the threshold is acted on: >="
            ),
        }
        right = float(reference(y, p, [threshold])[0])
        if np.size(found) == len(y):
            raise Wrong("there is a value for each patient: the price of a false positive comes from `threshold`")
        where = f"with {true} true and {false} false positives among {len(y)} patients and a threshold of {threshold}"
        number(found, right, 1e-6, hints, where)
    return "the same as `decisions.net_benefit` at two thresholds"
