"""The glioblastoma slices and the task on which networks are pretrained.

The task: estimate what a masked tumour patch is composed of (shares of oedema, non-enhancing core, enhancing tumour).
The article does not state its pretraining task; the group's earlier work on glioblastoma classified the tissue at the
centre of a patch. Shares serve the transfer better: the input is the very patch of the target task, masked and centred
on the tumour, and a network that averages over positions, as ours do, cannot know which tissue lies at the centre.
"""

import io
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from PIL import Image
from torch.nn import functional

from .data.archive import CohortError
from .data.download import fetch_archive, keep_phantom
from .data.files import Files
from .patches import PATCH_SIZE, crop
from .support import progress, project_root

TISSUES = ("oedema", "non-enhancing core", "enhancing tumour")
"""Names of the labels 1–3; 0 is everything else."""
SPACING = 2
"""Millimetres a pixel of these slices; the LGG cohort has about 1, so patches are enlarged by this factor."""
HEIGHTS = (46, 62, 77, 93, 108, 124)
"""Axial slices taken from a Decathlon volume of 155: every tenth of its height from 0.3 to 0.8."""
DECATHLON_SEQUENCES = ("FLAIR", "T1w", "T1gd", "T2w")
"""The channels of a Decathlon volume, in order; the PNG slices hold T1gd alone."""
TASK01 = {
    "url": "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task01_BrainTumour.tar",
    "md5": "240a19d752f0d9e9101544901065d872",  # as in MONAI's DecathlonDataset
    "size": 7.1e9,
    "name": "Task01_BrainTumour",
}
"""The Decathlon's glioma task, for `download.fetch_archive`: 7.1 GB, CC BY-SA 4.0."""


@dataclass(frozen=True)
class GliomaSlices:
    """Axial slices of one sequence with tissue labels; one row of each member is one slice.

    Attributes:
        images: (N, 120, 120) uint8, skull-stripped.
        labels: (N, 120, 120) uint8: 0, or 1–3 as in `TISSUES`.
        table: N rows with columns case (`BRATS_001`) and z.
    """

    images: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame


def find_slices(where: str = "auto", n_phantom_cases: int = 200, seed: int = 0) -> Path | None:
    """Where the glioblastoma slices are.

    Args:
        where: a path; `phantom` for the synthetic set; `download` for the Decathlon's `Task01_BrainTumour`, fetched
            into `data/` where it is missing; `auto` for `data/` in the project, where that folder or
            `msd-brain-t1gd-slices(.zip)` may lie.
        n_phantom_cases: size of the synthetic set.
        seed: of the synthetic set.

    Returns:
        The path, or `None` when `auto` finds none: then the weights that the project ships are used.

    Raises:
        CohortError: nothing at that path, or the download failed.
    """
    data = project_root() / "data"
    if where == "phantom":
        from . import phantom

        name = f"phantom-glioblastoma-{n_phantom_cases}-{seed}"
        return keep_phantom(name, lambda folder: phantom.write_glioblastoma(folder, n_phantom_cases, seed))
    if where == "download":
        return fetch_archive(**TASK01)
    if where == "auto":
        names = ("msd-brain-t1gd-slices", "msd-brain-t1gd-slices.zip", "Task01_BrainTumour")
        return next((data / name for name in names if (data / name).exists()), None)
    path = Path(where).expanduser()
    path = path if path.is_absolute() else project_root() / path
    if not path.exists():
        raise CohortError(f"{path}: no such file or folder of glioblastoma slices; check PRETRAINING")
    return path


def open_slices(path: Path, sequence: str = "T1gd") -> GliomaSlices:
    """Read `images/` and `labels/` PNG pairs from a folder or a zip, or the Decathlon's NIfTI folder.

    Args:
        path: of the folder or zip.
        sequence: one of `DECATHLON_SEQUENCES`; PNG slices are T1gd.

    Raises:
        CohortError: neither layout is there, or not that sequence; a file cannot be read; a label is missing or has
            another size or an unknown value.
    """
    path = Path(path)
    volumes = (path / "imagesTr").is_dir()
    there = DECATHLON_SEQUENCES if volumes else ("T1gd",)
    if sequence not in there:
        raise CohortError(f"{path}: no sequence {sequence!r} there; choose one of {', '.join(there)}")
    rows = list(_read_nifti(path, DECATHLON_SEQUENCES.index(sequence)) if volumes else _read_png(path))
    if not rows:
        raise CohortError(
            f"{path}: neither images/ and labels/ with PNG files nor the Decathlon's imagesTr/ and labelsTr/ are there"
        )
    rows.sort(key=lambda row: row[:2])
    cases, heights, images, labels = zip(*rows, strict=True)
    return GliomaSlices(np.stack(images), np.stack(labels), pd.DataFrame({"case": cases, "z": heights}))


def _read_png(path: Path) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    files = Files(path)
    for name, problem in files.problems.items():
        raise CohortError(f"{path}: {name}: {problem}")
    pairs = {"images": {}, "labels": {}}
    for name in files.names():
        match = re.fullmatch(r"(.*/)?(images|labels)/([^/]+)_z([0-9]+)\.(?i:png)", name)
        if match:
            first = pairs[match[2]].setdefault((match[1], match[3], int(match[4])), name)
            if first != name:
                raise CohortError(f"{path}: {name} is the same slice as {first}; remove one of them")
        elif {"images", "labels"} & {*name.split("/")[:-1]}:
            raise CohortError(f"{path}: {name} is not named <case>_z<slice>.png; rename or remove it")
    images, labels = pairs.values()
    for key in sorted(images.keys() ^ labels.keys(), key=str):
        name, absent = (images[key], "label") if key in images else (labels[key], "image")
        raise CohortError(f"{path}: {name} has no {absent}; restore the {absent} or remove the file")
    for key in images:
        image, label = (decode(files, part[key], "L") for part in (images, labels))
        _check(f"{path}: {labels[key]}", image, label)
        yield key[1], key[2], image, label


def decode(files: Files, name: str, mode: str | None = None) -> np.ndarray:
    """A picture of an archive, converted to Pillow's `mode` if one is given; `CohortError` if it is none."""
    content = files.read(name)
    try:
        image = Image.open(io.BytesIO(content))
        return np.asarray(image.convert(mode) if mode else image)
    except Exception as error:  # what Pillow raises for a broken file has no class in common
        raise CohortError(f"{files.path}: {name} is no picture, or truncated; fetch the file again") from error


def _read_nifti(path: Path, channel: int) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    files = sorted((path / "imagesTr").glob("[!.]*.nii*"))
    for file in progress(files, len(files), "case"):
        label_file = path / "labelsTr" / file.name
        if not label_file.exists():
            raise CohortError(f"{file}: {label_file} is missing; restore the label or remove the image")
        volume = load_volume(file, 4, lambda array: np.asarray(array[..., channel], np.float32))
        tissue = load_volume(label_file, 3, np.asarray)
        if volume.shape != tissue.shape:
            raise CohortError(f"{file}: {volume.shape} voxels, its label has {tissue.shape}; they must agree")
        if volume.shape[:2] != (240, 240):
            raise CohortError(
                f"{file}: expected 240×240 voxels a slice, found {volume.shape}; is it of Task01_BrainTumour?"
            )
        high = np.percentile(volume[volume > 0], 99.5) if (volume > 0).any() else 1
        volume = np.rint(np.clip(volume / high, 0, 1) * 255)
        for z in (z for z in HEIGHTS if z < volume.shape[2] and (volume[:, :, z] > 0).any()):
            # 1 mm -> 2 mm. Rows run from front to back.
            image, label = volume[:, :, z].T, tissue[:, :, z].T.astype(np.uint8)
            _check(str(label_file), image, label)
            image = _blocks(image).mean(-1).astype(np.uint8)
            yield file.name.split(".")[0], z, image[::-1], _majority(label)[::-1]


def _blocks(image: np.ndarray) -> np.ndarray:
    """(2H, 2W) -> (H, W, 4): each block of 2×2 pixels."""
    height, width = (size // 2 for size in image.shape)
    return image.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(height, width, 4)


def _majority(label: np.ndarray) -> np.ndarray:
    """Label of most of each block's four pixels; on a tie the smaller one."""
    votes = (_blocks(label)[..., None] == np.arange(len(TISSUES) + 1)).sum(2)
    return votes.argmax(-1).astype(np.uint8)  # the first of the largest


def load_volume(file: Path, dimensions: int, read: Callable[[object], np.ndarray]) -> np.ndarray:
    """What `read` makes of a NIfTI file's voxels, H×W×D for three dimensions, H×W×D×4 for four."""
    try:
        image = nibabel.load(file)
        if image.ndim == dimensions and (dimensions < 4 or image.shape[3] == len(DECATHLON_SEQUENCES)):
            return read(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        reason = " ".join(str(error).split())  # nibabel's has several lines
        raise CohortError(f"{file}: truncated, or not a NIfTI file ({reason}); download it again") from error
    expected = "H×W×D×4" if dimensions == 4 else "H×W×D"
    raise CohortError(f"{file}: expected {expected}, found {image.shape}; is it a file of Task01_BrainTumour?")


def _check(name: str, image: np.ndarray, label: np.ndarray) -> None:
    if image.shape != label.shape:
        raise CohortError(f"{name}: {label.shape} pixels, its image has {image.shape}; they must agree")
    if label.max(initial=0) > len(TISSUES):
        raise CohortError(f"{name}: holds label {label.max()}; only 0 to {len(TISSUES)} are known")


def glioblastoma_like(slices: GliomaSlices) -> pd.Series:
    """True for each case whose enhancing tissue is at least a tenth of the tumour and that has a non-enhancing core.

    The data set mixes glioblastoma with lower-grade glioma and gives no grade. The rule keeps out cases that may be
    patients of the LGG cohort. It is a proxy.
    """
    counts = np.stack([(slices.labels == tissue).sum((1, 2)) for tissue in range(4)], 1)
    counts = pd.DataFrame(counts).groupby(slices.table.case.to_numpy()).sum()
    return pd.Series(high_grade(counts.to_numpy()), counts.index).rename_axis("case")


def high_grade(counts: np.ndarray) -> np.ndarray:
    """The rule of `glioblastoma_like`: (..., 4) pixels or voxels of the labels 0–3 of a case -> (...) bool."""
    return (counts[..., 2] > 0) & (counts[..., 3] >= 0.1 * counts[..., 1:].sum(-1))


def split_cases(cases: Collection[str], seed: int, held_out: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out cases, drawn at random by seed.

    Raises:
        CohortError: fewer than two cases.
    """
    if len(cases) < 2:
        raise CohortError(f"only {len(cases)} glioblastoma-like cases; at least 2 are needed to train and to hold out")
    cases = np.random.default_rng(seed).permutation(np.sort(np.asarray(cases)))
    n = max(1, round(held_out * len(cases)))
    return np.sort(cases[n:]), np.sort(cases[:n])


def composition_patches(
    slices: GliomaSlices, cases: Collection[str], per_slice: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masked tumour patches and the tissues they are composed of.

    Each tumour-bearing slice gives one patch around the tumour's centre of mass, as `patches.tumor_patch` does for the
    target task, and others around random pixels of the tumour.

    Args:
        slices: all slices.
        cases: the cases to draw from.
        per_slice: patches of each tumour-bearing slice.
        seed: of the random pixels.

    Returns:
        images (M, 1, 80, 80) uint8 at about 1 mm a pixel, 0 outside the tumour; fractions (M, 3) float32, the share of
        each of `TISSUES` in the visible tumour, rows sum to 1; case (M,).
    """
    rng = np.random.default_rng(seed)
    size = PATCH_SIZE // SPACING
    images, fractions, names = [], [], []
    for row in np.flatnonzero(slices.table.case.isin(set(cases)) & slices.labels.any((1, 2))):
        label = slices.labels[row]
        pixels = np.argwhere(label)
        centres = [np.rint(pixels.mean(0)).astype(int), *rng.choice(pixels, per_slice - 1)]
        for centre in centres:
            visible = crop(label, centre, size)
            if not visible.any():
                continue  # the centre of mass of a ring or of scattered foci can lie far from any of them
            images.append(np.where(visible > 0, crop(slices.images[row], centre, size), 0))
            counts = np.bincount(visible.ravel(), minlength=4)[1:]
            fractions.append(counts / counts.sum())
            names.append(slices.table.case[row])
    small = torch.from_numpy(np.stack(images))[:, None].float()
    large = functional.interpolate(small, size=(PATCH_SIZE, PATCH_SIZE), mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8).numpy(), np.array(fractions, np.float32), np.array(names)
