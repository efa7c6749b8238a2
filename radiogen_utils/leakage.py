"""A laboratory of leakage: what cross-validation gives when test patients reach the training, and when they do not.

Features of a frozen network and a linear model, so that many analyses of true and of permuted labels take seconds. The
model is ridge regression of the labels: it ranks patients nearly as logistic regression does, and its fit is a formula
that serves all labellings at once. Kapoor and Narayanan (Patterns 2023;4:100804) count how often such leaks are
published; Ambroise and McLachlan (PNAS 2002;99:6562) describe the choice of features.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import Ridge, orthogonal_mp
from sklearn.preprocessing import StandardScaler

from . import models, transfer
from .data.cohort import SEQUENCES
from .folds import assign_folds
from .patches import Patches
from .repeats import permutation_within_folds

PERMUTATIONS = 50
FEATURES = 10
"""How many features `features` chooses."""
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Of ridge regression, among which `setting` chooses; the others take `PENALTY`."""
PENALTY = 30.0
LEAKS = ("scaling", "setting", "features", "slices")
"""What `laboratory` tries."""


def slice_features(data: Patches) -> pd.DataFrame:
    """Features of every slice from the frozen glioblastoma network that comes with the course.

    The network is used as pretraining left it, so that no feature depends on another patient.

    Returns:
        float, one row a slice, indexed by patient in the order of `data.table`; columns sequence, pooling (one of
        `transfer.POOLINGS`) and number.
    """
    network = models.create("compact", weights=models.load_weights(models.WEIGHTS / "compact_gbm.safetensors"))
    found = np.stack([transfer.pooled_features(network, data.sequences((name,)), data.masks) for name in SEQUENCES], 1)
    names = [SEQUENCES, transfer.POOLINGS, range(found.shape[-1])]
    columns = pd.MultiIndex.from_product(names, names=["sequence", "pooling", "number"])
    return pd.DataFrame(found.reshape(len(found), -1).astype(float), pd.Index(data.table.patient), columns)


def aucs(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUC of each column from its ranks; NaN where there is one class only.

    Args:
        labels: (N, L) 0 or 1.
        scores: (N, L).

    Returns:
        (L,).
    """
    ranks, positives = rankdata(scores, axis=0), labels.sum(0)
    with np.errstate(invalid="ignore"):
        wins = (ranks * labels).sum(0) - positives * (positives + 1) / 2
        return wins / (positives * (len(labels) - positives))


def labellings(labels: pd.Series, split: pd.Series, permutations: int, seed: int) -> np.ndarray:
    """(patients, 1 + permutations) of 0 and 1: the true labels, then permuted ones; each fold keeps its positives."""
    rng = np.random.default_rng(seed)
    permuted = [permutation_within_folds(labels, split, rng) for _ in range(permutations)]
    return np.column_stack([labels, *permuted]).astype(float)


def fit_predict(
    train: np.ndarray,
    targets: np.ndarray,
    test: np.ndarray,
    penalty: float = PENALTY,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Scores of `test` (M, F) from ridge regression of `targets` (N, L) on the scaled `train` (N, F); (M, L)."""
    scaler = StandardScaler().fit(train)
    model = Ridge(penalty).fit(scaler.transform(train), targets, weights)
    return model.predict(scaler.transform(test)).reshape(len(test), -1)


def out_of_fold(
    features: np.ndarray,
    targets: np.ndarray,
    fold: np.ndarray,
    penalty: float = PENALTY,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Scores (N, L) of every row from a model that was fitted without its fold; `fold` is (N,), others as above."""
    scores = np.zeros(targets.shape)
    for out in _each(fold):
        own = None if weights is None else weights[~out]
        scores[out] = fit_predict(features[~out], targets[~out], features[out], penalty, own)
    return scores


def _each(fold: np.ndarray) -> Iterator[np.ndarray]:
    for name in np.unique(fold):
        yield fold == name


def of_slices(features: pd.DataFrame, labels: pd.Series, fold: np.ndarray, permuted: np.ndarray) -> np.ndarray:
    """AUCs when slices are the rows of the model and are split by `fold`; a patient's score is the mean of its slices.

    Every patient weighs the same in training, however many slices there are.

    Args:
        features: of `slice_features`.
        labels: 0 or 1 by patient, sorted.
        fold: (slices,) the fold of each row of `features`.
        permuted: (patients, L), of `labellings`.

    Returns:
        (L,).
    """
    row = labels.index.get_indexer(features.index)
    weights = 1 / np.bincount(row)[row]
    scores = out_of_fold(features.to_numpy(), permuted[row], fold, weights=weights)
    return aucs(permuted, pd.DataFrame(scores).groupby(row).mean().to_numpy())


def _slices(features: pd.DataFrame, labels: pd.Series, split: pd.Series, permuted: np.ndarray, seed: int):
    by_patient = split.reindex(features.index).to_numpy()
    by_slice = np.random.default_rng(seed).permutation(by_patient)
    return (of_slices(features, labels, fold, permuted) for fold in (by_patient, by_slice))


def _scaling(values: np.ndarray, fold: np.ndarray, permuted: np.ndarray):
    everybody = StandardScaler().fit_transform(values)
    leaking = np.zeros(permuted.shape)
    for out in _each(fold):
        leaking[out] = Ridge(PENALTY).fit(everybody[~out], permuted[~out]).predict(everybody[out])
    return aucs(permuted, out_of_fold(values, permuted, fold)), aucs(permuted, leaking)


def _features(values: np.ndarray, fold: np.ndarray, permuted: np.ndarray):
    found = []
    for leak in (False, True):
        scores = np.zeros(permuted.shape)
        for out in _each(fold):
            seen = np.full(len(values), True) if leak else ~out
            for column, own in enumerate(forward_selection(values[seen], permuted[seen]).T):
                target = permuted[~out, column]
                scores[out, column] = fit_predict(values[~out][:, own], target, values[out][:, own])[:, 0]
        found.append(aucs(permuted, scores))
    return found


def forward_selection(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(F, L) bool: for each column of `targets` (N, L) `FEATURES` columns of `values` (N, F), chosen one by one.

    Each is the one that correlates most with what those before it leave unexplained (orthogonal matching pursuit).
    """
    scaled = StandardScaler().fit_transform(values) / np.sqrt(len(values))
    return orthogonal_mp(scaled, targets - targets.mean(0), n_nonzero_coefs=FEATURES).reshape(values.shape[1], -1) != 0


def _setting(blocks: list[np.ndarray], labels: pd.Series, fold: np.ndarray, permuted: np.ndarray, seed: int):
    """Settings are a block of features (a sequence and a pooling) and a penalty."""
    settings = list(product(blocks, PENALTIES))
    honest, leaking = np.zeros(permuted.shape), np.zeros(permuted.shape)
    column = np.arange(permuted.shape[1])
    for out in _each(fold):
        target = permuted[~out]
        inner = assign_folds(labels[~out], min(5, labels[~out].value_counts().min()), seed).to_numpy()
        tried = np.stack([fit_predict(block[~out], target, block[out], penalty) for block, penalty in settings])
        on_test = [aucs(permuted[out], scores) for scores in tried]
        on_training = [aucs(target, out_of_fold(block[~out], target, inner, penalty)) for block, penalty in settings]
        leaking[out] = tried[np.argmax(on_test, 0), :, column].T
        honest[out] = tried[np.argmax(on_training, 0), :, column].T
    return aucs(permuted, honest), aucs(permuted, leaking)


def laboratory(
    features: pd.DataFrame, labels: pd.Series, split: pd.Series, permutations: int = PERMUTATIONS, seed: int = 0
) -> pd.DataFrame:
    """AUCs of each of `LEAKS`, done honestly and with the leak, for the true labels and for permuted ones.

    - `scaling`: mean and spread of each feature are those of all patients, instead of those of the training patients.
    - `setting`: sequence, pooling and penalty are those that do best on the test fold, instead of in inner folds.
    - `features`: chosen by the labels of all patients, instead of by those of the training patients.
    - `slices`: slices are assigned to folds, instead of patients.

    Args:
        features: of `slice_features`.
        labels: 0 or 1 by patient, sorted.
        split: fold of each patient, likewise.
        permutations: how often the labels are permuted.
        seed: of the permutations, the slices' folds and the inner folds.

    Returns:
        Columns leak, permutation (0 for the true labels), honest and leaking.
    """
    permuted = labellings(labels, split, permutations, seed)
    patients, fold = features.groupby(level=0).mean(), split.to_numpy()
    blocks = [block.T.to_numpy() for _, block in patients.T.groupby(level=[0, 1])]
    values = patients.to_numpy()
    found = {
        "scaling": _scaling(values, fold, permuted),
        "setting": _setting(blocks, labels, fold, permuted, seed),
        "features": _features(values, fold, permuted),
        "slices": _slices(features, labels, split, permuted, seed),
    }
    tables = []
    for leak, (honest, leaking) in found.items():
        columns = {"leak": leak, "permutation": range(len(honest)), "honest": honest, "leaking": leaking}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
