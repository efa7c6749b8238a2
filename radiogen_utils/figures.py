"""The paper's figures, and the plots around them. Each function draws; `finish` labels and writes.

Figure 2 is in `roc`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from .facts import NAMES
from .patches import percentile_window, stretch
from .support import write_atomically
from .words import number, say, series

if TYPE_CHECKING:  # the networks take seconds to import, and most figures do without
    from .data.own_image import OwnImage
    from .own_tumour import Assessment, Reference

ATTRIBUTION = "Data: TCGA-LGG (TCIA; Kaggle mateuszbuda/lgg-mri-segmentation, CC BY-NC-SA 4.0)"
SURVIVAL = "Data: TCGA-LGG; survival: TCGA-CDR (Liu et al. 2018)"
DECATHLON = "Data: Medical Segmentation Decathlon, Task01_BrainTumour, CC BY-SA 4.0"
SYNTHETIC = "SYNTHETIC PHANTOM: no patient data"
COLOURS = dict(zip(NAMES, sns.color_palette("colorblind", 3), strict=True))
FOCUS, OTHERS = "#d55e00", "0.45"
"""Colours of the group that a picture is about, and of all others."""
SIDES = "The patient's right is on the left."
"""What `mark_sides` tells, for an alternative text."""
CONTOUR = "#00d0ff"  # no colour of the heatmaps
STRONG_ATTENTION = 0.1
"""Upper end of the scale of a single heatmap: the 99th percentile of a map's maximum over the cohort's slices, mean of
the ten networks on FLAIR."""


def finish(figure: plt.Figure, path: Path, synthetic: bool, attribution: str = ATTRIBUTION) -> None:
    """Write a figure as PNG and SVG with its attribution; one from the phantom carries `SYNTHETIC` across its top.

    Args:
        figure: complete but for the attribution.
        path: of the PNG; the SVG has its name with another ending.
        synthetic: the figure shows the phantom.
        attribution: source and licence of what is shown, where it is not the phantom.
    """
    figure.draw_without_rendering()  # the layout is settled only now
    drawn = figure.get_tightbbox().transformed(figure.dpi_scale_trans + figure.transFigure.inverted())
    if synthetic:
        say(figure, f"{SYNTHETIC}.", getattr(figure, "alt", ""))
        style = {"color": "white", "weight": "bold", "backgroundcolor": "#b00020"}
        figure.text(0.5, drawn.y1 + 0.03, SYNTHETIC, ha="center", va="bottom", **style)
    else:
        figure.text(0.5, drawn.y0 - 0.01, attribution, ha="center", va="top", fontsize=7, color="0.4")
    # Without version, date and random names in the files, the same figure gives the same bytes.
    with plt.rc_context({"svg.hashsalt": path.stem}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            options = {"dpi": 150, "bbox_inches": "tight", "format": kind, "metadata": metadata}
            write_atomically(path.with_suffix(f".{kind}"), partial(figure.savefig, **options))


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
        mark_sides(axes[0])
    figure.tight_layout()
    titles = "; ".join(title for title, _, _ in rows)
    return say(
        figure, f"Slices of a head in grey, the tumour outlined: {titles}; of each", f"{', '.join(sequences)}.", SIDES
    )


def figure1(rows: dict[str, list[tuple[str, np.ndarray]]]) -> plt.Figure:
    """Figure 1: tumour patches, a row a cluster.

    Args:
        rows: cluster's name -> (title, patch (80, 80) uint8), five each in the article.
    """
    columns = max(len(patches) for patches in rows.values())
    figure, grid = plt.subplots(len(rows), columns, squeeze=False, figsize=(1.5 * columns, 1.75 * len(rows)))
    for axes, (cluster, patches) in zip(grid, rows.items(), strict=True):
        for panel in axes:
            panel.set_axis_off()
        for panel, (title, patch) in zip(axes, patches, strict=False):
            show_slice(panel, patch, title=title)
        mark_sides(axes[0])
        axes[0].text(-0.08, 0.5, cluster, transform=axes[0].transAxes, rotation=90, ha="right", va="center")
    figure.tight_layout()
    told = []
    for cluster, patches in rows.items():
        titles = "; ".join(filter(None, (_in_a_line(title) for title, _ in patches)))
        told.append(f"{cluster}: {titles or f'{len(patches)} patches'}.")
    return say(figure, "Tumours cut out of their slices, grey on black.", *told, SIDES)


def _in_a_line(title: str) -> str:
    return ", ".join(filter(None, title.split("\n")))


def learning_curves(records: dict[str, dict]) -> plt.Figure:
    """Loss on training and held-out cases by epoch, a panel a network.

    Args:
        records: network's name -> record of its pretraining.
    """
    figure, panels = plt.subplots(
        1, len(records), squeeze=False, sharey=True, figsize=(0.5 + 5.2 * len(records), 3.4), layout="constrained"
    )
    told = []
    for axes, (name, record) in zip(panels.flat, records.items(), strict=True):
        curve = pd.DataFrame(record["curve"])
        axes.plot(curve.epoch, curve.training_loss, marker="o", ms=4, label="training cases (augmented)")
        axes.plot(curve.epoch, curve.held_out_loss, marker="o", ms=4, label="held-out cases")
        axes.axhline(record["prior_loss"], color="0.5", ls="--", label="always the mean shares")
        axes.axhline(record["entropy"], color="0.5", ls=":", label="the true shares (lowest possible)")
        # The first epochs of a large network would squash everything else.
        axes.set(xlabel="epoch", title=name, ylim=(0.9 * record["entropy"], 1.8 * record["prior_loss"]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _name_lines(axes)
        first, last = curve.iloc[0], curve.iloc[-1]
        told.append(
            f"{name}, {len(curve)} epochs: training cases {first.training_loss:.3f} to {last.training_loss:.3f}, "
            f"held-out cases {first.held_out_loss:.3f} to {last.held_out_loss:.3f}; always the mean shares "
            f"{record['prior_loss']:.3f}, lowest possible {record['entropy']:.3f}."
        )
    panels.flat[0].set_ylabel("cross-entropy (nats)")
    sns.despine(figure)
    return say(figure, "Cross-entropy by epoch.", *told)


def _name_lines(axes: plt.Axes) -> None:
    """Write each line's label at its end, right of the panel, where none covers another."""
    ends = sorted(axes.lines, key=lambda line: line.get_ydata()[-1])
    low, high = axes.get_ylim()
    y = -np.inf
    for line in ends:
        y = max(y + 0.08, (line.get_ydata()[-1] - low) / (high - low))
        style = {"color": line.get_color(), "fontsize": 8, "va": "center", "transform": axes.transAxes}
        axes.text(1.02, y, line.get_label(), **style)


def patch_with_rulers(patch: np.ndarray, title: str) -> plt.Figure:
    """A patch (80, 80) uint8, large, with its rows and columns numbered."""
    figure, axes = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
    show_slice(axes, patch)
    axes.set_axis_on()
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="column", ylabel="row")
    rows, columns = (np.flatnonzero(patch.any(axis)) for axis in (1, 0))
    filled = f"It fills rows {rows.min()} to {rows.max()} and columns {columns.min()} to {columns.max()}."
    return say(figure, f"A tumour cut out of its slice, grey on black: {title}.", filled)


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
        figsize=(side * columns + 0.5, (side + 0.08) * lines * len(groups) + 0.6 * len(groups)),
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
            style = {"color": FOCUS, "weight": "bold"} if tile.wrong else {}
            column[0].set_title(_title(tile), fontsize=7, **style)
            for axes, (name, heatmap) in zip(column[1:], tile.maps.items(), strict=True):
                show_slice(axes, tile.patch, tile.mask)
                shown = _as_large(heatmap, tile.mask)
                if signed:
                    end = float(np.abs(shown).max()) or 1.0
                    axes.imshow(shown, cmap="RdBu_r", vmin=-end, vmax=end, alpha=0.8)
                    axes.text(2, 77, f"±{end:.2g}", color="white", fontsize=8)
                else:
                    axes.imshow(shown, cmap="inferno", vmin=0, vmax=highest[name], alpha=0.65)
        mark_sides(block[0, 0])
        for axes, text in zip(block[:, 0], (f"{group}\npatch", *names), strict=True):
            axes.text(-0.06, 0.5, text, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=8.5)
    scale = "dark: no evidence for the class, bright: much; one scale for each kind of map"
    if signed:
        scale = "blue: against the class, red: for it; ±: log-odds at full colour"
    figure.supxlabel(scale, fontsize=8, color="0.3")
    told = [f"{group}: {'; '.join(_in_a_line(_title(tile)) for tile in tiles)}." for group, tiles in groups.items()]
    for name, maps in large.items():
        if signed:
            mostly = sum(np.ma.median(shown) < 0 for shown in maps)
            told.append(f"{name}: against the class in most of the tumour in {mostly} of {len(maps)}.")
        else:
            dark = sum(shown.max() < 0.1 * highest[name] for shown in maps)
            brightest = every[int(np.argmax([shown.max() for shown in maps]))].title.splitlines()[0]
            told.append(f"{name}: brightest in {brightest}; dark in {dark} of {len(maps)}.")
    below = f"below each, in colour within its outline, {', '.join(names)}."
    return say(figure, "Tumours cut out of their slices, grey on black;", below, *told, f"{scale}.", SIDES)


def _title(tile: Tile) -> str:
    return (f"{tile.title}, wrong" if tile.wrong else tile.title).replace("\n-", "\n−")


def own_tumour(own: "OwnImage", found: "Assessment", reference: "Reference") -> plt.Figure:
    """Slice, patch and attention of one tumour, and where its score lies among the patients.

    Args:
        own: the image.
        found: what the networks say about it.
        reference: the patients' scores.
    """
    figure, axes = plt.subplot_mosaic(
        [["slice", "patch", "attention"], ["place"] * 3],
        figsize=(8, 5.2),
        height_ratios=[1.6, 1],
        layout="constrained",
    )
    shown, size = own.values[own.largest], len(found.patch)
    show_slice(axes["slice"], stretch(shown, percentile_window(shown)), own.masks[own.largest])
    corner = [c - size // 2 - 0.5 for c in found.centre[::-1]]
    if own.oriented:
        mark_sides(axes["slice"])
    axes["slice"].add_patch(plt.Rectangle(corner, size, size, fill=False, ec="white", lw=1))
    axes["slice"].set_title(f"{own.name}\nlargest of {len(own.masks)} slices, its mask and the patch", fontsize=8)
    show_slice(axes["patch"], found.patch)
    axes["patch"].set_title("what the networks see", fontsize=8)
    show_slice(axes["attention"], found.patch, found.mask)
    heat = np.ma.masked_where(~found.mask, found.attention)
    image = axes["attention"].imshow(heat, cmap="inferno", vmin=0, vmax=STRONG_ATTENTION, alpha=0.65)
    axes["attention"].set_title("Grad-CAM for cluster 2, mean of the networks", fontsize=8)
    figure.colorbar(image, ax=axes["attention"], shrink=0.7, extend="max")
    _place(axes["place"], found, reference)
    probability, low, high = reference.probability(found.scores)
    score = (
        f"score {number(found.score, '+.2f')}; probability of cluster 2, for a patient like these, {probability:.0%} "
        f"({low:.0%} to {high:.0%}); without any image {reference.prevalence:.0%}"
    )
    axes["place"].set_title(score, fontsize=8, weight="bold")
    lines = [
        *(f"unlike the training data: {line}" for line in found.unusual),
        "for teaching only, not for diagnosis",
    ]
    axes["place"].set_xlabel("score (log-odds)\n" + "\n".join(lines), fontsize=8)
    inside, outside = (reference.score[reference.y_true == label] for label in (1, 0))
    return say(
        figure,
        f"{own.name}: the largest of {len(own.masks)} slices, its mask outlined and the patch as a square; the patch; "
        f"Grad-CAM on it, at most {found.attention[found.mask].max(initial=0):.2f}.",
        f"Below, scores as dots: cluster 2, {series(inside, '.2f')}; the others, {series(outside, '.2f')}.",
        f"This tumour, a line: {score}; its networks from {series(found.scores, '.2f')}.",
        *[SIDES] * own.oriented,
        *(f"{line}." for line in lines),
    )


def _place(axes: plt.Axes, found: "Assessment", reference: "Reference") -> None:
    """The patients' scores by class, and those of the networks; what lies beyond the axis is marked at its end."""
    low, high = min(-2, found.scores.min() - 0.2), max(1.6, found.scores.max() + 0.2)
    rng = np.random.default_rng(0)
    for row, (label, name, colour) in enumerate(((0, "the others", OTHERS), (1, "cluster 2", FOCUS))):
        scores = reference.score[reference.y_true == label]
        inside = scores[scores >= low]
        axes.plot(inside, row + rng.uniform(-0.25, 0.25, len(inside)), "o", ms=4, color=colour, alpha=0.8, mew=0)
        axes.text(low, row + 0.34, f"{name} ({len(scores)})", color=colour, fontsize=8, va="bottom", weight="bold")
        if len(inside) < len(scores):
            axes.text(low, row, f"◀ {len(scores) - len(inside)} more", color=colour, fontsize=8, va="center")
    axes.axvspan(found.scores.min(), found.scores.max(), color="black", alpha=0.12, lw=0)
    axes.axvline(found.score, color="black", lw=1.5)
    side = "right" if found.score > (low + high) / 2 else "left"
    axes.text(found.score, 1.85, " this tumour; grey: its networks ", fontsize=8, va="top", ha=side)
    axes.set(xlim=(low, high), ylim=(-0.5, 1.85), yticks=[])
    sns.despine(ax=axes, left=True)


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
    colours = dict(zip(networks, (FOCUS, OTHERS, "#0072b2"), strict=False))
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(7.6, 0.55 * len(strips) + 1.2), layout="constrained")
    rng = np.random.default_rng(0)
    told = []
    for axes, (column, (question, label)) in zip(panels, titles.items(), strict=True):
        medians = []
        for y, (method, network) in enumerate(reversed(strips)):
            values, row = tables[method][network][column].dropna(), summaries.loc[(question, method, network)]
            jitter = y + rng.uniform(-0.25, 0.25, len(values))
            axes.plot(values, jitter, ".", ms=3, alpha=0.35, color=colours[network])
            axes.plot([row["low"], row["high"]], [y, y], color="black", lw=2.5, solid_capstyle="butt")
            axes.plot(row["median"], y, "o", ms=6, color=colours[network], mec="black")
            values = [number(row[name], "+.2f") for name in ("median", "low", "high")]
            medians.insert(0, "{}, {} {} ({} to {})".format(method, network, *values))
        axes.axvline(0, color="0.6", lw=1, ls="--", zorder=0)
        axes.set(xlim=(-1.02, 1.02), xticks=(-1, -0.5, 0, 0.5, 1))
        axes.set_xticklabels(("−1", "−0.5", "0", "0.5", "1"))  # short, or the panels' ends would touch
        axes.set_xlabel(label, fontsize=9)
        told.append(f"{question}: {'; '.join(medians)}.")
    panels[0].set_yticks(range(len(strips)), [f"{method}, {network}" for method, network in reversed(strips)])
    sns.despine(figure)
    return say(figure, "Every patient as a dot; medians with 95 % interval.", *told)


def margins_by_chance(draws: pd.DataFrame, summaries: pd.DataFrame) -> plt.Figure:
    """Medians of the networks of many permuted labels, a dot a permutation, and that of the trained networks.

    Args:
        draws: as `heatmaps.among_permutations` takes them; methods that `summaries` has not are left out.
        summaries: of `heatmaps.compare`.
    """
    methods = [name for name in dict.fromkeys(draws.method) if name in summaries.index.unique("method")]
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(7.6, 0.8 * len(methods) + 1.1), layout="constrained")
    rng, told = np.random.default_rng(0), []
    for axes, (question, own) in zip(panels, draws.groupby("question", sort=False), strict=True):
        for y, method in enumerate(reversed(methods)):
            medians = own.loc[own.method == method, "median"]
            trained = summaries.loc[(question, method, "trained"), "median"]
            axes.plot(medians, y + rng.uniform(-0.18, 0.18, len(medians)), ".", ms=6, alpha=0.5, color=OTHERS)
            axes.plot([trained, trained], [y - 0.32, y + 0.32], color=FOCUS, lw=3)
            said = f"{question}, {method}: trained {number(trained, '+.2f')}"
            told.append(f"{said}; {len(medians)} permutations {series(medians, '+.2f')}.")
        axes.axvline(0, color="0.6", lw=1, ls="--", zorder=0)
        axes.set_xlabel(f"median {question}", fontsize=9)
    panels[0].set_yticks(range(len(methods)), methods[::-1])
    sns.despine(figure)
    return say(figure, "Grey dots: networks of permuted labels. Bar: the trained networks.", *told)
