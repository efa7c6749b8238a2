"""Both studies side by side, from their tables of scores alone: AUCs, verdicts, and what the site's explorer shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from .. import article, evaluation, facts, repeats, verdicts
from . import tables
from .second_study import load as load_second


@dataclass(frozen=True)
class Arm:
    """One model's scores of the patients.

    Attributes:
        study: "first study" or "second study".
        model: whose scores they are.
        patients: (N,) names.
        y_true: (N,) 0 or 1.
        scores: (R, N), a row a network and repeat.
    """

    study: str
    model: facts.Model
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


def load(folder: Path) -> tuple[list[Arm], list[Arm]]:
    """The arms of both studies.

    Args:
        folder: with predictions.csv of a run; what it lacks of the second study's scores comes with the course.
    """
    return first_study(facts.read(folder / "predictions.csv")), second_study(load_second(folder)[0])


def first_study(predictions: pd.DataFrame) -> list[Arm]:
    """The trained networks and the simple models under random folds.

    Args:
        predictions: a table of scores.
    """
    return _arms("first study", facts.select(predictions, split="folds", readout=(facts.FIRST_STUDY.readout, "")))


def second_study(scores: pd.DataFrame) -> list[Arm]:
    """The second study's primary readout, of every initialisation and on all sequences.

    Args:
        scores: a table of scores.
    """
    primary = facts.SECOND_STUDY
    names = ("pixels", "readout", "pooling", "split")
    table = facts.select(scores, pretraining=(primary.pretraining, ""))
    return _arms("second study", facts.select(table, **{name: getattr(primary, name) for name in names}))


def _arms(study: str, table: pd.DataFrame) -> list[Arm]:
    return [
        Arm(study, model, sorted(rows.patient.unique()), *repeats.score_matrix(rows))
        for model, rows in facts.by_model(table)
    ]


def primary(arms: list[Arm]) -> Arm:
    """The arm that the verdict is about."""
    return next(arm for arm in arms if arm.model in (facts.FIRST_STUDY, facts.SECOND_STUDY))


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
    """Paper, first study and second study: a row for each sequences and initialisation of a network.

    The network is `compact`, and from natural images, for which it has no weights, the other one. Values of a single
    repeat are marked.
    """
    cells = {("FLAIR", name): {"paper": _interval(article.AUC[name])} for name in article.AUC}
    for arm in (*first, *second):
        model = arm.model
        if model.is_network and (model.backbone == "compact") != (model.arm == "natural"):
            single = tables.SINGLE if len(arm.scores) < verdicts.MIN_REPEATS else ""
            cells.setdefault((model.sequences, model.arm), {})[arm.study] = _interval(arm.auc) + single
    columns = ("paper", "first study", "second study")
    return [
        {"network": f"{facts.INPUTS.get(sequences, sequences)}, {facts.NAMES[name]}"}
        | {column: cells[sequences, name].get(column) for column in columns}
        for sequences in dict.fromkeys(sequences for sequences, _ in cells)
        for name in article.AUC
        if (sequences, name) in cells
    ]


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
                "label": str(arm.model),
                "primary": arm.model == facts.FIRST_STUDY,
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
        "paper": {facts.NAMES[name]: values[0] for name, values in article.AUC.items()},
        "choices": choices,
        "number": table.number.tolist(),
    } | {name: table[name].round(4).tolist() for name in values}
