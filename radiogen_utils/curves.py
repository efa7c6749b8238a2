"""Plots of many analyses at once: the specification curve and what follows from it; decision curves."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from . import article
from .charts import Row
from .facts import INPUTS, NAMES
from .figures import COLOURS, FOCUS
from .multiverse import CHOICES
from .words import number, say

STARTS = {
    "random": "random weights",
    "natural": "natural images",
    "composition": "glioblastoma, composition",
    "dense": "glioblastoma, dense",
}
"""Initialisations of the multiverse as the figures call them."""
SEQUENCES = {"any": "any sequence", "all": "three sequences"}
"""Inputs of the multiverse, where the figures call them otherwise."""
START_COLOURS = {
    "random": COLOURS["scratch"],
    "natural": COLOURS["natural"],
    "composition": sns.color_palette("colorblind")[4],
    "dense": COLOURS["gbm"],
}
BINS = 60
GROUPS = {
    "ingredients": None,
    "images together": ("probes", "image features", "images"),
    "with age": ("age", "images and age"),
    "with grade": ("age and grade", "images, age and grade"),
}
"""Headings of the arms in figures/beyond.json, and which arms stand below each; ingredients are read alone."""


def specification_curve(table: pd.DataFrame, marks: Mapping[str, float] | None = None) -> plt.Figure:
    """All AUCs in ascending order with their intervals, and below, where along the curve each choice was made.

    A strip is as dark as the choice is frequent there: even grey means that it moves nothing, dark on the right that it
    goes with high AUCs.

    Args:
        table: rows of `multiverse.run_frozen`.
        marks: name -> AUC of studies to point out on the curve.
    """
    table = table.sort_values("auc", kind="stable", ignore_index=True)
    groups = {"initialisation": tuple(STARTS)} | CHOICES
    n_rows = sum(map(len, groups.values())) + 0.6 * len(groups)
    figure, (curve, strips) = plt.subplots(
        2,
        1,
        sharex=True,
        figsize=(6.6, 3.1 + 0.145 * n_rows),
        height_ratios=[3.1, 0.145 * n_rows],
        layout="constrained",
    )
    x = np.arange(len(table)) / len(table)
    curve.vlines(x, table.low, table.high, color="0.85", lw=0.4, rasterized=True)
    curve.plot(x, table.auc, color="black", lw=2)
    curve.axhline(0.5, color="0.7", lw=1, ls="--")
    for arm, (auc, *_) in article.AUC.items():
        curve.axhline(auc, color=COLOURS[arm], lw=1)
        text = f"{auc:.3f} {NAMES[arm]} (paper)"
        curve.text(1.01, auc, text, color=COLOURS[arm], fontsize=7, va="center")
    for turn, name in enumerate(sorted(marks or {}, key=(marks or {}).get)):  # labels below and above in turn
        place = np.searchsorted(table.auc, marks[name]) / len(table)
        curve.plot(place, marks[name], "o", color="black", mfc="white", ms=6, zorder=5)
        offset, side = ((-8, 12), "right") if turn % 2 else ((8, -14), "left")
        box = {"fc": "white", "ec": "none", "pad": 1}
        curve.annotate(name, (place, marks[name]), offset, textcoords="offset points", ha=side, fontsize=8, bbox=box)
    curve.set(ylabel="AUC with 95 % interval", xlim=(0, 1), ylim=(table.low.quantile(0.002), table.high.max()))
    _strips(strips, table, groups)
    ticks = np.linspace(0, 1, 6)
    strips.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    strips.set_xlabel(f"share of the {len(table):,} analyses with a lower AUC")
    sns.despine(figure)
    levels = ", ".join(f"{table.auc.quantile(q):.3f}" for q in (0, 0.25, 0.5, 0.75, 1))
    told = [f"{name} {value:.3f}" for name, value in (marks or {}).items()]
    told += [f"{NAMES[arm]} (paper) {auc:.3f}" for arm, (auc, *_) in article.AUC.items()]
    ranges = []
    for choice in groups:
        medians = table.groupby(choice).auc.median().sort_values()
        medians = medians.rename(STARTS if choice == "initialisation" else str)
        low, high = (f"{medians.index[end]} {medians.iloc[end]:.3f}" for end in (0, -1))
        ranges.append(f"{choice}, {low} to {high}")
    return say(
        figure,
        f"{len(table):,} AUCs in ascending order; lowest, quartiles and highest: {levels}.",
        f"Marked: {', '.join(told)}.",
        "Below, where each option lies along the curve. Of each choice, the options of lowest and highest median AUC:",
        f"{'; '.join(ranges)}.",
    )


def _strips(axes: plt.Axes, table: pd.DataFrame, groups: Mapping[str, tuple]) -> None:
    """One strip an option, a group a choice."""
    bins = np.arange(len(table)) * BINS // len(table)
    edges, y, labels = np.linspace(0, 1, BINS + 1), 0.0, {}
    for name, options in groups.items():
        y += 0.6
        axes.text(1.01, y + len(options) / 2 - 0.5, name, fontsize=8, va="center", weight="bold", clip_on=False)
        for option in options:
            chosen = table[name] == option
            share = chosen.groupby(bins).mean().to_numpy() / max(chosen.mean(), 1e-9)
            colour = START_COLOURS.get(option, "black") if name == "initialisation" else "0.15"
            shades = sns.light_palette(colour, as_cmap=True)
            axes.pcolormesh(
                edges, [y - 0.42, y + 0.42], share[None], cmap=shades, vmin=0, vmax=2, rasterized=True, shading="flat"
            )
            labels[y] = STARTS.get(option, str(option)) if name == "initialisation" else str(option)
            y += 1
    axes.set_yticks(list(labels), list(labels.values()), fontsize=7.5)
    for tick, start in zip(axes.get_yticklabels(), STARTS, strict=False):
        tick.set_color(START_COLOURS[start])
    axes.tick_params(length=0)
    axes.set_ylim(y - 0.4, 0)


def explained(alone: Mapping[str, float], all_else_equal: Mapping[str, float]) -> plt.Figure:
    """What each choice explains of the spread of the AUCs; start and seed stand out.

    Args:
        alone: of `multiverse.explained_variance`, the bars.
        all_else_equal: of `multiverse.variance_all_else_equal`, the circles.
    """
    table = pd.DataFrame({"alone": alone, "equal": all_else_equal}).sort_values("equal")
    figure, axes = plt.subplots(figsize=(6, 0.32 * len(table) + 1), layout="constrained")
    colours = [{"initialisation": COLOURS["gbm"], "seed": "black"}.get(name, "0.7") for name in table.index]
    axes.barh(table.index, table.alone, color=colours, height=0.55)
    axes.scatter(table.equal, table.index, color=colours, facecolor="white", s=36, lw=1.6, zorder=3)
    for position, row in enumerate(table.itertuples()):
        axes.text(row.equal, position, f"   {row.equal:.0%}", va="center", fontsize=8)
    axes.set(xlim=(0, table.max().max() * 1.12))
    axes.set_xlabel("share of the AUCs' variance\nbar: the choice by itself; circle: all else equal")
    axes.xaxis.set_major_formatter("{x:.0%}")
    sns.despine(figure)
    told = [f"{row.Index} {row.alone:.0%}, {row.equal:.0%}" for row in table[::-1].itertuples()]
    return say(figure, f"Share of the AUCs' variance, by itself and all else equal: {'; '.join(told)}.")


def shares_against_null(compared: pd.DataFrame) -> plt.Figure:
    """In what share of the specifications a start beats random weights; grey, what exchanging ranks gives.

    Args:
        compared: rows with initialisation, sequences, share, null_low, null_high.
    """
    figure, axes = plt.subplots(figsize=(6, 0.32 * len(compared) + 0.9), layout="constrained")
    labels, told = [], []
    for position, row in enumerate(compared[::-1].itertuples()):
        axes.plot([row.null_low, row.null_high], [position] * 2, color="0.8", lw=9, solid_capstyle="butt")
        axes.plot(row.share, position, "o", color=START_COLOURS[row.initialisation])
        axes.text(1.02, position, f"{row.share:.0%}", va="center", fontsize=8, transform=axes.get_yaxis_transform())
        labels.append(f"{STARTS[row.initialisation]}; {SEQUENCES.get(row.sequences, row.sequences)}")
        told.insert(0, f"{labels[-1]}, {row.share:.0%} (by chance {row.null_low:.0%} to {row.null_high:.0%}).")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.axvline(0.5, color="0.5", lw=1, ls="--")
    axes.set(
        xlim=(0, 1),
        xlabel="share of the specifications in which it beats random weights\ngrey: 95 % of what chance gives",
    )
    axes.xaxis.set_major_formatter("{x:.0%}")
    sns.despine(figure)
    return say(figure, "Share of the specifications in which a start beats random weights.", *told)


def in_words(compared: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Comparisons of the starts as a table for the eye, a row a start and a kind of input.

    Args:
        compared: rows with initialisation, sequences, and the columns.
        columns: column -> its heading.
    """
    index = [compared.initialisation.map(STARTS), compared.sequences.replace(SEQUENCES)]
    return compared[list(columns)].set_axis(pd.MultiIndex.from_arrays(index)).rename(columns=columns).round(3)


def decision_curves(curves: Mapping[str, pd.DataFrame]) -> plt.Figure:
    """Net benefit by threshold: models, everybody, nobody; the first model with its interval.

    Args:
        curves: model -> `decisions.decision_curve`, all of the same thresholds.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    first = next(iter(curves.values()))
    ends = {name: curve.model.iloc[-1] for name, curve in curves.items()} | {"nobody": 0.0}
    gap, place = 0.06 * (first.high.max() + 0.04), -np.inf
    for name in sorted(ends, key=ends.get):  # labels of ends that lie close are moved apart
        place = max(place + gap, ends[name])
        ends[name] = place
    for colour, (name, curve) in zip(sns.color_palette("colorblind"), curves.items(), strict=False):
        axes.plot(curve.index, curve.model, color=colour, lw=2)
        axes.text(curve.index[-1], ends[name], f" {name}", color=colour, va="center", fontsize=9)
    axes.fill_between(first.index, first.low, first.high, color=sns.color_palette("colorblind")[0], alpha=0.12, lw=0)
    axes.plot(first.index, first.everybody, color="0.4", lw=1.5, ls=":")
    axes.axhline(0, color="0.4", lw=1.5)
    axes.text(first.index[-1], ends["nobody"], " nobody", color="0.4", va="center", fontsize=9)
    place = first.index[np.argmin(np.abs(first.everybody - 0.02))]
    axes.annotate("everybody", (place, 0.02), (4, 4), textcoords="offset points", color="0.4", fontsize=9)
    axes.set(xlabel="threshold: act from this probability on", ylabel="net benefit (true positives a patient)")
    axes.set(xlim=(first.index[0], first.index[-1]), ylim=(-0.03, first.high.max() + 0.01))
    axes.xaxis.set_major_formatter("{x:.0%}")
    sns.despine(figure)
    told = []
    for threshold in first.index[:: max(1, len(first) // 4)]:
        values = {name: curve.model[threshold] for name, curve in curves.items()}
        values["everybody"] = first.everybody[threshold]
        values = ", ".join(f"{name} {number(value)}" for name, value in values.items())
        told.append(f"at {threshold:.0%}: {values}")
    return say(figure, f"Net benefit by threshold, where nobody is 0; {'; '.join(told)}.")


def arm_rows(arms: pd.DataFrame) -> list[Row | str]:
    """Lines of `charts.forest`: what the images give one by one, together, with age and with grade.

    The declared main analysis, images stacked, stands out.

    Args:
        arms: of figures/beyond.json, of one split; what was not nested is left out.
    """
    rows: list[Row | str] = []
    alone = arms.readout.isin(("discriminant", "alone"))
    honest = arms.readout != "not nested"
    for heading, names in GROUPS.items():
        rows.append(heading)
        own = arms[alone] if names is None else arms[~alone & honest & arms.arm.isin(names)]
        for row in own.itertuples():
            main = (row.arm, row.readout) == ("images", "stacked")
            rows.append(Row(arm_name(row), row.auc, row.low, row.high, *[FOCUS] * main))
    return rows


def arm_name(row: object) -> str:
    """How a figure calls a row of the arms in figures/beyond.json."""
    if row.readout == "discriminant":
        return f"discriminant, {INPUTS.get(row.sequences, row.sequences)}, {row.pooling}"
    detail = row.backbone if row.readout == "alone" else row.readout
    return row.arm if row.arm.startswith("age") else f"{row.arm}, {detail}"
