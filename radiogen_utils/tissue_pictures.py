"""Pictures of glioblastoma, its tissues, and what a network says about them."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.colors import to_rgb
from torch import nn

from . import dense, models, transfer
from .data.cohort import SEQUENCES
from .figures import DECATHLON, show_slice
from .lesions import LesionPatches
from .patches import PATCH_SIZE
from .pretraining import TISSUES
from .words import say

BRATS = "Data: BraTS 2020, high-grade cases (Menze et al. 2015; Bakas et al. 2017, 2018)"
COLOURS = dict(zip(TISSUES, ("#56b4e9", "#f0e442", "#d55e00"), strict=True))
"""Of the tissues, on black; told apart by colour-blind readers."""
DARK = dict(zip(TISSUES, ("#0072b2", "#8a7d00", "#b34700"), strict=True))
"""The same for text on white."""
_RGB = np.array([to_rgb(colour) for colour in COLOURS.values()])


def attribution(path: Path) -> str:
    """Source and licence of the glioblastoma in a folder or zip of `lesions.open_lesions`."""
    return DECATHLON if (Path(path) / "imagesTr").is_dir() else BRATS


def examples(data: LesionPatches, cases: Iterable[str], n: int = 4, seed: int = 0) -> list[int]:
    """One slice each of `n` cases drawn at random: the largest tumour that fits into the patch and has all tissues."""
    edge = np.zeros((PATCH_SIZE, PATCH_SIZE), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    area = np.array([np.bincount(one.ravel(), minlength=4)[1:] for one in data.tissues])
    fits = (area >= 0.05 * area.sum(1, keepdims=True)).all(1) & ~(data.tissues[:, edge] > 0).any(1)
    size = pd.Series(np.where(fits, area.sum(1), 0))
    kept = np.isin(data.case, list(cases)) & fits
    best = size[kept].groupby(data.case[kept]).idxmax()
    return sorted(np.random.default_rng(seed).choice(best, min(n, len(best)), replace=False).tolist())


def tissue_image(tissues: np.ndarray) -> np.ndarray:
    """(H, W) labels -> (H, W, 3) colours, black where there is no tumour."""
    return np.vstack([np.zeros(3), _RGB])[tissues]


def cell_image(shares: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """(3, h, w) shares of the tissues -> (h, w, 3) mixed colours, brighter where the tumour covers more of a cell."""
    total = np.maximum(shares.sum(0), 1e-9)
    return np.clip(np.tensordot(shares / total, _RGB, (0, 0)) * np.sqrt(coverage)[..., None], 0, 1)


def _name_tissues(figure: plt.Figure) -> None:
    """The tissues' names in their colours, in one line below the pictures."""
    figure.supxlabel(" ", fontsize=11)
    style = {"va": "bottom", "fontsize": 10, "weight": "bold"}
    for x, tissue in zip((0.12, 0.4, 0.73), TISSUES, strict=True):
        figure.text(x - 0.01, 0.012, "■", color=COLOURS[tissue], ha="right", **style)
        figure.text(x, 0.012, tissue, color=DARK[tissue], **style)


def _grid(rows: int, columns: int, side: float = 1.75) -> tuple[plt.Figure, np.ndarray]:
    figure, grid = plt.subplots(
        rows, columns, squeeze=False, figsize=(side * columns + 0.3, side * rows + 0.4), layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def _name_row(axes: plt.Axes, name: str) -> None:
    axes.text(-0.05, 0.5, name, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=9)


def _shares(shares: Iterable[float]) -> str:
    """Shares of the tissues in words."""
    return ", ".join(f"{share:.0%} {name}" for share, name in zip(shares, TISSUES, strict=True))


def lesions(data: LesionPatches, rows: list[int], sequences: tuple[str, ...]) -> plt.Figure:
    """Patches in some sequences and their tissues; a column a case.

    Args:
        data: the patches.
        rows: of `data`, one each case.
        sequences: which channels; a name that is none is drawn from the first.
    """
    figure, grid = _grid(len(sequences) + 1, len(rows))
    for column, row in zip(grid.T, rows, strict=True):
        for axes, name in zip(column, sequences, strict=False):
            channel = SEQUENCES.index(name) if name in SEQUENCES else 0
            show_slice(axes, data.images[row, channel])
        column[-1].imshow(tissue_image(data.tissues[row]), interpolation="nearest")
    for axes, name in zip(grid[:, 0], (*sequences, "tissues"), strict=True):
        _name_row(axes, name)
    _name_tissues(figure)
    counts = np.array([np.bincount(data.tissues[row].ravel(), minlength=4)[1:] for row in rows])
    told = "; ".join(map(_shares, counts / counts.sum(1, keepdims=True)))
    shown = f"{' and '.join(sequences)} in grey, and the tissues in colour"
    return say(figure, f"{len(rows)} glioblastomas cut out of their slices: {shown}. Of each: {told}.")


def dense_task(image: np.ndarray, tissues: np.ndarray) -> plt.Figure:
    """The dense task: a patch, its tissues under the grid of cells, and what each cell should answer.

    Args:
        image: (80, 80) uint8.
        tissues: (80, 80) labels.
    """
    shares = dense.tissue_shares(torch.as_tensor(tissues)[None], (10, 10))[0].numpy()
    coverage = shares.sum(0)
    figure, grid = _grid(1, 3, 2.5)
    left, middle, right = grid[0]
    show_slice(left, image)
    middle.imshow(tissue_image(tissues), interpolation="nearest")
    right.imshow(cell_image(shares, coverage), interpolation="nearest", extent=(-0.5, 79.5, 79.5, -0.5))
    # The cell with the most even mixture is spelled out.
    even = np.where(coverage > 0.9, -np.square(shares / np.maximum(coverage, 1e-9)).sum(0), -np.inf)
    y, x = np.unravel_index(even.argmax(), even.shape)
    for axes in (middle, right):
        for line in np.arange(8, 80, 8) - 0.5:
            axes.plot([line, line], [-0.5, 79.5], color="0.5", lw=0.4)
            axes.plot([-0.5, 79.5], [line, line], color="0.5", lw=0.4)
        axes.add_patch(plt.Rectangle((8 * x - 0.5, 8 * y - 0.5), 8, 8, fill=False, ec="white", lw=2))
    inside = shares[:, y, x] / coverage[y, x]
    answer = _shares(inside)
    titles = "what the network sees", "its tissues, 10×10 cells", "the answer asked for"
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9)
    _name_tissues(figure)
    figure.suptitle(f"white cell: {answer}", fontsize=9)
    return say(
        figure,
        "Three squares: a tumour in grey; its tissues in colour under a grid of 10 by 10 cells; each cell in the mixed",
        f"colour of its tissues, darker where the tumour covers less of it. White cell: {answer}.",
    )


def dense_networks(name: str, images: np.ndarray, channels: int = 1) -> dict[str, nn.Module]:
    """A network with random weights and the trained one of the second study.

    Args:
        name: of its input, `FLAIR`, `post-contrast` or `all`.
        images: (N, C, H, W) uint8, from which the random network's normalisation is estimated.
        channels: C.
    """
    before, after = (models.create("compact", channels, 3, seed=0) for _ in range(2))
    transfer.renormalise(before, images)
    after.load_state_dict(models.load_weights(models.WEIGHTS / f"dense_{name}_0.safetensors"))
    return {"random weights": before, "trained": after}


def answers(images: np.ndarray, tissues: np.ndarray, networks: dict[str, nn.Module]) -> plt.Figure:
    """Patches, the true tissues by cell, and what each network says; a column a patch.

    Args:
        images: (N, C, 80, 80) uint8; the first channel of one is drawn, of three FLAIR.
        tissues: (N, 80, 80) labels.
        networks: name -> a network with three outputs.
    """
    truth = dense.tissue_shares(torch.as_tensor(tissues), (10, 10)).numpy()
    coverage = truth.sum(1)
    figure, grid = _grid(2 + len(networks), len(images))
    for axes, image in zip(grid[0], images, strict=True):
        show_slice(axes, image[len(image) // 2])
    rows = {"the truth": truth} | {name: dense.predict_shares(net, images) for name, net in networks.items()}
    told = []
    for line, (name, shares) in zip(grid[1:], rows.items(), strict=True):
        for axes, share, covered in zip(line, shares, coverage, strict=True):
            axes.imshow(cell_image(share, covered), interpolation="nearest")
        _name_row(line[0], name)
        mean = (shares / np.maximum(shares.sum(1, keepdims=True), 1e-9) * coverage[:, None]).sum((0, 2, 3))
        told.append(f"{name}, {_shares(mean / mean.sum())}")
    _name_row(grid[0, 0], "patch")
    _name_tissues(figure)
    return say(
        figure,
        f"{len(images)} tumours in grey, a column each; below, cells in the mixed colours of their tissues.",
        f"Over all: {'; '.join(told)}.",
    )


def explained_variance(records: dict[str, list[dict]]) -> plt.Figure:
    """R² of each tissue in held-out patches, by input: the mean of the networks and, small, each of them.

    Args:
        records: input -> records of `dense.pretrain_dense`, one a network.
    """
    figure, axes = plt.subplots(figsize=(6.4, 0.75 * len(records) + 1.2), layout="constrained")
    told = []
    for y, (name, found) in enumerate(reversed(records.items())):
        means = []
        for shift, tissue in zip((0.2, 0, -0.2), TISSUES, strict=True):
            values = [record["r2"]["patch"][tissue] for record in found]
            axes.plot(values, [y + shift] * len(values), "|", color=DARK[tissue], ms=7, alpha=0.6)
            axes.plot(np.mean(values), y + shift, "o", color=DARK[tissue], ms=7)
            axes.text(max(values) + 0.012, y + shift, tissue, color=DARK[tissue], va="center", fontsize=8)
            means.append(f"{tissue} {np.mean(values):.2f}")
        told.insert(0, f"{name}: {', '.join(means)}.")
    axes.set_yticks(range(len(records)), list(records)[::-1])
    axes.set(xlabel="variance explained in cases not seen (R²)", xlim=(0, 1.12))
    axes.set_xticks(np.linspace(0, 1, 6))
    sns.despine(figure)
    return say(figure, "Variance explained in cases not seen, R², mean of the networks.", *told)


def held_out_losses(records: dict[str, list[dict]]) -> plt.Figure:
    """Held-out loss by epoch, a line a network, named by its input.

    Args:
        records: as for `explained_variance`.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    lowest, told = np.inf, []
    for (name, found), colour in zip(records.items(), sns.color_palette("colorblind", len(records)), strict=True):
        curves = np.array([[epoch["held_out_loss"] for epoch in record["curve"]] for record in found])
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.plot(epochs, curves.T, color=colour, lw=0.6, alpha=0.6)
        axes.plot(epochs, np.median(curves, 0), color=colour, lw=2)
        lowest = min(np.median(curves[:, -1]), lowest - 0.05)  # names below each other
        axes.text(epochs[-1] + 0.4, lowest, name, color=colour, va="center", fontsize=9)
        first, last = np.median(curves, 0)[[0, -1]]
        told.append(f"{name}: {first:.2f} to {last:.2f} in {len(epochs)} epochs, median of {len(found)} networks.")
    axes.set(xlabel="epoch", ylabel="loss on held-out cases (nats)", ylim=(0.3, 1.15), xlim=(1, epochs[-1] * 1.25))
    axes.set_xticks([1, *range(8, epochs[-1] + 1, 8)])
    sns.despine(figure)
    return say(figure, "Loss on held-out cases by epoch, a line a network.", *told)


def choices(rows: dict[str, float], first: str) -> plt.Figure:
    """Mean R² of each way to pretrain, the best on top, one of them as the line to compare with.

    Args:
        rows: name -> mean R² over the tissues.
        first: the name to compare with.
    """
    figure, axes = plt.subplots(figsize=(6.4, 0.42 * len(rows) + 0.9), layout="constrained")
    for y, (name, value) in enumerate(sorted(rows.items(), key=lambda row: row[1])):
        colour = "#d55e00" if name == first else "0.35"
        axes.plot([0, value], [y, y], color=colour, lw=1.2)
        axes.plot(value, y, "o", color=colour)
        axes.text(value + 0.012, y, f"{value:.2f}", va="center", color=colour, fontsize=9)
    axes.set_yticks(range(len(rows)), sorted(rows, key=rows.get), fontsize=9)
    axes.set(xlabel="variance explained in cases not seen (mean R² of the tissues)", xlim=(0, 1.1 * max(rows.values())))
    sns.despine(figure)
    told = "; ".join(f"{name} {rows[name]:.2f}" for name in sorted(rows, key=rows.get, reverse=True))
    return say(figure, f"Mean R² of the tissues in cases not seen, of each way to pretrain: {told}.")


def loss_curve(losses: list[float], prior: float) -> plt.Figure:
    """Training loss by epoch, and the loss of always answering the mean shares."""
    figure, axes = plt.subplots(figsize=(5.6, 3), layout="constrained")
    axes.plot(range(1, len(losses) + 1), losses, "o-", color="#0072b2")
    axes.axhline(prior, color="0.5", ls="--")
    below = {"xytext": (0, -3), "textcoords": "offset points", "ha": "right", "va": "top"}
    axes.annotate("always the mean shares", (len(losses), prior), color="0.4", fontsize=9, **below)
    axes.set(xlabel="epoch", ylabel="training loss (nats)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    sns.despine(figure)
    fell = f"{losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} epochs"
    return say(figure, f"Training loss by epoch: {fell}; always the mean shares, {prior:.3f}.")


def mean_shares_loss(tissues: np.ndarray) -> float:
    """Dense loss of answering every cell with the mean shares of all: the entropy of these (nats); (N, H, W) labels."""
    counts = np.bincount(tissues.ravel(), minlength=4)[1:]
    mean = counts / counts.sum()
    return float(-(mean * np.log(np.maximum(mean, 1e-12))).sum())
