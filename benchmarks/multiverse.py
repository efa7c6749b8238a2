"""The garden of forking paths: every specification of the multiverse, and what they say together.

    python benchmarks/multiverse.py COHORT                      1,000 specifications with a frozen readout
    python benchmarks/multiverse.py COHORT --fine-tuned 20      and the first 20 in which all weights are trained

Writes figures/multiverse.csv, .json, .png and .svg. What is there already in runs/multiverse is kept, so it may be
interrupted. On two idle cores: features twenty minutes, frozen readouts ten. Fine-tuned fits are done start by start,
random weights and dense glioblastoma first: sixty specifications of these two take an hour and a half (at the seconds
of a fit in benchmarks/training.json), composition half as long, natural images two hours and a half. The committed
fine-tuned ones were fitted by the same function, most of them on an NVIDIA H200.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from radiogen_utils import article, curves, evaluation, facts, figures, multiverse, verdicts
from radiogen_utils.course import precomputed
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.data.cohort import SEQUENCES, open_cohort
from radiogen_utils.models import WEIGHTS, Initialisation
from radiogen_utils.multiverse import CHOICES, FINE_TUNED
from radiogen_utils.patches import Patches
from radiogen_utils.support import project_root, write_atomically

FROZEN, TRAINED = 1000, 60
CHUNK = 50
PERMUTATIONS = 1000
INPUTS = {"FLAIR": ("FLAIR",), "post-contrast": ("post-contrast",), "all": SEQUENCES}
TRAINING = {"compact": PROFILES["paper"].compact, "efficientnet_lite0": PROFILES["paper"].imagenet}
ALWAYS = {"augmentation": "random", "pooling": "patch"}
"""What fine-tuned specifications have in common."""


def initialisations() -> dict[str, dict[str, Initialisation]]:
    """Every start, by the sequences that it reads."""
    found = {name: {} for name in ("random", "dense", "composition", "natural")}
    for name, sequences in INPUTS.items():
        dense = tuple(WEIGHTS / f"dense_{name}_{seed}.safetensors" for seed in range(5))
        found["random"][name] = Initialisation("scratch", "compact", sequences, tuple(range(5)))
        composition = (WEIGHTS / "compact_gbm.safetensors",)
        found["composition"][name] = Initialisation("gbm", "compact", sequences, composition, "composition")
        found["dense"][name] = Initialisation("gbm", "compact", sequences, dense, "dense")
        found["natural"][name] = Initialisation("natural", "efficientnet_lite0", sequences, (0,))
    return found


def frozen(cohort: Path, labels: pd.Series, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """All specifications with a frozen readout, in chunks that are kept."""
    starts = initialisations()
    every = [each for by_input in starts.values() for each in by_input.values()]
    variants = itertools.product(*(CHOICES[name] for name in multiverse.PATCHES))
    cores = joblib.cpu_count(only_physical_cores=True)
    features = folder / "features"
    joblib.Parallel(cores)(
        joblib.delayed(multiverse.variant_features)(cohort, variant, every, features) for variant in variants
    )
    drawn = multiverse.draw_specifications(FROZEN)
    for first in range(0, FROZEN, CHUNK):
        file = folder / f"{first}.npz"
        if not file.exists():
            table, scores = multiverse.run_frozen(drawn[first : first + CHUNK], starts, features, labels)
            table["number"] += first
            table.to_csv(folder / f"{first}.csv", index=False)
            write_atomically(file, lambda path, scores=scores: _save(path, scores))
    return read_frozen(folder)


def _save(path: Path, scores: np.ndarray) -> None:
    with open(path, "wb") as opened:
        np.savez(opened, scores=scores)


def read_frozen(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Table and scores of the chunks in `folder`, by number."""
    done = sorted(int(file.stem) for file in folder.glob("[0-9]*.npz"))
    tables = [pd.read_csv(folder / f"{first}.csv") for first in done]
    scores = [np.load(folder / f"{first}.npz")["scores"] for first in done]
    return pd.concat(tables, ignore_index=True), np.concatenate(scores)


def fine_tuned(cohort: Path, labels: pd.Series, file: Path, wanted: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The first `wanted` fine-tuned specifications; the scores of each fit are a line of `file`, fitted if missing."""
    starts, drawn = initialisations(), multiverse.draw_specifications(TRAINED, choices=FINE_TUNED)
    done, variants = dict(_lines(file)), {}
    for start, (number, specification) in itertools.product(starts, enumerate(drawn[:wanted].to_dict("records"))):
        if (number, start) in done:
            continue
        variant = tuple(specification[name] for name in multiverse.PATCHES)
        if variant not in variants:
            variants[variant] = _variant(cohort, variant, labels)
        each = starts[start][specification["sequences"]]
        scores = multiverse.fine_tune(specification, each, *variants[variant], TRAINING[each.backbone])
        with file.open("a", encoding="utf-8") as opened:
            row = {"number": number, "start": start, "score": scores.round(5).tolist()}
            opened.write(json.dumps(row) + "\n")
    done = dict(_lines(file))
    order = sorted(done, key=lambda key: (key[0], list(starts).index(key[1])))
    rows = [{"number": n, "initialisation": start} | drawn.iloc[n].to_dict() | ALWAYS for n, start in order]
    scores = np.array([done[key] for key in order])
    return pd.DataFrame(rows).assign(**multiverse._intervals(labels, scores)), scores


def _lines(file: Path) -> Iterator[tuple[tuple[int, str], list[float]]]:
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield (row["number"], row["start"]), row["score"]


def _variant(cohort: Path, variant: tuple[str, ...], labels: pd.Series) -> tuple[Patches, np.ndarray]:
    """Patches of the labelled patients under one set of choices, and the tumour's area in each."""
    images, masks, table = multiverse.build_variant(cohort, *variant)
    known = table.patient.isin(labels.index).to_numpy()
    table = table[known].assign(label=table.patient.map(labels)).reset_index(drop=True)
    kept = table[["patient", "case", "slice"]].assign(label=table.label.astype(int), exceeds=False)
    return Patches(images[known], masks[known], kept, ""), table.area.to_numpy()


def compare(
    table: pd.DataFrame, scores: np.ndarray, labels: pd.Series, kind: str, first: str
) -> tuple[list[dict], np.ndarray]:
    """One start against random weights, all else equal: rows by sequences, and the null of the share over all."""
    both = table.groupby("number").initialisation.transform(lambda names: {first, "random"} <= set(names))
    both &= table.initialisation.isin([first, "random"])
    table, scores = table[both].reset_index(drop=True), scores[both]
    share, null = multiverse.share_null(table, scores, labels, first, "random", PERMUTATIONS, 0)
    rows = []
    for name in share.index:
        part = table if name == "any" else table[table.sequences == name]
        wins, losses = multiverse.significant_shares(
            part.reset_index(drop=True), scores[part.index], labels, first, "random"
        )
        low, high = np.percentile(null[name], [2.5, 97.5])
        row = {"kind": kind, "initialisation": first, "sequences": name, "specifications": part.number.nunique()}
        row |= {"share": share[name], "null_low": low, "null_high": high}
        row |= {"p": multiverse.share_p(share[name], null[name]), "significant": wins, "significant_against": losses}
        rows.append(row)
    return rows, null["any"].to_numpy()


def judge(compared: pd.DataFrame) -> pd.DataFrame:
    """Add p adjusted by Holm (over the starts, and over the starts by sequences) and the verdict of each row."""
    family = [compared.kind, compared.sequences == "any"]
    compared["holm"] = compared.groupby(family).p.transform(evaluation.holm)
    smallest = 1 / (1 + PERMUTATIONS)
    found = [verdicts.better_in_most(row.share, row.holm, smallest) for row in compared.itertuples()]
    return compared.assign(verdict=[each.word for each in found], why=[each.why for each in found])


def published(table: pd.DataFrame) -> list[dict]:
    """Where the article's AUCs lie among ours of the same start: frozen, by sequences."""
    names = {"gbm": ("composition", "dense"), "scratch": ("random",), "natural": ("natural",)}
    rows = []
    for arm, starts in names.items():
        auc = article.AUC[arm][0]
        for start, sequences in itertools.product(starts, ("any", *CHOICES["sequences"])):
            own = table[(table.initialisation == start) & ((table.sequences == sequences) | (sequences == "any"))].auc
            row = {"arm": arm, "initialisation": start, "sequences": sequences, "published": auc}
            row |= {"median": own.median(), "lowest": own.min(), "highest": own.max()}
            row |= {"below": (own < auc).mean(), "within": ((own - auc).abs() <= article.MARGIN).mean()}
            rows.append(row)
    return rows


def studies() -> dict[str, float]:
    """AUCs of the two studies' primary arms, FLAIR from glioblastoma: fine-tuned, and the dense network's probe."""
    tables = {
        "first study": (facts.read(precomputed.FOLDER / "predictions.csv"), facts.FIRST_STUDY),
        "second study": (precomputed.second_study(), facts.SECOND_STUDY),
    }
    found = {}
    for name, (table, model) in tables.items():
        runs = facts.of_model(table, model).groupby(["network", "repeat"], dropna=False)
        found[name] = float(np.mean([roc_auc_score(rows.y_true, rows.score) for _, rows in runs]))
    return found


def summarise(parts: dict[str, tuple[pd.DataFrame, np.ndarray]], labels: pd.Series) -> dict:
    """What figures/multiverse.json holds."""
    rows, nulls = [], {}
    for kind, (table, scores) in parts.items():
        for first in ("dense", "composition", "natural"):
            found, null = compare(table, scores, labels, kind, first)
            rows += found if kind == "frozen" else found[:1]  # too few fine-tuned ones to divide
            nulls[f"{kind}, {first}"] = null.round(3).tolist()
    return {
        "specifications": {kind: int(table.number.nunique()) for kind, (table, _) in parts.items()},
        "permutations": PERMUTATIONS,
        "compared": judge(pd.DataFrame(rows)).to_dict("records"),
        "null": nulls,
        "explained": {kind: multiverse.explained_variance(table).to_dict() for kind, (table, _) in parts.items()},
        "all else equal": multiverse.variance_all_else_equal(parts["frozen"][0]).to_dict(),
        "published": published(parts["frozen"][0]),
        "studies": studies(),
    }


def main() -> None:
    """Run what is missing and write what the course reads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder or zip of the LGG cohort")
    parser.add_argument(
        "--fine-tuned", type=int, default=0, metavar="N", help=f"of the {TRAINED} drawn; kept ones count"
    )
    options = parser.parse_args()
    folder = project_root() / "runs" / "multiverse"
    folder.mkdir(parents=True, exist_ok=True)
    labels = open_cohort(options.cohort).labels("COCCluster", 2).dropna().astype(int).sort_index()
    parts = {"frozen": frozen(options.cohort, labels, folder)}
    trained = folder / "fine_tuned.jsonl"
    if options.fine_tuned or trained.exists():
        parts["fine-tuned"] = fine_tuned(options.cohort, labels, trained, options.fine_tuned)
    write(parts, labels)


def write(parts: dict[str, tuple[pd.DataFrame, np.ndarray]], labels: pd.Series) -> None:
    """Table, summary and figure, into figures/; no score of a patient is among them."""
    table = pd.concat([table.assign(kind=kind) for kind, (table, _) in parts.items()], ignore_index=True)
    table = table[["kind", "number", "initialisation", *CHOICES, "auc", "low", "high"]]
    table.to_csv(precomputed.FOLDER / "multiverse.csv", index=False, float_format="%.4f")
    found = summarise(parts, labels)
    text = json.dumps(found, indent=1, default=float)
    (precomputed.FOLDER / "multiverse.json").write_text(text + "\n", encoding="utf-8")
    figure = curves.specification_curve(table[table.kind == "frozen"], found["studies"])
    figures.finish(figure, precomputed.FOLDER / "multiverse.png", False)


if __name__ == "__main__":
    main()
