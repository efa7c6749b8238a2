"""The paper's figures, and the plots around them. Each function draws; `finish` labels and writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patheffects import withStroke
from sklearn.metrics import roc_curve

from . import article
from .evaluation import patient_scores, roc_band, split_arm
from .patches import percentile_window, stretch
from .support import write_atomically

ATTRIBUTION = "Data: TCGA-LGG (TCIA; Kaggle mateuszbuda/lgg-mri-segmentation, CC BY-NC-SA 4.0)"
DECATHLON = "Data: Medical Segmentation Decathlon, Task01_BrainTumour, CC BY-SA 4.0"
SYNTHETIC = "SYNTHETIC PHANTOM: no patient data"
NAMES = {"scratch": "from scratch", "natural": "natural images", "gbm": "glioblastoma MRI"}
"""Initialisations as the figures call them."""
COLOURS = dict(zip(NAMES, sns.color_palette("colorblind", 3), strict=True))
INPUTS = {"pre-contrast+FLAIR+post-contrast": "three sequences", "all": "three sequences"}
"""Sequences as the figures call them, where the name differs."""
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
        1, len(records), squeeze=False, sharey=True, figsize=(0.5 + 5.2 * len(records), 3.4), layout="constrained"
    )
    for axes, (name, record) in zip(panels.flat, records.items(), strict=True):
        curve = pd.DataFrame(record["curve"])
        axes.plot(curve.epoch, curve.training_loss, marker="o", ms=4, label="training cases (augmented)")
        axes.plot(curve.epoch, curve.held_out_loss, marker="o", ms=4, label="held-out cases")
        axes.axhline(record["prior_loss"], color="0.5", ls="--", label="always the mean shares")
        axes.axhline(record["entropy"], color="0.5", ls=":", label="the true shares (lowest possible)")
        # The first epochs of a large network would squash everything else.
        axes.set(xlabel="epoch", title=name, ylim=(0.9 * record["entropy"], 1.8 * record["prior_loss"]))
        _name_lines(axes)
    panels.flat[0].set_ylabel("cross-entropy (nats)")
    sns.despine(figure)
    return figure


def _name_lines(axes: plt.Axes) -> None:
    """Write each line's label at its end, right of the panel, where none covers another."""
    ends = sorted(axes.lines, key=lambda line: line.get_ydata()[-1])
    low, high = axes.get_ylim()
    y = -np.inf
    for line in ends:
        y = max(y + 0.08, (line.get_ydata()[-1] - low) / (high - low))
        style = {"color": line.get_color(), "fontsize": 8, "va": "center", "transform": axes.transAxes}
        axes.text(1.02, y, line.get_label(), **style)


def figure2(predictions: pd.DataFrame, table: pd.DataFrame, summary: pd.DataFrame, main: tuple[str, str]) -> plt.Figure:
    """Figure 2: ROC curves over the published one, and the AUCs of paper and reproduction side by side.

    Args:
        predictions: out-of-fold scores; the curves are the article's arms (FLAIR), first repeat.
        table: `evaluation.auc_table(predictions)`.
        summary: `repeats.over_repeats(predictions)`.
        main: (arm, backbone) of the curve that gets the bootstrap band.
    """
    entries = [(f"paper, {NAMES[arm]}", article.AUC[arm], [], "black", "s") for arm in ("gbm", "scratch", "natural")]
    single = table.groupby(["arm", "backbone"]).auc
    for row in summary.itertuples():
        initialisation, sequences = split_arm(row.arm)
        label, colour, marker = f"{row.arm}, {row.backbone}", "0.45", "D"
        if sequences:
            label = f"{row.backbone}, {INPUTS.get(sequences, sequences)}, {NAMES[initialisation]}"
            colour, marker = COLOURS[initialisation], "o"
        aucs = single.get_group((row.arm, row.backbone))
        entries.append((label, (row.auc, row.low, row.high), aucs, colour, marker))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.5, max(5.2, 0.34 * len(entries) + 1)), width_ratios=[1, 0.95], layout="constrained"
    )
    rates = np.linspace(0, 1, 101)
    for row in table[(table.repeat == 0) & table.arm.isin(NAMES)].itertuples():
        scores = patient_scores(predictions, row.arm, row.backbone)
        colour, style = COLOURS[row.arm], "-" if row.backbone == main[1] else ":"
        false, true, _ = roc_curve(scores.y_true, scores.score, drop_intermediate=False)
        label = f"{NAMES[row.arm]}, {row.backbone}: {row.auc:.3f}"
        left.plot(false, true, style, color=colour, lw=2 if (row.arm, row.backbone) == main else 1.2, label=label)
        if (row.arm, row.backbone) == main:
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


def clusterings(table: pd.DataFrame) -> plt.Figure:
    """AUC of every cluster against the rest, by clustering; filled where it stays below 0.05 after Holm's correction.

    Args:
        table: of `baselines.clusterings`.
    """
    figure, axes = plt.subplots(figsize=(7.5, 0.27 * len(table) + 1.4))
    names = list(dict.fromkeys(table.clustering))
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    for position, row in enumerate(table[::-1].itertuples()):
        colour = colours[row.clustering]
        fill = colour if row.holm < 0.05 else "white"
        error = [[row.auc - row.low], [row.high - row.auc]]
        axes.errorbar(row.auc, position, xerr=error, fmt="o", color=colour, mfc=fill, capsize=2)
        axes.text(1.02, position, f"{row.positives} of {row.patients}", va="center", fontsize=7)
    labels = [f"{row.clustering.removesuffix('Cluster')} {row.cluster}" for row in table[::-1].itertuples()]
    axes.set_yticks(range(len(table)), labels, fontsize=8)
    axes.text(1.02, len(table), "patients", va="center", fontsize=7)
    axes.axvline(0.5, color="0.7", lw=1, ls="--")
    axes.set(
        xlabel="AUC with 95 % interval, cluster against the rest\nfilled: p < 0.05 after Holm's correction",
        xlim=(min(0.2, table.low.min() - 0.02), 1),
    )
    sns.despine(figure)
    figure.tight_layout()
    return figure


def patch_with_rulers(patch: np.ndarray, title: str) -> plt.Figure:
    """A patch (80, 80) uint8, large, with its rows and columns numbered."""
    figure, axes = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
    show_slice(axes, patch)
    axes.set_axis_on()
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="column", ylabel="row")
    return figure


@dataclass(frozen=True)
class Tile:
    """A patient in Figure 3.

    Attributes:
        title: name and score.
        wrong: the network is on the wrong side.
        patch: (80, 80) uint8.
        mask: (80, 80) bool.
        maps: name -> heatmap, of the patch's shape or smaller.
    """

    title: str
    wrong: bool
    patch: np.ndarray
    mask: np.ndarray
    maps: dict[str, np.ndarray]


def figure3(groups: dict[str, list[Tile]], signed: bool = False, side: float = 1.45) -> plt.Figure:
    """Figure 3: patches and, below each, heatmaps within the tumour's contour; a title in colour marks an error.

    Maps of the same name share one scale, so that a map without evidence looks empty. Signed ones come from heads whose
    weights differ much in size, so each has its own scale, whose end is printed on it.

    Args:
        groups: group's name -> its patients.
        signed: maps have two directions, and 0 in the middle.
        side: of a picture, in inches.
    """
    columns = max(len(tiles) for tiles in groups.values())
    names = list(next(iter(groups.values()))[0].maps)
    lines = 1 + len(names)
    figure, grid = plt.subplots(
        lines * len(groups),
        columns,
        squeeze=False,
        figsize=(side * columns + 0.5, (side + 0.08) * lines * len(groups) + 0.5 * len(groups)),
        layout="constrained",
    )
    every = [tile for tiles in groups.values() for tile in tiles]
    large = {name: [_as_large(tile.maps[name], tile.mask) for tile in every] for name in names}
    highest = {name: max(float(np.abs(m.data[~m.mask]).max()) for m in maps) or 1.0 for name, maps in large.items()}
    for axes in grid.flat:
        axes.set_axis_off()
    for block, (group, tiles) in zip(grid.reshape(len(groups), lines, columns), groups.items(), strict=True):
        for column, tile in zip(block.T, tiles, strict=False):
            show_slice(column[0], tile.patch)
            title = (f"{tile.title}, wrong" if tile.wrong else tile.title).replace("\n-", "\n−")
            style = {"color": "#d55e00", "weight": "bold"} if tile.wrong else {}
            column[0].set_title(title, fontsize=7.5, **style)
            for axes, (name, heatmap) in zip(column[1:], tile.maps.items(), strict=True):
                show_slice(axes, tile.patch, tile.mask)
                shown = _as_large(heatmap, tile.mask)
                if signed:
                    end = float(np.abs(shown).max()) or 1.0
                    axes.imshow(shown, cmap="RdBu_r", vmin=-end, vmax=end, alpha=0.8)
                    axes.text(2, 77, f"±{end:.2g}", color="white", fontsize=8)
                else:
                    axes.imshow(shown, cmap="inferno", vmin=0, vmax=highest[name], alpha=0.65)
        for axes, text in zip(block[:, 0], (f"{group}\npatch", *names), strict=True):
            axes.text(-0.06, 0.5, text, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=8.5)
    scale = "dark: no evidence for the class, bright: much; one scale for each kind of map"
    if signed:
        scale = "blue: against the class, red: for it; ±: log-odds at full colour"
    figure.supxlabel(scale, fontsize=8, color="0.3")
    return figure


def _as_large(heatmap: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A heatmap within the mask; one of one value a cell is drawn as squares."""
    times = len(mask) // len(heatmap)
    return np.ma.masked_where(~mask, heatmap.repeat(times, 0).repeat(times, 1))


def margins(tables: dict[str, dict[str, pd.DataFrame]], summaries: pd.DataFrame) -> plt.Figure:
    """Margin statistics of every patient, one strip for each method and network, with the median and its interval.

    Args:
        tables: method -> network -> `heatmaps.margin_table`.
        summaries: of `heatmaps.summarise`, indexed by question, method and network.
    """
    titles = {
        "contrast": ("margin − core", "core ← attention → margin"),
        "rho": ("irregularity ρ", "smooth ← attention → irregular margin"),
    }
    strips = [(method, network) for method, by_network in tables.items() for network in by_network]
    networks = list(dict.fromkeys(network for _, network in strips))
    colours = dict(zip(networks, ("#d55e00", "0.45", "#0072b2"), strict=False))
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(7.6, 0.55 * len(strips) + 1.2), layout="constrained")
    rng = np.random.default_rng(0)
    for axes, (column, (question, label)) in zip(panels, titles.items(), strict=True):
        for y, (method, network) in enumerate(reversed(strips)):
            values, row = tables[method][network][column].dropna(), summaries.loc[(question, method, network)]
            jitter = y + rng.uniform(-0.25, 0.25, len(values))
            axes.plot(values, jitter, ".", ms=3, alpha=0.35, color=colours[network])
            axes.plot([row["low"], row["high"]], [y, y], color="black", lw=2.5, solid_capstyle="butt")
            axes.plot(row["median"], y, "o", ms=6, color=colours[network], mec="black")
        axes.axvline(0, color="0.6", lw=1, ls="--", zorder=0)
        axes.set(xlabel=label, xlim=(-1.02, 1.02))
    panels[0].set_yticks(range(len(strips)), [f"{method}, {network}" for method, network in reversed(strips)])
    sns.despine(figure)
    return figure
