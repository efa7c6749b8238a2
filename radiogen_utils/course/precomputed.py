"""The results that come with the course, in `figures/`: a whole run in profile `paper` on the published cohort.

Who asks for the same settings on the same patches gets its scores and networks instead of training for hours.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ..patches import Patches
from ..support import project_root
from .settings import Profile

FOLDER = project_root() / "figures"
NETWORKS = "networks"
"""Folder, in `FOLDER`, of the networks that notebook 6 looks into."""
AMOUNTS = ("repeats", "permutations", "network_permutations")
HOW_MUCH = (*AMOUNTS, "networks", "phantom_patients", "phantom_cases")
"""Settings that say how much is computed, not what: who asks for less gets all that is there."""


@dataclass(frozen=True)
class Released:
    """What was found: scores as `cross_validation.cross_validate`, AUCs under dealt labels, and their commit."""

    predictions: pd.DataFrame
    permutations: pd.DataFrame
    commit: str


def matching(profile: Profile, data: Patches, pretraining: dict, folder: Path = FOLDER) -> Released | None:
    """The released results, all of them, if they were made with these settings from these patches; `None` if not.

    All repeats come, however few were asked for: a reader should see the numbers that README reports.

    Args:
        profile: what is asked for.
        data: the patches, labels included.
        pretraining: record of the glioblastoma weights (`training.pretrain`).
        folder: where the results lie.
    """
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        released, asked = results["run"]["settings"], json.loads(json.dumps(asdict(profile)))
        there, wanted = _repeats(released), _repeats(asked)
        suits = (
            results["training"]["patches"] == data.content
            and results["pretraining"]["records"]["compact"]["data"] == pretraining["data"]
            and all(released[name] == value for name, value in asked.items() if name not in HOW_MUCH)
            and all(released[name] >= asked[name] for name in AMOUNTS)
            and all(there.get(networks, 0) >= repeats for networks, repeats in wanted.items())
        )
        predictions = pd.read_csv(folder / "predictions.csv")
        permutations = pd.read_csv(folder / "permutations.csv")
    except (OSError, KeyError):
        return None  # nothing there, or of a former version of the course
    if not suits:
        return None
    return Released(predictions, permutations, results["run"]["commit"])


def _repeats(settings: dict) -> dict[tuple[str, str], int]:
    """Repeats by backbone and sequences."""
    return {(own["backbone"], "+".join(own["sequences"])): own["repeats"] for own in settings["networks"]}
