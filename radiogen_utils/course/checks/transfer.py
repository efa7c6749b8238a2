"""Checks of notebook 4."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ... import leakage, training
from ...patches import Patches
from . import Wrong, exercise, numbers


def _returned(found: object, length: int, what: str) -> np.ndarray:
    """The reader's result as an array of so many numbers."""
    values = numbers(found, what)
    if values.shape != (length,):
        raise Wrong(f"{length} {what} are expected, one for each row; the function returns shape {values.shape}")
    return values


@exercise
def slice_weights(answer: Callable[[pd.DataFrame], np.ndarray], table: pd.DataFrame) -> str:
    """Exercise: patients of a class weigh the same, and so do the classes; as `training.slice_weights`.

    Args:
        answer: the reader's function.
        table: columns patient and label, one row a slice.
    """
    found = _returned(answer(table.copy()), len(table), "weights")
    of_patient = table.assign(weight=found).groupby("patient").agg({"weight": "sum", "label": "first"})
    slices = table.groupby("patient").size()
    for label, own in of_patient.groupby("label").weight:
        if own.max() > 1.001 * own.min():
            heavy, light = own.idxmax(), own.idxmin()
            raise Wrong(
                f"within the class {label} the patient {heavy} ({slices[heavy]} slices) weighs "
                f"{own.max() / own.min():.3g} times as much as {light} ({slices[light]}): "
                "divide by the patient's slices"
            )
    if found.min() <= 0:
        raise Wrong("no slice may weigh 0 or less: it would teach the network nothing")
    total = of_patient.groupby("label").weight.sum()
    if not np.isclose(total[0], total[1], rtol=1e-3):
        raise Wrong(
            f"the patients of a class weigh the same, but the rest together {total[0] / total[1]:.2f} times as much as "
            "the positive patients: divide by the number of patients in the class"
        )
    if not np.isclose(found.mean(), 1, rtol=1e-3):
        raise Wrong(
            f"almost: the mean weight should be 1, or the learning rate changes its meaning; it is {found.mean():.3g}"
        )
    assert np.allclose(found, training.slice_weights(table))
    return f"a slice weighs between {found.min():.2f} and {found.max():.2f}, and every patient of a class the same"


@exercise
def linear_probe(
    answer: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    features: pd.DataFrame,
    labels: pd.Series,
    folds: pd.Series,
) -> str:
    """Exercise: out-of-fold scores of a logistic model, scaling included.

    What is asked of it is what makes scores out-of-fold, whatever the penalty: changing a held-out patient's label, or
    features, must not change what others of the fold get.

    Args:
        answer: the reader's function of arrays.
        features: one row a patient, sorted.
        labels: 0 or 1, likewise.
        folds: of each patient, likewise.
    """
    x, y, fold = features.to_numpy(), labels.to_numpy(), folds.to_numpy()
    scores = _returned(answer(x.copy(), y.copy(), fold.copy()), len(y), "scores")
    out = np.flatnonzero(fold == fold[0])
    if not scores.any():
        raise Wrong("all scores are 0: fit a model on the other folds and fill in the scores of the fold held out")
    if np.isin(scores, (0, 1)).all() and not (scores == 1).all():
        raise Wrong("these are classes, 0 and 1; take `decision_function`, not `predict`, which rounds")
    left = [k for k in np.unique(fold) if not scores[fold == k].any()]
    if left:
        raise Wrong(f"all scores of {len(left)} folds are 0: is the `return` inside the loop, so that it ends early?")
    if len(np.unique(scores)) < len(y) / 4:
        raise Wrong("there are hardly any different scores: they should be log-odds, another for every patient")
    flipped = y.copy()
    flipped[out] = 1 - flipped[out]
    if not np.allclose(np.asarray(answer(x.copy(), flipped, fold.copy()))[out], scores[out], rtol=1e-3, atol=1e-3):
        raise Wrong("the labels of held-out patients change their own scores: fit on `folds != fold` only")
    strange = x.copy()
    strange[out[0]] = 1e3 * (1 + np.abs(x).max(0))
    moved = np.asarray(answer(strange, y.copy(), fold.copy()))
    if not np.allclose(moved[out[1:]], scores[out[1:]], rtol=1e-3, atol=1e-3):
        raise Wrong(
            "one held-out patient's features change the scores of the others in the fold: fit the scaling on the "
            "training patients, too"
        )
    if np.corrcoef(scores, answer(x.copy(), np.roll(y, 1), fold.copy()))[0, 1] > 0.999:
        raise Wrong("other labels give the same scores: a model must be fitted to `y` of the other folds")
    others = np.unique(fold[fold != fold[0]])
    for k in (others[0], others[-1]):  # each of them trains the model that scores the first patient's fold
        other = np.where(fold == k, 1 - y, y)
        if np.allclose(np.asarray(answer(x.copy(), other, fold.copy()))[out], scores[out], rtol=1e-3, atol=1e-3):
            raise Wrong("some folds had no part in the training: fit on all but the one held out, `folds != fold`")
    unit = np.where(np.arange(x.shape[1]) % 2, 1e-3, 1e3)
    rescaled = answer(x * unit, y.copy(), fold.copy())
    if np.corrcoef(scores, rescaled)[0, 1] < 0.99:
        raise Wrong("another unit for some features gives other scores: scale them to mean 0 and spread 1 first")
    auc = roc_auc_score(y, scores)
    if auc < 0.5 < roc_auc_score(y, -scores) - 0.05:
        raise Wrong(f"AUC {auc:.3f}, far below one half: do the scores rise with the probability of class 1?")
    return f"AUC {auc:.3f}, and nothing of a held-out patient reaches the training"


@exercise
def split_by_slice(
    answer: Callable[[pd.DataFrame, int], np.ndarray], data: Patches, features: pd.DataFrame, folds: pd.Series
) -> str:
    """Exercise: assign slices to folds, whoever the patient; says what the AUC becomes, with permuted labels too.

    Args:
        answer: the reader's function from the table of slices and the number of folds to each row's fold.
        data: the patches.
        features: of `leakage.slice_features`.
        folds: of each patient, as it should be.
    """
    n = int(folds.max()) + 1
    found = _returned(answer(data.table.copy(), n), len(data.table), "folds")
    if found.size and not (found % 1 == 0).all():
        raise Wrong("folds are whole numbers; the generator's method `integers` draws such")
    wrong = sorted(set(found) - set(range(n)))
    if wrong:
        raise Wrong(f"folds are the whole numbers 0 to {n - 1}; there is a {wrong[0]:g}")
    if len(np.unique(found)) < n:
        raise Wrong(f"only {len(np.unique(found))} of {n} folds have slices")
    together = pd.Series(found).groupby(data.table.patient).nunique() == 1
    if together.mean() > 0.3:
        raise Wrong(
            f"all slices of {together.idxmax()} are in one fold, as of {together.mean():.0%} of the patients: "
            "here every slice should draw its own fold"
        )
    permuted = leakage.labellings(data.labels, folds, 20, 0)
    honest, leaking = (
        leakage.of_slices(features, data.labels, fold, permuted)
        for fold in (folds.reindex(features.index).to_numpy(), found)
    )
    return (
        f"AUC {honest[0]:.3f} split by patient, {leaking[0]:.3f} split by slice; "
        f"with permuted labels {honest[1:].mean():.3f} and {leaking[1:].mean():.3f}"
    )
