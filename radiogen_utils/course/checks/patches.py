"""Checks of notebook 2."""

from collections.abc import Callable

import numpy as np

from ... import patches
from . import Wrong, exercise, kind, number, numbers


def _cases() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, image (H, W) and mask (H, W) of tumours in the middle, off it, at borders, and larger than the patch."""
    rng = np.random.default_rng(0)
    cases = []
    for name, rows, columns in (
        ("in the middle of the slice", (110, 141), (120, 149)),
        ("off the middle", (60, 91), (150, 201)),
        ("at the upper left border", (0, 25), (3, 31)),
        ("at the lower right border", (215, 256), (230, 256)),
        ("larger than the patch", (60, 180), (70, 200)),
    ):
        mask = np.zeros((256, 256), bool)
        mask[slice(*rows), slice(*columns)] = True
        mask[rows[0] : rows[0] + 8, columns[0] : columns[0] + 14] = False  # not symmetric
        cases.append((name, rng.integers(30, 256, (256, 256), np.uint8), mask))
    return cases


@exercise
def tumor_patch(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """Exercise: image × mask, cut out around the rounded centre of mass, zero-padded; as `patches.tumor_patch`."""
    cases = _cases()
    for name, image, mask in cases:
        before = image.copy(), mask.copy()
        found = answer(image, mask)
        if not (np.array_equal(image, before[0]) and np.array_equal(mask, before[1])):
            raise Wrong("the function changes the slice that it is given: work on a copy, image * mask for example")
        if not isinstance(found, np.ndarray):
            raise Wrong(f"an array is expected, not {kind(found)}")
        _compare(found, name, image, mask)
    return f"the same pixels as `patches.tumor_patch` on {len(cases)} slices, borders included"


def _compare(found: np.ndarray, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    right, size = patches.tumor_patch(image, mask), patches.PATCH_SIZE
    if found.shape != right.shape:
        if found.shape == image.shape:
            raise Wrong("that is still the whole slice: cut a square of 80×80 pixels out of it, around the tumour")
        padding = "; pad the slice with zeros before you cut" if "border" in name else ""
        raise Wrong(f"a tumour {name}: the patch has {found.shape} pixels instead of ({size}, {size}){padding}")
    if not found.any():
        raise Wrong(f"a tumour {name}: the patch is empty, so no tumour lies in it; what does your square begin with?")
    if np.array_equal(found, right):
        return
    centre = patches.centre_of_mass(mask)
    if np.array_equal(found, patches.crop(image, centre, size)):
        raise Wrong("the square is right, but the brain around the tumour is still there: multiply by the mask")
    masked = image * mask
    slice_centre = [n // 2 for n in image.shape]
    if np.array_equal(found, patches.crop(masked, slice_centre, size)):
        down, right_ = (c - m for c, m in zip(centre, slice_centre, strict=True))
        raise Wrong(
            f"a tumour {name}: the patch is centred on the whole slice, not on the tumour: shift by ({down}, {right_})"
        )
    if np.array_equal(found, right.T) or np.array_equal(found, patches.crop(masked, centre[::-1], size)):
        raise Wrong("rows and columns are swapped: the first index of an image is the row")
    for down in range(-size, size + 1):
        for across in range(-size, size + 1):
            if abs(down) + abs(across) < size and np.array_equal(
                found, patches.crop(masked, [centre[0] + down, centre[1] + across], size)
            ):
                what = "rounding: use round(), which does not cut off" if max(abs(down), abs(across)) == 1 else ""
                raise Wrong(
                    f"a tumour {name}: the patch lies off by ({down}, {across}) pixels, rows and columns; "
                    f"{what or 'is the centre that of the mask, and does the square begin half its side before it?'}"
                )
    raise Wrong(f"a tumour {name}: the patch is of the right size, but its pixels are others than image × mask")


@exercise
def kept(answer: float, masks: np.ndarray, slices_with_tumour: object) -> str:
    """Exercise: the share of all tumour pixels that lies within the patches.

    Args:
        answer: the reader's share.
        masks: `Patches.masks`.
        slices_with_tumour: tumour pixels of the same slices, before cutting.
    """
    inside, whole = int(np.sum(masks)), int(np.sum(slices_with_tumour))
    share = inside / whole
    hints = {
        inside: "that is the number of pixels within the patches; divide by all tumour pixels",
        1 - share: "that is the share that is cut off; the question asks for what is kept",
        float(np.mean(masks)): "that is the share of the patch that is tumour: mean() divides by all pixels",
    }
    number(answer, share, 0.0005, hints)
    return f"{share:.1%} of all tumour pixels lie within the patches"


@exercise
def level(answer: Callable[[np.ndarray, tuple[float, float]], np.ndarray]) -> str:
    """Exercise: map the levels between low and high to 0–1, clipped."""
    low, high = 20.0, 120.0
    image = np.array([[0, 20, 45], [70, 120, 255]], np.uint8)
    found = answer(image, (low, high))
    found = numbers(found, "grey values")
    if found.shape != image.shape:
        raise Wrong(f"the picture has {found.shape} pixels, the slice {image.shape}")
    linear = (image.astype(float) - low) / (high - low)
    if np.allclose(found, np.clip(linear, 0, 1), atol=1e-6):
        return "the lower level becomes 0, the upper one 1, and what lies beyond is clipped"
    if np.allclose(found, linear, atol=1e-6):
        raise Wrong("values below the lower level become negative and those above the upper one exceed 1: use np.clip")
    if np.allclose(found, np.clip(image / high, 0, 1), atol=1e-6):
        raise Wrong("the lower level should become 0: subtract it before you divide")
    if np.allclose(found, 255 * np.clip(linear, 0, 1), atol=1e-6):
        raise Wrong("that runs from 0 to 255; white should be 1")
    if np.allclose(found, np.clip(image, low, high)):
        raise Wrong("cut off, but not stretched: subtract the lower level and divide by the distance first")
    if np.allclose(found, image / 255):
        raise Wrong("the two levels come from `window`, not from the darkest and the brightest pixel of the image")
    if np.allclose(found, np.clip((image - low) / high, 0, 1), atol=1e-6):
        raise Wrong("divide by the distance between the two levels, not by the upper one")
    raise Wrong(f"the lower level {low:g} becomes {found[0, 1]:.3g} and the upper one {found[1, 1]:.3g}, not 0 and 1")
