"""Read somebody's own image and tumour mask, and refuse what no network of this course should score.

PNG, TIFF and other pictures, and DICOM, hold one slice; NIfTI one slice or a volume. Intensities of 16 bits and of
floating point become 8 bits, as in the cohort.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, io_orientation
from PIL import Image
from skimage.filters import threshold_otsu

from ..support import CourseError
from .files import kind_of

FORMATS = "PNG, TIFF, NIfTI or DICOM"
MOST_LABELS = 5
"""A mask may name parts of the tumour; with more values than these it is an image."""
BRIGHT = 99.9
"""Percentile of the intensities that becomes 255, where they are not 8 bits: a few hot pixels shall not decide."""
MOST_OF_HEAD, MOST_OF_BORDER, MOST_ON_AIR = 0.5, 0.3, 0.7
"""Largest shares that are taken: of the head that is tumour, of the image's border that is head, and of the tumour that
is as dark as air. In no slice of the cohort do they exceed 0.32, 0.24 and 0.64."""


class UnusableImage(CourseError, ValueError):
    """The image or mask cannot be used: one line that names the file and says what to do."""


@dataclass(frozen=True)
class OwnImage:
    """The tumour-bearing slices of one examination, FLAIR.

    Attributes:
        values: (S, H, W) uint8; air is near 0.
        masks: (S, H, W) bool, the tumour.
        name: what to call it.
        pixel: height and width of a pixel in mm; `None` where the file does not tell.
        synthetic: it shows a phantom.
        oriented: the patient's right is known to be on the left.
    """

    values: np.ndarray
    masks: np.ndarray
    name: str
    pixel: tuple[float, float] | None = None
    synthetic: bool = False
    oriented: bool = False

    @property
    def head(self) -> np.ndarray:
        """(S, H, W) bool: what exceeds half of Otsu's threshold, as for `patches.head_window`."""
        return self.values > int(threshold_otsu(self.values) / 2)

    @property
    def largest(self) -> int:
        """The slice with the largest tumour."""
        return int(self.masks.sum((1, 2)).argmax())


def read(image: str | Path, mask: str | Path) -> OwnImage:
    """Read an image and the mask of its tumour.

    Args:
        image: a FLAIR slice, the whole head in view, as PNG, TIFF, NIfTI or DICOM; or a FLAIR volume as NIfTI.
        mask: of the same size, and in the same orientation; 0 outside the tumour, another value, or up to four, inside.

    Raises:
        UnusableImage: not such a file; or image and mask cannot be of one head with one tumour.
    """
    if not (str(image) and str(mask)):
        raise UnusableImage("image and mask: one of the two is missing; give the path of both")
    image, mask = (Path(path).expanduser().absolute() for path in (image, mask))
    values, pixel, grid = _open(image)
    marked, _, mask_grid = _open(mask, is_mask=True)
    if values.shape != marked.shape:
        sizes = ["×".join(map(str, array.shape[array.shape[0] == 1 :])) for array in (marked, values)]
        raise UnusableImage(f"{mask}: mask of {sizes[0]} pixels, image of {sizes[1]}; export both from one grid")
    if (grid is None) != (mask_grid is None):
        raise UnusableImage(f"{mask}: only one of image and mask is NIfTI, so they may be turned; give both as NIfTI")
    if grid is not None and not np.allclose(grid, mask_grid, atol=0.01):
        raise UnusableImage(f"{mask}: lies elsewhere in space than the image; resample it to the image's grid")
    masks = _binary(marked, mask)
    bearing = masks.any((1, 2))
    own = OwnImage(_eight_bits(values[bearing], image), masks[bearing], image.name, pixel, oriented=grid is not None)
    _check(own, image, mask)
    return own


def _open(path: Path, is_mask: bool = False) -> tuple[np.ndarray, tuple[float, float] | None, np.ndarray | None]:
    """Values (S, H, W), size of a pixel in mm, and where a NIfTI file's voxels lie; `None` where unknown."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise UnusableImage(f"{path}: {what}; give the path of one file, {FORMATS}")
    with open(path, "rb") as file:
        head = file.read(132)
    is_dicom = head[128:] == b"DICM"
    if is_dicom and is_mask:
        raise UnusableImage(f"{path}: a mask as DICOM is not read; export it as PNG or TIFF")
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            return _nifti(path)
        return (*(_dicom(path) if is_dicom else (_picture(path, is_mask), None)), None)
    except UnusableImage:
        raise
    except Exception as error:  # what the three libraries raise for a broken file has no class in common
        kind, reason = kind_of(head), " ".join(str(error).split()) or type(error).__name__
        cause = f"{kind} that cannot be read" if kind else "cannot be read"
        raise UnusableImage(f"{path}: {cause} ({reason:.120}); export it again, as {FORMATS}") from error


def _picture(path: Path, is_mask: bool) -> np.ndarray:
    """(1, H, W) of a picture of one page, one channel or several that are equal; of a mask's, the highest."""
    with Image.open(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise UnusableImage(f"{path}: {picture.n_frames} pages; save one slice as a file of one page")
        palette = picture.mode in ("P", "PA")
        values = np.asarray(picture.convert("RGB") if palette else picture)
        transparent = not palette and picture.mode.endswith("A")
    if values.ndim == 2:
        return values[None]
    values = values[..., :-1] if transparent else values
    if not is_mask and int(np.ptp(values, axis=-1).max()) > 8:  # JPEG gives equal channels only nearly back
        raise UnusableImage(
            f"{path}: in colour; give a grey FLAIR slice (of an image in the cohort's layout, its second channel alone)"
        )
    return values.max(-1)[None]


def _nifti(path: Path) -> tuple[np.ndarray, tuple[float, float], np.ndarray]:
    """Axial slices from bottom to top, rows from front to back, columns from the patient's right to left."""
    loaded = nibabel.load(path)
    if len(loaded.shape) > 3 and set(loaded.shape[3:]) != {1} or len(loaded.shape) < 2:
        shape = "×".join(map(str, loaded.shape))
        raise UnusableImage(f"{path}: {shape} voxels; give FLAIR alone, as a volume of three dimensions or one slice")
    values = np.asarray(loaded.dataobj).reshape(*loaded.shape[:2], -1)
    axes = io_orientation(loaded.affine)
    values = apply_orientation(values, axes)[::-1, ::-1].transpose(2, 1, 0)
    width, height, _ = voxel_sizes(loaded.affine)[np.argsort(axes[:, 0])]
    return values, (float(height), float(width)), loaded.affine


def _dicom(path: Path) -> tuple[np.ndarray, tuple[float, float] | None]:
    data = pydicom.dcmread(path)
    if data.get("Modality", "MR") != "MR":
        raise UnusableImage(f"{path}: of modality {data.Modality}, not MR; give a FLAIR slice")
    values = data.pixel_array
    if values.ndim != 2:
        raise UnusableImage(f"{path}: {'×'.join(map(str, values.shape))} pixels; give one slice, in grey")
    values = values * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
    if data.PhotometricInterpretation == "MONOCHROME1":  # white is 0
        values = values.max() - values
    spacing = data.get("PixelSpacing")
    return values[None], tuple(map(float, spacing)) if spacing else None


def _binary(marked: np.ndarray, path: Path) -> np.ndarray:
    values = np.unique(marked)
    if len(values) > MOST_LABELS:
        advice = "export it as 0 and 255, without smoothing or JPEG compression"
        raise UnusableImage(f"{path}: {len(values)} different values, so it is not a mask; {advice}")
    masks = marked != 0
    if not masks.any():
        raise UnusableImage(f"{path}: the mask has no tumour pixel; mark the tumour with a value other than 0")
    return masks


def _eight_bits(values: np.ndarray, path: Path) -> np.ndarray:
    """Intensities as uint8, 0 staying 0; 8 bits stay as they are."""
    if not np.isfinite(values).all():
        raise UnusableImage(f"{path}: holds NaN or infinite values; write 0 where nothing was measured")
    if (np.ptp(values.reshape(len(values), -1).astype(float), axis=1) == 0).any():
        raise UnusableImage(
            f"{path}: a slice is empty, all its pixels are equal, where the mask has tumour; choose another"
        )
    if values.dtype == np.uint8:
        return values
    bright = np.percentile(values, BRIGHT)
    if values.min() < -0.01 * bright:  # an interpolation may overshoot by a little
        advice = "give the intensities as the scanner wrote them, where air is near 0"
        raise UnusableImage(f"{path}: negative intensities, as after a z-score or in CT; {advice}")
    if bright <= 0:
        raise UnusableImage(f"{path}: almost every pixel is 0; give a FLAIR slice with the whole head in view")
    return np.rint(np.clip(values / bright, 0, 1) * 255).astype(np.uint8)


def _check(own: OwnImage, image: Path, mask: Path) -> None:
    """Refuse what cannot be a whole head with a tumour in it."""
    head, tumour = own.head, own.masks
    of_head = tumour.sum() / max(head.sum(), 1)
    if of_head > MOST_OF_HEAD:
        advice = "give the whole slice rather than a cut-out, and a mask of the tumour alone, not inverted"
        raise UnusableImage(
            f"{mask}: the mask is {of_head:.0%} as large as all that is bright in {image.name}; {advice}"
        )
    border = np.concatenate([head[:, [0, -1]].ravel(), head[:, :, [0, -1]].ravel()]).mean()
    if border > MOST_OF_BORDER:
        advice = "give the whole slice, uncropped: intensities are measured against the head's median"
        raise UnusableImage(f"{image}: no air around the head ({border:.0%} of the image's border is bright); {advice}")
    on_air = 1 - head[tumour].mean()
    if on_air > MOST_ON_AIR:
        advice = "check that image and mask are of the same slice and not mirrored or turned"
        raise UnusableImage(f"{mask}: {on_air:.0%} of the mask lies on air; {advice}")
