"""The pretraining task of the second study: every cell of the last feature map names the tissues that it covers.

The first study asked for one answer a patch, its composition. A dense task gives a hundred answers a patch and ties
each to its place, as in semantic segmentation.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor
from torch import nn
from torch.nn import functional

from . import lesions, models, training
from .data.cohort import SEQUENCES
from .lesions import LesionPatches
from .pretraining import TISSUES, split_cases
from .support import fingerprint, progress
from .training import Training

CODE = fingerprint(training.CODE, *(Path(file).read_bytes() for file in (__file__, lesions.__file__)))
"""Fingerprint of the code that decides what a pretraining finds, as it was imported."""


def tissue_shares(tissues: torch.Tensor, cells: tuple[int, int]) -> torch.Tensor:
    """`(N, h, w)` labels -> `(N, 3, *cells)`: the share of each cell's area that each of `TISSUES` covers."""
    one_hot = torch.stack([tissues == label for label in range(1, len(TISSUES) + 1)], 1)
    return functional.adaptive_avg_pool2d(one_hot.float(), cells)


def dense_logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) float -> (N, 3, h, w): the head applied to each cell of the last feature map, not to their mean."""
    return functional.conv2d(network.features(images), network.head.weight[:, :, None, None], network.head.bias)


def dense_loss(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the cells' tissues, cells weighted by how much of them the tumour covers; (N, 3, h, w) both."""
    return -(shares * logits.log_softmax(1)).sum() / shares.sum()


def fit_dense(
    network: nn.Module, images: np.ndarray, tissues: np.ndarray, settings: Training, seed: int
) -> Iterator[float]:
    """Train a network in place on the dense task, augmented as in `training.fit_by_epoch`.

    Args:
        network: with three outputs.
        images: (N, C, 80, 80) uint8.
        tissues: (N, 80, 80) uint8, 0–3.
        settings: epochs, learning rate and so on.
        seed: of the order and the augmentation.

    Yields:
        Mean training loss of each epoch.
    """
    torch.set_flush_denormal(True)
    where, size = training.device(), settings.batch_size
    images, tissues = torch.as_tensor(images, device=where), torch.as_tensor(tissues, device=where)
    steps = max(1, len(images) // size)
    network.to(where, memory_format=torch.channels_last)
    optimizer, schedule = training.one_cycle(network.parameters(), settings, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.epochs):
        network.train()
        order = torch.randperm(len(images), generator=generator).to(where)
        changes = training.draw_augmentation(len(images), generator).to(where)
        total = 0.0
        for rows, change in zip(order.split(size)[:steps], changes.split(size)[:steps], strict=True):
            grid = training.sampling_grid(change, images.shape[2:])
            batch = functional.grid_sample(training.brighten(images[rows], change), grid, align_corners=False)
            # The nearest label at every second pixel is enough to know what a cell of 8×8 covers.
            labels = tissues[rows, None].float()
            labels = functional.grid_sample(labels, grid[:, ::2, ::2], mode="nearest", align_corners=False)[:, 0]
            with training.autocast(settings.bf16, where):
                logits = dense_logits(network, batch.contiguous(memory_format=torch.channels_last)).float()
            loss = dense_loss(logits, tissue_shares(labels, logits.shape[2:]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        yield total / steps


def predict_shares(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 -> (N, 3, h, w) float32: the probability of each tissue in every cell."""
    network.eval()
    where = next(network.parameters()).device
    with torch.inference_mode():
        batches = torch.as_tensor(images).split(256)
        return np.concatenate(
            [dense_logits(network, part.to(where) / 255).softmax(1).cpu().numpy() for part in batches]
        )


def explained(predicted: np.ndarray, tissues: np.ndarray, case: np.ndarray) -> dict[str, dict[str, float]]:
    """How much of the tissues' variance the network explains on cases that it has not seen; every case weighs the same.

    Args:
        predicted: (N, 3, h, w) of `predict_shares`.
        tissues: (N, H, W).
        case: (N,).

    Returns:
        R² by tissue of `patch`: the composition of a patch, from its cells weighted by coverage; of `case`: the mean of
        that over a case's patches; and of `cell`: the composition of a cell, weighted by coverage.
    """
    shares = tissue_shares(torch.as_tensor(tissues), predicted.shape[2:]).numpy()
    coverage = shares.sum(1, keepdims=True)
    total = coverage.sum((2, 3))
    truth, guess = shares.sum((2, 3)) / total, (predicted * coverage).sum((2, 3)) / total
    weights = 1 / pd.Series(case).groupby(case).transform("size").to_numpy()
    by_case = [pd.DataFrame(values).groupby(case).mean().to_numpy() for values in (truth, guess)]
    inside = coverage[:, 0] > 0
    cells = [(values.transpose(0, 2, 3, 1))[inside] for values in (shares / np.maximum(coverage, 1e-9), predicted)]
    compared = {
        "patch": (truth, guess, weights),
        "case": (*by_case, None),
        "cell": (*cells, (coverage[:, 0] * weights[:, None, None])[inside]),
    }
    return {
        unit: dict(zip(TISSUES, r2_score(*pair, sample_weight=weight, multioutput="raw_values").tolist(), strict=True))
        for unit, (*pair, weight) in compared.items()
    }


def memory_r2(images: np.ndarray, tissues: np.ndarray, held_out: np.ndarray) -> float:
    """Mean R² of the tissues for whoever answers with the composition of the training patch that looks most alike.

    It understands nothing, so what it reaches says how much of the held-out patches the training knows already.

    Args:
        images: (N, 1, 80, 80) uint8; compared at a quarter of the resolution.
        tissues: (N, 80, 80) labels.
        held_out: (N,) bool.
    """
    small = images[:, 0, ::4, ::4].reshape(len(images), -1).astype(np.float32)
    shares = tissue_shares(torch.as_tensor(tissues), (1, 1))[:, :, 0, 0].numpy()
    composition = shares / shares.sum(1, keepdims=True)
    model = KNeighborsRegressor(1).fit(small[~held_out], composition[~held_out])
    return float(model.score(small[held_out], composition[held_out]))


def pretrain_dense(
    patches: LesionPatches, sequences: tuple[str, ...], settings: Training, seed: int, path: Path
) -> dict:
    """Train the compact network on the dense task and write its weights.

    Args:
        patches: a fifth of whose cases, drawn once and the same for every seed, is held out.
        sequences: input channels.
        settings: epochs, learning rate and so on.
        seed: of the initial weights, the order and the augmentation.
        path: file of the weights, `.safetensors`; the record goes beside it as `.json`. When both are there and were
            made from the same data, settings and code, they are kept.

    Returns:
        The record: data, settings, `curve` (training loss and held-out loss by epoch) and `r2` (`explained`) on the
        held-out cases.
    """
    data = fingerprint(patches.images.tobytes(), patches.tissues.tobytes(), "".join(patches.case))
    key = fingerprint(CODE, data, sequences, settings, seed)
    record = training.kept_record(path, key)
    if record is not None:
        return record
    cases, held_out = split_cases(np.unique(patches.case), seed=0)
    images = patches.images[:, [SEQUENCES.index(name) for name in sequences]]
    seen, unseen = np.isin(patches.case, cases), np.isin(patches.case, held_out)
    network = models.create("compact", len(sequences), len(TISSUES), seed)
    truth = tissue_shares(torch.as_tensor(patches.tissues[unseen]), (10, 10))
    curve = []
    epochs = fit_dense(network, images[seen], patches.tissues[seen], settings, seed)
    for loss in progress(epochs, settings.epochs, f"{'+'.join(sequences)} epoch", lambda loss: f"loss {loss:.3f}"):
        predicted = predict_shares(network, images[unseen])
        held_out_loss = float(dense_loss(torch.as_tensor(predicted).clamp(min=1e-9).log(), truth))
        curve.append({"epoch": len(curve) + 1, "training_loss": loss, "held_out_loss": held_out_loss})
    record = {
        "key": key,
        "task": "dense",
        "backbone": "compact",
        "sequences": list(sequences),
        "data": data,
        "training": asdict(settings) | {"seed": seed},
        "cases": len(cases),
        "held_out_cases": len(held_out),
        "patches": int(seen.sum()),
        "curve": curve,
        "r2": explained(predicted, patches.tissues[unseen], patches.case[unseen]),
    }
    models.save_weights(network.state_dict(), path, record)
    return record
