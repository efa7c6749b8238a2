"""Forest plots; what chance finds, institutions, calibration."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from .facts import INPUTS, NAMES, READOUTS, Model
from .figures import COLOURS, FOCUS, OTHERS
from .verdicts import SIGNIFICANCE
from .words import number, rows_in_words, say, series

WIDTH = 2.7
"""Of the axes of a forest plot, in inches; its texts stand beside them."""
BEFORE, AFTER = "0.55", FOCUS
"""Colours of a value before and after something was taken out."""


class Row(NamedTuple):
    """A line of a forest plot."""

    label: str
    value: float
    low: float
    high: float
    colour: object = "0.2"
    marker: str = "o"
    face: object = None


def forest(rows: Sequence[Row | str], xlabel: str, null: float) -> plt.Figure:
    """Values with their intervals and numbers, one below the other; a text is the heading of what follows.

    Args:
        rows: from top to bottom.
        xlabel: of the axis.
        null: where there is nothing to find.
    """
    axes, lines = _lines(rows, null)
    form = "+.3f" if null == 0 else ".3f"
    for y, row in lines:
        error = [[row.value - row.low], [row.high - row.value]]
        style = {"color": row.colour, "mfc": row.face or row.colour, "ms": 4.5, "lw": 1.4}
        axes.errorbar(row.value, y, xerr=error, fmt=row.marker, **style)
        _beside(axes, y, row.label, _numbers(*row[1:4], form), row.colour)
    _rows_only(axes, xlabel)
    told = [row if isinstance(row, str) else (*row[:4], _numbers(*row[1:4], form)) for row in rows]
    return say(axes.figure, f"{xlabel}.".replace("\n", ", "), rows_in_words(told, null))


def _lines(rows: Sequence[tuple | str], null: float) -> tuple[plt.Axes, list[tuple[float, tuple]]]:
    """Axes with the headings, and where every other row stands; a line marks where there is nothing to find."""
    places = np.cumsum([1.5 if isinstance(row, str) else 1 for row in rows])
    _, axes = plt.subplots(figsize=(WIDTH, 0.18 * places[-1] + 0.85))
    axes.axvline(null, color="0.75", lw=1, zorder=0)
    axes.set_ylim(places[-1] + 0.7, places[0] - 0.8)
    style = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 8, "weight": "bold"}
    for y, row in zip(places, rows, strict=True):
        if isinstance(row, str):
            axes.text(-0.02, y, row, **style)
    return axes, [(y, row) for y, row in zip(places, rows, strict=True) if not isinstance(row, str)]


def _rows_only(axes: plt.Axes, xlabel: str) -> None:
    """No vertical axis, and the horizontal one in the size of the rows' texts."""
    axes.set_yticks([])
    axes.set_xlabel(xlabel, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5)  # their numbers need room
    sns.despine(axes.figure, left=True)


def short(model: Model) -> str:
    """A network by its initial weights and readout, where the rest goes without saying; a simple model in full."""
    if not model.is_network:
        return str(model)
    return f"{start(model.arm, model.pretraining)}, {READOUTS[model.readout] or 'full fine-tuning'}"


def start(arm: str, pretraining: str) -> str:
    """Initial weights where both ways to pretrain on glioblastoma stand side by side: which of them is said."""
    return ", ".join(filter(None, (NAMES[arm], pretraining)))


def _numbers(value: float, low: float, high: float, form: str = ".3f") -> str:
    return f"{number(value, form)} ({number(low, form)} to {number(high, form)})"


def _beside(axes: plt.Axes, y: float, left: str, right: str, colour: object = "0.2") -> None:
    """Texts on both sides of a row, in place of tick labels."""
    style = {"transform": axes.get_yaxis_transform(), "color": colour, "va": "center", "fontsize": 8}
    axes.text(-0.02, y, left, ha="right", **style)
    axes.text(1.02, y, right, **style)


def chance(permuted: dict[str, tuple[np.ndarray, float]]) -> plt.Figure:
    """What chance finds: the AUCs under permuted labels, and where that of the true labels lies; a panel a model.

    Args:
        permuted: model's name -> (AUCs under permuted labels, AUC of the true labels).
    """
    figure, panels = plt.subplots(
        len(permuted), 1, squeeze=False, sharex=True, figsize=(6, 1.9 * len(permuted) + 0.5), layout="constrained"
    )
    told = []
    for axes, (name, (aucs, observed)) in zip(panels[:, 0], permuted.items(), strict=True):
        edges = np.linspace(0, 1, 51)
        hits = aucs[aucs >= observed]
        axes.hist(aucs[aucs < observed], edges, color="0.75")
        axes.hist(hits, edges, color="0.35")
        top = axes.get_ylim()[1] * 1.3
        axes.vlines(observed, 0, top * 0.78, color=FOCUS, lw=2)
        axes.text(observed, top * 0.8, f"true labels: {observed:.3f}", color=FOCUS, ha="center", fontsize=9)
        axes.set_title(f"{name}: {len(aucs)} permutations", loc="left", fontsize=9)
        if len(hits):
            text = f"{len(hits)} at least\nas high"
            axes.annotate(
                text,
                (observed + 0.015, 0.5),
                (min(observed + 0.1, 0.86), top * 0.45),
                fontsize=8,
                color="0.35",
                arrowprops={"arrowstyle": "-", "color": "0.5"},
            )
        axes.set(ylim=(0, top), yticks=[], xlim=(0.15, 1))
        told.append(f"{name}: {series(aucs)}; true labels {observed:.3f}, and {len(hits)} of {len(aucs)} reach that.")
    panels[-1, 0].set_xlabel("AUC; grey: under permuted labels")
    sns.despine(figure, left=True)
    return say(figure, "AUCs under permuted labels, and that of the true ones.", *told)


def sites(y_true: np.ndarray, score: np.ndarray, site: np.ndarray, table: pd.DataFrame) -> plt.Figure:
    """Every patient's score by institution, positives in colour, with the AUC within each.

    The axis ends at the 2nd and 98th percentile; a patient beyond is drawn at its end as a triangle.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,) log-odds.
        site: (N,) institution.
        table: `evaluation.by_group` of these.
    """
    low, high = np.percentile(score, [2, 98])
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    names = [name for name in table.index if name in set(site)]
    figure, axes = plt.subplots(figsize=(1.4 * WIDTH, 0.55 * len(names) + 0.8))
    rng = np.random.default_rng(0)
    told = []
    for y, name in enumerate(names):
        for label, colour, shift in ((0, OTHERS, 0.13), (1, FOCUS, -0.13)):
            own = score[(site == name) & (y_true == label)]
            heights = y + shift + rng.uniform(-0.09, 0.09, len(own))
            inside = (own >= low) & (own <= high)
            style = {"color": colour, "alpha": 0.75, "linestyle": "", "clip_on": False}
            axes.plot(own[inside], heights[inside], "o", ms=4, mec="none", **style)
            for end, beyond, marker in ((low, own < low, "<"), (high, own > high, ">")):
                axes.plot(np.full(beyond.sum(), end), heights[beyond], marker, ms=5, **style)
        row = table.loc[name]
        auc = "no AUC" if np.isnan(row.auc) else f"AUC {row.auc:.2f}"
        interval = "" if np.isnan(row.low) else f" ({row.low:.2f} to {row.high:.2f})"
        _beside(axes, y, f"{name}: {row.positives:.0f} of {row.patients:.0f}", auc + interval)
        told.append(f"{name}: {row.positives:.0f} of {row.patients:.0f} positive, {auc}{interval}")
    # The named colours stand in the first row, above its dots.
    axes.text(0.99, 1.01, "positives", color=FOCUS, transform=axes.transAxes, ha="right", fontsize=8)
    axes.text(0.01, 1.01, "all others", color=OTHERS, transform=axes.transAxes, fontsize=8)
    axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
    _rows_only(axes, "score (log-odds); triangles lie beyond the axis")
    return say(figure, "Every patient's score as a dot, a row an institution.", "; ".join(told) + ".")


def before_after(rows: Sequence[tuple | str], words: tuple[str, str], null: float = 0.5) -> plt.Figure:
    """A value before and after, the latter with its interval; a text is the heading of what follows.

    Args:
        rows: (label, before, after, low, high), from top to bottom; before may be NaN.
        words: what before and after are.
        null: where there is nothing to find.
    """
    axes, lines = _lines(rows, null)
    for y, (label, before, after, low, high) in lines:
        axes.plot([low, high], [y, y], color=AFTER, lw=1.3, alpha=0.7)
        axes.plot([before], [y], "o", ms=5, mec=BEFORE, mfc="white", mew=1.5)
        axes.plot([after], [y], "o", ms=5, color=AFTER)
        _beside(axes, y, label, f"{before:.3f} → {_numbers(after, low, high)}")
    for x, sign, word, colour, align in ((0, "○", words[0], "0.4", "left"), (1, "●", words[1], AFTER, "right")):
        axes.text(x, 1, f"{sign} {word}", transform=axes.transAxes, color=colour, ha=align, va="bottom", fontsize=8)
    _rows_only(axes, "AUC, with 95 % interval")
    told = [r if isinstance(r, str) else (r[0], *r[2:], f"{r[1]:.3f}, then {_numbers(*r[2:])}") for r in rows]
    fallen = sum(after < before for _, (_, before, after, *_) in lines)
    return say(
        axes.figure,
        f"Two AUCs a row, {words[0]}, then {words[1]} with its 95 % interval; lower than the first in {fallen} of "
        f"{len(lines)}.",
        rows_in_words(told, null),
    )


def by_input(table: pd.DataFrame, before: str, after: str, group: str = "") -> list[tuple | str]:
    """Rows of `before_after`, with a heading for each input of the models.

    Args:
        table: `facts.FACTS`, low, high, and the columns named by the following two.
        before: column of the value before.
        after: column of the value after, whose interval low and high are.
        group: what all these rows have in common, put before the headings.
    """
    rows: list[tuple | str] = []
    for sequences, own in table.groupby("sequences", sort=False):
        rows.append(", ".join(filter(None, (group, INPUTS.get(sequences, sequences) or "simple models"))))
        for row in own.to_dict("records"):
            rows.append((short(Model.of(row)), row[before], row[after], row["low"], row["high"]))
    return rows


def calibration(y_true: np.ndarray, probability: np.ndarray, bins: pd.DataFrame, end: float = 0.6) -> plt.Figure:
    """Predicted against observed share, to one scale, with every patient as a tick: positives above, others below.

    Args:
        y_true: (N,) 0 or 1.
        probability: (N,) predicted.
        bins: `evaluation.calibration` of these.
        end: of both axes, or further, where an interval reaches further; patients beyond are counted at its end.
    """
    end = max(end, float(np.ceil(10 * bins.high.max()) / 10))
    figure, axes = plt.subplots(figsize=(5, 4.8), layout="constrained")
    axes.plot([0, end], [0, end], color="0.75", lw=1, ls="--")
    style = {"rotation": 45, "rotation_mode": "anchor", "color": "0.5", "fontsize": 8}
    place = (0.66 * end, 0.66 * end)  # right of the dots, below the ticks
    axes.annotate("perfectly calibrated", place, (-2, 3), textcoords="offset points", **style)
    errors = [bins.observed - bins.low, bins.high - bins.observed]
    axes.errorbar(bins.predicted, bins.observed, errors, fmt="o-", color=COLOURS["gbm"], capsize=2, lw=1.2)
    for label, bottom, colour in ((1, 0.96 * end, FOCUS), (0, -0.04 * end, OTHERS)):
        own = probability[y_true == label]
        axes.vlines(np.minimum(own, end), bottom, bottom + 0.035 * end, color=colour, lw=0.9)
        beyond = int((own > end).sum())
        name = "positives" if label else "all others"
        more = f", {beyond} beyond {end:g}" if beyond else ""
        y = bottom + end * (-0.015 if label else 0.05)
        x, align = (0.01 * end, "left") if label else (end, "right")  # both corners are empty
        axes.text(x, y, name + more, color=colour, ha=align, va="top" if label else "bottom", fontsize=8)
    axes.set(xlabel="predicted probability", ylabel="observed share", aspect="equal")
    axes.set(xlim=(0, end), ylim=(-0.05 * end, end))
    sns.despine(figure)
    groups = [f"{row.predicted:.2f}, {_numbers(row.observed, row.low, row.high, '.2f')}" for row in bins.itertuples()]
    return say(figure, "Predicted probability, and observed share with its interval:", "; ".join(groups) + ".")


def inputs(simple: Sequence[Row], networks: Sequence[tuple[str, pd.DataFrame]], mark: float) -> plt.Figure:
    """Simple models with their intervals; below, for each input, all networks as dots, the best with its interval.

    Args:
        simple: lines on top.
        networks: (input, table with auc, low, high), a line each.
        mark: AUC through which a line is drawn.
    """
    below = len(simple) + 1.5
    figure, axes = plt.subplots(figsize=(WIDTH, 0.27 * (below + len(networks) + 1) + 0.8))
    axes.axvline(0.5, color="0.75", lw=1, zorder=0)
    axes.axvline(mark, color=FOCUS, lw=1, ls="--", zorder=0)
    style = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 8, "weight": "bold"}
    told: list[tuple | str] = ["trees on simple numbers"]
    axes.text(-0.02, 0, told[0], **style)
    for y, row in enumerate(simple, start=1):
        error = [[row.value - row.low], [row.high - row.value]]
        axes.errorbar(row.value, y, xerr=error, fmt="D", ms=5, color=row.colour)
        told.append((*row[:4], _numbers(*row[1:4])))
        _beside(axes, y, row.label, told[-1][-1], row.colour)
    if networks:
        told.append("networks")
        axes.text(-0.02, below, told[-1], **style)
        style |= {"ha": "left", "weight": "normal", "color": COLOURS["scratch"]}
        style["bbox"] = {"fc": "white", "ec": "none", "pad": 1}  # over the line
        axes.text(0.02, below, "a dot each; the best with its interval", **style)
    for y, (name, table) in enumerate(networks, start=1):
        best = table.loc[table.auc.idxmax()]
        error = [[best.auc - best.low], [best.high - best.auc]]
        axes.errorbar(best.auc, below + y, xerr=error, fmt="o", ms=6, color="0.2")
        axes.plot(table.auc, [below + y] * len(table), "o", ms=5, color=COLOURS["scratch"], mec="none", alpha=0.5)
        values = best.auc, best.low, best.high
        told.append((f"{name}, {len(table)} kinds", *values, f"best {_numbers(*values)}"))
        _beside(axes, below + y, told[-1][0], told[-1][-1])
    axes.set_ylim(below + len(networks) + 0.6, -0.6)
    _rows_only(axes, "AUC, with 95 % interval")
    return say(figure, f"AUC with 95 % interval; a dashed line at {mark:.3f}.", rows_in_words(told, 0.5))


def clusterings(table: pd.DataFrame, names: dict[str, str]) -> plt.Figure:
    """AUC of every cluster against the rest, by clustering; filled where p stays below 0.05 after Holm's correction.

    Args:
        table: of `baselines.clusterings`.
        names: clustering -> what it clusters; others keep their column's name.
    """
    rows, kept = [], []
    for clustering, own in table.groupby("clustering", sort=False):
        rows.append(names.get(clustering, clustering))
        for row in own.itertuples():
            found = row.holm < SIGNIFICANCE
            colour = FOCUS if found else "0.45"
            label = f"{row.cluster} ({row.positives} of {row.patients})"
            rows.append(Row(label, row.auc, row.low, row.high, colour, face=None if found else "white"))
            if found:
                kept.append(f"{names.get(clustering, clustering)} {row.cluster}")
    label = "AUC with 95 % interval, cluster against the rest"
    figure = forest(rows, f"{label}\nfilled: p < 0.05 after Holm's correction", 0.5)
    return say(figure, figure.alt, f"Filled are {len(kept)} of {len(table)}: {', '.join(kept) or 'none'}.")
