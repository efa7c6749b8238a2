"""Grad-CAM heatmaps, and the analysis of what they do at the tumour's margin."""

from . import _torchvision  # noqa: F401  (first, because pytorch_grad_cam imports torchvision)

# isort: split
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from scipy import ndimage, stats
from skimage.segmentation import find_boundaries
from torch.nn import functional

from .evaluation import permutation_p
from .patches import Patches
from .training import predict
from .verdicts import Verdict, at_the_margin

MARGIN_WIDTH = 8
"""Width of the margin band inside the tumour's contour in pixels (about mm): one cell of the compact network's map."""
IRREGULARITY_RADIUS = 8
"""Radius of the disc in which the contour's irregularity is measured, in pixels."""


class _RawGradCAM(GradCAM):
    """Grad-CAM that keeps the map as it is: scaling each image to [0, 1] hides that there is no evidence at all."""

    def get_cam_image(self, *arguments: object, **options: object) -> np.ndarray:
        self.raw = np.maximum(super().get_cam_image(*arguments, **options), 0)
        return self.raw


def grad_cam(model: torch.nn.Module, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Grad-CAM for class 1 (Selvaraju et al., ICCV 2017) at the network's last convolution block.

    Args:
        model: a network of `models` with one output.
        images: (N, C, H, W) uint8.
        batch_size: images at a time.

    Returns:
        (N, H, W) float32, not scaled: 0 where nothing speaks for class 1; enlarged bilinearly from the layer's
        resolution, an eighth of the input's for the compact network.

    Raises:
        RuntimeError: no gradient reaches the layer, as with frozen weights, where the map would silently be empty.
    """
    where = next(model.parameters()).device
    maps = []
    with _RawGradCAM(model, [model.cam_layer]) as cam:
        for batch in torch.as_tensor(images).split(batch_size):
            cam(batch.to(where) / 255, [BinaryClassifierOutputTarget(1)] * len(batch))
            gradients = cam.activations_and_grads.gradients
            if not gradients or not all(gradient.any() for gradient in gradients):
                raise RuntimeError("no gradient reaches the layer of the heatmap; unfreeze the network's weights")
            maps.append(enlarge(cam.raw, batch.shape[2:]))
    return np.concatenate(maps)


def enlarge(maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`(N, h, w)` -> `(N, *shape)` float32, bilinearly."""
    small = torch.as_tensor(maps)[:, None].float()
    return functional.interpolate(small, size=tuple(shape), mode="bilinear", align_corners=False)[:, 0].numpy()


def occlusion(model: torch.nn.Module, images: np.ndarray, size: int = 8) -> np.ndarray:
    """By how much the log-odds of class 1 fall when a square of the image is blackened (Zeiler and Fergus, ECCV 2014).

    Black is what the network knows as "no tumour here". captum's `Occlusion` gives the same maps in three times the
    time: it blackens squares that are black already.

    Args:
        model: a network of `models` with one output.
        images: (N, C, H, W) uint8.
        size: side of the squares in pixels, which tile the image; 8 is a cell of the compact network's Grad-CAM map.

    Returns:
        (N, H, W) float32: the fall, 0 where the log-odds rise, as in Grad-CAM; enlarged bilinearly, one value a square.
    """
    model.to(memory_format=torch.channels_last)  # twice as fast
    before = predict(model, images)[:, 0]
    falls = np.zeros((len(images), *(side // size for side in images.shape[2:])), np.float32)
    for i, j in np.ndindex(falls.shape[1:]):
        square = np.s_[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
        rows = np.flatnonzero(images[square].any((1, 2, 3)))
        if len(rows):
            hidden = images[rows]
            hidden[square] = 0
            falls[rows, i, j] = before[rows] - predict(model, hidden)[:, 0]
    return enlarge(np.maximum(falls, 0), images.shape[2:])


def class_activation(model: torch.nn.Module, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Class activation map (Zhou et al., CVPR 2016): the last feature maps, weighted by the head's weights.

    It is exact where a linear head reads the averaged feature map: the mean of the map over its cells, plus the head's
    bias, is the log-odds of class 1.

    Args:
        model: a network of `models` with one output.
        images: (N, C, H, W) uint8.
        batch_size: images at a time.

    Returns:
        (N, h, w) float32 in the feature map's resolution, signed: above 0 what speaks for class 1, below 0 against it.
    """
    model.eval()
    where = next(model.parameters()).device
    weight = model.head.weight[0][:, None, None]
    with torch.inference_mode():
        batches = torch.as_tensor(images).split(batch_size)
        maps = [(model.features(batch.to(where) / 255) * weight).sum(1).cpu() for batch in batches]
    return torch.cat(maps).numpy()


def by_fold(
    images: np.ndarray,
    fold: np.ndarray,
    network: Callable[[int], torch.nn.Module],
    heatmap: Callable[[torch.nn.Module, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Heatmaps of all images, each from the network that has not seen it.

    Args:
        images: (N, C, H, W) uint8.
        fold: (N,) fold in which each image was held out.
        network: gives the network of a fold.
        heatmap: from a network and images to their maps.
    """
    parts = {k: heatmap(network(k), images[fold == k]) for k in np.unique(fold)}
    maps = np.empty((len(images), *next(iter(parts.values())).shape[1:]), np.float32)
    for k, part in parts.items():
        maps[fold == k] = part
    return maps


def some_of_each_fold(fold: pd.Series, n: int) -> pd.Index:
    """`n` patients of each fold, drawn at random, always the same ones; `fold` is by patient."""
    return fold.sample(frac=1, random_state=0).groupby(fold).head(n).index


def subset(data: Patches, rows: np.ndarray) -> Patches:
    """The patches of some rows, (N,) bool."""
    table = data.table[rows].reset_index(drop=True)
    return replace(data, images=data.images[rows], masks=data.masks[rows], table=table)


def agreement(data: Patches, first: np.ndarray, second: np.ndarray) -> pd.Series:
    """Spearman correlation of two heatmaps (N, 80, 80) over the tumour's pixels, by patient: the mean over the slices.

    NaN where one of them is constant in every slice.
    """
    rows = []
    for mask, one, other in zip(data.masks, first, second, strict=True):
        varies = np.ptp(one[mask]) > 0 and np.ptp(other[mask]) > 0
        rows.append(stats.spearmanr(one[mask], other[mask]).statistic if varies else np.nan)
    return pd.Series(rows).groupby(data.table.patient).mean()


def margin_band(mask: np.ndarray, width: float) -> np.ndarray:
    """Pixels of the tumour at most `width` pixels from its contour; (H, W) bool. The patch's border is no contour."""
    # Repeating the edge pixels keeps a tumour that is cut off by the patch from having its contour there.
    padded = np.pad(mask, int(width) + 1, mode="edge")
    if padded.all():
        return np.zeros_like(mask)
    inner = slice(int(width) + 1, -int(width) - 1)
    return mask & (ndimage.distance_transform_edt(padded)[inner, inner] <= width)


def local_irregularity(mask: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the contour is from straight, at each of its pixels, by the area integral invariant.

    In a disc around a pixel of a straight contour the tumour covers one half; the more the contour bends or folds
    within the disc, the further from it (Manay et al., IEEE TPAMI 2006;28:1602–1618).

    Returns:
        contour (H, W) bool: the tumour's outermost pixels whose disc lies within the patch; irregularity (H, W)
        float in [0, 1/2]: `|share of the disc covered − 1/2|`, to be read on the contour.
    """
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x**2 + y**2 <= radius**2).astype(float)
    share = ndimage.convolve(mask.astype(float), disc / disc.sum(), mode="constant")
    contour = find_boundaries(mask, mode="inner")
    inside = np.zeros_like(contour)
    inside[radius:-radius, radius:-radius] = True
    # An outermost pixel lies inside the tumour, half a pixel from the contour; that share is taken off.
    offset = disc[radius].sum() / disc.sum() / 2
    return contour & inside, np.abs(share - offset - 0.5)


def margin_table(data: Patches, maps: np.ndarray) -> pd.DataFrame:
    """What each patient's heatmaps do at the margin: the mean over the patient's slices.

    Args:
        data: the patches.
        maps: (N, 80, 80) heatmaps of the same rows, not negative.

    Returns:
        Indexed by patient, columns
        `contrast`: (band − core) / (band + core) of the mean attention in margin band and core, in [−1, 1];
        `rho`: Spearman correlation, over the contour's pixels, of irregularity with the mean attention around them.
        NaN where a heatmap is empty or constant, or the tumour has no core: an absent answer, not a zero.
    """
    disc = np.hypot(*np.mgrid[-MARGIN_WIDTH // 2 : MARGIN_WIDTH // 2 + 1, -MARGIN_WIDTH // 2 : MARGIN_WIDTH // 2 + 1])
    disc = (disc <= MARGIN_WIDTH / 2).astype(float)
    rows = []
    for mask, attention in zip(data.masks, np.asarray(maps, float), strict=True):
        band = margin_band(mask, MARGIN_WIDTH)
        core = mask & ~band
        contrast = np.nan
        if core.any() and attention[mask].sum() > 0:
            outer, inner = attention[band].mean(), attention[core].mean()
            contrast = (outer - inner) / (outer + inner)
        contour, irregularity = local_irregularity(mask, IRREGULARITY_RADIUS)
        # Attention around a contour pixel, over the tumour's pixels alone.
        nearby = ndimage.convolve(attention * mask, disc, mode="constant")
        nearby /= np.maximum(ndimage.convolve(mask.astype(float), disc, mode="constant"), 1)
        values = nearby[contour]
        varies = len(values) > 2 and np.ptp(values) > 0 and np.ptp(irregularity[contour]) > 0
        rho = stats.spearmanr(irregularity[contour], values).statistic if varies else np.nan
        rows.append((contrast, rho))
    table = pd.DataFrame(rows, columns=["contrast", "rho"])
    return table.groupby(data.table.patient).mean()


def summarise(values: pd.Series, fold: pd.Series, n_resamples: int = 2000, seed: int = 0) -> dict:
    """Median over patients, its 95 % interval, and a test against 0.

    The patients of a fold share a network, so whole folds are drawn (cluster bootstrap; Davison and Hinkley 1997,
    section 3.8), and the test is the Wilcoxon signed-rank test of the folds' medians.

    Args:
        values: one number a patient; NaN is left out.
        fold: of each patient, with the same index.
        n_resamples: resamples of the folds.
        seed: of the resampling.

    Returns:
        patients, folds (that have a value), median, low, high, p.

    Raises:
        ValueError: fewer than three folds have a value.
    """
    values = values.dropna()
    groups = [group.to_numpy() for _, group in values.groupby(fold.loc[values.index])]
    if len(groups) < 3:
        raise ValueError(f"only {len(groups)} folds have a value: too few for an interval")
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(groups), size=(n_resamples, len(groups)))
    medians = [np.median(np.concatenate([groups[i] for i in draw])) for draw in draws]
    low, high = np.percentile(medians, [2.5, 97.5])
    p = stats.wilcoxon([np.median(group) for group in groups]).pvalue
    counts = {"patients": len(values), "folds": len(groups)}
    return counts | {"median": values.median(), "low": low, "high": high, "p": p}


QUESTIONS = {"contrast": "margin − core", "rho": "irregularity ρ"}
"""Columns of `margin_table`, and what they ask."""


def compare(
    tables: Mapping[str, Mapping[str, pd.DataFrame]], fold: pd.Series, other_folds: Mapping[str, pd.Series]
) -> pd.DataFrame:
    """`summarise` for every network, and for the trained one minus each of the others, patient by patient.

    Args:
        tables: method -> network ("trained" among them) -> `margin_table`.
        fold: of each patient, in the trained networks' cross-validation.
        other_folds: network -> its folds, where they are others. A difference is summarised by the trained ones' folds.

    Returns:
        Indexed by question, method and network ("trained", "random weights", "trained − random", ...).
    """
    rows = {}
    for method, found in tables.items():
        less = {f"trained − {name.split()[0]}": found["trained"] - found[name] for name in found if name != "trained"}
        for name, table in (dict(found) | less).items():
            for column, question in QUESTIONS.items():
                rows[question, method, name] = summarise(table[column], other_folds.get(name, fold))
    return pd.DataFrame(rows).T.rename_axis(["question", "method", "network"])


def among_permutations(tables: Mapping[str, Mapping[str, pd.DataFrame]], draws: pd.DataFrame) -> pd.DataFrame:
    """Where the trained networks' medians lie among those of networks that learnt from permuted labels.

    If the label meant nothing, the true labels would be one more permutation, so the rank of their networks is an exact
    test, and no network is taken for a sample of its own. Where the patients are some of each fold, the folds being
    those of the true labels, it is nearly so.

    Args:
        tables: method -> network ("trained" among them) -> `margin_table`.
        draws: medians over the patients, a row a permutation, question and method: columns permutation, patients,
            question, method, median; of the same patients as in `tables`.

    Returns:
        Indexed by question and method: permutations; median, low and high of their medians (the middle 95 %); and the
        one-sided p values `as_much`, that permuted labels give as high a median as the trained networks', and
        `as_little`.
    """
    rows = {}
    for method, found in tables.items():
        for column, question in QUESTIONS.items():
            asked = (draws.question == question) & (draws.method == method)
            medians, trained = draws.loc[asked, "median"], found["trained"][column].median()
            if len(medians):
                low, high = np.percentile(medians, [2.5, 97.5])
                spread = {"median": medians.median(), "low": low, "high": high}
                ranks = {"as_much": permutation_p(trained, medians), "as_little": permutation_p(-trained, -medians)}
                rows[question, method] = {"permutations": len(medians)} | spread | ranks
    index = pd.MultiIndex.from_tuples(list(rows), names=["question", "method"])
    columns = ["permutations", "median", "low", "high", "as_much", "as_little"]
    return pd.DataFrame(list(rows.values()), index, columns)


def judge(summaries: pd.DataFrame, ranks: pd.DataFrame) -> dict[tuple[str, str], Verdict]:
    """The article's claims on the margin (`verdicts.at_the_margin`), by question and method.

    Args:
        summaries: of `compare`, with random weights among the networks.
        ranks: of `among_permutations`; where a question and method has none, permuted labels do not count.
    """
    bounds, found = summaries[["low", "high"]].astype(float).sort_index(), {}
    for asked in dict.fromkeys(summaries.index.droplevel("network")):
        own = bounds.loc[asked]
        beyond = {"random weights": tuple(own.loc["trained − random"])}
        permuted = tuple(ranks.loc[asked, ["as_much", "as_little"]]) if asked in ranks.index else None
        found[asked] = at_the_margin(tuple(own.loc["trained"]), beyond, permuted)
    return found
