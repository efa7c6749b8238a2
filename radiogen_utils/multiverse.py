"""The garden of forking paths: the pipeline under many choices that a reasonable group could have made.

A specification is one combination of choices (Simonsohn, Simmons and Nelson, Nature Human Behaviour 2020;4:1208–1214,
specification curve). Combinations are drawn at random by seed, and each is run from every initialisation, so that
initialisations are compared with all else equal. The table `CHOICES` was fixed before the run.
"""

from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from . import training, transfer
from .cross_validation import Arm, CrossValidation, carry_out, initial_weights
from .data.cohort import SEQUENCES, open_cohort
from .discriminant import ShrunkenDiscriminant
from .evaluation import delong_ci, delong_difference
from .folds import assign_folds
from .models import Initialisation
from .patches import PATCH_SIZE, Patches, centre_of_mass, crop, head_window, percentile_window, stretch
from .support import progress, write_atomically
from .training import Training

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
"""What a group could have chosen for a frozen readout, in the order of the pipeline; `seed` draws network and folds."""

FINE_TUNED = {name: CHOICES[name] for name in ("sequences", "intensity", "surroundings", "scale", "slices")}
FINE_TUNED |= {"readout": ("full", "lp-ft"), "folds": CHOICES["folds"], "seed": CHOICES["seed"]}
"""The same where all weights are trained; images are always augmented, and features averaged over the patch."""

PATCHES = ("intensity", "surroundings", "scale")
"""The choices that decide what a patch looks like."""


def draw_specifications(n: int, seed: int = 0, choices: dict[str, tuple] = CHOICES) -> pd.DataFrame:
    """`n` different combinations of `choices`, drawn at random; columns as its keys."""
    sizes = [len(options) for options in choices.values()]
    drawn = np.random.default_rng(seed).choice(np.prod(sizes), n, replace=False)
    columns = zip(choices.items(), np.unravel_index(drawn, sizes), strict=True)
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
        size = fitted_size(mask) if fitted else PATCH_SIZE
        grey, inside = crop(grey, centre_of_mass(mask), size), crop(mask, centre_of_mass(mask), size)
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


def fitted_size(mask: np.ndarray) -> int:
    """Side of the square around the tumour's centre that just holds the tumour, pixels."""
    return 2 * int(max(np.abs(np.argwhere(mask) - centre_of_mass(mask)).max(), 4)) + 2


def _window(values: np.ndarray, intensity: str) -> tuple[float, float]:
    """Levels that become 0 and 255; `values` is one sequence in all tumour-bearing slices of a patient."""
    if intensity == "head median":
        return head_window(values)
    if intensity == "percentiles":
        return percentile_window(values)
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
        initialisations: whose networks are used.
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
        network = initialisation.create(number).to(training.device(), memory_format=torch.channels_last)
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
    folds, seed = specification["folds"], specification["seed"]
    split = assign_folds(labels, folds, seed)
    if specification["readout"] == "logistic":
        return transfer.read_out([values] * folds, labels.to_numpy()[None], split, seed)[0]
    scores = np.zeros(len(labels))
    for fold in range(folds):
        out = split.to_numpy() == fold
        model = make_pipeline(StandardScaler(), ShrunkenDiscriminant())
        scores[out] = model.fit(values[~out], labels[~out]).decision_function(values[out])
    return scores


def run_frozen(
    specifications: pd.DataFrame, starts: dict[str, dict[str, Initialisation]], folder: Path, labels: pd.Series
) -> tuple[pd.DataFrame, np.ndarray]:
    """Every specification from every initialisation, read out frozen.

    Args:
        specifications: of `draw_specifications`.
        starts: name of the initialisation -> sequences -> its networks; the specification's seed draws one of them.
        folder: with the files that `variant_features` left for all of these.
        labels: 0 or 1 by patient, sorted.

    Returns:
        Table, one row a specification and initialisation: number, initialisation, the columns of `CHOICES`, auc, low,
        high (DeLong). Scores, (rows, patients) float32 log-odds out of fold.
    """
    jobs = [(row, start) for row in specifications.to_dict("records") for start in starts]
    parallel = joblib.Parallel(joblib.cpu_count(only_physical_cores=True), batch_size=8, return_as="generator")
    found = parallel(joblib.delayed(_run)(row, starts[start][row["sequences"]], folder, labels) for row, start in jobs)
    scores = np.array(list(progress(found, len(jobs), "specification")), np.float32)
    table = pd.DataFrame(
        [{"number": i // len(starts), "initialisation": start} | row for i, (row, start) in enumerate(jobs)]
    )
    return table.assign(**_intervals(labels, scores)), scores


def _run(specification: dict, initialisation: Initialisation, folder: Path, labels: pd.Series) -> np.ndarray:
    variant = tuple(specification[name] for name in PATCHES)
    number = specification["seed"] % len(initialisation.networks)
    with np.load(feature_file(folder, variant, initialisation, number)) as kept:
        known = np.isin(kept["patient"], labels.index)
        return run_specification(specification, kept["features"][:, :, known], labels)


def fine_tune(
    specification: dict, initialisation: Initialisation, data: Patches, area: np.ndarray, training: Training
) -> np.ndarray:
    """Out-of-fold log-odds of one specification in which all weights are trained, (patients,).

    Args:
        specification: a row of `draw_specifications(…, FINE_TUNED)`; its seed draws one of the networks.
        initialisation: on the specification's sequences.
        data: patches of the specification's variant.
        area: (N,) of the tumour in each slice, pixels.
        training: settings; with fewer slices there are more epochs, so that the number of steps stays the same.
    """
    seed, networks = specification["seed"], initialisation.networks
    chosen = slice_choices(data.table.assign(area=area))[specification["slices"]]
    part = replace(
        data,
        images=data.images[chosen],
        masks=data.masks[chosen],
        table=data.table[chosen].reset_index(drop=True),
    )
    arm = Arm(
        replace(initialisation, networks=(networks[seed % len(networks)],)),
        replace(training, epochs=round(training.epochs * len(chosen) / chosen.sum())),
        specification["readout"],
    )
    split = part.table.patient.map(assign_folds(part.labels, specification["folds"], seed)).to_numpy()
    cv = CrossValidation(part, split[None], initial_weights([arm]), seed)
    fits = [(0, fold) for fold in range(specification["folds"])]
    scores = [pd.Series(found["score"], found["patient"]) for _, found in carry_out(cv, {arm: fits}, None)]
    return pd.concat(scores).sort_index().to_numpy()


def _intervals(labels: pd.Series, scores: np.ndarray) -> dict[str, np.ndarray]:
    bounds = np.array([delong_ci(labels, row) for row in scores])
    return dict(zip(("auc", "low", "high"), bounds.T, strict=True))


def paired_aucs(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """AUCs of two initialisations under the same specifications: the choices, and columns `first` and `second`."""
    wide = table.pivot(index="number", columns="initialisation", values="auc")[[first, second]].dropna()
    choices = table.drop_duplicates("number").set_index("number")[list(CHOICES)]
    return choices.join(wide, how="inner").rename(columns={first: "first", second: "second"})


def share_null(
    table: pd.DataFrame, scores: np.ndarray, labels: pd.Series, first: str, second: str, permutations: int, seed: int
) -> tuple[pd.Series, pd.DataFrame]:
    """In what share of the specifications one initialisation ranks the patients better than another, and by chance.

    The null hypothesis: whichever initialisation gave a patient's rank, it might have been the other. Each permutation
    exchanges the two ranks of half of the patients on average, the same patients in every specification, since
    specifications share them (the paired permutation test of Bandos, Rockette and Gur, Stat Med 2005;24:2873–2893).

    Args:
        table: of `run_frozen`.
        scores: (rows, patients) of `run_frozen`.
        labels: 0 or 1 by patient, sorted.
        first: name of an initialisation.
        second: of the one that it is compared with.
        permutations: how many.
        seed: of the permutations.

    Returns:
        Share by sequences, and "any"; the same under each permutation, (permutations, 4). Ties count half.
    """
    rng = np.random.default_rng(seed)
    rows = [table.index[table.initialisation == name] for name in (first, second)]
    sequences = table.loc[rows[0], "sequences"].to_numpy()
    ranks = [stats.rankdata(scores[index], axis=1) for index in rows]
    y_true = labels.to_numpy(bool)

    def shares(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        difference = _aucs(y_true, a) - _aucs(y_true, b)
        wins = (np.sign(difference) + 1) / 2
        return {"any": wins.mean()} | {name: wins[sequences == name].mean() for name in CHOICES["sequences"]}

    null = []
    for _ in range(permutations):
        swap = rng.random(len(labels)) < 0.5
        null.append(shares(np.where(swap, ranks[1], ranks[0]), np.where(swap, ranks[0], ranks[1])))
    return pd.Series(shares(*ranks)), pd.DataFrame(null)


def share_p(share: float, null: np.ndarray) -> float:
    """Two-sided p value of a share: how often a permutation is as far from one half; never 0, as `permutation_p`."""
    distance = np.abs(np.append(null, share) - 0.5)
    return float(np.mean(distance >= abs(share - 0.5) - 1e-9))


def significant_shares(
    table: pd.DataFrame, scores: np.ndarray, labels: pd.Series, first: str, second: str
) -> tuple[float, float]:
    """In what share of the specifications DeLong's paired test favours the first, and the second, at p < 0.05.

    It is what groups that ran a single specification each would have reported, not a test.

    Args:
        table: of `run_frozen`, both initialisations in every specification.
        scores: (rows, patients) of `run_frozen`.
        labels: 0 or 1 by patient, sorted.
        first: name of an initialisation.
        second: of the other.
    """
    rows = [table.index[table.initialisation == name] for name in (first, second)]
    tests = [delong_difference(labels, scores[a], scores[b]) for a, b in zip(*rows, strict=True)]
    found = np.array([np.sign(difference) * (p < 0.05) for difference, _, _, p in tests])
    return float((found > 0).mean()), float((found < 0).mean())


def _aucs(y_true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUC of each row of (rows, patients), from the ranks."""
    ranks = stats.rankdata(scores, axis=1)
    positives = y_true.sum()
    wins = ranks[:, y_true].sum(1) - positives * (positives + 1) / 2
    return wins / (positives * (len(y_true) - positives))


def explained_variance(table: pd.DataFrame) -> pd.Series:
    """How much of the AUCs' variance each choice explains alone: R² of the means of its options; largest first.

    A choice that raises the AUC here and lowers it there explains nothing alone; see `variance_all_else_equal`.
    """
    total = ((table.auc - table.auc.mean()) ** 2).sum()
    names = ["initialisation", *CHOICES]
    fitted = {name: table.groupby(name).auc.transform("mean") - table.auc.mean() for name in names}
    return pd.Series({name: (values**2).sum() / total for name, values in fitted.items()}).sort_values(ascending=False)


def variance_all_else_equal(table: pd.DataFrame) -> pd.Series:
    """How much of the AUCs' variance there is between analyses that differ in one choice alone, by choice.

    The total effect of Homma and Saltelli (Reliability Engineering and System Safety 1996;52:1–17), which holds what
    the choice does alone and together with others, so that these shares may add up to more than one. That of the seed,
    which nobody chooses for a reason, tells how much is nothing but noise. It is estimated from the analyses that were
    drawn together with another one that differs in this choice alone; NaN where there are none.
    """
    names, total = ["initialisation", *CHOICES], table.auc.var(ddof=0)
    found = {}
    for name in names:
        alike = table.groupby([other for other in names if other != name]).auc
        freedom = alike.size() - 1
        within = (alike.var() * freedom).sum() / freedom.sum() if freedom.sum() else np.nan
        options = table[name].nunique()
        found[name] = within * (options - 1) / options / total  # drawn without replacement from so many options
    return pd.Series(found)
