"""Pictures of training and of scores: one fold, the arms side by side, readouts, and what leaks."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from . import facts
from .figures import COLOURS, FOCUS, OTHERS
from .words import number, say, series

_CLASSES = ((1, "positive", FOCUS, 0.17), (0, "rest", OTHERS, -0.17))
_LEAKS = {
    "scaling": "scaled on\nall patients",
    "setting": "setting chosen\non the test fold",
    "features": "features chosen\non all patients",
    "slices": "split by slice",
}


def one_fold(losses: list[float], scores: pd.DataFrame) -> plt.Figure:
    """The training loss by epoch, and the scores of the patients who were held out.

    Args:
        losses: of each epoch.
        scores: a row a patient; columns label (0 or 1) and score (log-odds).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained")
    left.plot(range(1, len(losses) + 1), losses, "o-", color="0.3", ms=4)
    left.axhline(np.log(2), color="0.7", lw=1, ls="--")
    left.annotate("knows nothing: ln 2", (1, np.log(2)), (0, 3), textcoords="offset points", fontsize=8, color="0.5")
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0.9 * min(losses), 1.04 * max(np.log(2), *losses)))
    _dots(right, 0, scores, np.inf)
    for label, name, colour, y in _CLASSES:
        place = {"xy": (0.02, 0.5 + 1.7 * y), "xycoords": "axes fraction", "va": "center"}
        right.annotate(f"{name} ({(scores.label == label).sum()})", color=colour, weight="bold", **place)
    right.axvline(0, color="0.8", lw=1, zorder=0)
    right.set(xlabel="score of a held-out patient (log-odds)", ylim=(-0.6, 0.6), yticks=[])
    sns.despine(right.figure)
    right.spines["left"].set_visible(False)
    return say(
        figure,
        f"Left, training loss in {len(losses)} epochs, {losses[0]:.2f} to {losses[-1]:.2f}; knowing nothing, 0.69.",
        f"Right, scores of held-out patients as dots: {_by_class(scores)}.",
    )


def _by_class(scores: pd.DataFrame) -> str:
    """Number of the patients of each class, and where their scores lie."""
    groups = [(name, scores.score[scores.label == label]) for label, name, *_ in _CLASSES]
    return "; ".join(f"{len(own)} {name}, {series(own, '.2f')}" for name, own in groups if len(own))


def _dots(axes: plt.Axes, row: float, scores: pd.DataFrame, limit: float) -> None:
    """Patients of both classes about y = `row`; a score beyond ±`limit` is a triangle at the edge."""
    rng = np.random.default_rng(0)
    for label, _, colour, shift in _CLASSES:
        x = scores.score[scores.label == label].to_numpy()
        y = row + shift + rng.uniform(-0.09, 0.09, len(x))
        inside = np.abs(x) <= limit
        axes.plot(x[inside], y[inside], "o", color=colour, ms=3.5, alpha=0.75, mew=0)
        for beyond, edge, marker in ((x > limit, limit, ">"), (x < -limit, -limit, "<")):
            if beyond.any():
                axes.plot(np.full(beyond.sum(), edge), y[beyond], marker, color=colour, ms=5, mew=0, clip_on=False)


def arms(rows: list[tuple[str, pd.DataFrame, tuple[str, ...]]], headings: tuple[str, ...]) -> plt.Figure:
    """Every patient's score from several models, a row a model, on one linear axis; what lies far out is clipped.

    Args:
        rows: name, scores as for `one_fold`, and texts to be written beside, such as the AUC.
        headings: of these texts.
    """
    everything = np.concatenate([scores.score for _, scores, _ in rows])
    limit = float(np.ceil(np.quantile(np.abs(everything), 0.95)))
    clipped = int((np.abs(everything) > limit).sum())
    figure, axes = plt.subplots(figsize=(7.2, 0.85 * len(rows) + 1), layout="constrained")
    for position, (_, scores, texts) in enumerate(reversed(rows)):
        _dots(axes, position, scores, limit)
        for column, text in enumerate(texts):
            axes.text(1.06 + 0.2 * column, position, text, transform=axes.get_yaxis_transform(), va="center", size=9)
    for column, text in enumerate(headings):
        place = axes.get_yaxis_transform()
        axes.text(1.06 + 0.2 * column, len(rows) - 0.45, text, transform=place, va="bottom", size=8, color="0.4")
    for column, (_, name, colour, _) in enumerate(_CLASSES):
        place = {"xy": (0.17 * column, 1), "xycoords": "axes fraction", "va": "bottom"}
        axes.annotate(name, color=colour, weight="bold", **place)
    axes.axvline(0, color="0.8", lw=1, zorder=0)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)], fontsize=9)
    beyond = f"\n{clipped} scores beyond ±{limit:g} are drawn as triangles at the edge" if clipped else ""
    axes.set(xlabel=f"score of a patient (log-odds){beyond}", xlim=(-1.02 * limit, 1.02 * limit))
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.tick_params(axis="y", length=0)
    sns.despine(figure, left=True)
    told = []
    for name, scores, texts in rows:
        beside = ", ".join(f"{heading} {text}" for heading, text in zip(headings, texts, strict=True))
        told.append(f"{name}: {_by_class(scores)}; {beside}.".replace("\n", " "))
    return say(figure, "Every patient's score as a dot, a row a model.", *told)


def readouts(table: pd.DataFrame) -> plt.Figure:
    """AUC of each initialisation by readout, from the one that changes least to the one that changes most.

    Args:
        table: of `repeats.over_repeats`; one model for each arm, sequences and readout. A panel a sequence.
    """
    names = list(dict.fromkeys(table.sequences))
    figure, panels = plt.subplots(1, len(names), sharey=True, squeeze=False, figsize=(7.2, 3.7), layout="constrained")
    steps = {"probe": "linear\nprobe", "lp-ft": "LP-FT", "full": "full\nfine-tuning"}
    told = []
    for axes, name in zip(panels[0], names, strict=True):
        ends = []
        for place, arm in enumerate(facts.NAMES):
            own = facts.select(table, sequences=name, arm=arm).set_index("readout").reindex(steps).dropna(subset="auc")
            x = np.array([list(steps).index(readout) for readout in own.index]) + 0.09 * (place - 1)
            error = np.array([own.auc - own.low, own.high - own.auc])
            axes.errorbar(x, own.auc, yerr=error, fmt="o-", color=COLOURS[arm], lw=2, elinewidth=0.8, ms=5)
            ends += [(own.auc.iloc[-1], arm)] if len(own) else []
            values = ", ".join(f"{facts.READOUTS[k] or 'full fine-tuning'} {auc:.3f}" for k, auc in own.auc.items())
            told += [f"{name}, {facts.NAMES[arm]}: {values}."] if len(own) else []
        y = -np.inf
        for auc, arm in sorted(ends):
            y = max(auc, y + 0.035)  # labels of curves that end together stand above one another
            axes.text(2.2, y, facts.NAMES[arm].replace(" ", "\n", 1), color=COLOURS[arm], va="center", size=8,
                      weight="bold", linespacing=0.85)  # fmt: skip
        axes.axhline(0.5, color="0.8", lw=1, ls="--", zorder=0)
        axes.set_xticks(range(3), steps.values(), fontsize=8)
        axes.set(title=name, xlim=(-0.35, 3.2))
    panels[0, 0].set_ylabel("AUC with 95 % interval")
    sns.despine(figure)
    return say(figure, "AUC by readout, a panel a sequence, a line an initialisation.", *told)


def leaks(table: pd.DataFrame) -> plt.Figure:
    """Honest beside leaking AUCs, for true and for permuted labels; a row a leak.

    Args:
        table: of `leakage.laboratory`.
    """
    names = list(dict.fromkeys(table.leak))
    rng = np.random.default_rng(0)
    told = []
    figure, axes = plt.subplots(figsize=(7.2, 0.95 * len(names) + 1.1), layout="constrained")
    for position, name in enumerate(reversed(names)):
        own = table[table.leak == name]
        of = own.groupby(own.permutation > 0)[["honest", "leaking"]].mean()
        kinds = {False: "true", True: "permuted"}
        pairs = [f"{kinds[k]} {' to '.join(map(number, values))}" for k, *values in of.itertuples()]
        told.insert(0, f"{_LEAKS[name]}: {', '.join(pairs)}.")
        for upper, rows in ((0.2, own[own.permutation == 0]), (-0.2, own[own.permutation > 0])):
            y = position + upper
            means = rows.honest.mean(), rows.leaking.mean()
            axes.annotate("", (means[1], y), (means[0], y), arrowprops={"arrowstyle": "-|>", "color": "0.5"})
            for column, colour in (("honest", OTHERS), ("leaking", FOCUS)):
                if upper < 0:
                    jitter = y + rng.uniform(-0.12, 0.12, len(rows))
                    axes.plot(rows[column], jitter, ".", color=colour, ms=5, alpha=0.55, mew=0)
                fill = colour if upper > 0 else "white"
                axes.plot(rows[column].mean(), y, "o", color=colour, mfc=fill, ms=8, mew=1.5)
            kind = "true labels" if upper > 0 else "permuted"
            axes.text(1.01, y, kind, transform=axes.get_yaxis_transform(), va="center", size=8, color="0.3")
    for column, colour in (("honest", OTHERS), ("leaking", FOCUS)):
        x = table.loc[(table.leak == names[-1]) & (table.permutation == 0), column].iloc[0]
        axes.annotate(column, (x, 0.2), (0, 8), textcoords="offset points", ha="center", color=colour, weight="bold")
    axes.axvline(0.5, color="0.8", lw=1, ls="--", zorder=0)
    axes.set_yticks(range(len(names)), [_LEAKS[name] for name in reversed(names)], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="AUC; hollow: mean over permuted labels, each of them a dot", xlim=(None, 1), ylim=(-0.5, None))
    sns.despine(figure, left=True)
    return say(figure, "AUC, honest to leaking, with true labels and as the mean over permuted ones.", *told)
