"""The errata: of the first study, its analysis mended and its scores as they are; and of the second study's probes.

Replaces the sections and figures that the notebooks have made anew from the committed scores, and adds, once, what no
notebook computes: linear probes of fairly normalised random weights, and the network's AUC with the tumour's size taken
out. The numbers before are read from the commit that published them. Nothing is trained; minutes.

    .venv/bin/python -m radiogen_utils run --profile paper --out runs/errata
    .venv/bin/python benchmarks/errata.py runs/errata
"""

import argparse
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen_utils import evaluation, facts, repeats, size, transfer
from radiogen_utils.course import precomputed, publishing
from radiogen_utils.course.report_beyond import second_study_claims
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.facts import Model
from radiogen_utils.folds import repeated_folds
from radiogen_utils.models import WEIGHTS, Initialisation
from radiogen_utils.patches import Patches
from radiogen_utils.support import fingerprint, project_root

PUBLISHED = "cbf875991232e35cfe5e6395d699cbaee9b3ed51"
"""Commit whose figures/results.json was reviewed."""
UNCONVERGED = "fda9d34086bea71a63f0caefa694ebb467fbe0c4"
"""Last commit whose figures/results.json has probes of the second study that were not fitted to convergence."""
NOT_ANALYSIS = ("run", "training", "seconds")
"""Sections about the fits, which stay as they are."""
COMPARISONS = {
    f"gbm, {name} − scratch, {name}": (Model("gbm", "composition", name), Model("scratch", "", name))
    for name in ("compact", "efficientnet_lite0")
}
"""What the reviewed results call them, and what they are."""


def at(commit: str, path: str) -> bytes:
    """A file as it was."""
    return subprocess.run(
        ["git", "show", f"{commit}:{path}"], cwd=project_root(), capture_output=True, check=True
    ).stdout


def before(results: dict) -> dict:
    """What the errata are about, of the results that were reviewed, each number in the place that it had."""
    roc, heatmaps = results["roc"], results["heatmaps"]

    def chosen(rows: list[dict], **values: str) -> list[dict]:
        return [row for row in rows if all(row[name] == value for name, value in values.items())]

    (main,) = chosen(roc["summary"], arm="gbm", backbone="compact")
    (probe,) = chosen(roc["frozen"], arm="frozen scratch", backbone="compact")
    (lead,) = chosen(roc["frozen_comparisons"], comparison="frozen gbm, compact − frozen scratch, compact")
    compared = {row.pop("comparison"): row for row in roc["comparisons"]}
    return {
        "cohort": {"hazard_ratio": results["cohort"]["hazard_ratio"]},
        "roc": {
            "main": asdict(facts.FIRST_STUDY),
            "summary": [main | asdict(facts.FIRST_STUDY)],
            "comparisons": [
                {"first": asdict(first), "second": asdict(second)} | compared[name]
                for name, (first, second) in COMPARISONS.items()
            ],
            "probe": {name: probe[name] for name in ("auc", "low", "high")},
            "probe_difference": {name: lead[name] for name in ("difference", "low", "high")},
            "beats_baseline": roc["beats_baseline"],
            "reproduced": roc["reproduced"],
        },
        "heatmaps": {
            "verdicts": heatmaps["verdicts"]["margin − core"],
            "summaries": chosen(
                heatmaps["summaries"], question="margin − core", method="Grad-CAM", network="random weights"
            ),
        },
    }


def fair_probes(data: Patches) -> dict:
    """AUC of linear probes on FLAIR, the statistics of batch normalisation from the training patients of each fold.

    Returns:
        scratch (other random weights in each repeat) and gbm: AUC, low, high; and their difference, low, high.
    """
    settings = PROFILES["paper"]
    splits = repeated_folds(data.labels, settings.folds, settings.repeats, settings.seed)
    seeds = tuple(range(settings.seed, settings.seed + settings.repeats))
    scores = {}
    for arm, networks in {"scratch": seeds, "gbm": (WEIGHTS / "compact_gbm.safetensors",)}.items():
        start = Initialisation(arm, "compact", ("FLAIR",), networks)
        rows = []
        for repeat, split in enumerate(splits):
            features = transfer.fold_features(data, start, repeat % len(networks), split)
            patch = features[:, :, transfer.POOLINGS.index("patch")]
            rows.append(transfer.read_out(patch, data.labels.to_numpy()[None], split, settings.seed + repeat)[0])
        scores[arm] = np.array(rows)
    found = {arm: evaluation.auc_ci(data.labels, values) for arm, values in scores.items()}
    return found | {"difference": evaluation.auc_difference(data.labels, scores["gbm"], scores["scratch"])}


def beyond_size(data: Patches, predictions: pd.DataFrame) -> dict:
    """AUC of the network with the tumour's mean area taken out by rank, and of a small area alone; with intervals."""
    y_true, scores = repeats.score_matrix(facts.of_model(predictions, facts.FIRST_STUDY))
    area = pd.Series(data.masks.sum((1, 2))).groupby(data.table.patient).mean().sort_index().to_numpy()
    return {
        "network": size.size_adjusted_auc(y_true, scores, area),
        "small area": evaluation.auc_ci(y_true, -area),
    }


def main() -> None:
    """Mend figures/results.json, the report and README's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run in profile paper that has read the committed scores")
    run = parser.parse_args().run
    file = precomputed.FOLDER / "results.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    anew = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert anew["training"]["precomputed"] == results["run"]["commit"], "that run has not read the committed scores"
    results |= {name: found for name, found in anew.items() if name not in NOT_ANALYSIS}
    sources = [at(results["run"]["commit"], f"radiogen_utils/{name}.py") for name in ("models", "training")]
    sources.append(at(results["run"]["commit"], "radiogen_utils/cross_validation.py"))
    results["training"]["code"] = fingerprint(*sources)
    if "errata" not in results:
        data = Patches.load(run / "patches.npz")
        results["errata"] = {
            "commit": PUBLISHED,
            "before": before(json.loads(at(PUBLISHED, "figures/results.json"))),
            "probes": fair_probes(data),
            "size": beyond_size(data, facts.read(precomputed.FOLDER / "predictions.csv")),
        }
    if "second study" not in results["errata"]:
        claims = second_study_claims(json.loads(at(UNCONVERGED, "figures/results.json")))
        results["errata"]["second study"] = {"commit": UNCONVERGED, "claims": claims}
    file.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for figure in precomputed.FOLDER.glob("*.*g"):  # those in PNG and SVG that the course shows without a run
        if (run / "figures" / figure.name).exists():
            shutil.copy(run / "figures" / figure.name, precomputed.FOLDER)
    publishing.write_report(precomputed.FOLDER)
    publishing.write_readme(precomputed.FOLDER)


if __name__ == "__main__":
    main()
