"""What the simple models rely on, and which clusterings they see: read from what comes with the course, or computed."""

import json
from dataclasses import dataclass, replace

import pandas as pd

from .. import baselines, facts, repeats
from ..data.cohort import SEQUENCES, Cohort
from ..facts import Model
from ..patches import Patches
from . import precomputed
from .run_folder import RunFolder

LIKE = {"FLAIR": "FLAIR", "shape": "FLAIR", "shape, FLAIR": "FLAIR", "post-contrast": "post-contrast"}
"""Group of numbers -> sequence of the network that sees what they are of."""


@dataclass(frozen=True)
class Found:
    """What notebook 8 shows.

    Attributes:
        by_group: AUC of trees on each group of numbers, as `repeats.over_repeats`; `arm` is the group.
        against: trees minus the network that sees the same: first and second (`facts.Model`), repeats, difference, low,
            high, delong_p.
        clusterings: as `baselines.clusterings`.
        source: where all this comes from, in words.
    """

    by_group: pd.DataFrame
    against: pd.DataFrame
    clusterings: pd.DataFrame
    source: str


def groups(features: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of `baselines.image_features` by what they are of."""
    inside = {
        sequence: [c for c in features if c.startswith(sequence) and not c.endswith("relative")]
        for sequence in SEQUENCES
    }
    shape = list(baselines.SHAPE)
    return {
        "shape": shape,
        "shape, FLAIR": shape + inside["FLAIR"],
        "FLAIR": inside["FLAIR"],
        "pre-contrast": inside["pre-contrast"],
        "post-contrast": inside["post-contrast"],
        "brightness against surroundings": [c for c in features if c.endswith("relative")],
        "all": list(features),
    }


def _published() -> dict:
    return json.loads((precomputed.FOLDER / "results.json").read_text(encoding="utf-8"))


def network_scores(run: RunFolder, data: Patches) -> pd.DataFrame:
    """Scores of the networks on this cohort; without rows where there are none."""
    if precomputed.is_published(data) or (run.folder / "predictions.csv").exists():
        return run.scores()[0]
    print("no scores of networks on this cohort: notebook 4 makes them")
    return pd.DataFrame(columns=facts.COLUMNS)


def look(run: RunFolder, cohort: Cohort, data: Patches, features: pd.DataFrame, scores: pd.DataFrame) -> Found:
    """Trees on groups of numbers, the same against networks, and all clusterings.

    On the published cohort and label they are read, unless this run trains its own networks: trees take minutes.

    Args:
        run: the run folder.
        cohort: opened.
        data: its patches.
        features: `baselines.image_features` of it.
        scores: of `network_scores`.
    """
    if precomputed.is_published(data) and run.results()["training"]["precomputed"]:
        return _read()
    settings, labels = run.profile, data.labels
    trees = [baselines.Baseline(name, "trees", features[own]) for name, own in groups(features).items()]
    tree_scores = baselines.cross_validate(trees, labels, settings.folds, settings.repeats, settings.seed)
    pairs = [
        (facts.simple(group, "trees"), replace(facts.FIRST_STUDY, sequences=sequences))
        for group, sequences in LIKE.items()
    ]
    known = pd.concat([scores, tree_scores]) if len(scores) else tree_scores
    return Found(
        repeats.over_repeats(tree_scores),
        repeats.compare_pairs(known, pairs).reset_index(),
        baselines.clusterings(cohort, features, settings.folds, settings.repeats, settings.seed),
        "computed here",
    )


def _read() -> Found:
    results = _published()
    found = results["clusterings"]
    against = pd.DataFrame(found["against_networks"])
    for side in ("first", "second"):
        against[side] = [Model(**model) for model in against[side]]
    commit = results["run"]["commit"][:7]
    return Found(
        pd.DataFrame(found["features"]),
        against,
        pd.DataFrame(found["rows"]),
        f"read: the results of commit {commit}, which come with the course",
    )
