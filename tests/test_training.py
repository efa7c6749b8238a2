"""`training`: folds by patient, augmentation, fits that learn, resume and repeat; no leak between patients."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from radiogen_utils import models, training
from radiogen_utils.archive import CohortError
from radiogen_utils.data import SEQUENCES
from radiogen_utils.patches import Patches
from radiogen_utils.project import Training

QUICK = Training(epochs=3, learning_rate=3e-3, batch_size=16)


def cohort(n_patients=40, n_slices=4, effect=0.0, identity=0.0, seed=0):
    """Patches whose brightness tells the class (`effect`) and whose "colour", three levels, the patient (`identity`)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_patients) % 2
    patient = np.repeat(np.arange(n_patients), n_slices)
    colour = rng.uniform(-1, 1, size=(n_patients, 3, 1, 1))
    images = 110 + 20 * rng.normal(size=(len(patient), 3, 80, 80))
    images = images + 40 * effect * (labels[patient] - 0.5)[:, None, None, None] + 80 * identity * colour[patient]
    names = pd.Series([f"TCGA_XX_{i:04d}" for i in patient])
    table = pd.DataFrame({"patient": names, "case": names, "slice": np.arange(len(patient)), "label": labels[patient]})
    return Patches(images.clip(0, 255).astype(np.uint8), np.ones((len(patient), 80, 80), bool), table, "digest")


def arm(**changes):
    return training.Arm("scratch", "compact", replace(QUICK, **changes))


def test_folds_are_stratified_disjoint_and_reshuffled_by_seed():
    labels = pd.Series([1] * 24 + [0] * 86, [f"P{i:03d}" for i in range(110)])
    folds = training.assign_folds(labels, 10, seed=0)
    per_fold = labels.groupby(folds).agg(["size", "sum"])
    assert per_fold["size"].eq(11).all() and per_fold["sum"].between(2, 3).all()
    assert folds.equals(training.assign_folds(labels, 10, seed=0))
    assert not folds.equals(training.assign_folds(labels, 10, seed=1))


def test_too_few_patients_of_a_class_are_named():
    with pytest.raises(CohortError, match="10 folds need 10 patients of each class, the smaller class has 3"):
        training.assign_folds(pd.Series([1] * 3 + [0] * 30), 10, seed=0)


def test_slices_weigh_alike_by_patient_and_class():
    table = pd.DataFrame({"patient": list("aaabcc"), "label": [1, 1, 1, 0, 0, 0]})
    weights = pd.Series(training.slice_weights(table))
    np.testing.assert_allclose(weights, [1, 1, 1, 1.5, 0.75, 0.75])
    assert weights.mean() == 1


def test_augmentation_keeps_shape_range_and_an_empty_background():
    images = torch.zeros(64, 2, 80, 80)
    images[:, :, 30:50, 25:45] = 0.5
    changed = training.augment(images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape and 0 <= changed.min() and changed.max() <= 1
    assert not changed[:, :, :4].any()  # a turned and zoomed square of 20 pixels stays away from the border
    areas = (changed[:, 0] > 0.25).sum((1, 2)) / 400
    assert 0.75 < areas.min() < areas.max() < 1.3  # zoom by 0.9 to 1.1 changes the area by 0.83 to 1.23
    again = training.augment(images, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)


def test_augmentation_mirrors_and_turns_but_does_not_shear():
    images = torch.zeros(200, 1, 80, 80)
    images[:, :, 38:42, 10:70] = 1  # a bar
    changed = training.augment(images, torch.Generator().manual_seed(0))[:, 0] > 0.3
    y, x = torch.meshgrid(*[torch.arange(80.0) - 39.5] * 2, indexing="ij")
    for bar in changed:
        spread = torch.cov(torch.stack([x[bar], y[bar]]))
        values, vectors = torch.linalg.eigh(spread)
        angle = torch.rad2deg(torch.atan2(vectors[1, 1], vectors[0, 1]))
        assert min(abs(angle), 180 - abs(angle)) < 21
        assert values[1] / values[0] > 100  # still a thin bar


def test_a_network_learns_what_can_be_learnt():
    data = cohort(effect=1)
    model = training.fit(models.create("compact"), data.sequences(("FLAIR",)), data.table.label.to_numpy(), QUICK, 0)
    logits = training.predict(model, data.sequences(("FLAIR",)))[:, 0]
    assert roc_auc_score(data.table.label, logits) > 0.95


def test_cross_validation_covers_each_patient_once_a_repeat(tmp_path):
    data = cohort(effect=1)
    table = training.cross_validate(data, [arm(epochs=8)], tmp_path, folds=2, repeats=2)
    assert list(table) == training.PREDICTION_COLUMNS
    assert table.groupby("repeat").patient.nunique().eq(40).all() and len(table) == 80
    assert table.y_true.equals(table.patient.map(data.labels))
    assert roc_auc_score(table.y_true, table.score) > 0.9


def test_a_slice_of_a_held_out_patient_never_helps(tmp_path):
    """The slices identify the patient and nothing tells the class: by patient chance is all there is.

    A split by slices finds each patient's other slices in training; it would be near 1.
    """
    data = cohort(n_patients=16, n_slices=12, identity=1)
    settings = arm(epochs=14)
    by_patient = training.cross_validate(data, [settings], tmp_path / "a", SEQUENCES, folds=3)
    as_if = data.table.assign(patient=[f"S{i:03d}" for i in range(len(data.table))])
    by_slice = training.cross_validate(replace(data, table=as_if), [settings], tmp_path / "b", SEQUENCES, folds=3)
    patient_auc, slice_auc = (roc_auc_score(table.y_true, table.score) for table in (by_patient, by_slice))
    # 8 patients against 8 at random: standard error 0.15; two of them.
    assert slice_auc > 0.85 and patient_auc < 0.8


def test_patient_score_is_the_mean_log_odds_of_its_slices(tmp_path):
    data = cohort(effect=0.5)
    table = training.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2).set_index("patient")
    row = table.iloc[0]
    model = models.create("compact")
    model.load_state_dict(models.load_weights(tmp_path / f"scratch-compact-r0-f{row.fold}.safetensors"))
    own = (data.table.patient == row.name).to_numpy()
    logits = training.predict(model, data.sequences(("FLAIR",))[own])
    assert row.score == pytest.approx(logits.mean(), abs=1e-3)


def test_repeated_runs_agree_bit_for_bit_and_keep_their_fits(tmp_path):
    data = cohort(effect=0.5)
    first = training.cross_validate(data, [arm(epochs=1)], tmp_path / "a", folds=2)
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "a").iterdir()}
    kept = training.cross_validate(data, [arm(epochs=1)], tmp_path / "a", folds=2)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "a").iterdir()} == stamps
    anew = training.cross_validate(data, [arm(epochs=1)], tmp_path / "b", folds=2)
    assert first.equals(kept) and first.equals(anew)


def test_a_missing_fit_is_done_again_and_changed_settings_or_data_are_not_mixed(tmp_path):
    data = cohort(effect=0.5)
    first = training.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2)
    (tmp_path / "scratch-compact-r0-f1.npz").unlink()
    assert training.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2).equals(first)
    changed = training.cross_validate(data, [arm(epochs=2)], tmp_path, folds=2)
    assert not np.allclose(changed.score, first.score)
    other = replace(data, images=255 - data.images)
    assert not np.allclose(training.cross_validate(other, [arm(epochs=2)], tmp_path, folds=2).score, changed.score)


def test_arms_start_from_their_weights(tmp_path):
    source = models.create("compact", 1, outputs=3, seed=7)
    models.save_weights(source, tmp_path / "gbm.safetensors")
    gbm = training.Arm("gbm", "compact", QUICK, tmp_path / "gbm.safetensors").start(1, seed=0)
    assert torch.equal(gbm.stem.weight, source.stem.weight)
    natural = training.Arm("natural", "efficientnet_lite0", QUICK).start(1, seed=0)
    expected = models.natural_weights()["network.conv_stem.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(natural.stem.weight, expected)
