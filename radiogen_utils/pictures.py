"""Pictures of patients, slices and patches: survival, the way from slice to label, intensities."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from lifelines import KaplanMeierFitter
from lifelines.plotting import add_at_risk_counts
from matplotlib.patches import Rectangle

from .figures import FOCUS, OTHERS, SIDES, mark_sides, show_slice
from .patches import PATCH_SIZE, centre_of_mass, head_window, percentile_window, stretch, tumor_patch
from .words import say

INSTITUTIONS = {
    "CS": "Thomas Jefferson University",
    "DU": "Henry Ford Hospital",
    "EZ": "University of North Carolina",
    "FG": "Case Western",
    "HT": "Case Western St. Joseph's",
}
"""Who sent the tissue, by the second part of a patient's name in The Cancer Genome Atlas."""


def survival_curves(survival: pd.DataFrame, in_group: pd.Series, name: str) -> plt.Figure:
    """Kaplan–Meier curves of one group and of all others, with pointwise 95 % bands, crosses where follow-up ends.

    Args:
        survival: `time_days` and `event` by patient.
        in_group: bool by patient.
        name: of the group.
    """
    figure, axes = plt.subplots(figsize=(6.2, 4.4), layout="constrained")
    curves, told = [], []
    for label, members, colour in ((name, in_group, FOCUS), ("all others", ~in_group, OTHERS)):
        group = survival[members.reindex(survival.index).astype(bool)]
        curve = KaplanMeierFitter(label=label).fit(group.time_days / 365.25, group.event)
        curve.plot_survival_function(ax=axes, color=colour, ci_alpha=0.15, show_censors=True, legend=False)
        x = 0.34 * float(survival.time_days.max()) / 365.25
        style = {"textcoords": "offset points", "color": colour, "weight": "bold"}
        axes.annotate(f"{label} ({len(group)})", (x, curve.predict(x)), (0, 7), **style)
        curves.append(curve)
        alive = [f", {curve.predict(year):.0%} after {year} years" for year in (2, 5) if year <= curve.timeline.max()]
        told.append(f"{label}: {len(group)} patients{''.join(alive)}.")
    axes.axhline(0.5, color="0.8", lw=1, ls="--", zorder=0)
    axes.set(xlabel="years since diagnosis", ylabel="share alive", ylim=(0, 1.02), xlim=(0, None))
    add_at_risk_counts(*curves, rows_to_show=["At risk"], ax=axes)
    sns.despine(figure)
    return say(figure, "Kaplan–Meier curves with 95 % bands: the share alive.", *told)


def institutions(in_group: pd.Series, institution: pd.Series, name: str) -> plt.Figure:
    """How many patients each hospital sent, the largest on top, and how many of them belong to the group.

    Args:
        in_group: bool by patient.
        institution: code by patient, as in `INSTITUTIONS`.
        name: of the group.
    """
    counts = in_group.groupby(institution).agg(["sum", "size"]).sort_values("size", kind="stable")
    figure, axes = plt.subplots(figsize=(6.2, 0.5 + 0.45 * len(counts)), layout="constrained")
    labels = [f"{INSTITUTIONS[code]} ({code})" if code in INSTITUTIONS else code for code in counts.index]
    axes.barh(labels, counts["size"], color="0.8")
    axes.barh(labels, counts["sum"], color=FOCUS)
    for y, (inside, size) in enumerate(counts.itertuples(index=False)):
        axes.text(size, y, f"  {inside} of {size}: {inside / size:.0%}", va="center")
    style = {"transform": axes.transAxes, "ha": "right", "weight": "bold"}
    axes.text(1, 0.14, name, color=FOCUS, **style)
    axes.text(1, 0.02, "all others", color=OTHERS, **style)
    axes.set(xlabel="patients", xlim=(0, 1.25 * counts["size"].max()))
    sns.despine(figure)
    parts = zip(labels[::-1], counts[::-1].itertuples(index=False), strict=True)
    told = "; ".join(f"{label} {inside} of {size}" for label, (inside, size) in parts)
    return say(figure, f"Patients of {name} among all whom a hospital sent: {told}.")


def patient_to_label(patient: str, images: list[tuple[np.ndarray, np.ndarray]], facts: str, label: str) -> plt.Figure:
    """The unit of this course: a patient has many slices and one label.

    Args:
        patient: name.
        images: (FLAIR (H, W) uint8 as shown, mask (H, W)) of some slices.
        facts: the line below the name, such as age and grade.
        label: of the patient.
    """
    figure, axes = plt.subplots(figsize=(8.4, 2.9), layout="constrained")
    axes.set(xlim=(0, 10), ylim=(0, 3.2))
    axes.set_axis_off()
    boxes = {"boxstyle": "round,pad=0.5", "fc": "0.95", "ec": "0.6"}
    axes.text(1.15, 1.6, f"one patient\n{patient}\n{facts}".strip(), ha="center", va="center", bbox=boxes)
    for number, (image, mask) in enumerate(images):
        inset = axes.inset_axes((3.1 + 0.75 * number, 0.75 - 0.22 * number, 2.1, 2.1), transform=axes.transData)
        show_slice(inset, image, mask)
        inset.add_patch(Rectangle((0, 0), 1, 1, transform=inset.transAxes, fill=False, ec="white", lw=1.5))
    mark_sides(inset)  # the one in front
    axes.text(4.9, 2.98, "many slices with tumour", ha="center", va="bottom")
    boxes |= {"fc": FOCUS, "ec": FOCUS}
    axes.text(8.9, 1.6, f"one label\n{label}", ha="center", va="center", color="white", weight="bold", bbox=boxes)
    arrow = {"arrowstyle": "-|>", "lw": 1.5, "color": "0.4"}
    for start, end in ((2.3, 3.0), (6.95, 7.75)):
        axes.annotate("", (end, 1.6), (start, 1.6), arrowprops=arrow)
    who = ", ".join(filter(None, (patient, facts)))
    shown = f"slices of the head, the tumour outlined, {len(images)} of them in view"
    return say(figure, f"From one patient ({who}) an arrow to many {shown}, from these to one label ({label}).", SIDES)


def square_on_slice(image: np.ndarray, mask: np.ndarray, title: str) -> plt.Figure:
    """A slice with the square that is cut out, the tumour that it loses in colour; and the patch.

    Args:
        image: (H, W) uint8, as shown.
        mask: (H, W).
        title: of the slice.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.8), layout="constrained")
    show_slice(left, image, mask)
    corner = [c - PATCH_SIZE // 2 for c in centre_of_mass(mask)]
    inside = np.zeros(mask.shape, bool)
    rows, columns = (slice(max(a, 0), a + PATCH_SIZE) for a in corner)
    inside[rows, columns] = True
    lost = np.ma.masked_equal((mask.astype(bool) & ~inside).astype(float), 0)
    left.imshow(lost, cmap="autumn", vmin=0, vmax=1.6, alpha=0.75)
    left.add_patch(
        Rectangle((corner[1] - 0.5, corner[0] - 0.5), PATCH_SIZE, PATCH_SIZE, fill=False, ec="white", lw=1.5)
    )
    share = (mask.astype(bool) & ~inside).sum() / (mask > 0).sum()
    left.set_title(f"{title}\ncolour: cut off, {share:.0%} of this tumour" if share else title, fontsize=8)
    mark_sides(left)
    show_slice(right, tumor_patch(image, mask))
    right.set_title(f"the patch: {PATCH_SIZE}×{PATCH_SIZE} pixels", fontsize=8)
    cut = f"a square of {PATCH_SIZE} by {PATCH_SIZE} pixels around its centre of mass cuts off {share:.0%} of it"
    return say(figure, f"{title}: the tumour outlined; {cut}. Beside it the patch, grey on black.", SIDES)


def densities(groups: dict[str, tuple[np.ndarray, np.ndarray]]) -> plt.Figure:
    """How bright the head and the tumour are, a panel a patient, with the levels of both renderings.

    Args:
        groups: panel's name -> (intensities (N, H, W) uint8, masks (N, H, W)) of the patient's tumour-bearing slices.
    """
    figure, panels = plt.subplots(
        len(groups), 1, squeeze=False, sharex=True, figsize=(6.4, 2.3 * len(groups)), layout="constrained"
    )
    edges, told = np.arange(0, 257, 4), []
    for axes, (name, (values, masks)) in zip(panels[:, 0], groups.items(), strict=True):
        head = values[(values > head_window(values)[1] / 10) & ~masks.astype(bool)]
        tumour = values[masks.astype(bool)]
        axes.hist(head, edges, density=True, color="0.75")
        axes.hist(tumour, edges, density=True, color=FOCUS, histtype="step", lw=1.8)
        top = axes.get_ylim()[1] * 1.35
        axes.set(ylim=(0, top), yticks=[])
        axes.set_title(name, fontsize=9)
        heads, tumours = (np.histogram(part, edges, density=True)[0] for part in (head, tumour))
        levels = []
        for heights, word, colour in ((heads, "head", "0.45"), (tumours, "tumour", FOCUS)):
            peak = int(heights[2:].argmax()) + 2
            axes.text(edges[peak] + 2, heights[peak], word, color=colour, ha="center", va="bottom", fontsize=9)
        for height, (low, high), word in (
            (0.93, head_window(values), "networks"),
            (0.8, percentile_window(values), "Figure 1"),
        ):
            y = height * top
            axes.annotate("", (high, y), (low, y), arrowprops={"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "lw": 1.2})
            axes.annotate(f" {word}", (high, y), va="center", fontsize=8, annotation_clip=False)
            levels.append(f"{word} {low:.0f} to {high:.0f}")
        medians = f"median of the head {np.median(head):.0f}, of the tumour {np.median(tumour):.0f}"
        told.append(f"{name}: {medians}; {', '.join(levels)}.")
    panels[-1, 0].set(xlabel="FLAIR intensity as stored; bars: from black to white", xlim=(0, 300))
    panels[-1, 0].set_xticks(range(0, 256, 50))
    sns.despine(figure, left=True)
    return say(figure, "How bright head and tumour are on FLAIR, and what is drawn from black to white.", *told)


def renderings(groups: dict[str, tuple[np.ndarray, np.ndarray, int]]) -> plt.Figure:
    """The same slice as stored, for the networks, and for Figure 1; a row a patient.

    Args:
        groups: patient's name -> (intensities (N, H, W) uint8, masks (N, H, W), which of the N is shown).
    """
    figure, grid = plt.subplots(len(groups), 3, squeeze=False, figsize=(7.4, 2.75 * len(groups)), layout="constrained")
    for axes, (name, (values, masks, row)) in zip(grid, groups.items(), strict=True):
        for panel, window, title in zip(
            axes,
            ((0, 255), head_window(values), percentile_window(values)),
            ("as stored, 0–255", "networks", "Figure 1"),
            strict=True,
        ):
            show_slice(panel, stretch(values[row], window), masks[row])
            panel.set_title(
                f"{title}: {window[0]:.0f}–{window[1]:.0f}" if title != "as stored, 0–255" else title, fontsize=8
            )
        mark_sides(axes[0])
        axes[0].text(-0.05, 0.5, name, transform=axes[0].transAxes, rotation=90, ha="right", va="center", fontsize=9)
    titles = ["; ".join(panel.get_title() for panel in axes) for axes in grid]
    told = [f"{name}: {title}." for name, title in zip(groups, titles, strict=True)]
    return say(
        figure,
        "A slice a row, three times, the tumour outlined, with the levels that are black and white.",
        *told,
        SIDES,
    )
