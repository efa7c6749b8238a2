"""`transfer`: probes see no test patient, statistics are the training patients', permutations are exact."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from radiogen_utils import facts, models, training, transfer
from radiogen_utils.baselines import Baseline
from radiogen_utils.facts import Model
from radiogen_utils.folds import assign_folds
from radiogen_utils.models import Initialisation
from radiogen_utils.patches import Patches

SCRATCH = Initialisation("scratch", "compact", ("FLAIR",), (0, 1))


@pytest.fixture(autouse=True)
def one_process():
    """Probes in this process: starting others takes longer than the probes."""
    with joblib.parallel_config("sequential"):
        yield


def cohort(n_patients=40, n_slices=3, effect=60, seed=0):
    """Square tumours of various sizes whose brightness in FLAIR tells the class, by `effect`."""
    rng = np.random.default_rng(seed)
    labels, patient = np.arange(n_patients) % 2, np.repeat(np.arange(n_patients), n_slices)
    masks = np.zeros((len(patient), 80, 80), bool)
    for mask, half in zip(masks, rng.integers(8, 24, len(patient)), strict=True):
        mask[40 - half : 40 + half, 40 - half : 40 + half] = True
    images = 120 + 15 * rng.normal(size=(len(patient), 3, 80, 80))
    images[:, 1] += (effect * (labels[patient] - 0.5))[:, None, None]
    images = images.clip(1, 255).astype(np.uint8) * masks[:, None]
    names = [f"TCGA_XX_{i:04d}" for i in patient]
    table = pd.DataFrame({"patient": names, "case": names, "slice": np.arange(len(patient)), "label": labels[patient]})
    return Patches(images, masks, table, "cohort")


def test_statistics_are_those_of_the_images():
    images = cohort().sequences(("FLAIR",))
    network = models.create("compact", 1, 1, 0)
    before = network.features(torch.as_tensor(images[:8]) / 255)
    transfer.renormalise(network, images)
    first = network.blocks[0]
    with torch.no_grad():
        maps = first[1](first[0](torch.as_tensor(images) / 255))
    # bfloat16 has eight bits: agreement to a few per cent of the spread
    mean, sd = maps.mean((0, 2, 3)), maps.std((0, 2, 3))
    assert (torch.abs(first[2].running_mean - mean) < 0.05 * sd + 1e-3).all()
    assert not torch.allclose(before, network.eval().features(torch.as_tensor(images[:8]) / 255))


def test_a_network_is_read_where_it_is_and_not_where_fits_would_go(monkeypatch):
    # As where there is a GPU and a notebook has made a network on the CPU: "meta" stands for the GPU.
    monkeypatch.setattr(training, "device", lambda: torch.device("meta"))
    data, network = cohort(4), models.create("compact", 1, 1, 0)
    transfer.renormalise(network, data.sequences(("FLAIR",)))
    assert np.isfinite(transfer.pooled_features(network, data.sequences(("FLAIR",)), data.masks)).all()


def test_features_are_averages_over_the_patch_and_over_the_tumour():
    data = cohort(4)
    images = data.sequences(("FLAIR",))
    network = models.create("compact", 1, 1, 0).eval()
    features = transfer.pooled_features(network, images, data.masks)
    with torch.inference_mode():
        maps = network.features(torch.as_tensor(images) / 255).numpy()
    share = data.masks.reshape(-1, 10, 8, 10, 8).mean((2, 4))[:, None]
    tumour = (maps * share).sum((2, 3)) / share.sum((2, 3))
    scale = np.abs(maps).max()
    np.testing.assert_allclose(features[:, 0], maps.mean((2, 3)), atol=0.02 * scale)
    np.testing.assert_allclose(features[:, 1], tumour, atol=0.02 * scale)
    assert not np.allclose(features[:, 0], features[:, 1], atol=0.02 * scale)


def test_the_patch_average_measures_size_and_the_tumour_average_less():
    halves = np.arange(10, 34, 2)
    masks = np.zeros((len(halves), 80, 80), bool)
    for mask, half in zip(masks, halves, strict=True):
        mask[40 - half : 40 + half, 40 - half : 40 + half] = True
    images = (np.random.default_rng(0).integers(100, 140, masks.shape) * masks).astype(np.uint8)[:, None]
    features = transfer.pooled_features(models.create("compact", 1, 1, 0), images, masks)
    # How far the features move from the smallest tumour to the largest, in units of their size
    patch, tumour = np.linalg.norm(features[-1] - features[0], axis=1) / np.linalg.norm(features[-1], axis=1)
    assert tumour < 0.6 * patch


def test_features_of_a_fold_do_not_know_its_test_patients():
    data = cohort(20)
    split = assign_folds(data.labels, 2, 0)
    features = transfer.fold_features(data, SCRATCH, 0, split)
    assert features.shape == (2, 20, 2, 128) and features.dtype == np.float32
    changed = data.images.copy()
    test = data.table.patient.map(split).to_numpy() == 0
    changed[test] = changed[test][::-1] // 2
    again = transfer.fold_features(Patches(changed, data.masks, data.table, "cohort"), SCRATCH, 0, split)
    train = (split != 0).to_numpy()
    np.testing.assert_array_equal(features[0][train], again[0][train])
    assert not np.allclose(features[1][train], again[1][train], atol=1e-3)


def test_features_are_those_of_the_network_normalised_by_the_training_patients():
    data = cohort(12)
    split, images = assign_folds(data.labels, 3, 0), data.sequences(("FLAIR",))
    network, fold = SCRATCH.create(1), data.table.patient.map(split).to_numpy()
    for held_out, found in enumerate(transfer.fold_features(data, SCRATCH, 1, split)):
        transfer.renormalise(network, images[fold != held_out])
        features = transfer.pooled_features(network, images, data.masks)
        # Batches of another size may be summed in another order, in bfloat16.
        expected = transfer.patient_means(features, data.table.patient)
        np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())


def test_probes_find_what_is_there_and_nothing_else(tmp_path):
    for effect, low, high in ((60, 0.9, 1), (0, 0.2, 0.8)):  # 40 patients, no effect: 0.5 ± 0.1
        table = transfer.probe(cohort(effect=effect), [SCRATCH], tmp_path / str(effect), 4, 1, 0)
        areas = [roc_auc_score(one.y_true, one.score) for _, one in table.groupby(["network", "pooling"])]
        assert low <= min(areas) and max(areas) <= high
        assert table.groupby(["network", "pooling", "repeat"]).patient.nunique().eq(40).all()
    assert list(table) == facts.COLUMNS
    models_there = [model for model, _ in facts.by_model(table)]
    assert models_there == [Model("scratch", readout="probe", pooling=pooling) for pooling in transfer.POOLINGS]


def test_the_probe_as_a_head_gives_the_score_of_the_probe():
    """Mean log-odds over a patient's slices, by the network, of patients whom it has not seen."""
    data = cohort(30)
    split = assign_folds(data.labels, 3, 0)
    features = transfer.fold_features(data, SCRATCH, 0, split)[:, :, 0]
    expected = transfer.read_out(features, data.labels.to_numpy()[None], split, 4)[0]
    images, fold = data.sequences(("FLAIR",)), data.table.patient.map(split).to_numpy()
    for held_out in range(3):
        network, train = SCRATCH.create(0), fold != held_out
        transfer.probe_head(network, images[train], data.masks[train], data.table[train], 4)
        table = data.table[~train].assign(score=training.predict(network, images[~train])[:, 0])
        found = table.groupby("patient").score.mean()
        out = (split == held_out).to_numpy()
        # Features are from bfloat16, which has eight bits, the network's own answers are not.
        assert list(found.index) == list(data.labels.index[out])
        np.testing.assert_allclose(found, expected[out], atol=0.05 * expected.std())


def test_institutions_left_out_are_said_to_be(tmp_path):
    data = cohort(24)
    folds = pd.Series(np.arange(24) // 8, data.labels.index)
    table = transfer.probe(data, [SCRATCH], tmp_path, folds, 1, 0)
    assert (table.split == "institution").all() and table.fold.nunique() == 3


def test_features_are_kept_until_something_changes(tmp_path, monkeypatch):
    data = cohort(20)
    split = assign_folds(data.labels, 2, 0)
    first = transfer.keep_features(tmp_path / "f.npz", data, SCRATCH, 0, split)
    monkeypatch.setattr(transfer, "fold_features", lambda *_: np.zeros((2, 20, 2, 128), np.float32))
    assert np.array_equal(transfer.keep_features(tmp_path / "f.npz", data, SCRATCH, 0, split), first)
    assert not transfer.keep_features(tmp_path / "f.npz", data, SCRATCH, 1, split).any()
    (tmp_path / "f.npz").write_bytes(b"damaged")
    assert not transfer.keep_features(tmp_path / "f.npz", data, SCRATCH, 0, split).any()


def test_permutations_keep_the_folds_and_p_is_uniform_without_an_effect():
    labels = pd.Series([0, 1] * 20, [f"P{i:02d}" for i in range(40)])
    split = assign_folds(labels, 4, 0)
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(4, 40, 5)).astype(np.float32)]
    observed, areas = transfer.permutation_aucs(features, labels, split, 30, 0)
    # Another optimiser, which may take another penalty where several are as good.
    model = Baseline("", "logistic", None).create(0)  # scikit-learn's, which stops a little earlier
    by_hand = np.zeros(len(labels))
    for fold, values in enumerate(features[0]):
        out = (split == fold).to_numpy()
        by_hand[out] = model.fit(values[~out], labels[~out]).decision_function(values[out])
    np.testing.assert_allclose(transfer.read_out(features[0], labels.to_numpy()[None], split, 0)[0], by_hand, atol=0.01)
    assert observed == pytest.approx(roc_auc_score(labels, by_hand), abs=0.01)
    assert areas.shape == (30,) and 0.3 < areas.mean() < 0.65 and areas.std() > 0.03
    features[0][:, labels == 1] += 2
    observed, areas = transfer.permutation_aucs(features, labels, split, 30, 0)
    assert observed > 0.95 and (areas < observed).all()


def test_networks_of_an_initialisation(tmp_path):
    path = tmp_path / "w.safetensors"
    models.save_weights(models.create("compact", 1, 3, 7).state_dict(), path)
    trained = Initialisation("gbm", "compact", ("FLAIR",), (path,), "dense").create(0)
    assert torch.equal(trained.blocks[0][0].weight, models.create("compact", 1, 3, 7).blocks[0][0].weight)
    first, second = (SCRATCH.create(n).blocks[0][0].weight for n in (0, 1))
    assert not torch.equal(first, second)
    assert Initialisation("natural", "efficientnet_lite0", ("FLAIR",), (0,)).create(0).stem.weight.shape[1] == 1
