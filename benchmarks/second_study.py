"""The second study from its data: dense pretraining, then every initialisation read out and fine-tuned.

    python benchmarks/second_study.py COHORT                    from the networks that come with the course
    python benchmarks/second_study.py COHORT --lesions PATH     pretrains these networks first

Writes the networks into radiogen_utils/weights/, and scores and size-adjusted AUCs into figures/. Networks, features
and fits that are there already are kept. On two idle cores pretraining takes about 40 minutes, the probes ten (without
those of natural images at 224 pixels, some hours), their permutations a quarter of an hour, and fine-tuning a day; on a
GPU all of it takes minutes. The committed scores: probes at 80 pixels from a CPU; fine-tuned networks and probes at
224 pixels from an NVIDIA H200 with torch 2.11.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen_utils import cross_validation, dense, evaluation, facts, repeats, size, transfer
from radiogen_utils.course import precomputed
from radiogen_utils.course.second_study import (
    FOLDS,
    INPUTS,
    REPEATS,
    SEEDS,
    initialisations,
    network_file,
    permuted_probes,
    probes,
)
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.cross_validation import Arm
from radiogen_utils.lesions import open_lesions
from radiogen_utils.models import WEIGHTS, Initialisation
from radiogen_utils.patches import PATCH_SIZE, Patches, keep_patches
from radiogen_utils.support import project_root
from radiogen_utils.training import Training

IMAGENET_PIXELS = 224
PRETRAINING = Training(epochs=32, learning_rate=1e-3, batch_size=64, bf16=True)
"""Chosen on held-out glioblastoma cases, never on the cohort."""


def other_probes() -> list[Initialisation]:
    """Probes beside the primary analysis: the first study's pretraining, and ImageNet's own size of image."""
    weights = (WEIGHTS / "compact_gbm.safetensors",)
    found = [Initialisation("gbm", "compact", sequences, weights, "composition") for sequences in INPUTS.values()]
    natural = [start for start in initialisations() if start.arm == "natural"]
    return found + [replace(start, pixels=IMAGENET_PIXELS) for start in natural]


def fine_tuned() -> list[Arm]:
    """Every initialisation, by LP-FT and by full fine-tuning, and a network that sees the mask alone.

    Left out: full fine-tuning of random weights, which the first study has.
    """
    settings = PROFILES["paper"]
    training = {"compact": settings.compact, "efficientnet_lite0": settings.imagenet}
    arms = [
        Arm(start, training[start.backbone], readout)
        for start in initialisations()
        for readout in ("lp-ft", "full")
        if (start.arm, readout) != ("scratch", "full")
    ]
    return [*arms, Arm(Initialisation("scratch", "compact", ("mask",)), settings.compact)]


def beyond_size(scores: pd.DataFrame, area: np.ndarray) -> list[dict]:
    """AUC of every model with the tumour's area taken out by rank: `facts.FACTS`, auc, low, high."""
    rows = []
    for model, own in facts.by_model(scores):
        found = size.size_adjusted_auc(*repeats.score_matrix(own), area)
        values = dict(zip(("auc", "low", "high"), found, strict=True))
        rows.append(asdict(model) | {"pixels": int(model.pixels)} | values)
    return rows


def main() -> None:
    """Pretrain where lesions are given, probe, and write what the course reads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder or zip of the LGG cohort")
    parser.add_argument(
        "--lesions", type=Path, help="glioblastoma in three sequences, as lesions.open_lesions reads it"
    )
    options = parser.parse_args()
    folder = project_root() / "runs" / "second_study"
    folder.mkdir(parents=True, exist_ok=True)
    if options.lesions:
        lesions = open_lesions(options.lesions)
        for seed in SEEDS:
            for name, sequences in INPUTS.items():
                dense.pretrain_dense(lesions, sequences, PRETRAINING, seed, network_file(name, seed))
    data = keep_patches(folder / "patches.npz", options.cohort)
    tables = [probes(data, folder), transfer.probe(data, other_probes(), folder, FOLDS, REPEATS, 0)]
    tables.append(cross_validation.cross_validate(data, fine_tuned(), folder / "fits", FOLDS, REPEATS, 0))
    starts = [start for start in (*initialisations(), *other_probes()) if start.pixels == PATCH_SIZE]
    tables.append(transfer.probe(data, starts, folder / "institution", data.institution_folds(), 1, 0))
    scores = pd.concat(tables, ignore_index=True)
    packed = {"method": "gzip", "mtime": 0}  # without the time, the same scores make the same file
    scores.to_csv(precomputed.FOLDER / "second_study.csv.gz", index=False, float_format="%.5g", compression=packed)
    permutations = permuted_probes(data, folder, INPUTS)
    permutations.to_csv(precomputed.FOLDER / "second_study_permutations.csv", index=False, float_format="%.5g")
    take_size_out(data, scores)


def take_size_out(data: Patches, scores: pd.DataFrame) -> None:
    """Write second_study.json: what the networks of both studies tell besides the tumour's area, and the area alone."""
    area = pd.Series(data.masks.sum((1, 2))).groupby(data.table.patient).mean().sort_index()
    alone = dict(zip(("auc", "low", "high"), evaluation.auc_ci(data.labels, -area), strict=True))
    every = facts.join([scores, facts.read(precomputed.FOLDER / "predictions.csv")])
    networks = facts.select(every, arm=tuple(facts.NAMES), split="folds")
    found = {"small area alone": alone, "without size": beyond_size(networks, area.to_numpy())}
    (precomputed.FOLDER / "second_study.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
