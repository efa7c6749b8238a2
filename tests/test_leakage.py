"""The laboratory of leakage finds nothing in noise, and makes something of it where it leaks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import leakage
from radiogen_utils.folds import assign_folds
from radiogen_utils.patches import Patches


@pytest.fixture(scope="module")
def noise():
    """Features that identify the patient and say nothing of the label: 40 patients with 3 to 7 slices; the labels."""
    rng = np.random.default_rng(0)
    names = [f"P{i:02d}" for i in range(40)]
    patient = np.repeat(names, rng.integers(3, 8, 40))
    own = pd.DataFrame(rng.normal(size=(40, 60)), names)
    values = own.loc[patient].to_numpy() + 0.1 * rng.normal(size=(len(patient), 60))
    columns = pd.MultiIndex.from_product([["FLAIR", "post-contrast"], ["patch", "tumour"], range(15)])
    features = pd.DataFrame(values, pd.Index(patient, name="patient"), columns)
    return features, pd.Series([1] * 16 + [0] * 24, names)


@pytest.fixture(scope="module")
def lab(noise):
    features, labels = noise
    return leakage.laboratory(features, labels, assign_folds(labels, 4, 0), permutations=20)


def test_honest_analyses_of_noise_give_one_half(lab):
    assert set(lab.leak) == set(leakage.LEAKS) and (lab.groupby("leak").size() == 21).all()
    honest = lab[lab.permutation > 0].groupby("leak").honest.mean()
    assert honest.between(0.4, 0.6).all(), honest


def test_labels_that_leak_make_something_of_noise_and_scaling_does_not(lab):
    leaking = lab[lab.permutation > 0].groupby("leak").leaking.mean()
    assert (leaking[["setting", "features", "slices"]] > 0.65).all(), leaking
    assert abs(leaking["scaling"] - 0.5) < 0.1


def test_a_signal_is_found_honestly(noise):
    features, labels = noise
    strong = features + 3 * labels.reindex(features.index).to_numpy()[:, None]
    table = leakage.laboratory(strong, labels, assign_folds(labels, 4, 0), permutations=1)
    assert (table[table.permutation == 0].honest > 0.95).all()


def test_aucs_are_those_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (30, 5)).astype(float)
    scores = rng.normal(size=(30, 5)).round(1)
    expected = [roc_auc_score(labels[:, i], scores[:, i]) for i in range(5)]
    assert leakage.aucs(labels, scores) == pytest.approx(expected)
    assert np.isnan(leakage.aucs(np.ones((3, 1)), scores[:3, :1])).all()


def test_out_of_fold_scores_know_nothing_of_their_fold():
    rng = np.random.default_rng(0)
    x, y, fold = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), np.arange(30) % 3
    before = leakage.out_of_fold(x, y, fold)
    strange, flipped = x.copy(), y.copy()
    strange[0] = 1e6
    flipped[fold == 0] *= -1
    assert np.array_equal(leakage.out_of_fold(strange, y, fold)[3::3], before[3::3])
    assert np.array_equal(leakage.out_of_fold(x, flipped, fold)[fold == 0], before[fold == 0])
    assert not np.allclose(leakage.out_of_fold(x, flipped, fold)[fold == 1], before[fold == 1])


def test_forward_selection_finds_the_columns_that_matter():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 50))
    y = np.column_stack([x[:, 3] - 2 * x[:, 8], x[:, 20] + x[:, 1]]) + 0.1 * rng.normal(size=(200, 2))
    chosen = leakage.forward_selection(x, y)
    assert chosen.shape == (50, 2) and chosen[[3, 8], 0].all() and chosen[[1, 20], 1].all()
    assert (chosen.sum(0) <= leakage.FEATURES).all()


def test_permuted_labellings_keep_every_folds_positives():
    labels = pd.Series([1] * 8 + [0] * 24)
    split = assign_folds(labels, 4, 0)
    found = leakage.labellings(labels, split, 5, 0)
    assert found.shape == (32, 6) and (found[:, 0] == labels).all()
    assert (pd.DataFrame(found).groupby(split).sum() == 2).all(axis=None)
    assert not (found[:, 1] == labels).all()


def test_features_of_a_slice_depend_on_that_slice_alone():
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (4, 3, 80, 80), np.uint8), np.zeros((4, 80, 80), bool)
    masks[:, 20:60, 30:50] = True
    images *= masks[:, None]
    table = pd.DataFrame({"patient": list("aabb"), "slice": range(4), "label": [1, 1, 0, 0]})
    data = Patches(images, masks, table, "")
    found = leakage.slice_features(data)
    assert found.shape == (4, 3 * 2 * 128) and list(found.index) == list("aabb")
    images = images.copy()
    images[3] = images[3] // 2
    again = leakage.slice_features(Patches(images, masks, table, ""))
    assert np.allclose(again[:3], found[:3], atol=1e-4) and not np.allclose(again[3:], found[3:], atol=1e-2)
