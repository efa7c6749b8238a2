"""Checks of notebook 6."""

from collections.abc import Callable

import numpy as np
import torch

from ... import heatmaps, models
from . import Wrong, exercise, number, numbers


def _network() -> tuple[torch.nn.Module, torch.Tensor]:
    """A small network with weights of both signs in its head, and two patches (2, 1, 80, 80) float."""
    network = models.create("compact", 1, 1, seed=3).eval()
    with torch.no_grad():
        network.head.weight.sub_(network.head.weight.mean())
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 80, 80), np.uint8)
    images[:, :, :16] = 0
    return network, torch.as_tensor(images) / 255


def _array(found: object, shape: tuple[int, ...]) -> np.ndarray:
    what = "maps" if len(shape) > 1 else "answers"
    found = numbers(found, what)
    if found.shape != shape:
        each = "one map an image, a value a cell" if len(shape) > 1 else "one number an image"
        raise Wrong(f"the {what} have the shape {found.shape} instead of {shape}: {each}")
    return found


@exercise
def grad_cam(answer: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]) -> str:
    """Exercise: Grad-CAM by hand; a network and (N, 1, 80, 80) float images -> (N, 10, 10), compared with grad-cam."""
    network, images = _network()
    try:
        found = answer(network, images)
    except AttributeError as error:
        if "NoneType" not in str(error):
            raise
        raise Wrong(
            "your maps have no gradient: call `maps.retain_grad()`, and compute the answer from these same maps"
        ) from None
    except RuntimeError as error:
        if "scalar outputs" not in str(error):
            raise
        raise Wrong("`backward()` needs a single number: add up the answers of all images, `.sum()`") from None
    found = _array(found, (len(images), 10, 10))
    if not found.any():
        raise Wrong("the maps are empty, though something speaks for the class in both images")
    signed = heatmaps.class_activation(network, (images * 255).round().to(torch.uint8).numpy()) / 100
    right = np.maximum(signed, 0)
    shown = heatmaps.enlarge(found.astype(np.float32), (80, 80))
    theirs = heatmaps.grad_cam(network, (images * 255).round().to(torch.uint8).numpy())
    if np.allclose(shown, theirs, atol=1e-4 * theirs.max()):
        return "the same maps as the package `pytorch-grad-cam`"
    scaled = right / right.max((1, 2), keepdims=True)
    for mistake, hint in (
        (signed, "negative values are left: keep what is above 0 (relu)"),
        (-signed, "the sign is turned round, and negative values are left"),
        (np.maximum(-signed, 0), "the sign is turned round: these are the places that speak against the class"),
        (100 * right, "a hundred times too large: average the gradient over the cells, do not add it up"),
        (right / 128, "128 times too small: add up over the maps, do not average them"),
        (scaled, "each map is scaled to 1: then a patient without any evidence looks like one with much"),
    ):
        if np.allclose(found, mistake, atol=1e-4 * np.abs(mistake).max()):
            raise Wrong(hint)
    if (found >= 0).all() and np.allclose(found[0] / found[0].max(), scaled[0], atol=1e-3):
        factor = found[0].max() / right[0].max()
        raise Wrong(f"right up to a factor of {factor:.3g}: take the gradient of the log-odds, not of a probability")
    raise Wrong("these are other maps: weigh each feature map by the mean of its gradient, then add up over the maps")


@exercise
def contrast(answer: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> str:
    """Exercise: (band − core) / (band + core) of the mean attention, from a heatmap, the tumour and its margin band."""
    y, x = np.mgrid[:80, :80] - 40
    mask = np.hypot(x, y) <= 25
    band = heatmaps.margin_band(mask, heatmaps.MARGIN_WIDTH)
    core = mask & ~band
    heatmap = np.random.default_rng(0).random((80, 80)) * np.where(band, 2.0, 0.7)
    found = answer(heatmap, mask, band)
    outer, inner = heatmap[band].mean(), heatmap[core].mean()
    right = float((outer - inner) / (outer + inner))
    sums = (heatmap[band].sum() - heatmap[core].sum()) / (heatmap[band].sum() + heatmap[core].sum())
    outside, whole = heatmap[~band].mean(), heatmap[mask].mean()
    hints = {
        -right: "the sign is turned round: the band comes first",
        sums: "use means, not sums: a band of more pixels would win by its size",
        outer - inner: "divide by the sum of the two, so that it lies between −1 and 1",
        outer - inner / outer + inner: "round brackets are missing: (band − core) / (band + core)",
        outer / inner: "that is the ratio; the contrast is the difference over the sum",
        (outer - outside) / (outer + outside): "the core is inside the tumour: mask & ~band, not ~band",
        (outer - whole) / (outer + whole): "the core is the tumour without its band: mask & ~band, not mask",
    }
    where = f"with a mean attention of {outer:.3f} in the band and {inner:.3f} in the core"
    number(found, right, 1e-6, {float(mistake): hint for mistake, hint in hints.items()}, where)
    return "1 would be all attention in the margin band, −1 all in the core"


@exercise
def exact(answer: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]) -> str:
    """Exercise: the log-odds from a class activation map; a network and (N, 1, 80, 80) float images -> (N,)."""
    network, images = _network()
    asked = []  # the head, given the averages of all cells: then there was no map

    def of_averages(_: torch.nn.Module, given: tuple[torch.Tensor], __: torch.Tensor) -> None:
        asked.append(given[0].ndim == 2 and len(given[0]) == len(images))

    with network.head.register_forward_hook(of_averages):
        found = _array(answer(network, images), (len(images),))
    with torch.inference_mode():
        right = network(images)[:, 0].numpy()
    bias = float(network.head.bias.detach())
    if np.allclose(found, right, atol=1e-4):
        if any(asked):
            raise Wrong(
                "that is the network's own answer; compute it from the map: weights times feature maps, cell by cell"
            )
        return "the cells' mean plus the bias is the network's own answer: the map leaves nothing out"
    if np.allclose(found, right - bias, atol=1e-4):
        raise Wrong(f"the head's bias is missing ({bias:.3f})")
    if np.allclose(found, 100 * (right - bias) + bias, atol=1e-2):
        raise Wrong("the network averages over the cells; you have added them up")
    if np.allclose(found, (right - bias) / 128 + bias, atol=1e-4):
        raise Wrong("add up over the 128 maps; only over the cells you average")
    raise Wrong(f"{found[0]:.3f} for the first image, but the network says {right[0]:.3f}")
