"""Heatmaps of networks that learnt from permuted labels: what they do at the margin, the control of notebook 6.

    python benchmarks/permuted_margins.py COHORT

Trains the first study's network, and the second study's linear probe, on forty permutations of the labels and writes
figures/permuted_margins.csv: medians over the patients, no value of a patient. Networks that are in
runs/permuted_margins already are kept. On two idle cores a permutation takes a minute to train, and half a minute to
look into.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from radiogen_utils import evaluation, facts, heatmaps, models, transfer
from radiogen_utils.course import precomputed
from radiogen_utils.course.first_study import FirstStudy
from radiogen_utils.course.second_study import initialisations
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.folds import assign_folds
from radiogen_utils.patches import Patches, keep_patches
from radiogen_utils.support import progress, project_root

NUMBERS = range(159, 199)
"""Permutations, by seed; which ones is of no matter, since all are drawn alike."""
OCCLUDED = 3
"""Patients a fold in whom squares are covered, as in notebook 6."""


def medians(folder: Path, data: Patches, number: int, some: np.ndarray) -> list[dict]:
    """What the networks of one permutation do at the margin, each patient by those that have not seen them.

    Args:
        folder: where `FirstStudy` leaves its fits.
        data: patches, with their true labels.
        number: of the permutation.
        some: (N,) bool, the slices whose squares are covered.

    Returns:
        Rows with permutation, patients (how many), question, method and median, over the patients.
    """
    torch.set_num_threads(1)
    settings, permuted = PROFILES["paper"], data.permuted(number)
    images, table = data.sequences(("FLAIR",)), permuted.table
    fold = table.patient.map(assign_folds(permuted.labels, settings.folds, settings.seed)).to_numpy()
    (start,) = (each for each in initialisations() if (each.arm, each.input) == ("gbm", "FLAIR"))

    def network(held_out: int) -> models.CompactCNN:
        weights = folder / "permutations" / str(number) / precomputed.NETWORK.format(held_out)
        return models.create("compact", weights=models.load_weights(weights)).eval()

    def probe(held_out: int) -> models.CompactCNN:
        made, rest = start.create(held_out % len(start.networks)), fold != held_out
        transfer.probe_head(made, images[rest], data.masks[rest], table[rest], settings.seed)
        return made.eval()

    whole = heatmaps.by_fold(images, fold, network, heatmaps.grad_cam)
    covered = heatmaps.by_fold(images[some], fold[some], network, heatmaps.occlusion)
    speaking = np.maximum(heatmaps.by_fold(images, fold, probe, heatmaps.class_activation), 0)
    tables = {
        "Grad-CAM": heatmaps.margin_table(data, whole),
        "occlusion": heatmaps.margin_table(heatmaps.subset(data, some), covered),
        "class activation": heatmaps.margin_table(data, heatmaps.enlarge(speaking, data.masks.shape[1:])),
    }
    return list(_rows(tables, number))


def _rows(tables: dict[str, pd.DataFrame], number: int) -> Iterator[dict]:
    for method, table in tables.items():
        for column, question in heatmaps.QUESTIONS.items():
            row = {"permutation": number, "patients": len(table), "question": question, "method": method}
            yield row | {"median": table[column].median()}


def main() -> None:
    """Train what is missing, look into all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder or zip of the LGG cohort")
    options = parser.parse_args()
    folder = project_root() / "runs" / "permuted_margins"
    folder.mkdir(parents=True, exist_ok=True)
    precomputed.copy_weights(folder)
    data = keep_patches(folder / "patches.npz", options.cohort)
    study = FirstStudy(PROFILES["paper"], data, options.cohort, folder)
    for number in NUMBERS:
        study.permuted_network(number)
    patients = evaluation.patient_scores(precomputed.flair_scores(), facts.FIRST_STUDY)
    some = data.table.patient.isin(heatmaps.some_of_each_fold(patients.fold, OCCLUDED)).to_numpy()
    parallel = joblib.Parallel(joblib.cpu_count(only_physical_cores=True), return_as="generator")
    found = parallel(joblib.delayed(medians)(folder, data, number, some) for number in NUMBERS)
    rows = [row for rows in progress(found, len(NUMBERS), "permutation") for row in rows]
    pd.DataFrame(rows).to_csv(precomputed.FOLDER / "permuted_margins.csv", index=False, float_format="%.5f")


if __name__ == "__main__":
    main()
