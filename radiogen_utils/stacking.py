"""Stacked models: a second model weighs the answers of several first ones, with every fit inside the training patients.

The weights are learnt from scores that the first models gave to patients they had not seen (Wolpert, Neural Networks
1992;5:241–259). So there are two cross-validations, one within the other: the inner one, among the training patients,
makes the scores from which the weights are learnt; the outer one judges. Where the inner one is forgotten, the weights
are learnt from scores that know the answer, and so does the result.

`sklearn.ensemble.StackingClassifier` does the same for one table. Here the features change with the outer fold (a
network's normalisation knows the training patients alone), and many stacks share their first models.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .discriminant import ShrunkenDiscriminant

INNER_FOLDS = 5
TREES = 50
"""Few, and discriminants (whose shrinkage needs no search) rather than logistic models, for their cost: all is fitted
anew under every permutation of the labels. Chosen by the seconds that they take, before any score was seen."""


@dataclass(frozen=True)
class Ingredient:
    """What a stack is made of: a table and the model that reads it.

    Attributes:
        name: unique in a stack.
        model: `discriminant`, `trees`, or `none`, which hands a single column to the stack as it is.
        values: (folds, patients, F) where the features change with the outer fold, else (1, patients, F); float, NaN
            where unknown. Patients sorted.
    """

    name: str
    model: str
    values: np.ndarray

    def create(self, seed: int) -> Pipeline:
        """The untrained model; both classes weigh the same."""
        if self.model == "trees":
            model = ExtraTreesClassifier(TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        else:
            model = ShrunkenDiscriminant()
        return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)

    @property
    def method(self) -> str:
        """How the model is asked."""
        return "predict_proba" if self.model == "trees" else "decision_function"


def _log_odds(answer: np.ndarray) -> np.ndarray:
    return answer if answer.ndim == 1 else logit(np.clip(answer[:, 1], 1e-3, 1 - 1e-3))


def base_scores(ingredients: list[Ingredient], labels: pd.Series, split: pd.Series, seed: int) -> np.ndarray:
    """What each ingredient says of each patient, as the stack of each outer fold may know it.

    Args:
        ingredients: K of them.
        labels: 0 or 1 by patient, sorted.
        split: outer fold of each patient, likewise.
        seed: of inner folds and trees.

    Returns:
        (folds, patients, K) log-odds. In fold f, a patient held out in f has the score of the model fitted to all
        training patients; a training patient has that of an inner fold in which it was held out. Neither saw its label.
    """
    y = labels.to_numpy()
    inner = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)

    def score(ingredient: Ingredient, fold: int) -> np.ndarray:
        values, out = ingredient.values[fold % len(ingredient.values)], split.to_numpy() == fold
        if ingredient.model == "none":
            return values[:, 0]
        model, found = ingredient.create(seed), np.zeros(len(y))
        found[~out] = _log_odds(cross_val_predict(model, values[~out], y[~out], cv=inner, method=ingredient.method))
        found[out] = _log_odds(getattr(model.fit(values[~out], y[~out]), ingredient.method)(values[out]))
        return found

    return np.stack([np.stack([score(each, fold) for each in ingredients], 1) for fold in range(split.max() + 1)])


def not_nested_scores(ingredients: list[Ingredient], labels: pd.Series, folds: int, seed: int) -> np.ndarray:
    """As `base_scores`, with the inner cross-validation forgotten, as a warning: models fitted to all patients at once.

    What `stack` makes of them is cross-validated and worthless, for every score knows the label of its own patient.
    """
    found = []
    for each in ingredients:
        values = each.values[0]
        if each.model == "none":
            found.append(values[:, 0])
        else:
            found.append(_log_odds(getattr(each.create(seed).fit(values, labels), each.method)(values)))
    return np.stack([np.stack(found, 1)] * folds)


def stack(base: np.ndarray, labels: pd.Series, split: pd.Series) -> np.ndarray:
    """Out-of-fold log-odds of a logistic model of the ingredients' scores.

    Its penalty is scikit-learn's default, so that nothing is searched, and the classes keep their share, so that its
    probabilities are meant as they are.

    Args:
        base: (folds, patients, K) of `base_scores`, NaN where unknown.
        labels: 0 or 1 by patient, sorted.
        split: outer fold of each patient, likewise.

    Returns:
        (patients,) float.
    """
    scores = np.zeros(len(labels))
    for fold, values in enumerate(base):
        out = split.to_numpy() == fold
        model = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression())
        scores[out] = model.fit(values[~out], labels[~out]).decision_function(values[out])
    return scores


def equal_weights(base: np.ndarray, split: pd.Series) -> np.ndarray:
    """As `stack`, without a second model: the mean of the scores, each divided by its spread among training patients.

    Args:
        base: (folds, patients, K) of `base_scores`, finite.
        split: outer fold of each patient.
    """
    scores = np.zeros(base.shape[1])
    for fold, values in enumerate(base):
        out = split.to_numpy() == fold
        scores[out] = ((values[out] - values[~out].mean(0)) / values[~out].std(0)).mean(1)
    return scores


def alone(base: np.ndarray, split: pd.Series) -> np.ndarray:
    """(patients, K) out-of-fold log-odds of each ingredient by itself, from those of `base_scores`."""
    return base[split.to_numpy(), np.arange(base.shape[1])]
