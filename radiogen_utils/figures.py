"""The paper's figures, and the plots around them. Each function draws; `finish` labels and writes."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patheffects import withStroke
from sklearn.metrics import roc_curve

from . import article, facts
from .evaluation import patient_scores, roc_band
from .facts import NAMES, Model
from .patches import percentile_window, stretch
from .support import write_atomically

ATTRIBUTION = "Data: TCGA-LGG (TCIA; Kaggle mateuszbuda/lgg-mri-segmentation, CC BY-NC-SA 4.0)"
DECATHLON = "Data: Medical Segmentation Decathlon, Task01_BrainTumour, CC BY-SA 4.0"
SYNTHETIC = "SYNTHETIC PHANTOM: no patient data"
COLOURS = dict(zip(NAMES, sns.color_palette("colorblind", 3), strict=True))
CONTOUR = "#00d0ff"  # no colour of the heatmaps


def finish(figure: plt.Figure, path: Path, synthetic: bool, attribution: str = ATTRIBUTION) -> None:
    """Write a figure as PNG with its attribution; one from the phantom carries `SYNTHETIC` across its top.

    Args:
        figure: complete but for the attribution.
        path: file to write.
        synthetic: the figure shows the phantom.
        attribution: source and licence of what is shown, where it is not the phantom.
    """
    figure.draw_without_rendering()  # the layout is settled only now
    drawn = figure.get_tightbbox().transformed(figure.dpi_scale_trans + figure.transFigure.inverted())
    if synthetic:
        style = {"color": "white", "weight": "bold", "backgroundcolor": "#b00020"}
        figure.text(0.5, drawn.y1 + 0.03, SYNTHETIC, ha="center", va="bottom", **style)
    else:
        figure.text(0.5, drawn.y0 - 0.01, attribution, ha="center", va="top", fontsize=7, color="0.4")
    # Without the software's version in the file, the same figure gives the same bytes.
    options = {"dpi": 150, "bbox_inches": "tight", "format": "png", "metadata": {"Software": None}}
    write_atomically(path, lambda temporary: figure.savefig(temporary, **options))


def show_slice(axes: plt.Axes, image: np.ndarray, mask: np.ndarray | None = None, title: str = "") -> None:
    """Draw a grey image (H, W) of 0–255 and the contour of its mask."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    if mask is not None and mask.any():
        axes.contour(mask, levels=[0.5], colors=[CONTOUR], linewidths=1)
    axes.set_title(title, fontsize=7)
    axes.set_axis_off()


def mark_sides(axes: plt.Axes) -> None:
    """Mark the patient's right and left on a slice: R is on the left, as a radiologist looks from the patient's feet.

    That the archive's images lie so is seen in its clinical table, which names the side of every tumour.
    """
    style = {"va": "top", "color": "white", "weight": "bold", "fontsize": 8}
    style["path_effects"] = [withStroke(linewidth=2, foreground="black")]  # on a white tumour, too
    for x, side, align in ((0.03, "R", "left"), (0.97, "L", "right")):
        axes.text(x, 0.97, side, transform=axes.transAxes, ha=align, **style)


def slices(rows: list[tuple[str, np.ndarray, np.ndarray]], sequences: tuple[str, ...]) -> plt.Figure:
    """Slices of one patient: a row each, a column a sequence, stretched for display, with the mask's contour.

    Args:
        rows: (title, image (H, W, C) uint8, mask (H, W)).
        sequences: C names of the channels.
    """
    figure, grid = plt.subplots(
        len(rows), len(sequences), squeeze=False, figsize=(2.4 * len(sequences), 2.55 * len(rows))
    )
    for axes, (title, image, mask) in zip(grid, rows, strict=True):
        for channel, sequence in enumerate(sequences):
            shown = image[..., channel]
            shown = stretch(shown, percentile_window(shown))
            show_slice(axes[channel], shown, mask, f"{title}, {sequence}")
    figure.tight_layout()
    return figure


def figure1(rows: dict[str, list[tuple[str, np.ndarray]]]) -> plt.Figure:
    """Figure 1: tumour patches, a row a cluster.

    Args:
        rows: cluster's name -> (title, patch (80, 80) uint8), five each in the article.
    """
    columns = max(len(patches) for patches in rows.values())
    figure, grid = plt.subplots(len(rows), columns, squeeze=False, figsize=(1.9 * columns, 2.1 * len(rows)))
    for axes, (cluster, patches) in zip(grid, rows.items(), strict=True):
        for panel in axes:
            panel.set_axis_off()
        for panel, (title, patch) in zip(axes, patches, strict=False):
            show_slice(panel, patch, title=title)
        mark_sides(axes[0])
        axes[0].text(-0.08, 0.5, cluster, transform=axes[0].transAxes, rotation=90, ha="right", va="center")
    figure.tight_layout()
    return figure


def learning_curves(records: dict[str, dict]) -> plt.Figure:
    """Loss on training and held-out cases by epoch, a panel a network.

    Args:
        records: network's name -> record of its pretraining.
    """
    figure, panels = plt.subplots(
        1, len(records), squeeze=False, sharey=True, figsize=(0.5 + 4.2 * len(records), 3.8), layout="constrained"
    )
    for axes, (name, record) in zip(panels.flat, records.items(), strict=True):
        curve = pd.DataFrame(record["curve"])
        axes.plot(curve.epoch, curve.training_loss, marker="o", ms=4, label="training cases (augmented)")
        axes.plot(curve.epoch, curve.held_out_loss, marker="o", ms=4, label="held-out cases")
        axes.axhline(record["prior_loss"], color="0.5", ls="--", label="always the mean shares")
        axes.axhline(record["entropy"], color="0.5", ls=":", label="the true shares (lowest possible)")
        # The first epochs of a large network would squash everything else.
        axes.set(xlabel="epoch", title=name, ylim=(0.9 * record["entropy"], 1.8 * record["prior_loss"]))
    panels.flat[0].set_ylabel("cross-entropy (nats)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=8, frameon=False)
    sns.despine(figure)
    return figure


def figure2(predictions: pd.DataFrame, table: pd.DataFrame, summary: pd.DataFrame, main: Model) -> plt.Figure:
    """Figure 2: ROC curves over the published one, and the AUCs of paper and reproduction side by side.

    Args:
        predictions: out-of-fold scores; the curves are the article's arms (fine-tuned on FLAIR), first repeat.
        table: `evaluation.auc_table(predictions)`.
        summary: `repeats.over_repeats(predictions)`.
        main: of the curve that gets the bootstrap band.
    """
    entries = [(f"paper, {NAMES[arm]}", article.AUC[arm], [], "black", "s") for arm in ("gbm", "scratch", "natural")]
    for row in summary.to_dict("records"):
        model = Model.of(row)
        colour, marker = (COLOURS[model.arm], "o") if model.is_network else ("0.45", "D")
        aucs = facts.of_model(table, model).auc
        entries.append((str(model), (row["auc"], row["low"], row["high"]), aucs, colour, marker))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.5, max(5.2, 0.34 * len(entries) + 1)), width_ratios=[1, 0.95], layout="constrained"
    )
    rates = np.linspace(0, 1, 101)
    curves = facts.select(table, arm=tuple(NAMES), sequences=main.sequences, readout=main.readout, repeat=0)
    for row in curves.to_dict("records"):
        model = Model.of(row)
        scores = patient_scores(predictions, model)
        colour, style = COLOURS[model.arm], "-" if model.backbone == main.backbone else ":"
        false, true, _ = roc_curve(scores.y_true, scores.score, drop_intermediate=False)
        label = f"{NAMES[model.arm]}, {model.backbone}: {row['auc']:.3f}"
        left.plot(false, true, style, color=colour, lw=2 if model == main else 1.2, label=label)
        if model == main:
            low, high = roc_band(scores.y_true, scores.score, rates)
            left.fill_between(
                rates, low, high, color=colour, alpha=0.15, lw=0, label="its 95 % bootstrap band (pointwise)"
            )
    left.plot(*article.ROC.T, color="black", lw=2, label=f"published (glioblastoma MRI): {article.AUC['gbm'][0]:.3f}")
    left.plot([0, 1], [0, 1], color="0.7", lw=1, ls="--")
    left.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01), aspect="equal", anchor="N")
    below = {"loc": "upper left", "bbox_to_anchor": (0, -0.14), "borderaxespad": 0}
    left.legend(fontsize=8, frameon=False, title="AUC of the first repeat", title_fontsize=8, alignment="left", **below)

    for position, (_, (auc, low, high), aucs, colour, marker) in enumerate(reversed(entries)):
        right.errorbar(auc, position, xerr=[[auc - low], [high - auc]], fmt=marker, color=colour, capsize=3)
        if len(aucs) > 1:
            right.plot(aucs, [position + 0.25] * len(aucs), ".", color=colour, ms=3)
        text = f"{auc:.3f} ({low:.3f}–{high:.3f})" + ("†" if len(aucs) == 1 else "")
        right.text(1.03, position, text, va="center", fontsize=8, transform=right.get_yaxis_transform())
    right.set_yticks(range(len(entries)), [entry[0] for entry in reversed(entries)], fontsize=8)
    right.axvline(0.5, color="0.7", lw=1, ls="--")
    right.set(
        xlabel="AUC, mean over the repeats, with 95 % interval\n"
        "small dots: single repeats; † only one; diamonds: simple models",
        xlim=(min(0.4, summary.low.min() - 0.02), 1),
    )
    sns.despine(figure)
    return figure


def auc_intervals(names: Iterable[str], table: pd.DataFrame) -> plt.Figure:
    """AUCs with their intervals, one below the other, the first on top.

    Args:
        names: (N,) of the rows.
        table: N rows with auc, low, high.
    """
    figure, axes = plt.subplots(figsize=(6.5, 0.34 * len(table) + 0.9))
    for position, row in enumerate(table[::-1].itertuples()):
        axes.errorbar(
            row.auc, position, xerr=[[row.auc - row.low], [row.high - row.auc]], fmt="o", color="0.3", capsize=3
        )
        axes.text(1.03, position, f"{row.auc:.3f}", va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(table)), list(names)[::-1], fontsize=8)
    axes.axvline(0.5, color="0.7", lw=1, ls="--")
    axes.set(xlabel="AUC with 95 % interval", xlim=(min(0.4, table.low.min() - 0.02), 1))
    sns.despine(figure)
    figure.tight_layout()
    return figure


def figure3(rows: dict[str, list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]]) -> plt.Figure:
    """Figure 3: patches and, below each, the network's attention with the tumour's contour.

    All heatmaps share one scale, so that a map without evidence looks empty.

    Args:
        rows: group's name -> (title, patch (80, 80) uint8, mask (80, 80), heatmap (80, 80)).
    """
    columns = max(len(items) for items in rows.values())
    highest = max(float(heatmap[mask].max()) for items in rows.values() for _, _, mask, heatmap in items) or 1.0
    figure, grid = plt.subplots(
        2 * len(rows), columns, squeeze=False, figsize=(1.9 * columns + 1.2, 4.1 * len(rows)), layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for (above, below), (group, items) in zip(grid.reshape(len(rows), 2, columns), rows.items(), strict=True):
        for upper, lower, (title, patch, mask, heatmap) in zip(above, below, items, strict=False):
            show_slice(upper, patch, title=title)
            show_slice(lower, patch, mask)
            shown = np.ma.masked_where(~mask, heatmap)
            image = lower.imshow(shown, cmap="inferno", vmin=0, vmax=highest, alpha=0.65)
        for axes, text in ((above[0], f"{group}\npatch"), (below[0], f"{group}\nGrad-CAM")):
            axes.text(-0.08, 0.5, text, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=9)
    bar = figure.colorbar(image, ax=grid, shrink=0.5)
    bar.set_label("Grad-CAM for the positive class (log-odds, not scaled)", fontsize=8)
    return figure


def margins(trained: dict[str, pd.DataFrame], control: dict[str, pd.DataFrame]) -> plt.Figure:
    """Margin statistics of every patient, the trained networks beside those with random weights; a row a method.

    Args:
        trained: method's name -> `heatmaps.margin_table`.
        control: the same of networks with random weights.
    """
    titles = {
        "contrast": "margin band against core\n(band − core) / (band + core)",
        "rho": "irregularity along the contour\nSpearman's ρ",
    }
    figure, grid = plt.subplots(len(trained), 2, squeeze=False, figsize=(9, 3.6 * len(trained)), layout="constrained")
    for axes, method in zip(grid, trained, strict=True):
        for panel, (column, title) in zip(axes, titles.items(), strict=True):
            tables = {"trained": trained[method][column], "random weights": control[method][column]}
            both = pd.concat(tables, names=["network"]).rename("value").reset_index()
            sns.boxplot(both, x="network", y="value", ax=panel, color="0.9", width=0.5, fliersize=0)
            options = {"size": 3, "alpha": 0.6, "hue": "network", "palette": "colorblind", "legend": False}
            sns.stripplot(both, x="network", y="value", ax=panel, **options)
            panel.axhline(0, color="0.5", lw=1, ls="--")
            panel.set(xlabel="", ylabel="")
            panel.set_title(f"{method}: {title}", fontsize=9)
    sns.despine(figure)
    return figure
