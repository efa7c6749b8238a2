"""`baselines`: features of tumours that can be worked by hand, the folds of the networks, no leak between patients."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from radiogen_utils import baselines, models, training
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.cross_validation import PREDICTION_COLUMNS, Arm, assign_folds
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.patches import build_patches


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fits in this process, for starting others takes longer than the fits; a tenth of the trees."""
    trees = baselines.ExtraTreesClassifier
    monkeypatch.setattr(baselines, "ExtraTreesClassifier", lambda n, **options: trees(n // 10, **options))
    with joblib.parallel_config("sequential"):
        yield


@pytest.fixture
def disc():
    """A grey head with a disc of radius 20, three times as bright in the last sequence, in two slices; the second smaller."""
    y, x = np.mgrid[:128, :128]
    head = np.hypot(y - 64, x - 64) < 60
    masks = [np.hypot(y - 64, x - 74) < radius for radius in (20, 10)]
    images = []
    for mask in masks:
        image = np.repeat((head * 50)[..., None], 3, 2).astype(np.uint8)
        image[mask, 2] = 150
        images.append(image)
    return list(zip(images, masks))


def test_features_of_a_disc(disc):
    found = baselines._features(disc)
    area = disc[0][1].sum()
    assert found["volume"] == area + disc[1][1].sum() and found["slices"] == 2 and found["largest area"] == area
    assert found["pieces"] == 1 and found["eccentricity"] < 0.1 and found["solidity"] > 0.95
    assert found["major axis"] == pytest.approx(40, rel=0.03) and found["compactness"] == pytest.approx(1, abs=0.15)
    assert found["off centre"] == pytest.approx(10, abs=0.8)
    assert found["post-contrast relative"] == pytest.approx(3) and found["FLAIR relative"] == pytest.approx(1)
    assert found["FLAIR mean"] == pytest.approx(1 / 2.5) and found["post-contrast spread"] < 1e-9
    assert found["FLAIR contrast"] == 0 and found["FLAIR energy"] == pytest.approx(1)  # one grey level only


def test_texture_looks_at_the_tumour_alone(disc):
    before = baselines._features(disc)
    for image, mask in disc:
        noise = np.random.default_rng(0).integers(40, 60, image.shape, np.uint8)
        image[~mask & (image[..., 0] > 0)] = noise[~mask & (image[..., 0] > 0)]
    after = baselines._features(disc)
    for name in baselines.TEXTURES:
        assert after[f"FLAIR {name}"] == pytest.approx(before[f"FLAIR {name}"])


def test_features_are_of_all_patients_in_order(tiny_cohort):
    table = baselines.image_features(tiny_cohort(n_patients=5))
    assert list(table.index) == sorted(table.index) and len(table) == 5
    assert set(baselines.SHAPE) < set(table) and np.isfinite(table).all().all()


def test_baselines_without_their_columns_are_left_out(tiny_cohort):
    names = [(b.name, b.model) for b in baselines.clinical_and_image(open_cohort(tiny_cohort(n_patients=6)))]
    assert ("age and grade", "logistic") not in names  # this table has no grade
    assert ("image features", "trees") in names and ("institution", "logistic") in names


@pytest.mark.parametrize("model", ["logistic", "trees"])
def test_out_of_fold_scores_in_the_networks_folds(model):
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(60) % 2, [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame({"signal": labels + 0.7 * rng.normal(size=60), "noise": rng.normal(size=60)}, labels.index)
    table.iloc[::7, 1] = np.nan
    found = baselines.cross_validate([baselines.Baseline("x", model, table)], labels, 5, 2, seed=3)
    assert list(found) == PREDICTION_COLUMNS and len(found) == 120
    for repeat, group in found.groupby("repeat"):
        folds = assign_folds(labels, 5, 3 + repeat)
        assert group.set_index("patient").fold.sort_index().equals(folds.rename("fold").rename_axis("patient"))
    assert roc_auc_score(found.y_true, found.score) > 0.75
    again = baselines.cross_validate([baselines.Baseline("x", model, table)], labels, 5, 2, seed=3)
    pd.testing.assert_frame_equal(found, again, check_exact=True)


def test_no_label_of_a_held_out_patient_is_used():
    """A table that names every patient and knows nothing else: by patient it is worth nothing."""
    labels = pd.Series(np.arange(60) % 2, [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame(np.eye(60), labels.index, [str(i) for i in range(60)])
    found = baselines.cross_validate([baselines.Baseline("x", "trees", table)], labels, 5, 1, seed=0)
    assert abs(roc_auc_score(found.y_true, found.score) - 0.5) < 0.2


def test_every_cluster_with_enough_patients_is_compared(tiny_cohort):
    cohort = open_cohort(tiny_cohort(n_patients=12))
    table = pd.DataFrame({"signal": cohort.patients.COCCluster == 2}, dtype=float)
    found = baselines.clusterings(cohort, table, folds=3, repeats=1, seed=0).set_index(["clustering", "cluster"])
    assert list(found.loc["COCCluster"].index) == [1, 2, 3] and list(found.loc["RPPACluster"].index) == [1, 2]
    assert found.patients["RPPACluster", 1] == 11 and found.positives["COCCluster", 2] == 4  # one patient has a blank
    assert found.auc["COCCluster", 2] > 0.8 and (found.holm >= found.p).all()
    assert baselines.clusterings(cohort, table, folds=5, repeats=1, seed=0).clustering.eq("RPPACluster").all()


@pytest.mark.slow
def test_the_real_cohort(real_cohort):
    features = baselines.image_features(real_cohort.path)
    assert features.shape == (110, 42) and features.notna().all().all()
    labels = real_cohort.labels().astype(int)
    # Known of these data: larger tumours are rarer in cluster 2, whose post-contrast images are brighter.
    assert roc_auc_score(labels, -features.volume) > 0.6
    assert roc_auc_score(labels, features["post-contrast relative"]) > 0.7


def test_without_a_signal_the_permuted_aucs_lie_around_one_half_as_does_the_own():
    """And with one, none of the deals comes near: their labels are not the true ones."""
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(60) % 2, [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame({"signal": 3 * labels + rng.normal(size=60)}, labels.index)
    dealt = [pd.Series(np.random.default_rng(i).permutation(labels), labels.index) for i in range(6)]
    baseline = baselines.Baseline("x", "logistic", table)
    areas = baselines.permutation_aucs(baseline, [labels, *dealt], folds=5, seed=0)
    own = baselines.cross_validate([baseline], labels, 5, 1, seed=0)
    assert areas[0] == pytest.approx(roc_auc_score(own.y_true, own.score)) and areas[0] > 0.9
    # One deal of 30 against 30 has a standard error of 0.075, the optimism of cross-validation apart; three of the mean's.
    assert abs(areas[1:].mean() - 0.5) < 0.1 and areas[1:].max() < 0.9


def test_an_institution_is_held_out_as_a_fold():
    labels = pd.Series(np.arange(30) % 2, [f"TCGA_{'AABBC'[i // 6]}_{i:02d}" for i in range(30)])
    folds = labels.index.to_series().str.split("_").str[1].map({"A": 0, "B": 1, "C": 2})
    table = pd.DataFrame({"signal": labels}, dtype=float)
    found = baselines.cross_validate([baselines.Baseline("x", "logistic", table)], labels, folds, 1, seed=0)
    assert found.set_index("patient").fold.sort_index().eq(folds.sort_index()).all() and len(found) == 30


@pytest.mark.parametrize("backbone", models.BACKBONES)
def test_a_linear_model_of_frozen_features_gives_the_mean_log_odds_of_the_slices(backbone, tiny_cohort, tmp_path):
    data = build_patches(tiny_cohort())
    network = models.create(backbone, channels=1, seed=5)
    models.save_weights(network.state_dict(), tmp_path / "start.safetensors")
    arm = Arm("gbm", backbone, PROFILES["smoke"].compact, tmp_path / "start.safetensors")
    probe = baselines.frozen(data, arm, repeats=2, seed=0)
    logits = pd.Series(training.predict(network, data.sequences(arm.sequences))[:, 0])
    with torch.inference_mode():
        features = torch.tensor(probe.of_repeat(1).to_numpy())
        scores = network.head(features)[:, 0]
    assert scores.numpy() == pytest.approx(logits.groupby(data.table.patient).mean().to_numpy(), abs=1e-5)
    assert probe.name == "frozen gbm" and list(probe.table.index) == list(data.labels.index)


def test_random_weights_are_drawn_anew_for_each_repeat(tiny_cohort):
    data = build_patches(tiny_cohort())
    arm = Arm("scratch", "compact", PROFILES["smoke"].compact, sequences=("post-contrast",))
    probe = baselines.frozen(data, arm, repeats=2, seed=3)
    assert probe.name == "frozen scratch-post-contrast" and len(probe.table) == 2
    assert not np.allclose(probe.of_repeat(0), probe.of_repeat(1))
    later = baselines.frozen(data, arm, repeats=1, seed=4)  # the seed of a repeat is the first one plus its number
    assert np.array_equal(later.of_repeat(0), probe.of_repeat(1))
