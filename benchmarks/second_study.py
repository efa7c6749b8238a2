"""The second study from its data: dense pretraining, then linear probes of every arm.

    python benchmarks/second_study.py COHORT                    probes of the networks that come with the course
    python benchmarks/second_study.py COHORT --lesions PATH     pretrains these networks first

Writes the networks into radiogen_utils/weights/, and scores and size-adjusted AUCs into figures/. Networks and features
that are there already are kept. On two idle cores pretraining takes about 40 minutes and the probes about 20.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from radiogen_utils import dense, evaluation, facts, repeats, size, transfer
from radiogen_utils.course import precomputed
from radiogen_utils.data.cohort import SEQUENCES
from radiogen_utils.lesions import open_lesions
from radiogen_utils.models import WEIGHTS, Initialisation
from radiogen_utils.patches import keep_patches
from radiogen_utils.support import project_root
from radiogen_utils.training import Training

INPUTS = {"FLAIR": ("FLAIR",), "post-contrast": ("post-contrast",), "all": SEQUENCES}
SEEDS, FOLDS, REPEATS = range(5), 10, 5
PRETRAINING = Training(epochs=32, learning_rate=1e-3, batch_size=64, bf16=True)
"""Chosen on held-out glioblastoma cases, never on the cohort."""


def network_file(name: str, seed: int) -> Path:
    """Where the network for one input and seed lies."""
    return WEIGHTS / f"dense_{name}_{seed}.safetensors"


def initialisations() -> list[Initialisation]:
    """The three initialisations on the three inputs."""
    found = []
    for name, sequences in INPUTS.items():
        networks = tuple(network_file(name, seed) for seed in SEEDS)
        found += [
            Initialisation("gbm", "compact", sequences, networks, "dense"),
            Initialisation("scratch", "compact", sequences, tuple(SEEDS)),
            Initialisation("natural", "efficientnet_lite0", sequences, (0,)),
        ]
    return found


def beyond_size(scores: pd.DataFrame, area: pd.Series) -> list[dict]:
    """AUC of every arm with the tumour's area taken out by rank: sequences, arm, pooling, auc, low, high."""
    rows = []
    for model, own in facts.by_model(scores):
        auc, low, high = size.size_adjusted_auc(*repeats.score_matrix(own), area)
        found = {"sequences": model.sequences, "arm": model.arm, "pooling": model.pooling}
        rows.append(found | {"auc": auc, "low": low, "high": high})
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
    scores = transfer.probe(data, initialisations(), folder, FOLDS, REPEATS, seed=0)
    scores.to_csv(precomputed.FOLDER / "second_study.csv", index=False, float_format="%.5g")
    area = pd.Series(data.masks.sum((1, 2))).groupby(data.table.patient).mean().sort_index()
    alone = dict(zip(("auc", "low", "high"), evaluation.auc_ci(data.labels, -area), strict=True))
    found = {"small area alone": alone, "without size": beyond_size(scores, area.to_numpy())}
    (precomputed.FOLDER / "second_study.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
