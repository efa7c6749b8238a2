"""Score a tumour that is not of the cohort: its score, how uncertain that is, and where it lies among the patients.

For teaching only. The ten networks are those of the first repeat of a cross-validation, each trained on nine tenths of
the cohort. A new tumour was held out of all ten, so each network's score is comparable with the out-of-fold scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from . import evaluation, heatmaps, models, training
from .data.own_image import OwnImage, UnusableImage
from .patches import NETWORK_CEILING, PATCH_SIZE, centre_of_mass, crop, head_window, stretch
from .phantom.cohort import draw_patient

WARNING = (
    "For teaching only: no medical device, not for diagnosis. The networks were trained on FLAIR slices of 110 adults "
    "with a lower-grade glioma and masks drawn by hand. They know no other sequence "
    "and no other tumour, and they give a score to anything."
)
SEEN = {
    "pixels of tumour in the patch": (52, 5174),
    "brightness of the tumour, in medians of the head": (0.89, 2.14),
    "spread of brightness in the tumour, in medians of the head": (0.08, 0.67),
    "length of the head in pixels": (146, 256),
    "width of the head in pixels": (120, 234),
}
"""What the networks were trained on: 1st and 99th percentile of `measure` over the cohort's tumour-bearing slices."""
PIXEL = (0.8, 1.25)
"""Sides of a pixel in mm that pass as the cohort's, which is about 1 mm."""


@dataclass(frozen=True)
class Reference:
    """The cohort's out-of-fold scores, and what they say about the probability of class 1.

    Attributes:
        y_true: (N,) 0 or 1.
        score: (N,) log-odds, of the repeat whose networks score new tumours.
        auc: AUC, low, high; mean over all repeats.
        coefficients: (B + 1, 2) intercept and slope of the recalibration: of all patients, then of B bootstrap samples.
    """

    y_true: np.ndarray
    score: np.ndarray
    auc: tuple[float, float, float]
    coefficients: np.ndarray

    @classmethod
    def of(cls, y_true: ArrayLike, score: ArrayLike, n_resamples: int = 500, seed: int = 0) -> "Reference":
        """Recalibrate scores by logistic regression (Cox, Biometrika 1958;45:562–565), and bootstrap the patients.

        Args:
            y_true: (N,) 0 or 1.
            score: (R, N) out-of-fold log-odds, one row a repeat; the first is recalibrated.
            n_resamples: bootstrap samples, B.
            seed: of the bootstrap.

        Raises:
            ValueError: as for `evaluation.auc_ci`.
        """
        auc = evaluation.auc_ci(y_true, score)
        y_true, score = np.asarray(y_true), np.asarray(score, float)[0]
        rng = np.random.default_rng(seed)
        weights = [np.ones(len(score)), *rng.multinomial(len(score), np.full(len(score), 1 / len(score)), n_resamples)]
        model, rows = LogisticRegression(C=np.inf), []
        for weight in weights:
            if len(np.unique(y_true[weight > 0])) == 2:
                model.fit(score[:, None], y_true, weight)
                rows.append((model.intercept_[0], model.coef_[0, 0]))
        return cls(y_true, score, auc, np.array(rows))

    @property
    def prevalence(self) -> float:
        """Share of class 1: the probability that somebody would name who sees no image."""
        return float(self.y_true.mean())

    def probability(self, scores: ArrayLike) -> tuple[float, float, float]:
        """Probability of class 1 for a patient like these, and its 95 % interval.

        Args:
            scores: (M,) of M networks. The probability is the mean over them; the interval spans networks and patients.

        Returns:
            Probability, low, high.
        """
        intercept, slope = self.coefficients.T[..., None]
        values = expit(intercept + slope * np.asarray(scores, float))
        low, high = np.percentile(values[1:], [2.5, 97.5])
        return float(values[0].mean()), float(low), float(high)

    def below(self, score: float) -> tuple[float, float]:
        """Shares of the patients of class 1, and of the others, whose score is lower."""
        lower = self.score < score
        return float(lower[self.y_true == 1].mean()), float(lower[self.y_true == 0].mean())


@dataclass(frozen=True)
class Assessment:
    """What the networks say about one tumour.

    Attributes:
        patch: (80, 80) uint8, what they saw of the slice with the largest tumour.
        mask: (80, 80) bool, the tumour in it.
        centre: row and column of the slice on which the patch is centred.
        scores: (M,) log-odds by network, mean over the slices.
        attention: (80, 80) Grad-CAM for class 1 on that patch, in log-odds, mean over the networks.
        unusual: in words, where the tumour lies outside what the networks were trained on.
    """

    patch: np.ndarray
    mask: np.ndarray
    centre: tuple[int, int]
    scores: np.ndarray
    attention: np.ndarray
    unusual: tuple[str, ...]

    @property
    def score(self) -> float:
        """Mean over the networks."""
        return float(self.scores.mean())


def load_networks(files: Sequence[Path]) -> list[torch.nn.Module]:
    """The compact networks in these files, one input channel."""
    networks = []
    for file in files:
        network = models.create("compact")
        network.load_state_dict(models.load_weights(file))
        networks.append(network.eval())
    return networks


def phantom(seed: int = 0, aggressive: bool = False) -> OwnImage:
    """A synthetic head with a tumour, drawn anew.

    Args:
        seed: which one.
        aggressive: draw the tumour as the phantom draws those of cluster 2.
    """
    images, masks = draw_patient(seed, aggressive)
    bearing = masks.any((1, 2))
    kind = "like cluster 2" if aggressive else "like the others"
    name = f"synthetic phantom {seed}, {kind}"
    return OwnImage(images[bearing][..., 1], masks[bearing], name, (1.0, 1.0), synthetic=True, oriented=True)


def moved(own: OwnImage, down: int = 0, right: int = 0, grown: int = 0) -> OwnImage:
    """The same image with another mask.

    Args:
        own: the image.
        down: pixels by which the mask moves; what leaves the image is gone.
        right: likewise.
        grown: pixels by which its contour moves outwards, negative inwards.

    Raises:
        UnusableImage: nothing is left of the mask.
    """
    masks = np.stack([ndimage.shift(mask, (down, right), order=0) for mask in own.masks])
    if grown > 0:
        masks = np.stack([ndimage.distance_transform_edt(~mask) <= grown if mask.any() else mask for mask in masks])
    elif grown < 0:
        masks = np.stack([ndimage.distance_transform_edt(mask) > -grown for mask in masks])
    bearing = masks.any((1, 2))
    if not bearing.any():
        raise UnusableImage(f"{own.name}: nothing is left of the mask; move or grow it back")
    return replace(own, values=own.values[bearing], masks=masks[bearing])


def cut(own: OwnImage, down: int = 0, right: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Patches as the networks got them in training: `patches.tumor_patch` between the levels of the patient's head.

    Args:
        own: the image.
        down: pixels by which the square lies below the centre of the tumour.
        right: likewise.

    Returns:
        (S, 1, 80, 80) uint8; (S, 80, 80) bool, the tumour within.
    """
    window = head_window(own.values)
    centres = [(row + down, column + right) for row, column in map(centre_of_mass, own.masks)]
    masks = np.stack([crop(mask, centre, PATCH_SIZE) for mask, centre in zip(own.masks, centres, strict=True)])
    images = [
        stretch(crop(values, centre, PATCH_SIZE), window) for values, centre in zip(own.values, centres, strict=True)
    ]
    return (np.stack(images) * masks)[:, None], masks


def assess(own: OwnImage, networks: Sequence[torch.nn.Module], down: int = 0, right: int = 0) -> Assessment:
    """What the networks say about a tumour; arguments as for `cut`."""
    images, masks = cut(own, down, right)
    shown = own.largest
    scores = np.array([training.predict(network, images).mean() for network in networks])
    maps = [heatmaps.grad_cam(network, images[[shown]])[0] for network in networks]
    row, column = centre_of_mass(own.masks[shown])
    return Assessment(
        patch=images[shown, 0],
        mask=masks[shown],
        centre=(row + down, column + right),
        scores=scores,
        attention=np.mean(maps, axis=0),
        unusual=tuple(unusual(own, images, masks)),
    )


def measure(own: OwnImage, images: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """A row a slice: the columns are those of `SEEN`; `images` and `masks` are of `cut`."""
    rows = []
    for image, mask, head in zip(images[:, 0], masks, own.head, strict=True):
        tumour = image[mask] * NETWORK_CEILING / 255 if mask.any() else np.zeros(1)
        extent = [np.ptp(np.flatnonzero(head.sum(axis) > 5)) + 1 if head.any() else 0 for axis in (1, 0)]
        rows.append((mask.sum(), tumour.mean(), tumour.std(), *extent))
    return pd.DataFrame(rows, columns=list(SEEN))


def unusual(own: OwnImage, images: np.ndarray, masks: np.ndarray) -> list[str]:
    """In words, where the slice with the largest tumour lies outside what the networks were trained on."""
    found = []
    for name, value in measure(own, images, masks).iloc[own.largest].items():
        low, high = SEEN[name]
        if not low <= value <= high:
            found.append(f"{name}: {value:.3g}; in 98 % of the training slices {low:g} to {high:g}")
    inside, whole = masks[own.largest].sum(), own.masks[own.largest].sum()
    if inside < 0.5 * whole:
        found.append(f"the patch holds {inside / whole:.0%} of the tumour in its slice")
    if own.pixel is not None and not all(PIXEL[0] <= side <= PIXEL[1] for side in own.pixel):
        found.append("pixels of {:.2g} × {:.2g} mm; about 1 mm in training".format(*own.pixel))
    return found


def summary(found: Assessment, reference: Reference) -> str:
    """What was found, in Markdown: score, place, probability, and what it is worth."""
    positives = int(reference.y_true.sum())
    above, above_rest = reference.below(found.score)
    probability, low, high = reference.probability(found.scores)
    auc, auc_low, auc_high = reference.auc
    lines = [
        f"**Score {found.score:+.2f}**; the {len(found.scores)} networks give {found.scores.min():+.2f} to "
        f"{found.scores.max():+.2f}.",
        f"Higher than {above:.0%} of the {positives} patients of cluster 2, and than {above_rest:.0%} of the "
        f"{len(reference.y_true) - positives} others.",
        f"Probability of cluster 2, for a patient like these: **{probability:.0%}** (95 % interval {low:.0%} to "
        f"{high:.0%}). Without any image it is {reference.prevalence:.0%}.",
        f"Such scores tell the classes apart with an AUC of {auc:.2f} ({auc_low:.2f} to {auc_high:.2f}), where 0.5 is "
        "guessing.",
        *(f"**Unlike the training data:** {line}." for line in found.unusual),
    ]
    return "\n".join(f"- {line}" for line in lines) + f"\n\n**{WARNING}**"
