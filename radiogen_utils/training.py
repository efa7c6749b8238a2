"""Fit one network; cross-validate many.

A fit is one arm, repeat and fold. Fits are independent, run one to a core, and leave their scores in the run folder, so
that an interrupted or repeated cross-validation continues with the fits that are missing.
"""

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score, recall_score
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.nn import functional

from . import models, pretraining
from .archive import CohortError
from .patches import Patches
from .pretraining import GliomaSlices
from .project import Training, digest, progress, write_atomically

CODE = digest(torch.__version__, *(Path(file).read_bytes() for file in (__file__, models.__file__)))
"""Digest of the code that decides what a fit finds, as it was imported."""

PREDICTION_COLUMNS = ["arm", "backbone", "repeat", "fold", "patient", "y_true", "score"]


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random flips, rotation up to 20°, zoom up to 10 %, gain and gamma; drawn per image, applied to the whole batch.

    Args:
        images: (N, C, H, W) float in [0, 1], 0 outside the tumour or the brain.
        generator: of the images' device.

    Returns:
        Tensor of the same shape and range.
    """
    shape = list(images.shape)

    def uniform(low, high):
        return torch.empty(shape[0], device=images.device).uniform_(low, high, generator=generator)

    angle, zoom = uniform(-np.pi / 9, np.pi / 9), uniform(0.9, 1.1)
    flip_x, flip_y = uniform(-1, 1).sign(), uniform(-1, 1).sign()
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack([flip_x * cosine, -flip_x * sine, flip_y * sine, flip_y * cosine], 1).view(-1, 2, 2)
    theta = functional.pad(theta, (0, 1))  # no translation: the patch is centred on the tumour
    grid = functional.affine_grid(theta, shape, align_corners=False)
    images = functional.grid_sample(images, grid, align_corners=False)

    gamma, gain = torch.exp2(uniform(-0.25, 0.25)).view(-1, 1, 1, 1), uniform(0.9, 1.1).view(-1, 1, 1, 1)
    return (images.clamp(min=0) ** gamma * gain).clamp(0, 1)


def _autocast(training: Training):
    """bfloat16 where it was asked for and the hardware multiplies it; else full precision."""
    kind = device().type
    # Some builds (macOS on ARM) have no oneDNN, and then not even the question.
    able = kind == "cuda" or (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(kind, torch.bfloat16, enabled=training.bf16 and able)


def fit_by_epoch(
    model: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    training: Training,
    seed: int,
    weights: np.ndarray | None = None,
) -> Iterator[float]:
    """Train a network in place by AdamW with a one-cycle learning rate; yields each epoch's mean training loss.

    Args:
        model: K outputs; K = 1 is trained with the logistic loss, K > 1 with cross-entropy.
        images: (N, C, H, W) uint8.
        targets: (N,) 0 or 1 for K = 1; (N, K) probabilities of the classes for K > 1.
        training: epochs, learning rate and so on.
        seed: of the order of the slices and of the augmentation.
        weights: (N,) weight of each slice in the loss; `None`: all 1.
    """
    torch.set_flush_denormal(True)  # denormal numbers make a step several times slower
    where = device()
    generator = torch.Generator(where).manual_seed(seed)
    model.to(where, memory_format=torch.channels_last)
    images, targets = torch.as_tensor(images, device=where), torch.as_tensor(targets, device=where)
    weights = torch.ones(len(images)) if weights is None else torch.as_tensor(weights)
    weights = weights.to(where, torch.float32)
    optimizer = torch.optim.AdamW(
        model.parameters(), training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    # The last, incomplete batch is left out: batch normalisation is unreliable on a few images.
    steps = max(1, len(images) // training.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=steps * training.epochs
    )
    for _ in range(training.epochs):
        model.train()
        order = torch.randperm(len(images), device=where, generator=generator)
        total = torch.zeros((), device=where)
        for rows in order[: steps * training.batch_size].split(training.batch_size):
            batch = augment(images[rows] / 255, generator)
            with _autocast(training):
                logits = model(batch.contiguous(memory_format=torch.channels_last)).float()
            if logits.shape[1] == 1:
                loss = functional.binary_cross_entropy_with_logits(
                    logits[:, 0], targets[rows].float(), reduction="none"
                )
            else:
                loss = functional.cross_entropy(logits, targets[rows], reduction="none")
            loss = (loss * weights[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        yield float(total) / steps


def fit(model: nn.Module, *arguments) -> nn.Module:
    """Train as `fit_by_epoch` does, to the end; returns the model in evaluation mode."""
    for _ in fit_by_epoch(model, *arguments):
        pass
    return model.eval()


def predict(model: nn.Module, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Logits of a fitted network.

    Args:
        images: (N, C, H, W) uint8.

    Returns:
        (N, K) float32; for K = 1 the log-odds of class 1.
    """
    model.eval()
    where = next(model.parameters()).device
    with torch.inference_mode():
        batches = torch.as_tensor(images).split(batch_size)
        return np.concatenate([model(batch.to(where) / 255).float().cpu().numpy() for batch in batches])


def pretrain(
    backbone: str,
    slices: GliomaSlices,
    training: Training,
    patches_per_slice: int,
    seed: int,
    path: Path,
) -> dict:
    """Train a network on the tissue shares of glioblastoma-like cases and judge it on cases held out.

    Args:
        slices: all slices; cases that are not glioblastoma-like are left out.
        path: file of the weights, `.safetensors`; the record goes beside it as `.json`. When both are there and were
            made from the same data, settings and code, they are kept.

    Returns:
        The record: data, settings, `curve` (loss by epoch), `entropy` and `prior_loss` (the lowest loss possible, and
        that of the mean shares), and on the held-out cases, each of the same weight, `r2` (explained variance of each
        tissue's share) and `balanced_accuracy` of naming the largest tissue.
    """
    likely = pretraining.glioblastoma_like(slices)
    cases, held_out_cases = pretraining.split_cases(likely.index[likely], seed)
    data = digest(slices.images.tobytes(), slices.labels.tobytes(), slices.table.to_csv())
    code = Path(pretraining.__file__).read_bytes()
    key = digest(CODE, code, backbone, data, training, patches_per_slice, seed)
    record_path = path.with_suffix(".json")
    if path.exists() and record_path.exists():
        record = json.loads(record_path.read_text())
        if record["key"] == key:
            for file in (path, record_path):
                file.touch()  # as fresh as the run that relies on them
            return record
    images, shares, _ = pretraining.composition_patches(slices, cases, patches_per_slice, seed)
    unseen, unseen_shares, unseen_case = pretraining.composition_patches(
        slices, held_out_cases, patches_per_slice, seed
    )
    model = models.create(backbone, channels=1, outputs=shares.shape[1], seed=seed)
    curve = []
    losses = fit_by_epoch(model, images, shares, training, seed)
    for loss in progress(losses, training.epochs, f"{backbone} epoch", lambda loss: f"training loss {loss:.3f}"):
        logits = torch.as_tensor(predict(model, unseen))
        held_out_loss = float(functional.cross_entropy(logits, torch.as_tensor(unseen_shares)))
        curve.append({"epoch": len(curve) + 1, "training_loss": loss, "held_out_loss": held_out_loss})
    predicted = torch.softmax(torch.as_tensor(predict(model, unseen)), 1).numpy()
    # All cases weigh the same, so that a case with many tumour slices does not count more than one with few.
    case_weights = 1 / pd.Series(unseen_case).groupby(unseen_case).transform("size").to_numpy()
    largest, named = unseen_shares.argmax(1), predicted.argmax(1)
    # The mean recall of the tissues that occur, as scikit-learn defines balanced accuracy.
    options = {"labels": np.unique(largest), "average": "macro", "sample_weight": case_weights}
    balanced_accuracy = recall_score(largest, named, **options)
    record = {
        "key": key,
        "backbone": backbone,
        "data": data,
        "training": asdict(training) | {"patches_per_slice": patches_per_slice, "seed": seed},
        "cases": len(cases),
        "held_out_cases": len(held_out_cases),
        "patches": len(images),
        "curve": curve,
        "entropy": float(-np.sum(unseen_shares * np.log(np.maximum(unseen_shares, 1e-12)), 1).mean()),
        "prior_loss": float(-(unseen_shares @ np.log(shares.mean(0))).mean()),
        "r2": dict(
            zip(
                pretraining.TISSUES,
                r2_score(unseen_shares, predicted, sample_weight=case_weights, multioutput="raw_values").tolist(),
            )
        ),
        "balanced_accuracy": float(balanced_accuracy),
    }
    models.save_weights(model, path, record)
    return record


@dataclass(frozen=True)
class Arm:
    """One way to obtain a network: a backbone, its initialisation and how it is fine-tuned.

    Attributes:
        initialisation: `scratch`, `natural` (ImageNet) or `gbm` (glioblastoma).
        weights: file of the glioblastoma weights, for `gbm` alone.
    """

    initialisation: str
    backbone: str
    training: Training
    weights: Path | None = None

    @property
    def name(self) -> str:
        return f"{self.initialisation}-{self.backbone}"

    def start(self, channels: int, seed: int) -> nn.Module:
        """A new network with this arm's initialisation."""
        sources = {
            "scratch": lambda: None,
            "natural": models.natural_weights,
            "gbm": lambda: models.load_weights(self.weights),
        }
        return models.create(self.backbone, channels, 1, seed, sources[self.initialisation]())


def assign_folds(labels: pd.Series, folds: int, seed: int) -> pd.Series:
    """Fold (0 … folds-1) of each patient, stratified by the label.

    Raises:
        CohortError: a class has fewer patients than there are folds.
    """
    smallest = labels.value_counts().min() if labels.nunique() > 1 else 0
    if smallest < folds:
        raise CohortError(
            f"{folds} folds need {folds} patients of each class, the smaller class has {smallest}; "
            "take another cluster, or a profile of `project.PROFILES` with fewer folds"
        )
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    result = pd.Series(0, labels.index, name="fold")
    for fold, (_, test) in enumerate(splitter.split(labels, labels)):
        result.iloc[test] = fold
    return result


def slice_weights(table: pd.DataFrame) -> np.ndarray:
    """Weight of each slice in the loss: the two classes weigh the same, and so do the patients within a class.

    Without it a patient with 37 tumour slices would count twelve times one with 3.
    """
    slices = table.groupby("patient").label.transform("size")
    patients = table.groupby("label").patient.transform("nunique")
    return (1 / (slices * patients)).to_numpy() * len(table) / 2


def cross_validate(
    data: Patches,
    arms: list[Arm],
    folder: Path,
    sequences: tuple[str, ...] = ("FLAIR",),
    folds: int = 10,
    repeats: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Out-of-fold scores of every patient for every arm; all arms share folds and seeds.

    Args:
        data: patches with their patients and labels.
        folder: where each fit leaves its scores, and the first repeat's networks of the compact backbone, as
            `<arm>-r<repeat>-f<fold>`. Fits found there that were made from the same data, settings and code are not
            repeated.
        sequences: input channels.
        folds, repeats: the repeats reshuffle the patients with other seeds.

    Returns:
        One row a repeat and patient, columns `PREDICTION_COLUMNS`: `score` is the mean log-odds over the patient's
        tumour slices, from the network of the fold in which the patient was held out.
    """
    images = data.sequences(sequences)
    splits = {repeat: assign_folds(data.labels, folds, seed + repeat) for repeat in range(repeats)}
    tasks = [(arm, repeat, fold) for arm in arms for repeat in range(repeats) for fold in range(folds)]
    workers = 1 if device().type == "cuda" else joblib.cpu_count(only_physical_cores=True)
    results = joblib.Parallel(n_jobs=workers, return_as="generator")(
        joblib.delayed(_fit_fold)(arm, repeat, fold, images, data, splits[repeat], seed, folder)
        for arm, repeat, fold in tasks
    )
    results = progress(results, len(tasks), "fit", lambda result: result[1])
    rows = []
    with warnings.catch_warnings():
        # A worker whose memory has grown is replaced by a new one between two fits. Nothing is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)
        for (scores, _), (arm, repeat, fold) in zip(results, tasks):
            columns = {"arm": arm.initialisation, "backbone": arm.backbone, "repeat": repeat, "fold": fold}
            rows.append(scores.rename("score").reset_index().assign(**columns))
    table = pd.concat(rows, ignore_index=True)
    return table.assign(y_true=table.patient.map(data.labels))[PREDICTION_COLUMNS]


def _fit_fold(arm, repeat, fold, images, data, split, seed, folder):
    """One task of `cross_validate`: the held-out patients' scores, and a line that tells what was done."""
    label = f"{arm.name} repeat {repeat + 1} fold {fold + 1}"
    path = Path(folder) / f"{arm.name}-r{repeat}-f{fold}.npz"
    held_out = data.table.patient.map(split).to_numpy() == fold
    source = arm.weights.read_bytes() if arm.weights else b""
    key = digest(
        CODE,
        arm.name,
        arm.training,
        source,
        images.tobytes(),
        data.table.to_csv(),
        split.tolist(),
        fold,
        seed + repeat,
    )
    if path.exists():
        with np.load(path, allow_pickle=False) as saved:
            if str(saved["key"]) == key:
                return pd.Series(saved["score"], pd.Index(saved["patient"], name="patient")), f"{label}: kept"
    start = time.perf_counter()
    torch.set_num_threads(1)  # one fit to a core; several threads in each would hinder one another
    own_seed = (seed + repeat) * 1000 + fold
    model = arm.start(images.shape[1], own_seed)
    table = data.table[~held_out]
    fit(model, images[~held_out], table.label.to_numpy(), arm.training, own_seed, slice_weights(table))
    test = data.table[held_out].assign(score=predict(model, images[held_out])[:, 0])
    scores = test.groupby("patient").score.mean()
    if repeat == 0 and arm.backbone == "compact":
        models.save_weights(model, path.with_suffix(".safetensors"))

    def write(temporary):
        with open(temporary, "wb") as file:
            np.savez(file, key=key, patient=scores.index.to_numpy(str), score=scores.to_numpy())

    write_atomically(path, write)
    return scores, f"{label}: {time.perf_counter() - start:.0f} s"
