"""`stacking`: nesting holds, and what happens where it does not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radiogen_utils import stacking
from radiogen_utils.folds import assign_folds
from radiogen_utils.stacking import Ingredient

FOLDS = 5


def made_up(effect: float, n: int = 80, seed: int = 0):
    """Two tables of many columns, of which a few follow the label by `effect`, and a clinical column."""
    rng = np.random.default_rng(seed)
    labels = pd.Series(rng.permutation(np.arange(n) % 4 == 0).astype(int), [f"p{i:03}" for i in range(n)])
    tables = rng.normal(size=(2, 1, n, 60))
    tables[..., :5] += effect * labels.to_numpy()[:, None]
    parts = [Ingredient(name, "discriminant", table) for name, table in zip("ab", tables, strict=True)]
    parts.append(Ingredient("c", "none", rng.normal(size=(1, n, 1)) + effect * labels.to_numpy()[:, None]))
    return parts, labels, assign_folds(labels, FOLDS, seed)


def nested(parts, labels, split):
    return stacking.stack(stacking.base_scores(parts, labels, split, 0), labels, split)


def test_noise_stays_noise_when_everything_is_nested_and_does_not_when_it_is_not():
    honest, forgotten = [], []
    for seed in range(8):
        parts, labels, split = made_up(0, seed=seed)
        honest.append(roc_auc_score(labels, nested(parts, labels, split)))
        wrong = stacking.not_nested_scores(parts, labels, FOLDS, 0)
        forgotten.append(roc_auc_score(labels, stacking.stack(wrong, labels, split)))
    assert np.mean(honest) == pytest.approx(0.5, abs=0.1)
    assert np.mean(forgotten) > 0.95


def test_a_signal_is_found_when_everything_is_nested():
    parts, labels, split = made_up(1.5)
    assert roc_auc_score(labels, nested(parts, labels, split)) > 0.85


@pytest.mark.parametrize("model", ["discriminant", "trees"])
def test_no_score_knows_the_label_of_its_own_patient(model):
    """A training patient's label decides other scores of its fold, never its own; a held-out patient's decides none."""
    parts, labels, split = made_up(1)
    parts = [Ingredient("a", model, parts[0].values)]
    inner = _FixedInnerFolds(stacking.StratifiedKFold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacking, "StratifiedKFold", inner)
        before = stacking.base_scores(parts, labels, split, 0)
        who = 3
        flipped = labels.copy()
        flipped.iloc[who] = 1 - flipped.iloc[who]
        after = stacking.base_scores(parts, flipped, split, 0)
    assert np.array_equal(before[:, who], after[:, who])
    own = split.iloc[who]
    assert np.array_equal(before[own], after[own])
    assert not np.array_equal(before[(own + 1) % FOLDS], after[(own + 1) % FOLDS])


class _FixedInnerFolds:
    """Inner folds that do not depend on the labels, so that one label can change alone."""

    def __init__(self, _):
        self.n_splits = FOLDS

    def __call__(self, *_, **__):
        from sklearn.model_selection import KFold

        return KFold(FOLDS)


def test_it_is_scikit_learn_s_stacking_in_every_outer_fold():
    parts, labels, split = made_up(0.7)
    parts = parts[:1] + [Ingredient("b", "discriminant", parts[0].values)]
    found = nested(parts, labels, split)
    values, fold = parts[0].values[0], split.to_numpy()
    for held_out in range(FOLDS):
        train = fold != held_out
        theirs = StackingClassifier(
            [(each.name, each.create(0)) for each in parts],
            make_pipeline(StandardScaler(), LogisticRegression()),
            cv=StratifiedKFold(stacking.INNER_FOLDS, shuffle=True, random_state=0),
            stack_method="decision_function",
        ).fit(values[train], labels[train])
        assert np.allclose(theirs.decision_function(values[~train]), found[~train])


def test_features_of_the_outer_fold_are_used_in_it():
    parts, labels, split = made_up(1)
    rng = np.random.default_rng(0)
    changing = np.concatenate([parts[0].values] * FOLDS)
    changing[2] = rng.normal(size=changing[2].shape)
    base = stacking.base_scores([Ingredient("a", "discriminant", changing)], labels, split, 0)
    aucs = [roc_auc_score(labels[split != fold], base[fold, split != fold, 0]) for fold in range(FOLDS)]
    assert np.argmin(aucs) == 2
    single = stacking.alone(base, split)[:, 0]
    assert np.array_equal(single[split == 2], base[2, split == 2, 0])


def test_unknown_values_of_a_clinical_column_are_no_obstacle():
    parts, labels, split = made_up(1)
    parts[2].values[0, ::7] = np.nan
    assert np.isfinite(nested(parts, labels, split)).all()


def test_equal_weights_do_not_depend_on_scale():
    parts, labels, split = made_up(1)
    base = stacking.base_scores(parts, labels, split, 0)
    scaled = base * [1, 100, 0.01] + [0, 3, -3]
    assert np.allclose(stacking.equal_weights(base, split), stacking.equal_weights(scaled, split))
