"""The garden of forking paths: the pipeline under many choices that a reasonable group could have made.

A specification is one combination of choices (Simonsohn, Simmons and Nelson, Nature Human Behaviour 2020;4:1208–1214,
specification curve). Combinations are drawn at random by seed, and each is run from every initialisation, so that
initialisations are compared with all else equal. The table `CHOICES` was fixed before the run.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from . import transfer
from .baselines import Baseline
from .cross_validation import assign_folds
from .data.cohort import SEQUENCES, open_cohort
from .patches import FIGURE_PERCENTILES, PATCH_SIZE, _centre, crop, head_window, percentile_window, stretch
from .support import write_atomically
from .transfer import Initialisation

CHOICES = {
    "sequences": ("FLAIR", "post-contrast", "all"),
    "intensity": ("head median", "percentiles", "z-score"),
    "surroundings": ("masked", "shown"),
    "scale": ("native", "tumour fitted"),
    "augmentation": ("none", "mirrored"),
    "pooling": transfer.POOLINGS,
    "slices": ("all", "largest", "three largest"),
    "readout": ("logistic", "discriminant"),
    "folds": (5, 10),
    "seed": (0, 1, 2, 3, 4),
}
"""What a group could have chosen for a frozen readout, in the order of the pipeline.

`seed` draws the network and the folds.
"""

PATCHES = ("intensity", "surroundings", "scale")
"""The choices that decide what a patch looks like."""


def draw_specifications(n: int, seed: int = 0) -> pd.DataFrame:
    """`n` different combinations of `CHOICES`, drawn at random; columns as its keys."""
    sizes = [len(options) for options in CHOICES.values()]
    drawn = np.random.default_rng(seed).choice(np.prod(sizes), n, replace=False)
    columns = zip(CHOICES.items(), np.unravel_index(drawn, sizes), strict=True)
    return pd.DataFrame({name: np.array(options, object)[index] for (name, options), index in columns})


def build_variant(
    path: Path, intensity: str, surroundings: str, scale: str
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Patches of all tumour-bearing slices under one set of choices.

    Args:
        path: the cohort's folder or zip.
        intensity: as in `CHOICES`.
        surroundings: likewise.
        scale: likewise.

    Returns:
        images (N, 3, 80, 80) uint8; masks (N, 80, 80) bool; table with columns patient, case, slice, area (pixels).
    """
    cohort = open_cohort(path, lambda pairs: _cut(pairs, intensity, surroundings == "masked", scale != "native"))
    slices = cohort.slices[cohort.slices.tumour_pixels > 0].reset_index(drop=True)
    images, masks = map(np.concatenate, zip(*(cohort.by_case[case] for case in slices.case.unique()), strict=True))
    return images, masks, slices.rename(columns={"tumour_pixels": "area"})


def _cut(pairs: list[tuple[np.ndarray, np.ndarray]], intensity: str, masked: bool, fitted: bool):
    values = np.stack([image for image, _ in pairs])
    windows = [_window(values[..., k], intensity) for k in range(len(SEQUENCES))]
    images, masks = [], []
    for image, mask in pairs:
        grey = np.stack([stretch(image[..., k], window) for k, window in enumerate(windows)], -1)
        size = PATCH_SIZE
        if fitted:  # the square around the tumour's centre that just holds the tumour
            centre = _centre(mask)
            size = 2 * int(max(np.abs(np.argwhere(mask) - centre).max(), 4)) + 2
        grey, inside = crop(grey, _centre(mask), size), crop(mask, _centre(mask), size)
        if masked:
            grey = grey * inside[..., None]
        grey = torch.from_numpy(np.ascontiguousarray(grey.transpose(2, 0, 1)))[None].float()
        inside = torch.from_numpy(inside)[None, None].float()
        if size != PATCH_SIZE:
            shape = (PATCH_SIZE, PATCH_SIZE)
            grey = functional.interpolate(grey, shape, mode="bilinear", antialias=True)
            inside = functional.interpolate(inside, shape, mode="nearest-exact")
        images.append(grey[0].round().to(torch.uint8).numpy())
        masks.append(inside[0, 0].numpy() > 0)
    return np.stack(images), np.stack(masks)


def _window(values: np.ndarray, intensity: str) -> tuple[float, float]:
    """Levels that become 0 and 255; `values` is one sequence in all tumour-bearing slices of a patient."""
    if intensity == "head median":
        return head_window(values)
    if intensity == "percentiles":
        return percentile_window(values, FIGURE_PERCENTILES)
    head = values[values > head_window(values)[1] / 10]  # z-score: from 3 SD below the head's mean to 6 above it
    mean, sd = float(head.mean()), max(float(head.std()), 1.0)
    return mean - 3 * sd, mean + 6 * sd


def slice_choices(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which slices speak for a patient, (N,) bool by choice, from the columns patient and area."""
    rank = table.groupby("patient").area.rank(method="first", ascending=False).to_numpy()
    return {"all": rank > 0, "largest": rank == 1, "three largest": rank <= 3}


def variant_features(path: Path, variant: tuple[str, ...], initialisations: list[Initialisation], folder: Path) -> None:
    """Leave in `folder` the features of every network of `initialisations` under one set of choices of patches.

    No label is involved. The statistics of batch normalisation are those of all patients' patches: once for all folds,
    unlike in the primary analysis, because twelve kinds of patches times ten folds would take days.

    Args:
        path: the cohort.
        variant: intensity, surroundings and scale.
        initialisations: whose networks are read.
        folder: gets a file a network, with `features` (2, 3, patients, 2, F) float32: without and with the mirror
            image, by `CHOICES["slices"]`, by patient, by pooling; and `patient`. What is there already is kept.
    """
    torch.set_num_threads(1)
    wanted = {
        feature_file(folder, variant, each, n): (each, n) for each in initialisations for n in range(len(each.networks))
    }
    missing = {file: network for file, network in wanted.items() if not file.exists()}
    if not missing:
        return
    images, masks, table = build_variant(path, *variant)
    chosen = slice_choices(table)
    for file, (initialisation, number) in missing.items():
        channels = np.ascontiguousarray(images[:, [SEQUENCES.index(name) for name in initialisation.sequences]])
        network = initialisation.create(number).to(memory_format=torch.channels_last)
        transfer.renormalise(network, channels, initialisation.pixels)
        plain = transfer.pooled_features(network, channels, masks, initialisation.pixels)
        mirror = transfer.pooled_features(
            network, channels[..., ::-1].copy(), masks[..., ::-1].copy(), initialisation.pixels
        )
        features = [
            [transfer.patient_means(values[rows], table.patient[rows]) for rows in chosen.values()]
            for values in (plain, (plain + mirror) / 2)
        ]
        values, patient = np.array(features, np.float32), np.unique(table.patient.to_numpy(str))

        def write(temporary: Path, values: np.ndarray = values, patient: np.ndarray = patient):
            with open(temporary, "wb") as opened:
                np.savez(opened, features=values, patient=patient)

        write_atomically(file, write)


def feature_file(folder: Path, variant: tuple[str, ...], initialisation: Initialisation, number: int) -> Path:
    """Where `variant_features` leaves the features of one network."""
    facts = (*variant, initialisation.arm, initialisation.pretraining, "+".join(initialisation.sequences), f"n{number}")
    return Path(folder) / ("-".join(facts).replace(" ", "_") + ".npz")


def run_specification(specification: dict, features: np.ndarray, labels: pd.Series) -> np.ndarray:
    """Out-of-fold log-odds of one specification, (patients,).

    Args:
        specification: a row of `draw_specifications`.
        features: (2, 3, patients, 2, F) of `variant_features`.
        labels: by patient, sorted.
    """
    index = {name: CHOICES[name].index(specification[name]) for name in ("augmentation", "slices", "pooling")}
    values = features[index["augmentation"], index["slices"], :, index["pooling"]]
    seed = specification["seed"]
    split = assign_folds(labels, specification["folds"], seed).to_numpy()
    scores = np.zeros(len(labels))
    for fold in range(specification["folds"]):
        out = split == fold
        if specification["readout"] == "logistic":
            model = Baseline("", "logistic", None).create(seed)
        else:  # Ledoit and Wolf's shrinkage; both classes weigh the same
            discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
            model = make_pipeline(StandardScaler(), discriminant)
        scores[out] = model.fit(values[~out], labels[~out]).decision_function(values[out])
    return scores
