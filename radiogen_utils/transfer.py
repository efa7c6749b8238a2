"""Linear probes: what the features of a network are worth before any of its weights has met a genomic label.

A logistic model reads a frozen network's features (Alain and Bengio, 2016). Fine-tuning all weights on a hundred
patients distorts pretrained features (Kumar et al., ICLR 2022), so the probe asks what an initialisation holds, and
fine-tuning what can be made of it. All random numbers are in the initial weights, the folds and the inner folds.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from . import facts, logistic, training
from .baselines import Baseline
from .facts import Model
from .folds import repeated_folds, split_of
from .models import CompactCNN, Initialisation
from .patches import PATCH_SIZE, Patches
from .repeats import permutation_within_folds
from .support import fingerprint, progress, write_atomically

POOLINGS = ("patch", "tumour")
"""What features are averaged over: the whole patch, as by a network that ends in global average pooling; or the tumour
alone, which leaves its size out."""
BATCH = 128
CHUNK = 50
"""Labellings that are read out together."""
STATISTICS = 512
"""Slices from which the statistics of batch normalisation are estimated, at most, evenly spaced over the patients."""
CODE = fingerprint(training.CODE, Path(__file__).read_bytes())
"""Fingerprint of the code that decides what a feature is, as it was imported."""


def renormalise(network: nn.Module, images: np.ndarray, pixels: int = PATCH_SIZE) -> None:
    """Set the statistics of all batch normalisations to those of `images` (N, C, H, W) uint8, in place.

    With the statistics 0 and 1 that they are created with, random weights are no fair control.
    """
    step = -(-len(images) // STATISTICS)
    where = next(network.parameters()).device
    with training.autocast(True, where):
        update_bn(_batches(images[::step], pixels, where), network)


def _batches(images: np.ndarray, pixels: int, where: torch.device) -> Iterator[torch.Tensor]:
    for batch in torch.as_tensor(images).split(BATCH):
        batch = batch.to(where)
        if batch.dtype == torch.uint8:
            batch = batch / 255
        if batch.shape[-1] != pixels:
            batch = functional.interpolate(batch, (pixels, pixels), mode="bilinear", align_corners=False)
        yield batch.contiguous(memory_format=torch.channels_last)


class _MaxPool(nn.Module):
    """Maximum of 2 × 2 pixels, in half the time of torch's, which notes for a gradient where each maximum was."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H // 2, W // 2)."""
        rows = torch.maximum(x[..., :-1:2], x[..., 1::2])
        return torch.maximum(rows[..., :-1:2, :], rows[..., 1::2, :])


def pooled_features(network: nn.Module, images: np.ndarray, masks: np.ndarray, pixels: int = PATCH_SIZE) -> np.ndarray:
    """What the network's head would see, by slice.

    Args:
        network: of `models.create`; it is set to evaluation mode.
        images: (N, C, H, W) uint8, or float as the network takes them.
        masks: (N, H, W) bool, the tumour.
        pixels: side to which patches are enlarged.

    Returns:
        (N, 2, F) float32: averages of the last feature map over the patch, and over the tumour (each cell weighs as
        much as the tumour covers of it), as in `POOLINGS`.
    """
    network.eval()
    where, found = next(network.parameters()).device, []
    with torch.inference_mode(), training.autocast(True, where):
        masks = torch.tensor(masks).split(BATCH)  # a copy: workers share arrays that cannot be written to
        for batch, mask in zip(_batches(images, pixels, where), masks, strict=True):
            maps = network.features(batch).float()
            coverage = functional.adaptive_avg_pool2d(mask[:, None].to(maps), maps.shape[2:])
            tumour = (maps * coverage).sum((2, 3)) / coverage.sum((2, 3)).clamp(min=1e-6)
            found.append(torch.stack([maps.mean((2, 3)), tumour], 1).cpu())
    return torch.cat(found).numpy()


def patient_means(values: np.ndarray, patient: pd.Series) -> np.ndarray:
    """(N, ...) by slice -> (patients, ...): means over each patient's slices, patients sorted."""
    flat = pd.DataFrame(values.reshape(len(values), -1)).groupby(patient.to_numpy()).mean()
    return flat.to_numpy(np.float32).reshape(len(flat), *values.shape[1:])


def fold_features(data: Patches, initialisation: Initialisation, number: int, split: pd.Series) -> np.ndarray:
    """Features of every patient as they are in each fold of a cross-validation.

    The weights are the same in every fold; the statistics of batch normalisation are those of its training patients.

    Args:
        data: patches with their patients.
        initialisation: the networks.
        number: which of the initialisation's networks.
        split: fold of each patient, sorted by patient.

    Returns:
        (folds, patients, 2, F) float32; means over each patient's tumour slices.
    """
    where = training.device()
    if where.type == "cpu":
        torch.set_num_threads(1)  # one network to a core
    images, patient = data.sequences(initialisation.sequences), data.table.patient
    network = initialisation.create(number).to(where, memory_format=torch.channels_last)
    pixels, fold = initialisation.pixels, patient.map(split).to_numpy()
    if isinstance(network, CompactCNN):
        for block in network.blocks[:-1]:
            block[1] = _MaxPool()
        # Most of its time goes into what is the same in every fold.
        first, network.blocks[0] = network.blocks[0][:2], network.blocks[0][2:]
        with torch.inference_mode(), training.autocast(True, where):
            images = torch.cat([first(batch).cpu() for batch in _batches(images, pixels, where)])
        pixels = images.shape[-1]
    found = []
    for held_out in range(split.max() + 1):
        renormalise(network, images[fold != held_out], pixels)
        features = pooled_features(network, images, data.masks, pixels)
        found.append(patient_means(features, patient))
    return np.stack(found)


def keep_features(
    file: Path, data: Patches, initialisation: Initialisation, number: int, split: pd.Series
) -> np.ndarray:
    """`fold_features`, or what was left in `file` before if patches, network, folds and code are the same."""
    network = initialisation.networks[number]
    network = network.read_bytes() if isinstance(network, Path) else network
    asked = asdict(initialisation) | {"networks": None}
    key = fingerprint(CODE, data.fingerprint, asked, network, split.to_csv())
    try:
        with np.load(file, allow_pickle=False) as saved:
            if str(saved["key"]) == key:
                return saved["features"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not there, or damaged
    features = fold_features(data, initialisation, number, split)

    def write(temporary: Path):
        with open(temporary, "wb") as opened:
            np.savez(opened, key=key, features=features)

    write_atomically(file, write)
    return features


def read_out(features: np.ndarray, labels: np.ndarray, split: pd.Series, seed: int) -> np.ndarray:
    """Out-of-fold log-odds of logistic models whose penalty is chosen by inner cross-validation.

    Args:
        features: (folds, patients, F), as they are in each fold.
        labels: (P, patients) 0 or 1, each labelling to be read out by itself.
        split: fold of each patient.
        seed: of the inner folds.

    Returns:
        (P, patients) float.
    """
    scores = np.zeros(labels.shape)
    for fold, values in enumerate(features):
        out = split.to_numpy() == fold
        weights, biases = _logistic(values[~out], labels[:, ~out], seed)
        scores[:, out] = weights @ values[out].T + biases[:, None]
    return scores


def _logistic(features: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (P, F) and biases (P,) of the model that `Baseline` fits to each of (P, patients) labellings."""
    model = Baseline("", "logistic", None).create(seed)[-1]
    mean, spread = features.mean(0, float), features.std(0, float)
    spread[spread == 0] = 1
    options = 1 / model.Cs, model.cv.n_splits, seed
    coefficients, _ = logistic.cross_validated((features - mean) / spread, labels, *options)
    weights = coefficients[:, :-1] / spread
    return weights, coefficients[:, -1] - weights @ mean


def probe_head(network: nn.Module, images: np.ndarray, masks: np.ndarray, table: pd.DataFrame, seed: int) -> None:
    """Make the linear probe of these patients the network's head, in place, and normalise by their patches.

    The mean of its log-odds over a patient's slices is then what `read_out` gives, the scaling of features included.

    Args:
        network: of `models.create`, one output.
        images: (N, C, H, W) uint8, of the training patients.
        masks: (N, H, W) bool.
        table: their columns patient and label.
        seed: of the inner folds.
    """
    network.to(training.device(), memory_format=torch.channels_last)
    renormalise(network, images)
    features = patient_means(pooled_features(network, images, masks)[:, 0], table.patient)
    weights, biases = _logistic(features, table.groupby("patient").label.first().to_numpy()[None], seed)
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights))
        network.head.bias.copy_(torch.from_numpy(biases))


def probe(
    data: Patches, initialisations: list[Initialisation], folder: Path, folds: int | pd.Series, repeats: int, seed: int
) -> pd.DataFrame:
    """Out-of-fold scores of every patient from linear probes of every initialisation.

    Args:
        data: patches with their patients and labels.
        initialisations: what is probed.
        folder: where features are left; those of the same patches, networks, folds and code are not made again.
        folds: as for `cross_validation.cross_validate`.
        repeats: likewise.
        seed: likewise.

    Returns:
        As `cross_validation.cross_validate`, one row a network, repeat, pooling and patient.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    splits = repeated_folds(data.labels, folds, repeats, seed)
    tasks = [(i, n, r) for i in initialisations for n in range(len(i.networks)) for r in range(repeats)]
    parallel = joblib.Parallel(joblib.cpu_count(only_physical_cores=True), batch_size=1, return_as="generator")
    found = parallel(joblib.delayed(_probe)(data, *task, splits[task[2]], folder, seed) for task in tasks)
    table = pd.concat(progress(found, len(tasks), "probe"), ignore_index=True)
    return table.assign(split=split_of(folds))


def feature_file(folder: Path, initialisation: Initialisation, number: int, repeat: int) -> Path:
    """Where `probe` leaves the features of one network in one repeat."""
    facts = (initialisation.arm, initialisation.pretraining, initialisation.backbone, initialisation.pixels)
    name = "-".join(map(str, (*facts, "+".join(initialisation.sequences), f"n{number}", f"r{repeat}")))
    return Path(folder) / f"{name}.npz"


def _probe(
    data: Patches, initialisation: Initialisation, number: int, repeat: int, split: pd.Series, folder: Path, seed: int
) -> pd.DataFrame:
    file = feature_file(folder, initialisation, number, repeat)
    features = keep_features(file, data, initialisation, number, split)
    start, tables = initialisation, []
    for pooling, values in zip(POOLINGS, np.moveaxis(features, 2, 0), strict=True):
        model = Model(start.arm, start.pretraining, start.backbone, start.pixels, start.input, "probe", pooling)
        columns = {"fold": split, "patient": data.labels.index, "y_true": data.labels}
        scores = read_out(values, data.labels.to_numpy()[None], split, seed + repeat)[0]
        tables.append(facts.table(model, number, repeat=repeat, **columns, score=scores))
    return pd.concat(tables)


def permutation_aucs(
    features: list[np.ndarray], labels: pd.Series, split: pd.Series, permutations: int, seed: int
) -> tuple[float, np.ndarray]:
    """AUC of the probes of several networks, mean over them, with the true labels and with permuted ones.

    Labels are permuted within the folds. Given the folds, every such labelling is equally likely when labels mean
    nothing, so the test is exact, and the features, which know no label, need not be made again.

    Args:
        features: of each network, (folds, patients, F), all of the folds `split`.
        labels: 0 or 1 by patient, sorted.
        split: fold of each patient, likewise.
        permutations: how many.
        seed: of the permutations and of the inner folds.

    Returns:
        The AUC; (permutations,) AUCs.
    """
    rng = np.random.default_rng(seed)
    labellings = np.array([labels, *(permutation_within_folds(labels, split, rng) for _ in range(permutations))])
    chunks = np.array_split(labellings, -(-len(labellings) // CHUNK))
    parallel = joblib.Parallel(joblib.cpu_count(only_physical_cores=True), return_as="generator")
    jobs = [joblib.delayed(_aucs)(values, each, split, seed) for each in chunks for values in features]
    areas = list(progress(parallel(jobs), len(jobs), "permutation"))
    rows = [areas[i : i + len(features)] for i in range(0, len(areas), len(features))]
    observed, *areas = np.concatenate([np.mean(row, 0) for row in rows])
    return float(observed), np.array(areas)


def _aucs(features: np.ndarray, labellings: np.ndarray, split: pd.Series, seed: int) -> np.ndarray:
    """(P,) AUCs of `read_out` under (P, patients) labellings."""
    scores = read_out(features, labellings, split, seed)
    return np.array([roc_auc_score(own, row) for own, row in zip(labellings, scores, strict=True)])
