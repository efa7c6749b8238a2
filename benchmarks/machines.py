"""What may differ between machines, and by how much, beside what a mere change of seed does.

Cross-validates the compact network from scratch under several conditions, each in a separate process:

    python benchmarks/machines.py --data PATH

An older processor is imitated: PyTorch and its convolution library are told to use no instruction beyond AVX2, and
numbers of 32 bits, as a processor without bfloat16 does by itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from radiogen_utils import cross_validation
from radiogen_utils.course.runner import locate
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.data.download import find_cohort
from radiogen_utils.folds import assign_folds
from radiogen_utils.models import Initialisation
from radiogen_utils.patches import Patches, keep_patches
from radiogen_utils.support import project_root

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
CONDITIONS = {
    "reference": ({}, True, 0),
    "the same again": ({}, True, 0),
    "float32 instead of bfloat16": ({}, False, 0),
    "float32, older processor": (AVX2, False, 0),
    "another seed": ({}, True, 100),
    "a third seed": ({}, True, 200),
}
"""Name -> environment variables, bfloat16, seed of the networks and of the order; the folds are the same in all."""


def scores(patches: Path, bf16: bool, seed: int) -> pd.Series:
    """Out-of-fold score of every patient; standard folds, whatever the seed."""
    data = Patches.load(patches)
    settings = replace(PROFILES["standard"].compact, bf16=bf16)
    arm = cross_validation.Arm(Initialisation("scratch", "compact"), settings)
    split = data.table.patient.map(assign_folds(data.labels, 10, 0)).to_numpy()[None]
    cv = cross_validation.CrossValidation(data, split, cross_validation.initial_weights([arm]), seed)
    results = cross_validation.carry_out(cv, {arm: [(0, fold) for fold in range(10)]}, None)
    return pd.concat([pd.Series(result["score"], result["patient"]) for _, result in results]).sort_index()


def main() -> None:
    """Compare the conditions; with `--condition`, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="auto", help="the cohort, as for `python -m radiogen_utils run`")
    parser.add_argument("--out", type=Path, default=project_root() / "runs" / "machines.json")
    parser.add_argument("--condition", nargs=2, metavar=("NAME", "PATCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.condition:
        name, patches = options.condition
        _, bf16, seed = CONDITIONS[name]
        print(scores(Path(patches), bf16, seed).to_json(double_precision=15))
        return
    with tempfile.TemporaryDirectory() as folder:
        patches = Path(folder, "patches.npz")
        labels = keep_patches(patches, find_cohort(locate(options.data))).labels
        found = {}
        for name, (environment, _, _) in CONDITIONS.items():
            command = [sys.executable, __file__, "--condition", name, str(patches)]
            result = subprocess.run(
                command,
                env=os.environ | environment | {"CUDA_VISIBLE_DEVICES": ""},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found[name] = pd.Series(json.loads(result.stdout.splitlines()[-1]))[labels.index]
            print(f"{name}: AUC {roc_auc_score(labels, found[name]):.3f}", flush=True)
    reference = found.pop("reference")
    rows = {
        name: {
            "AUC": roc_auc_score(labels, score),
            "AUC − reference": roc_auc_score(labels, score) - roc_auc_score(labels, reference),
            "largest difference of a score": float(np.abs(score - reference).max()),
            "rank correlation of the scores": float(stats.spearmanr(score, reference).statistic),
        }
        for name, score in found.items()
    }
    print(pd.DataFrame(rows).T.round(4).to_string())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
