"""What each choice of pretraining and fine-tuning brings: compact network, five-fold cross-validation of some patients.

The patients are those outside the first test fold, so that nothing is chosen on patients who are all tested later with
what was chosen. It is not nested: nine tenths of them are tested in other folds. Found results are kept; delete the
file to start again.

    .venv/bin/python benchmarks/ablation.py --data lgg-mri-segmentation.zip --pretraining msd-brain-t1gd-slices.zip
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from radiogen_utils import models, pretraining, training
from radiogen_utils.course.runner import locate
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.data.download import find_cohort
from radiogen_utils.folds import assign_folds
from radiogen_utils.patches import Patches, keep_patches
from radiogen_utils.support import project_root, write_atomically
from radiogen_utils.training import Training

PROFILE = PROFILES["paper"]
FOLDS, SEEDS = 5, (100, 101)


@dataclass(frozen=True)
class Variant:
    """A way to pretrain (`None`: not at all) and to fine-tune; the first `frozen` blocks stay as they are."""

    pretraining: Training | None = None
    training: Training = PROFILE.compact
    frozen: int = 0


_CURVES = PROFILE.pretraining
VARIANTS = {
    "from scratch": Variant(),
    "pretrained": Variant(replace(_CURVES, random_curves=False)),
    "pretrained under random intensity curves (the course's)": Variant(_CURVES),
    "the same, first two blocks frozen": Variant(_CURVES, frozen=2),
    "the same, all blocks frozen": Variant(_CURVES, frozen=4),
    "the same, a third of the learning rate": Variant(_CURVES, replace(PROFILE.compact, learning_rate=3e-4)),
}
PLAN = [(("FLAIR",), name) for name in VARIANTS] + [(("post-contrast",), name) for name in list(VARIANTS)[:3]]


def fit(
    data: Patches, sequences: tuple[str, ...], variant: Variant, weights: Path | None, seed: int, fold: int
) -> dict[str, float]:
    """Scores of the patients held out in one inner fold."""
    torch.set_num_threads(1)
    patient = data.table.patient
    out = (patient.map(assign_folds(data.labels, FOLDS, seed)) == fold).to_numpy()
    images, labels = data.sequences(sequences), data.table.label.to_numpy()
    seed_of_fit = seed * 1000 + fold
    network = models.create("compact", len(sequences), 1, seed_of_fit, weights and models.load_weights(weights))
    network.blocks[: variant.frozen].requires_grad_(False)
    loss_weights = np.zeros((1, len(out)))
    loss_weights[0, ~out] = training.slice_weights(data.table[~out])
    training.fit([network], images, labels, loss_weights, variant.training, [seed_of_fit])
    logits = training.predict(network, images[out])[:, 0]
    return data.table[out].assign(score=logits).groupby("patient").score.mean().to_dict()


def main() -> None:
    """Judge the variants that have no result yet, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto", help="the LGG cohort: a path, or auto")
    parser.add_argument("--pretraining", required=True, help="the glioblastoma slices")
    parser.add_argument("--out", type=Path, default=project_root() / "benchmarks" / "ablation.json")
    options = parser.parse_args()
    rows = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else []
    found = {(row["input"], row["variant"]) for row in rows}
    slices = pretraining.open_slices(pretraining.find_slices(locate(options.pretraining)))
    with tempfile.TemporaryDirectory() as folder:
        data = keep_patches(Path(folder, "patches.npz"), find_cohort(locate(options.data)))
        inner = data.table.patient.map(assign_folds(data.labels, PROFILE.folds, PROFILE.seed)).to_numpy() != 0
        data = Patches(
            data.images[inner], data.masks[inner], data.table[inner].reset_index(drop=True), data.cohort_fingerprint
        )
        for sequences, name in PLAN:
            if ("+".join(sequences), name) in found:
                continue
            variant, weights = VARIANTS[name], None
            if variant.pretraining:
                weights = Path(folder, f"{variant.pretraining.random_curves}.safetensors")
                sizes = PROFILE.patches_per_slice, PROFILE.seed
                training.pretrain("compact", slices, variant.pretraining, *sizes, weights)
            tasks = [(seed, fold) for seed in SEEDS for fold in range(FOLDS)]
            scores = joblib.Parallel(joblib.cpu_count(only_physical_cores=True))(
                joblib.delayed(fit)(data, sequences, variant, weights, *task) for task in tasks
            )
            aucs = []
            for seed in SEEDS:
                pooled = {
                    k: v for task, part in zip(tasks, scores, strict=True) if task[0] == seed for k, v in part.items()
                }
                aucs.append(float(roc_auc_score(data.labels, [pooled[patient] for patient in data.labels.index])))
            rows.append({"input": "+".join(sequences), "variant": name, "auc": aucs, "patients": len(data.labels)})
            print(f"{rows[-1]['input']}, {name}: {aucs}", flush=True)
            write_atomically(
                options.out, lambda path: path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
            )


if __name__ == "__main__":
    main()
