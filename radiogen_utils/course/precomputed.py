"""The precomputed results, in `figures/`: a whole run in profile `paper` on the article's cohort.

A run with the same settings on the same patches reads their scores and networks instead of training for hours.
"""

import json
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from .. import cross_validation, facts
from ..folds import assign_folds
from ..models import WEIGHTS, load_weights
from ..patches import Patches
from ..support import project_root
from .settings import Profile

FOLDER = project_root() / "figures"
NETWORKS = "networks"
"""Folder, in `FOLDER`, of the networks that notebook 6 looks into."""
NETWORK = "gbm-composition-compact-FLAIR-full-r0-f{}.safetensors"
"""Name of the first study's primary network of one fold, first repeat (`cross_validation.Arm.name`)."""
AT_LEAST = ("repeats", "permutations", "network_permutations")
"""Settings of which the precomputed results may hold more than a run asks for."""
NOT_COMPARED = (*AT_LEAST, "networks", "phantom_patients", "phantom_cases")
"""Settings that need not be equal: how much is computed, not what."""


@dataclass(frozen=True)
class Precomputed:
    """What a run that trained has left.

    Attributes:
        predictions: scores, as of `cross_validation.cross_validate`.
        permutations: AUCs under permuted labels.
        commit: that computed them.
        code: `cross_validation.SOURCE` then; `None` in results that do not tell.
    """

    predictions: pd.DataFrame
    permutations: pd.DataFrame
    commit: str
    code: str | None

    @property
    def origin(self) -> str:
        """Where the scores come from, in words; code is not a condition, or every comment would cost hours."""
        text = f"read: the published scores, of commit {self.commit[:7]}"
        edited = "; the code was edited since, and --train makes them anew"
        return text if self.code in (None, cross_validation.SOURCE) else text + edited


def matching(profile: Profile, data: Patches, pretraining: dict, folder: Path = FOLDER) -> Precomputed | None:
    """The precomputed results, all of them, if they were made with these settings from these patches; else `None`.

    All repeats come, however few were asked for: a reader should see the numbers that README reports.

    Args:
        profile: what is asked for.
        data: the patches, labels included.
        pretraining: record of the glioblastoma weights (`training.pretrain`).
        folder: where the results lie.
    """
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        there, wanted = results["run"]["settings"], json.loads(json.dumps(asdict(profile)))
        repeats = _repeats(there)
        matches = (
            results["training"]["patches"] == data.fingerprint
            and results["pretraining"]["records"]["compact"]["data"] == pretraining["data"]
            and all(there[name] == value for name, value in wanted.items() if name not in NOT_COMPARED)
            and all(there[name] >= wanted[name] for name in AT_LEAST)
            and all(repeats.get(networks, 0) >= n for networks, n in _repeats(wanted).items())
        )
        tables = [facts.read(folder / f"{name}.csv") for name in ("predictions", "permutations")]
    except (OSError, KeyError):
        return None  # nothing there, or of an earlier version of the course
    if not matches:
        return None
    return Precomputed(*tables, results["run"]["commit"], results["training"].get("code"))


def is_published(data: Patches) -> bool:
    """Whether these are the patches, with their labels, of which the results that come with the course are."""
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    return data.fingerprint == results["training"]["patches"]


def _repeats(settings: dict) -> dict[tuple[str, str], int]:
    """Repeats by backbone and sequences."""
    return {(row["backbone"], "+".join(row["sequences"])): row["repeats"] for row in settings["networks"]}


def second_study() -> pd.DataFrame:
    """Scores of the second study on the published cohort, columns `facts.COLUMNS`."""
    return facts.read(FOLDER / "second_study.csv.gz")


def second_study_permutations() -> pd.DataFrame:
    """AUCs of its glioblastoma probes under permuted labels: `facts.FACTS`, permutation, auc."""
    return facts.read(FOLDER / "second_study_permutations.csv")


def second_study_beyond_size() -> dict:
    """AUCs of the second study with the tumour's area taken out by rank, and of a small area alone."""
    return json.loads((FOLDER / "second_study.json").read_text(encoding="utf-8"))


def multiverse() -> tuple[pd.DataFrame, dict]:
    """The multiverse on the published cohort: AUC of every specification and start, and what they say together."""
    table = pd.read_csv(FOLDER / "multiverse.csv")
    return table, json.loads((FOLDER / "multiverse.json").read_text(encoding="utf-8"))


def beyond() -> tuple[pd.DataFrame, dict]:
    """Stacked models on the published cohort: out-of-fold scores, and what cannot be computed from them."""
    scores = pd.read_csv(FOLDER / "beyond.csv", keep_default_na=False)
    return scores, json.loads((FOLDER / "beyond.json").read_text(encoding="utf-8"))


def pretraining_choices() -> dict[str, float]:
    """Mean R² of the tissues on FLAIR of the dense task, and of what differs from it in one choice; a network each."""
    plain = {"task": "dense", "epochs": 16, "random_curves": False, "shared": False, "width": 1}
    choices = {
        "one answer a patch": {"task": "patch"},
        "shared between sequences": {"shared": True},
        "random intensity curves": {"random_curves": True},
        "four times the weights": {"width": 2},
        "twice the epochs": {"epochs": 32},
        "dense": {},
    }
    found = {}
    for row in json.loads((FOLDER / "pretraining.json").read_text(encoding="utf-8"))["rows"]:
        made = {key: row["variant"][key] for key in plain}
        for name, change in choices.items():
            if made == plain | change and "FLAIR" in row["r2"]:
                values = row["r2"]["FLAIR"]["patch"].values()
                found[name] = sum(values) / len(values)
    return {name: found[name] for name in choices}


def copy_weights(folder: Path) -> dict:
    """Copy the glioblastoma weights that come with the course into a run folder; returns the record of their training.

    They are of the compact network alone. Those of another backbone, which an earlier run may have left, are removed.
    """
    for file in folder.glob("*_gbm.*"):
        file.unlink()
    for name in ("compact_gbm.safetensors", "compact_gbm.json"):
        shutil.copy(WEIGHTS / name, folder)
    return json.loads((folder / "compact_gbm.json").read_text(encoding="utf-8"))


def flair_networks() -> list[Path]:
    """The published networks of the first study's primary arm, first repeat, by fold."""
    return sorted((FOLDER / NETWORKS).glob(NETWORK.format("*")))


def flair_scores() -> pd.DataFrame:
    """Published out-of-fold scores of the arm of `flair_networks`, all repeats; a table of scores."""
    return facts.of_model(facts.read(FOLDER / "predictions.csv"), facts.FIRST_STUDY)


def permuted_margins(data: Patches, patients: Collection[int]) -> pd.DataFrame:
    """What heatmaps of networks of many permuted labels do at the margin, as `heatmaps.among_permutations` takes it.

    Args:
        data: the patches; there is nothing for others than those that the networks were trained on.
        patients: how many patients' heatmaps are at hand; medians over any other number are left out.
    """
    draws = pd.read_csv(FOLDER / "permuted_margins.csv")
    return draws[draws.patients.isin(patients) & is_published(data)]


def permuted_networks(data: Patches) -> tuple[pd.Series, dict[int, dict[str, torch.Tensor]]] | None:
    """Networks of the first study that were trained on permuted labels: a control for notebook 6.

    Returns:
        The fold in which each patient was held out, and the state dict of each fold's network; `None` where these
        patches are not those that they were trained on.
    """
    file = FOLDER / NETWORKS / "permuted-gbm-compact-r0.safetensors"
    record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    if record["patches"] != data.fingerprint:
        return None
    networks = {}
    for name, value in load_weights(file).items():
        fold, _, layer = name.partition("/")
        networks.setdefault(int(fold), {})[layer] = value
    return assign_folds(data.permuted(0).labels, record["folds"], record["fold_seed"]), networks
