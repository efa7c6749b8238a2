"""Checks of notebook 3."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ... import dense, models
from ...pretraining import TISSUES
from . import Wrong, exercise, kind, number, numbers


@exercise
def cell_shares(answer: Callable[[np.ndarray], np.ndarray]) -> str:
    """Exercise: the dense target, (80, 80) labels -> (3, 10, 10) shares of each cell's area."""
    labels = np.random.default_rng(0).integers(0, 4, (80, 80), np.uint8)
    labels[:24] = labels[:24] // 3
    labels[40:48, 16:24] = 0
    found = numbers(answer(labels.copy()), "shares")
    right = dense.tissue_shares(torch.as_tensor(labels)[None], (10, 10))[0].numpy()
    if found.shape == (10, 10, 3):
        raise Wrong("the shape is (10, 10, 3): the tissues come first; see np.stack")
    if found.shape == (4, 10, 10):
        raise Wrong("four shares a cell: label 0 is no tissue, leave it out")
    if found.shape != right.shape:
        raise Wrong(
            f"the shape is {found.shape} instead of {right.shape}: after `reshape(10, 8, 10, 8)` the pixels within a "
            "cell are on axes 1 and 3, and the mean is over these"
        )
    if np.allclose(found, right, atol=1e-6):
        return "the same shares as `dense.tissue_shares`; a cell without tumour has none"
    inside = right / np.maximum(right.sum(0), 1e-9)
    shifted = np.stack([(labels == k).reshape(10, 8, 10, 8).mean((1, 3)) for k in range(3)])
    for mistake, hint in (
        (64 * right, "these are numbers of pixels: divide by the 64 pixels of a cell"),
        (100 * right, "right in per cent; give shares between 0 and 1"),
        (inside, "these are shares of the tumour in a cell; the target is the share of the whole cell, tumour or not"),
        (right.transpose(0, 2, 1), "rows and columns of the cells are swapped"),
        (shifted, "the tissues are labelled 1, 2 and 3, not 0, 1 and 2"),
        ((labels == 0).reshape(10, 8, 10, 8).mean((1, 3)) * np.ones((3, 1, 1)), "that is the share without tumour"),
    ):
        if np.allclose(np.nan_to_num(found), mistake, atol=1e-6):
            raise Wrong(hint)
    tissue, row, column = np.unravel_index(np.abs(found - right).argmax(), right.shape)
    raise Wrong(
        f"{TISSUES[tissue]} in the cell of row {row} and column {column}: {found[tissue, row, column]:.2f} "
        f"instead of {right[tissue, row, column]:.2f}; is a cell a block of 8×8 pixels?"
    )


@exercise
def leak(answer: float, case: np.ndarray, held_out: np.ndarray) -> str:
    """Exercise: the share of held-out patches whose patient is among the training patches as well.

    Args:
        answer: the reader's.
        case: (N,) patient of each patch.
        held_out: (N,) bool.
    """
    known = np.isin(case[held_out], case[~held_out])
    share = float(known.mean())
    hints = {
        int(known.sum()): "that is their number; divide by the number of held-out patches",
        float(np.isin(case[~held_out], case[held_out]).mean()): "that is the share of the training patches: swap them",
        float(held_out.mean()): "that is the share of patches that are held out; ask whose patients they are",
        1 - share: "that is the share whose patient is new",
    }
    if share == 1 and answer == 100:
        raise Wrong("right in per cent; give it as a share between 0 and 1")
    number(answer, share, 0.0005, hints)
    return f"{share:.1%} of the held-out patches come from a patient whom the network has seen"


@exercise
def reuse(answer: Callable[[dict], nn.Module]) -> str:
    """Exercise: a network with one output whose layers are pretrained, all but the head."""
    weights = models.create("compact", 1, len(TISSUES), seed=7).state_dict()
    try:
        found = answer({name: value.clone() for name, value in weights.items()})
    except RuntimeError as error:
        if "size mismatch for head" in str(error):
            raise Wrong(
                "the pretrained head has three outputs and does not fit the new one: leave out the entries of the "
                "weights that begin with `head.`"
            ) from None
        if "Missing key" in str(error):
            raise Wrong("the new head has no pretrained weights: load the others with `strict=False`") from None
        raise
    if not isinstance(found, nn.Module):
        report = hasattr(found, "missing_keys")
        what = "that is the report of `load_state_dict`" if report else f"not {kind(found)}"
        raise Wrong(f"return the network itself: {what}")
    state = found.state_dict()
    if state["head.weight"].shape[0] != 1:
        raise Wrong(f"the network has {state['head.weight'].shape[0]} outputs; the target task needs one")
    body = [name for name in weights if not name.startswith("head.")]
    same = [name for name in body if torch.equal(state[name], weights[name])]
    if len(same) < len(body):
        missing = next(name for name in body if name not in same)
        raise Wrong(f"{len(same)} of {len(body)} tensors are the pretrained ones; {missing} is not: is it loaded?")
    return f"{len(body)} tensors are the pretrained ones, and the head is new"
