"""Both studies side by side, from their tables of scores alone: AUCs, verdicts, and what the site's explorer shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from .. import article, evaluation, figures, repeats, verdicts
from . import precomputed

SECOND = {"readout": "probe", "pooling": "patch"}
"""The second study's primary readout (protocol, part II, point 3)."""


@dataclass(frozen=True)
class Arm:
    """One model's scores of the patients.

    Attributes:
        study: "first study" or "second study".
        label: its name, for readers.
        initialisation: of the network, or the name of a simple model.
        sequences: that it sees; empty for a simple model.
        backbone: network or estimator.
        patients: (N,) names.
        y_true: (N,) 0 or 1.
        scores: (R, N), a row a repeat and network.
    """

    study: str
    label: str
    initialisation: str
    sequences: str
    backbone: str
    patients: list[str]
    y_true: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> tuple[float, float, float]:
        """Mean over the repeats, with its 95 % interval."""
        return evaluation.auc_ci(self.y_true, self.scores)

    def reproduction(self, published: bool) -> verdicts.Verdict:
        """Whether it reproduces the article's AUC."""
        return verdicts.reproduction(*self.auc, len(self.scores), published)


def first_study(predictions: pd.DataFrame) -> list[Arm]:
    """The trained networks and the simple models under random folds.

    Args:
        predictions: rows of predictions.csv.
    """
    table = tidy(predictions)
    table = table[(table.split == "folds") & table.readout.isin(["full", ""])]
    return _arms("first study", table)


def second_study(scores: pd.DataFrame) -> list[Arm]:
    """The linear probes of the second study's primary analysis, and the same on other sequences.

    Args:
        scores: rows of second_study.csv.
    """
    table = scores[(scores.split == "folds") & (scores.pixels == 80)]
    for column, value in SECOND.items():
        table = table[table[column] == value]
    # A network and a shuffle are one repeat: every patient is scored once in it.
    return _arms("second study", table.assign(repeat=table.network * (table.repeat.max() + 1) + table.repeat))


def tidy(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores with one fact a column; those of predictions.csv stand in its arms' names."""
    if "split" in predictions:
        return predictions.fillna({"sequences": "", "readout": ""})
    left_out = predictions.arm.str.endswith(evaluation.LEFT_OUT)
    frozen = predictions.arm.str.startswith(evaluation.FROZEN)
    names = pd.DataFrame(predictions.arm.map(evaluation.split_arm).tolist(), predictions.index, ["arm", "sequences"])
    readout = np.where(frozen, "probe", np.where(names.sequences == "", "", "full"))
    split = np.where(left_out, "institution", "folds")
    return predictions.assign(**names, readout=readout, split=split)


def _arms(study: str, table: pd.DataFrame) -> list[Arm]:
    found = []
    for (name, sequences, backbone), rows in table.groupby(["arm", "sequences", "backbone"], sort=False):
        y_true, scores = repeats.score_matrix(rows)
        inputs = figures.INPUTS.get(sequences, sequences)
        label = f"{inputs}, {figures.NAMES[name]}, {backbone}" if sequences else f"{name}, {backbone}"
        found.append(Arm(study, label, name, inputs, backbone, sorted(rows.patient.unique()), y_true, scores))
    return found


def primary(arms: list[Arm]) -> Arm:
    """The arm that the verdict is about: pretrained on glioblastoma, compact network, FLAIR."""
    wanted = ("gbm", "FLAIR", "compact")
    return next(arm for arm in arms if (arm.initialisation, arm.sequences, arm.backbone) == wanted)


def verdict_sentence(first: list[Arm], second: list[Arm], published: bool) -> str:
    """The answer of both studies in one sentence of Markdown.

    Args:
        first: arms of the first study.
        second: of the second, which is about the published cohort.
        published: whether the first study asks the article's question about the article's cohort.
    """
    arms = primary(first), primary(second)
    words = [arm.reproduction(asked).word for arm, asked in zip(arms, (published, True), strict=True)]
    found = [_interval(arm.auc) for arm in arms]
    if words[0] == words[1]:
        answer = f"**{words[0].capitalize()}** in both studies"
    else:
        answer = f"**{words[0].capitalize()}** in the first study, **{words[1]}** in the second"
    return (
        f"{answer}: the network pretrained on glioblastoma reached an AUC of {found[0]} and {found[1]}, where the "
        f"article reports {_interval(article.AUC['gbm'])}."
    )


def comparison(first: list[Arm], second: list[Arm]) -> list[dict[str, str | None]]:
    """Paper, first study and second study: a row for each sequences and initialisation of a network."""
    cells: dict[tuple[str, str], dict] = {}
    for initialisation in article.AUC:
        cells["FLAIR", initialisation] = {"paper": _interval(article.AUC[initialisation])}
    for arm in (*first, *second):
        if arm.initialisation in article.AUC and arm.backbone in ("compact", _only_natural(arm)):
            cells.setdefault((arm.sequences, arm.initialisation), {})[arm.study] = _interval(arm.auc)
    columns = ("paper", "first study", "second study")
    return [
        {"network": f"{sequences}, {figures.NAMES[name]}"}
        | {column: cells[sequences, name].get(column) for column in columns}
        for sequences in dict.fromkeys(sequences for sequences, _ in cells)
        for name in article.AUC
        if (sequences, name) in cells
    ]


def _only_natural(arm: Arm) -> str:
    """Natural-image weights exist for the other network alone."""
    return "efficientnet_lite0" if arm.initialisation == "natural" else "compact"


def _interval(values: tuple[float, float, float]) -> str:
    return "{:.3f} ({:.3f}\u2060–\u2060{:.3f})".format(*values)  # no line ends within the interval


def explorer(arms: list[Arm]) -> dict:
    """What the threshold explorer shows: each arm's first repeat, and the published curve.

    Args:
        arms: all on the same patients.
    """
    return {
        "paper": {"auc": article.AUC["gbm"][0], "roc": np.round(article.ROC, 5).tolist()},
        "patients": [name.replace("_", "-") for name in arms[0].patients],
        "y": arms[0].y_true.tolist(),
        "arms": [
            {
                "study": arm.study,
                "label": arm.label,
                "repeats": len(arm.scores),
                "mean": float(np.mean([roc_auc_score(arm.y_true, row) for row in arm.scores])),
                "scores": arm.scores[0].tolist(),
            }
            for arm in arms
            if arm.patients == arms[0].patients
        ],
    }


def specifications(table: pd.DataFrame) -> dict:
    """What the specification explorer shows, sorted by AUC.

    Args:
        table: rows of multiverse.csv: number, auc, low, high, and a column a choice.
    """
    table = table.sort_values("auc", kind="stable")
    values = ["auc", "low", "high"]
    choices = {}
    for name in table.columns.difference(["number", *values], sort=False):
        codes, levels = pd.factorize(table[name].astype(str), sort=True)
        choices[name] = {"levels": levels.tolist(), "at": codes.tolist()}
    return {
        "paper": {figures.NAMES[name]: values[0] for name, values in article.AUC.items()},
        "choices": choices,
        "number": table.number.tolist(),
    } | {name: table[name].round(4).tolist() for name in values}


def load(folder: Path) -> tuple[list[Arm], list[Arm]]:
    """The arms of both studies.

    Args:
        folder: with predictions.csv of a run; the second study's scores come with the course.
    """
    return first_study(pd.read_csv(folder / "predictions.csv")), second_study(precomputed.second_study())
