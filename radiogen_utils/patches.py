"""From an image and a tumour mask to the 80×80 patch that the network sees."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from skimage.filters import threshold_otsu

from .data import archive
from .data.archive import Archive, CohortError
from .data.cohort import SEQUENCES, Cohort, open_cohort
from .support import fingerprint, write_atomically

_DECISIVE = [Path(archive.__file__).with_name(f"{name}.py") for name in ("archive", "cohort", "files", "scan", "table")]
CODE = fingerprint(*(file.read_bytes() for file in (Path(__file__), *_DECISIVE)))
"""Fingerprint of the code that decides what a patch looks like, as it was imported."""

PATCH_SIZE = 80
NETWORK_CEILING = 2.5
"""Upper level for the networks, in multiples of the median of the patient's head: few tumours are brighter."""
FIGURE_PERCENTILES = (1, 97)
"""Levels of Figure 1. The published upper one lies at the 95th to 98th percentile of the FLAIR values."""


def tumor_patch(image: np.ndarray, mask: np.ndarray, size: int = PATCH_SIZE) -> np.ndarray:
    """Cut the masked tumour out of a slice, centred, as in Figure 1 of the article.

    Args:
        image: (H, W), or (H, W, C), any dtype.
        mask: (H, W); zero outside the tumour, anything else inside.
        size: side of the patch in pixels, S.

    Returns:
        (S, S), or (S, S, C), of the image's dtype: the image where the mask is set and 0 elsewhere, from rows and
        columns `[c - S // 2, c - S // 2 + S)` around the rounded centre of mass c of the mask; 0 beyond the slice.

    Raises:
        ValueError: the mask has no tumour pixel, or another shape than the image.

    Example:
        >>> tumor_patch(np.full((5, 5), 7), np.eye(5), size=3)
        array([[7, 0, 0],
               [0, 7, 0],
               [0, 0, 7]])
    """
    image, mask = np.asarray(image), np.asarray(mask) != 0
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image of {image.shape[:2]} and mask of {mask.shape} pixels differ")
    if not mask.any():
        raise ValueError("the mask has no tumour pixel: there is no tumour to centre a patch on")
    centre = centre_of_mass(mask)
    patch = crop(image, centre, size)
    patch[~crop(mask, centre, size)] = 0
    return patch


def centre_of_mass(mask: np.ndarray) -> list[int]:
    """Rounded centre of mass, row and column."""
    return [round(float(np.average(np.arange(len(sums)), weights=sums))) for sums in (mask.sum(1), mask.sum(0))]


def crop(image: np.ndarray, centre: Sequence[int], size: int) -> np.ndarray:
    """Copy of rows and columns `[c - size // 2, c - size // 2 + size)` around `centre`; 0 beyond the image's border."""
    result = np.zeros((size, size, *image.shape[2:]), image.dtype)
    corner = [c - size // 2 for c in centre]
    # Not strict: `image.shape` may end in channels, which are not cut.
    source = tuple(slice(max(a, 0), max(min(a + size, n), 0)) for a, n in zip(corner, image.shape, strict=False))
    part = image[source]
    target = tuple(slice(s.start - a, s.start - a + n) for s, a, n in zip(source, corner, part.shape, strict=False))
    result[target] = part
    return result


def exceeds(mask: np.ndarray, size: int = PATCH_SIZE) -> bool:
    """True where the tumour of a mask (H, W) is higher or wider than `size` pixels.

    Example:
        >>> exceeds(np.eye(5), size=4), exceeds(np.eye(5), size=5)
        (True, False)
    """
    return any(np.ptp(np.flatnonzero(mask.any(axis))) + 1 > size for axis in (0, 1))


def head_window(values: np.ndarray) -> tuple[float, float]:
    """Levels for the networks: 0, and `NETWORK_CEILING` times the median of the patient's head.

    It makes intensities multiples of what is usual in the patient's head. A high percentile would not: where the
    skull is not removed it is set by fat, whose brightness says nothing about the brain's.

    Args:
        values: uint8, any shape: a sequence in all tumour-bearing slices of one patient. Slices without tumour are
            left out, so that a partial archive and the whole one give the same patches. The head is what exceeds half
            of Otsu's threshold.
    """
    counts = np.array(Image.fromarray(values.reshape(-1, values.shape[-1])).histogram())  # faster than NumPy's
    if np.count_nonzero(counts) > 1:  # a blank sequence has no threshold
        counts[: int(threshold_otsu(hist=(counts, np.arange(256))) / 2) + 1] = 0
    median = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
    return 0.0, NETWORK_CEILING * max(float(median), 1.0)


def percentile_window(values: np.ndarray) -> tuple[float, float]:
    """Levels for display: `FIGURE_PERCENTILES` over all pixels of `values`, uint8 of any shape."""
    low, high = np.percentile(values, FIGURE_PERCENTILES)
    return float(low), float(max(high, low + 1))


def stretch(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Map a uint8 image linearly from `window` to 0–255, clipped; uint8 of the same shape.

    Example:
        >>> stretch(np.array([10, 50, 90, 200], np.uint8), (10, 90)).tolist()
        [0, 128, 255, 255]
    """
    low, high = window
    levels = np.clip((np.arange(256) - low) / (high - low), 0, 1) * 255
    return np.rint(levels).astype(np.uint8)[image]


def flair_slices(cohort: Cohort, case: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """FLAIR (N, H, W) uint8, masks (N, H, W) bool and numbers of the N tumour-bearing slices of one patient's case."""
    table = cohort.slices[(cohort.slices.case == case) & (cohort.slices.tumour_pixels > 0)]
    pairs = [cohort.read(case, number) for number in table.slice]
    flair = SEQUENCES.index("FLAIR")
    return (
        np.stack([image[..., flair] for image, _ in pairs]),
        np.stack([mask for _, mask in pairs]),
        table.slice.tolist(),
    )


def largest_slices(cohort: Cohort) -> pd.DataFrame:
    """Of every patient the slice with most tumour pixels: the row of `Cohort.slices`, index "patient"."""
    slices = cohort.slices
    return slices.loc[slices.groupby("patient").tumour_pixels.idxmax()].set_index("patient")


def sideways(cohort: Cohort) -> pd.Series:
    """By patient: how far the tumour's centre lies right of the head's middle on the image, in pixels.

    Measured in the slice of the largest tumour; the head is what `head_window` takes for it.
    """
    shifts = {}
    for patient, row in largest_slices(cohort).iterrows():
        image, mask = cohort.read(row.case, row.slice)
        flair = image[..., SEQUENCES.index("FLAIR")]
        head = flair > head_window(flair)[1] / NETWORK_CEILING / 2
        shifts[patient] = centre_of_mass(mask)[1] - centre_of_mass(head)[1]
    return pd.Series(shifts, name="shift").rename_axis("patient")


def head_medians(cohort: Cohort) -> pd.Series:
    """By patient: the head's median FLAIR intensity in the slice of the largest tumour; scanners differ in it."""
    rows = largest_slices(cohort)
    flair = SEQUENCES.index("FLAIR")
    found = {
        patient: head_window(cohort.read(row.case, row.slice)[0][..., flair])[1] / NETWORK_CEILING
        for patient, row in rows.iterrows()
    }
    return pd.Series(found, name="median").rename_axis("patient")


def figure_patch(cohort: Cohort, case: str, number: int) -> np.ndarray:
    """One patch as in Figure 1: (80, 80) uint8, FLAIR × mask, stretched between the case's two levels."""
    values, masks, numbers = flair_slices(cohort, case)
    row = numbers.index(number)
    return stretch(tumor_patch(values[row], masks[row]), percentile_window(values))


def figure1_slices(
    cohort: Cohort, column: str, published: Mapping[int, Sequence[tuple[str, int]]], seed: int
) -> dict[int, list[tuple[str, int]]]:
    """Cluster -> (case, slice) of the patches for Figure 1.

    Args:
        cohort: opened.
        column: a clustering.
        published: what the article shows (`article.FIGURE1`); taken where the cohort holds it all and `column` is the
            article's label.
        seed: of the draw otherwise: five patients of each cluster, the slice of the largest tumour.
    """
    present = set(zip(cohort.slices.case, cohort.slices.slice, strict=True))
    if column == "COCCluster" and {item for row in published.values() for item in row} <= present:
        return {cluster: list(items) for cluster, items in published.items()}
    rng, largest, clusters = np.random.default_rng(seed), largest_slices(cohort), cohort.patients[column].dropna()
    chosen = {}
    for cluster in sorted(clusters.unique()):
        names = clusters.index[clusters == cluster]
        picked = largest.loc[sorted(rng.choice(names, min(5, len(names)), replace=False))]
        chosen[int(cluster)] = list(zip(picked.case, picked.slice.astype(int), strict=True))
    return chosen


def known_facts(cohort: Cohort, case: str) -> str:
    """Age and grade of a patient, as far as they are known: "40 years, grade III"."""
    row = cohort.patients[cohort.patients.case == case].iloc[0]
    age, grade = (row.get(name) for name in ("age_at_initial_pathologic", "neoplasm_histologic_grade"))
    return ", ".join(
        [f"{age:.0f} years"] * (not pd.isna(age)) + [f"grade {'II' if grade == 1 else 'III'}"] * (not pd.isna(grade))
    )


def caption(cohort: Cohort, case: str, number: int) -> str:
    """Two lines below a picture: patient and slice; age and grade where they are known."""
    patient = cohort.patients.index[cohort.patients.case == case][0]
    return f"{patient.replace('_', '-')}, slice {number}\n{known_facts(cohort, case)}"


@dataclass(frozen=True)
class Patches:
    """All tumour patches of a cohort; one row of each member is one slice.

    Attributes:
        images: (N, 3, 80, 80) uint8, channels in the order of `data.SEQUENCES`, masked, between the patient's levels.
        masks: (N, 80, 80) bool, the tumour.
        table: N rows with columns patient, case, slice, label (1 for the predicted class, 0 for the rest) and
            exceeds (the tumour is larger than the patch).
        cohort_fingerprint: of the cohort that the patches come from.
    """

    images: np.ndarray
    masks: np.ndarray
    table: pd.DataFrame
    cohort_fingerprint: str

    def sequences(self, names: tuple[str, ...]) -> np.ndarray:
        """(N, len(names), 80, 80) uint8: the named sequences' channels; `("mask",)`: the mask alone, 0 or 255."""
        if names == ("mask",):
            return self.masks[:, None] * np.uint8(255)
        unknown = set(names) - set(SEQUENCES)
        if unknown:
            raise ValueError(f"unknown sequence {sorted(unknown)}; choose from {', '.join(SEQUENCES)}")
        return self.images[:, [SEQUENCES.index(name) for name in names]]

    def patch(self, case: str, number: int, sequence: str) -> np.ndarray:
        """(80, 80) uint8: one slice of one case in one sequence, as the networks see it."""
        (row,) = np.flatnonzero((self.table.case == case) & (self.table.slice == number))
        return self.sequences((sequence,))[row, 0]

    @property
    def labels(self) -> pd.Series:
        """Label by patient, sorted by patient."""
        return self.table.groupby("patient").label.first()

    @property
    def fingerprint(self) -> str:
        """Of images and table: of what a network gets to see, whatever else lies in the archive."""
        return fingerprint(self.images.tobytes(), self.table.to_csv(index=False))

    def institution_folds(self) -> pd.Series | None:
        """Fold of each patient such that each institution is one; `None` where the others would have one class only."""
        labels = self.labels
        folds = labels.index.to_series().str.split("_").str[1].astype("category").cat.codes.astype(int)
        both = all(labels[folds != fold].nunique() == 2 for fold in folds.unique())
        return folds if both else None

    def permuted(self, seed: int) -> "Patches":
        """The same patches with the labels permuted over the patients: a cohort in which the label means nothing."""
        labels = self.labels
        permuted = pd.Series(np.random.default_rng(seed).permutation(labels.to_numpy()), labels.index)
        return replace(self, table=self.table.assign(label=self.table.patient.map(permuted)))

    def save(self, path: Path, key: str = "") -> None:
        """Write everything into one `.npz` file; `key` tells `keep_patches` what it was made from."""
        columns = {f"table_{name}": column.to_numpy() for name, column in self.table.items()}
        columns = {name: array.astype(str) if array.dtype == object else array for name, array in columns.items()}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez(
                    file,
                    images=self.images,
                    masks=self.masks,
                    cohort_fingerprint=self.cohort_fingerprint,
                    key=key,
                    **columns,
                )

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> "Patches":
        """Read what `save` wrote, without pickle."""
        with np.load(path, allow_pickle=False) as file:
            table = {name.removeprefix("table_"): file[name] for name in file.files if name.startswith("table_")}
            return cls(file["images"], file["masks"], pd.DataFrame(table), str(file["cohort_fingerprint"]))


def build_patches(path: Path, column: str = "COCCluster", positive: int = 2) -> Patches:
    """Cut a patch from every tumour-bearing slice of every patient whose label is known, in one pass over the archive.

    Args:
        path: the cohort's folder or zip.
        column: of the patients' table; a clustering.
        positive: the label is 1 where the patient's `column` equals it.

    Raises:
        CohortError: no sound cohort there; unknown column or cluster; no patient with a known label.
    """
    cohort = open_cohort(path, _cut)
    labels = cohort.labels(column, positive).dropna()
    slices = cohort.slices[(cohort.slices.tumour_pixels > 0) & cohort.slices.patient.isin(labels.index)]
    if slices.empty:
        raise CohortError(f"{cohort.path}: no patient has a known {column}, so there is nothing to predict")
    images, masks, too_large = map(
        np.concatenate, zip(*(cohort.by_case[case] for case in slices.case.unique()), strict=True)
    )
    table = slices[["patient", "case", "slice"]].reset_index(drop=True)
    table = table.assign(label=table.patient.map(labels).astype(int), exceeds=too_large)
    return Patches(images, masks, table, cohort.fingerprint)


def _cut(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`Patches.images`, `Patches.masks` and the column `exceeds` for the tumour-bearing slices of one patient."""
    windows = [head_window(np.stack([image[..., k] for image, _ in pairs])) for k in range(len(SEQUENCES))]
    images = np.empty((len(pairs), len(SEQUENCES), PATCH_SIZE, PATCH_SIZE), np.uint8)
    masks = np.stack([crop(mask, centre_of_mass(mask), PATCH_SIZE) for _, mask in pairs])
    for row, (image, mask), inside in zip(images, pairs, masks, strict=True):
        patch = crop(image, centre_of_mass(mask), PATCH_SIZE)
        for channel, window in enumerate(windows):
            row[channel] = stretch(patch[..., channel], window) * inside
    return images, masks, np.array([exceeds(mask) for _, mask in pairs])


def keep_patches(file: Path, path: Path, column: str = "COCCluster", positive: int = 2) -> Patches:
    """`build_patches`, or what it left in `file` before if archive, label and code are still the same."""
    key = fingerprint(CODE, Archive(Path(path)).fingerprint(), column, positive)
    try:
        with np.load(file, allow_pickle=False) as saved:
            same = str(saved["key"]) == key
        if same:
            file.touch()  # as fresh as the run that relies on it
            return Patches.load(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not there, or damaged by a full disk, say
    data = build_patches(path, column, positive)
    data.save(file, key)
    return data
