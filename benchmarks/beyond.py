"""Beyond the paper: probes of three inputs, simple image features and age, stacked with everything nested.

    python benchmarks/beyond.py COHORT [--permutations 199]

Writes figures/beyond.csv (out-of-fold scores) and figures/beyond.json (what cannot be computed from them). Features,
repeats and permutations that are there already are kept, in runs/beyond and, shared with second_study.py, in
runs/second_study. On one idle core: networks' features 3 minutes, scores 2, a permutation 4 seconds.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from radiogen_utils import baselines, decisions, evaluation, stacking, transfer, verdicts
from radiogen_utils.course import precomputed
from radiogen_utils.data.cohort import SEQUENCES, Cohort, open_cohort
from radiogen_utils.folds import repeated_folds
from radiogen_utils.models import WEIGHTS, Initialisation
from radiogen_utils.patches import Patches, keep_patches
from radiogen_utils.repeats import permutation_within_folds, score_matrix, within_fold_auc
from radiogen_utils.stacking import Ingredient
from radiogen_utils.support import progress, project_root, write_atomically

INPUTS = {"FLAIR": ("FLAIR",), "post-contrast": ("post-contrast",), "all": SEQUENCES}
FOLDS, REPEATS = 10, 5
CLINICAL = {"age": "age_at_initial_pathologic", "grade": "neoplasm_histologic_grade"}
PROBES = [f"{name}, {pooling}" for name in INPUTS for pooling in transfer.POOLINGS]
SIMPLE = ["image features, discriminant", "image features, trees"]
STACKS = {
    "probes": PROBES,
    "image features": SIMPLE,
    "images": PROBES + SIMPLE,
    "images and age": [*PROBES, *SIMPLE, "age"],
    "images, age and grade": [*PROBES, *SIMPLE, "age", "grade"],
    "age": ["age"],
    "age and grade": ["age", "grade"],
}
"""Fixed before the run. Grade is histology, known after surgery alone, and shown apart."""
GOALS = {"images": 0.87, "images and age": 0.90}
"""AUCs to be reached, set in the protocol beforehand."""
DIFFERENCES = [
    (("images", "stacked"), ("probes", "stacked")),
    (("images", "stacked"), ("image features", "stacked")),
    (("images", "stacked"), ("images", "equal weights")),
    (("images and age", "stacked"), ("images", "stacked")),
    (("images and age", "stacked"), ("age", "stacked")),
    (("images, age and grade", "stacked"), ("images and age", "stacked")),
]
"""Arms and readouts that are compared, the first minus the second."""
FACTS = ["arm", "pretraining", "backbone", "pixels", "sequences", "readout", "pooling", "split"]
FACTS += ["network", "repeat", "fold", "patient", "y_true", "score"]


def ingredients(
    data: Patches,
    simple: pd.DataFrame,
    clinical: pd.DataFrame,
    split: pd.Series,
    network: int,
    file: Callable[[Initialisation], Path],
) -> list[Ingredient]:
    """What is stacked, in one repeat; `file(initialisation)` is where the features of its network are kept."""
    found = []
    for name, sequences in INPUTS.items():
        networks = tuple(WEIGHTS / f"dense_{name}_{seed}.safetensors" for seed in range(REPEATS))
        start = Initialisation("gbm", "compact", sequences, networks, "dense")
        features = transfer.keep_features(file(start), data, start, network, split)
        for n, pooling in enumerate(transfer.POOLINGS):
            found.append(Ingredient(f"{name}, {pooling}", "discriminant", features[:, :, n]))
    image = simple.loc[data.labels.index].to_numpy(float)[None]
    found += [Ingredient(f"image features, {model}", model, image) for model in ("discriminant", "trees")]
    for name, column in CLINICAL.items():
        found.append(Ingredient(name, "none", clinical.loc[data.labels.index, [column]].to_numpy(float)[None]))
    return found


def positions(wanted: list[str], parts: list[Ingredient]) -> list[int]:
    """Where the ingredients of a stack stand among all."""
    return [[each.name for each in parts].index(name) for name in wanted]


def rows(arm: dict, labels: pd.Series, split: pd.Series, repeat: int, kind: str, score: np.ndarray) -> pd.DataFrame:
    """Rows of beyond.csv for one arm and repeat; the network is the repeat's."""
    blank = dict.fromkeys(FACTS, "")
    patients = {"fold": split.to_numpy(), "patient": labels.index, "y_true": labels.to_numpy(), "score": score}
    return pd.DataFrame(blank | arm | {"split": kind, "repeat": repeat} | patients)[FACTS]


def score_all(
    parts: list[Ingredient], labels: pd.Series, split: pd.Series, repeat: int, kind: str, network: int
) -> pd.DataFrame:
    """Every ingredient by itself, every stack, and the two lessons: equal weights, and nesting forgotten."""
    base = stacking.base_scores(parts, labels, split, repeat)
    tables = []
    for each, score in zip(parts, stacking.alone(base, split).T, strict=True):
        if each.model == "none":
            continue
        source, _, detail = each.name.partition(", ")
        arm = {"arm": "image features", "backbone": detail, "readout": "alone"}
        if source in INPUTS:
            arm = {"arm": "gbm", "pretraining": "dense", "backbone": "compact", "pixels": 80, "network": network}
            arm |= {"sequences": source, "readout": "discriminant", "pooling": detail}
        tables.append(rows(arm, labels, split, repeat, kind, score))
    for name, wanted in STACKS.items():
        score = stacking.stack(base[:, :, positions(wanted, parts)], labels, split)
        tables.append(rows({"arm": name, "readout": "stacked"}, labels, split, repeat, kind, score))
    images = positions(STACKS["images"], parts)
    score = stacking.equal_weights(base[:, :, images], split)
    tables.append(rows({"arm": "images", "readout": "equal weights"}, labels, split, repeat, kind, score))
    if kind == "folds":
        wrong = stacking.not_nested_scores([parts[k] for k in images], labels, FOLDS, repeat)
        score = stacking.stack(wrong, labels, split)
        tables.append(rows({"arm": "images", "readout": "not nested"}, labels, split, repeat, kind, score))
    return pd.concat(tables)


def permuted_aucs(
    parts: list[Ingredient], labels: pd.Series, split: pd.Series, file: Path, permutations: int
) -> pd.DataFrame:
    """AUC of the two main stacks of the first repeat under permuted labels, everything fitted anew; kept in `file`."""
    done = pd.read_csv(file) if file.exists() else pd.DataFrame()
    for number in progress(range(len(done), permutations), permutations - len(done), "permutation"):
        rng = np.random.default_rng((1, number))
        shuffled = pd.Series(permutation_within_folds(labels, split, rng), labels.index)
        base = stacking.base_scores(parts, shuffled, split, 0)
        found = {
            name: roc_auc_score(shuffled, stacking.stack(base[:, :, positions(STACKS[name], parts)], shuffled, split))
            for name in ("images", "images and age")
        }
        done = pd.concat([done, pd.DataFrame([found])], ignore_index=True)
        write_atomically(file, lambda path, table=done: table.to_csv(path, index=False))
    return done[:permutations]


def subgroups(data: Patches, cohort: Cohort, area: pd.Series) -> dict[str, pd.Series]:
    """Groups of patients in which the stack may fail, by patient."""
    flair = data.images[:, SEQUENCES.index("FLAIR")]
    lacks = np.zeros(len(data.table), bool)
    for name in ("pre-contrast", "post-contrast"):
        lacks |= (data.images[:, SEQUENCES.index(name)] == flair).all((1, 2))
    lacks = pd.Series(lacks).groupby(data.table.patient.to_numpy()).all()
    return {
        "institution": cohort.patients.institution[area.index],
        "sequences": lacks.map({True: "one is missing", False: "all there"}),
        "tumour's mean area": pd.qcut(area, 3, ["smallest third", "middle third", "largest third"]).astype(str),
    }


def matrix(scores: pd.DataFrame, **facts: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores (repeats, patients), of the rows with these facts; of the folds unless said otherwise."""
    facts = {"split": "folds"} | facts
    return score_matrix(scores[np.logical_and.reduce([scores[name] == value for name, value in facts.items()])])


def by_groups(scores: pd.DataFrame, groups: dict[str, pd.Series]) -> list[dict]:
    """AUC of the stacked images within groups of patients; NaN where a group lacks two patients of a class."""
    y_true, images = matrix(scores, arm="images", readout="stacked")
    rows = []
    for kind, group in groups.items():
        for name in sorted(group.unique()):
            own = (group == name).to_numpy()
            enough = 2 <= y_true[own].sum() <= own.sum() - 2
            found = evaluation.delong_ci(y_true[own], images[:, own]) if enough else [None] * 3
            row = {"kind": kind, "group": name, "patients": int(own.sum()), "positives": int(y_true[own].sum())}
            rows.append(row | dict(zip(("auc", "low", "high"), found, strict=True)))
    return rows


def summarise(scores: pd.DataFrame, permuted: pd.DataFrame) -> dict:
    """Everything but the groups: AUCs, paired differences, goals, chance, calibration."""
    keys = ["split", "arm", "backbone", "sequences", "readout", "pooling"]
    arms = []
    for facts, own in scores.groupby(keys, sort=False):
        y_true, every = score_matrix(own)
        auc, low, high = evaluation.auc_ci(y_true, every)
        _, delong_low, delong_high = evaluation.delong_ci(y_true, every)
        within = [within_fold_auc(one.y_true, one.score, one.fold) for _, one in own.groupby("repeat")]
        row = {"auc": auc, "low": low, "high": high, "delong_low": delong_low, "delong_high": delong_high}
        row |= {"sd": np.std([roc_auc_score(y_true, one) for one in every], ddof=1), "within_folds": np.mean(within)}
        arms.append(dict(zip(keys, facts, strict=True)) | row)
    differences = []
    for first, second in DIFFERENCES:
        (y_true, a), (_, b) = (matrix(scores, arm=arm, readout=readout) for arm, readout in (first, second))
        *found, p = evaluation.delong_difference(y_true, a, b)
        word, why = verdicts.higher_auc(*evaluation.auc_difference(y_true, a, b)[1:], len(a))
        row = {"first": ", ".join(first), "second": ", ".join(second), "difference": found[0]}
        row |= dict(zip(("low", "high"), evaluation.auc_difference(y_true, a, b)[1:], strict=True))
        differences.append(row | {"delong_p": p, "verdict": word, "why": why})
    goals, chance, calibrated = [], {}, []
    for arm, wanted in GOALS.items():
        y_true, every = matrix(scores, arm=arm, readout="stacked")
        area = evaluation.auc_ci(y_true, every)
        word, why = verdicts.goal(*area, wanted, len(every))
        goals.append({"arm": arm, "goal": wanted, "auc": area[0], "verdict": word, "why": why})
        if len(permuted):
            observed = roc_auc_score(y_true, every[0])
            p, smallest = evaluation.permutation_p(observed, permuted[arm]), evaluation.smallest_p(permuted[arm])
            word, why = verdicts.more_than_chance(p, smallest)
            chance[arm] = {"observed": observed, "p": p, "verdict": word, "why": why}
            chance[arm] |= {"permuted": permuted[arm].round(4).tolist()}
        measures = decisions.calibration_summary(y_true, every).rename_axis("measure").reset_index()
        calibrated += measures.assign(arm=arm).to_dict("records")
    return {"arms": arms, "differences": differences, "goals": goals, "chance": chance, "calibration": calibrated}


def kept(file: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table that is made once."""
    if not file.exists():
        write_atomically(file, lambda path: make().to_csv(path, index=False))
    return pd.read_csv(file, keep_default_na=False)


def main() -> None:
    """Score, permute, and write what the course reads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder or zip of the LGG cohort")
    parser.add_argument("--permutations", type=int, default=199, help="of the labels")
    options = parser.parse_args()
    shared, folder = project_root() / "runs" / "second_study", project_root() / "runs" / "beyond"
    for each in (shared, folder):
        each.mkdir(parents=True, exist_ok=True)
    data = keep_patches(shared / "patches.npz", options.cohort)
    cohort = open_cohort(options.cohort)
    labels = data.labels
    simple_file = folder / "image_features.csv"
    if not simple_file.exists():
        baselines.image_features(options.cohort).to_csv(simple_file)
    simple = pd.read_csv(simple_file, index_col="patient")

    def parts(split: pd.Series, network: int, file: Callable[[Initialisation], Path]) -> list[Ingredient]:
        return ingredients(data, simple, cohort.patients, split, network, file)

    splits = repeated_folds(labels, FOLDS, REPEATS, 0)
    by_repeat = [
        parts(split, n, lambda start, n=n: transfer.feature_file(shared, start, n, n)) for n, split in enumerate(splits)
    ]
    sites = data.institution_folds()
    by_site = [
        parts(sites, n, lambda start, n=n: folder / f"institutions-{start.input}-n{n}.npz") for n in range(REPEATS)
    ]
    tables = [
        kept(
            folder / f"{kind}-{n}.csv",
            lambda own=own, split=split, n=n, kind=kind: score_all(own, labels, split, n, kind, n),
        )
        for kind, every, folds in (("folds", by_repeat, splits), ("institution", by_site, [sites] * REPEATS))
        for n, (own, split) in enumerate(zip(every, folds, strict=True))
    ]
    scores = pd.concat(tables, ignore_index=True)
    scores.to_csv(precomputed.FOLDER / "beyond.csv", index=False, float_format="%.4g")
    permuted = permuted_aucs(by_repeat[0], labels, splits[0], folder / "permutations.csv", options.permutations)
    areas = pd.Series(data.masks.sum((1, 2))).groupby(data.table.patient.to_numpy()).mean().sort_index()
    found = summarise(pd.read_csv(precomputed.FOLDER / "beyond.csv", keep_default_na=False), permuted)
    found["groups"] = by_groups(scores, subgroups(data, cohort, areas))
    text = json.dumps(found, indent=1, default=float)
    (precomputed.FOLDER / "beyond.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
