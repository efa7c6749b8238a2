"""The ROC curve: what a threshold does, the mean curve of several repeats, and the pictures of both.

The empirical curve rises step by step: above the k-th highest score of the negatives lies a certain share of the
positives, and that share is the curve's height between (k − 1)/n and k/n. The mean of these heights is the AUC. So the
mean of the curves of several repeats, at each false-positive rate, has the mean of their AUCs as its area (vertical
averaging; Fawcett, Pattern Recognition Letters 2006;27:861–874).
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from numpy.typing import ArrayLike

from . import article, evaluation, facts, power, repeats
from .charts import Row, start
from .facts import NAMES, Model
from .figures import COLOURS, FOCUS, OTHERS
from .words import number, say, series

STYLES = {"gbm": "-", "scratch": (0, (4, 1.5)), "natural": (0, (1, 1))}
"""Lines of the initialisations, which differ without colour, too."""


class Confusion(NamedTuple):
    """How many patients of each class are called positive and negative."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives that are called positive."""
        return self.true_positives / (self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        """Share of the negatives that are called negative."""
        return self.true_negatives / (self.true_negatives + self.false_positives)


def confusion(y_true: ArrayLike, score: ArrayLike, threshold: float) -> Confusion:
    """Count the patients, calling positive whose score is at least the threshold.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,).
        threshold: on the scale of the scores.

    Example:
        >>> confusion([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8], 0.5)
        Confusion(true_positives=1, false_positives=1, false_negatives=1, true_negatives=1)
    """
    y_true, score = evaluation._check(y_true, score)
    called = score >= threshold
    counts = (called & y_true, called & ~y_true, ~called & y_true, ~called & ~y_true)
    return Confusion(*(int(cell.sum()) for cell in counts))


def mean_curve(y_true: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the ROC curve, or of the mean over repeats of the sensitivity at each false-positive rate.

    Args:
        y_true: (N,) 0 or 1.
        scores: (N,), or (R, N), one row a repeat.

    Returns:
        False- and true-positive rates, (2 n + 2,) each with n negatives. The area below is the (mean) AUC; on a tie of
        a positive with a negative the curve takes half a step.
    """
    scores = np.atleast_2d(np.asarray(scores, float))
    y_true, *scores = evaluation._check(y_true, *scores)
    heights = np.mean([evaluation._above(y_true, score)[1].mean(0) for score in scores], axis=0)
    rates = np.arange(len(heights) + 1) / len(heights)
    return np.repeat(rates, 2), np.r_[0, np.repeat(heights, 2), 1]


def threshold_picture(y_true: np.ndarray, score: np.ndarray, threshold: float) -> plt.Figure:
    """Patients as dots, the threshold among them, the table of counts, and the point of the ROC curve.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,).
        threshold: who lies at or above it is called positive.
    """
    figure, axes = plt.subplot_mosaic(
        [["dots", "roc"], ["table", "roc"]],
        figsize=(7.6, 3.7),
        width_ratios=[1.15, 1],
        height_ratios=[1.5, 1],
        layout="constrained",
    )
    found = confusion(y_true, score, threshold)
    rng = np.random.default_rng(0)
    low, high = dots_range(score)
    for label, name, colour in ((0, "other patients", OTHERS), (1, "positives", FOCUS)):
        own = score[y_true == label]
        height = label + rng.uniform(-0.27, 0.27, len(own))
        for marker, kind in (("o", own >= low), ("<", own < low)):
            face = np.where(own >= threshold, colour, "white")[kind]
            shown = own[kind].clip(low)
            axes["dots"].scatter(shown, height[kind], s=22, marker=marker, lw=1, ec=colour, c=face, clip_on=False)
        style = {"color": colour, "transform": axes["dots"].get_yaxis_transform(), "fontsize": 9}
        axes["dots"].text(0, label + 0.34, f"{name} ({len(own)})", **style)
    axes["dots"].axvline(threshold, color="black", lw=1.5)
    axes["dots"].set(xlabel="score (log-odds); filled: called positive", yticks=[])
    axes["dots"].set(xlim=(low, high), ylim=(-0.45, 1.65))
    sns.despine(ax=axes["dots"], left=True)
    _counts(axes["table"], found)
    false, true = mean_curve(y_true, score)
    axes["roc"].plot(false, true, color="0.75", lw=1.5)
    passed = false <= 1 - found.specificity
    passed &= true <= found.sensitivity
    axes["roc"].plot(false[passed], true[passed], color="black", lw=2)
    point = 1 - found.specificity, found.sensitivity
    axes["roc"].plot(*point, "o", color="black", ms=8)
    text = f"sensitivity {found.sensitivity:.2f}\nspecificity {found.specificity:.2f}"
    axes["roc"].annotate(text, (0.97, 0.05), ha="right", xycoords="axes fraction", fontsize=9)
    _roc_axes(axes["roc"])
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found._asdict().items())
    return say(
        figure,
        f"Scores as dots: positives {series(score[y_true == 1], '.2f')}; others {series(score[y_true == 0], '.2f')}.",
        f"A line marks the threshold, {number(threshold, '.2f')}: {counts}.",
        f"Beside it the ROC curve, with a dot at {text}.".replace("\n", ", "),
    )


def dots_range(score: np.ndarray) -> tuple[float, float]:
    """Scores between which the dots are drawn: what lies far below the others stands at the lower end."""
    first, third = np.quantile(score, [0.25, 0.75])
    low = max(score.min(), first - 2.5 * (third - first))
    margin = 0.03 * (score.max() - low)
    return float(low - margin), float(score.max() + margin)


def _counts(axes: plt.Axes, found: Confusion) -> None:
    """The four counts as a table, each with its name."""
    axes.set(xlim=(0, 3), ylim=(0, 3))
    axes.set_axis_off()
    for column, text in ((1.5, "called positive"), (2.5, "called negative")):
        axes.text(column, 2.9, text, ha="center", va="center", fontsize=9)
    names = [name.replace("_", " ") for name in Confusion._fields]
    for row, (name, colour) in enumerate((("positives", FOCUS), ("other patients", OTHERS))):
        y = 1.75 - 1.3 * row
        axes.text(0, y, name, va="center", color=colour, fontsize=9)
        for column in (0, 1):
            cell = row + 2 * column
            axes.text(1.5 + column, y + 0.15, found[cell], ha="center", color=colour, weight="bold", fontsize=11)
            axes.text(1.5 + column, y - 0.35, names[cell], ha="center", color=colour, fontsize=7.5)


def _roc_axes(axes: plt.Axes) -> None:
    axes.plot([0, 1], [0, 1], color="0.8", lw=1, zorder=0)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")
    sns.despine(ax=axes)


def figure2(predictions: pd.DataFrame, models: Sequence[Model]) -> plt.Figure:
    """Figure 2: the published ROC curve, and mean curves over the repeats; the first one has its 95 % band.

    The number beside each curve is its area.

    Args:
        predictions: a table of scores.
        models: one an initialisation.
    """
    figure, axes = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    axes.plot(*article.ROC.T, color="black", lw=1.8)
    labels = [(article.AUC["gbm"][0], "article, glioblastoma MRI", "black", article.ROC.T)]
    for model in models:
        y_true, scores = repeats.score_matrix(facts.of_model(predictions, model))
        curve, colour = mean_curve(y_true, scores), COLOURS[model.arm]
        axes.plot(*curve, color=colour, ls=STYLES[model.arm], lw=2.4 if model == models[0] else 1.8)
        labels.append((evaluation.auc_ci(y_true, scores)[0], f"here, {NAMES[model.arm]}", colour, curve))
        if model == models[0]:
            rates = np.linspace(0, 1, 100, endpoint=False)
            axes.fill_between(rates, *evaluation.roc_band(y_true, scores, rates), color=colour, alpha=0.13, lw=0)
    _label_curves(axes, labels)
    _roc_axes(axes)
    told = []
    for auc, text, _, curve in sorted(labels, key=lambda row: -row[0]):
        heights = (f"{np.interp(rate, *curve):.2f} at {rate}" for rate in (0.1, 0.3, 0.5))
        told.append(f"{text}, area {auc:.3f}: sensitivity {', '.join(heights)}.")
    return say(figure, "ROC curves, the sensitivity at 1 − specificity; the first of ours with its 95 % band.", *told)


def _label_curves(axes: plt.Axes, labels: list[tuple[float, str, object, np.ndarray]]) -> None:
    """AUC and name of every curve below the diagonal, the highest on top, each tied to its curve."""
    for place, (auc, text, colour, curve) in enumerate(sorted(labels, key=lambda row: -row[0])):
        x, y = 0.38 - 0.04 * place, 0.3 - 0.08 * place
        top = float(np.interp(x, *curve))
        axes.plot([x, x], [y - 0.02, top], color=colour, lw=0.8, zorder=1)
        axes.plot(x, top, "o", color=colour, ms=4)
        axes.text(x + 0.015, y, f"{auc:.3f}  {text}", color=colour, fontsize=8.5, weight="bold", va="center")


def readout_rows(summary: pd.DataFrame) -> list[Row | str]:
    """Lines of `charts.forest`: the article's arms, then every readout of every initialisation on every kind of input.

    Args:
        summary: `repeats.over_repeats` of networks.
    """
    rows: list[Row | str] = ["article: FLAIR"]
    rows += [Row(NAMES[arm], *article.AUC[arm], COLOURS[arm], "s") for arm in ("gbm", "scratch", "natural")]
    starts = [("gbm", "dense"), ("gbm", "composition"), ("scratch", ""), ("natural", "")]
    for sequences in dict.fromkeys(summary.sequences):
        for readout, word in facts.READOUTS.items():
            lines = []
            for arm, pretraining in starts:
                own = {"arm": arm, "pretraining": pretraining, "sequences": sequences, "readout": readout}
                for found in facts.select(summary, **own).itertuples():
                    face = "white" if pretraining == "composition" else None
                    values = found.auc, found.low, found.high
                    lines.append(Row(start(arm, pretraining), *values, COLOURS[arm], "o", face))
            if lines:
                rows += [f"{facts.INPUTS.get(sequences, sequences)}: {word or 'full fine-tuning'}", *lines]
    return rows


def power_picture(
    aucs: tuple[float, float], correlations: dict[str, float], prevalence: float, here: int
) -> plt.Figure:
    """Power of a paired comparison by the number of patients.

    Args:
        aucs: true ones of the two arms.
        correlations: of the arms' latent scores (`power.latent_correlations`), by what they are of: two, the
            lower first.
        prevalence: share of positives.
        here: patients of this cohort, which are marked.
    """
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    patients = np.geomspace(50, 3000, 60)
    axes.axhline(0.8, color="0.75", lw=1, ls="--", zorder=0)
    axes.text(50, 0.81, "80 %", color="0.45", fontsize=9, va="bottom")
    axes.axvline(here, color="0.75", lw=1, ls="--", zorder=0)
    axes.text(here * 1.03, 0.97, f"this cohort: {here}", color="0.45", fontsize=9, va="top")
    colours = sns.color_palette("colorblind", 5)[3:]
    told = []
    for (name, correlation), colour, height in zip(correlations.items(), colours, (0.35, 0.7), strict=True):
        found = [_power(aucs, correlation, prevalence, n) for n in patients]
        axes.plot(patients, found, color=colour, lw=2)
        at = 1.12 * np.interp(height, found, patients)
        axes.text(at, height, name, color=colour, fontsize=9, weight="bold", va="top")
        at_hand = _power(aucs, correlation, prevalence, here)
        axes.plot(here, at_hand, "o", color=colour, ms=7)
        told.append(f"{name}: {at_hand:.0%} with {here} patients, 80 % with {np.interp(0.8, found, patients):,.0f}.")
    axes.set(xscale="log", xlabel="patients", ylabel="studies that find the difference", ylim=(0, 1.0))
    axes.set_xticks(ticks := [50, 100, 200, 500, 1000, 2000], ticks, minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:.0%}")
    sns.despine(figure)
    return say(figure, "Share of studies that find the difference, which grows with the number of patients.", *told)


def _power(aucs: tuple[float, float], correlation: float, prevalence: float, patients: float) -> float:
    error = power.standard_error(*aucs, correlation, prevalence * patients, (1 - prevalence) * patients)
    return power.normal_power(aucs[0] - aucs[1], error)
