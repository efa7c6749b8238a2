"""Glioblastoma in three sequences: tumour patches with tissue labels, from cut slices or from the Decathlon's volumes.

Two layouts give the same kind of patches, at 0.94 mm a pixel (the LGG cohort has about 0.97):

- `images/<case>_z<slice>.png` (32×32×3, channels as in `cohort.SEQUENCES`), `labels/…` and `slices.csv`: lesions of
  BraTS 2020, cut out at 1.875 mm a pixel;
- the Decathlon's `Task01_BrainTumour` folder (`imagesTr/`, `labelsTr/`): volumes of 1 mm, reduced to 1.875 mm here.

In both, intensities are z-scores over the brain, −3 … 6 mapped to 1 … 255.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .data.files import CohortError, Files
from .patches import PATCH_SIZE, centre_of_mass, crop
from .pretraining import (
    DECATHLON_SEQUENCES,
    TISSUES,
    GliomaSlices,
    decode,
    glioblastoma_like,
    high_grade,
    load_volume,
)
from .support import progress, project_root

NAMES = ("brats-hgg-lesion-slices", "brats-hgg-lesion-slices.zip", "Task01_BrainTumour")
"""What such a folder or zip is called."""
GRID = 128
"""Pixels along a side of a whole slice of 240 mm, at 1.875 mm a pixel."""
EVERY = 5
"""Of a Decathlon volume, one in so many axial slices that bear tumour; neighbours look nearly the same."""


@dataclass(frozen=True)
class LesionPatches:
    """Masked tumour patches of glioblastoma with their tissues; one row of each member is one slice of a lesion.

    Attributes:
        images: (N, 3, 80, 80) uint8, channels in the order of `cohort.SEQUENCES`, 0 outside the tumour.
        tissues: (N, 80, 80) uint8: 0, or 1–3 as in `pretraining.TISSUES`.
        case: (N,) the patient.
    """

    images: np.ndarray
    tissues: np.ndarray
    case: np.ndarray


def find_lesions(where: str, folders: Iterable[Path]) -> Path | None:
    """Where glioblastoma in three sequences is.

    Args:
        where: a path, a relative one from the project's root; or `auto`: the first of `NAMES` in `folders`.
        folders: to look into.

    Returns:
        The path, or `None` where `auto` finds none.

    Raises:
        CohortError: nothing at that path.
    """
    if where == "auto":
        return next((folder / name for folder in folders for name in NAMES if (folder / name).exists()), None)
    path = project_root() / Path(where).expanduser()
    if not path.exists():
        raise CohortError(f"{path}: no such file or folder of glioblastoma; check `lesions`")
    return path


def of_slices(slices: GliomaSlices) -> LesionPatches:
    """Patches of glioblastoma-like cases in one sequence of 2 mm a pixel, repeated in all three channels."""
    likely = glioblastoma_like(slices)
    keep = slices.table.case.isin(likely.index[likely]) & slices.labels.any((1, 2))
    found = [
        (_patch(image[..., None].repeat(3, -1), label), case)
        for image, label, case in zip(slices.images[keep], slices.labels[keep], slices.table.case[keep], strict=True)
    ]
    return _collect(found)


def open_lesions(path: Path, volumes: int | None = None) -> LesionPatches:
    """Read glioblastoma patches from a folder or zip of cut slices, or from the Decathlon's folder.

    Args:
        path: of the folder or zip.
        volumes: read at most so many of the Decathlon's volumes, each of which takes a second; `None`: all.

    Raises:
        CohortError: neither layout is there; a case is not known to be high-grade or is one of the LGG cohort; a file
            is missing, damaged, or of another size or content.
    """
    path = Path(path)
    slices = _volumes(path, volumes) if (path / "imagesTr").is_dir() else _cut_slices(path)
    rows = [(_patch(image, tissue), case) for image, tissue, case in slices]
    if not rows:
        raise CohortError(f"{path}: no slice bears tumour; is it the right folder?")
    return _collect(rows)


def _collect(rows: list[tuple[tuple[np.ndarray, np.ndarray], str]]) -> LesionPatches:
    patches, cases = zip(*rows, strict=True)
    images, tissues = map(np.stack, zip(*patches, strict=True))
    return LesionPatches(images, tissues, np.array(cases))


def _patch(image: np.ndarray, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) and (h, w) at 1.875 mm -> (3, 80, 80) and (80, 80) at half that, centred as `patches.tumor_patch`."""
    tissue = tissue.repeat(2, 0).repeat(2, 1)
    channels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    large = functional.interpolate(channels, scale_factor=2, mode="bilinear", align_corners=False)[0]
    large = large.round().to(torch.uint8).numpy().transpose(1, 2, 0)
    centre = centre_of_mass(tissue > 0)
    tissue = crop(tissue, centre, PATCH_SIZE)
    return crop(large, centre, PATCH_SIZE).transpose(2, 0, 1) * (tissue > 0), tissue


def _cut_slices(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    files = Files(path)
    for row in csv.DictReader(io.StringIO(files.read("slices.csv").decode("utf-8"))):
        name, case = row["file"], row["patient"]
        if row["grade"] != "HGG" or row["in_lgg110"] != "0":
            raise CohortError(f"{path}: {case} is not high-grade or is in the LGG cohort; remove it from slices.csv")
        image, tissue = (decode(files, f"{part}/{name}") for part in ("images", "labels"))
        if image.shape != (*tissue.shape, 3) or tissue.max(initial=0) > len(TISSUES):
            raise CohortError(
                f"{path}: {name}: expected H×W×3 and labels 0–3 of H×W, found {image.shape}, {tissue.shape}"
            )
        if tissue.any():
            yield image, tissue, case


def _volumes(path: Path, limit: int | None) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    channels = [DECATHLON_SEQUENCES.index(name) for name in ("T1w", "FLAIR", "T1gd")]
    files = sorted((path / "imagesTr").glob("[!.]*.nii*"))[:limit]
    for file in progress(files, len(files), "case"):
        label = path / "labelsTr" / file.name
        if not label.exists():
            raise CohortError(f"{file}: {label} is missing; restore the label or remove the image")
        volume = load_volume(file, 4, lambda array: np.asarray(array, np.float32))[..., channels]
        tissue = load_volume(label, 3, np.asarray)
        if volume.shape[:3] != tissue.shape or volume.shape[:2] != (240, 240):
            raise CohortError(f"{file}: {volume.shape[:3]} voxels, its label {tissue.shape}; expected 240×240 a slice")
        if not high_grade(np.bincount(tissue.ravel().astype(int), minlength=4)):
            continue
        brain = volume.any(-1)
        mean, sd = volume[brain].mean(0), np.maximum(volume[brain].std(0), 1e-6)
        grey = np.clip(((volume - mean) / sd + 3) / 9 * 254 + 1, 1, 255) * brain[..., None]
        for z in np.flatnonzero(tissue.any((0, 1)))[EVERY // 2 :: EVERY]:
            # Rows run from front to back. Means of the pixels for the image, the nearest pixel for the label.
            image = torch.from_numpy(np.ascontiguousarray(grey[:, ::-1, z].transpose(2, 1, 0)))[None]
            image = functional.interpolate(image, (GRID, GRID), mode="area")[0].numpy().transpose(1, 2, 0)
            labels = torch.from_numpy(np.ascontiguousarray(tissue[:, ::-1, z].T))[None, None].float()
            labels = functional.interpolate(labels, (GRID, GRID), mode="nearest-exact")[0, 0].numpy().astype(np.uint8)
            if labels.any():
                yield np.rint(image).astype(np.uint8), labels, file.name.split(".")[0]
