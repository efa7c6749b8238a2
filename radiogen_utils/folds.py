"""Folds of a cross-validation: patients, never slices, stratified by the label."""

import pandas as pd
from sklearn.model_selection import StratifiedKFold

from .data.archive import CohortError


def assign_folds(labels: pd.Series, folds: int, seed: int) -> pd.Series:
    """Fold (0 … folds-1) of each patient, stratified by the label.

    Raises:
        CohortError: a class has fewer patients than there are folds.
    """
    smallest = labels.value_counts().min() if labels.nunique() > 1 else 0
    if smallest < folds:
        raise CohortError(
            f"{folds} folds need {folds} patients of each class, the smaller class has {smallest}; "
            "take another cluster, or a profile of `course.settings.PROFILES` with fewer folds"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    result = pd.Series(0, labels.index, name="fold")
    for fold, (_, test) in enumerate(splitter.split(labels, labels)):
        result.iloc[test] = fold
    return result


def split_of(folds: int | pd.Series) -> str:
    """The fact `split` of scores: random `folds`; or, where each patient's fold is given, the `institution`."""
    return "institution" if isinstance(folds, pd.Series) else "folds"


def repeated_folds(labels: pd.Series, folds: int | pd.Series, repeats: int, seed: int) -> list[pd.Series]:
    """The fold of each patient in each repeat; arguments as for `cross_validation.cross_validate`."""
    if isinstance(folds, pd.Series):
        return [folds] * repeats
    return [assign_folds(labels, folds, seed + repeat) for repeat in range(repeats)]
