"""Open the lower-grade glioma (LGG) cohort.

Source: Kaggle data set mateuszbuda/lgg-mri-segmentation: 3,929 slices of 110 patients from the TCIA collection
TCGA-LGG, about 1 GB unpacked, CC BY-NC-SA 4.0. Its layout: `archive`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..support import fingerprint
from .archive import Archive
from .files import CohortError
from .scan import CaseFunction, check_size, open_image, open_mask, scan

SEQUENCES = ("pre-contrast", "FLAIR", "post-contrast")
"""The channels of an image, in order."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """An LGG cohort, opened by `open_cohort`.

    Attributes:
        path: the folder or zip.
        patients: one row a patient, index "patient" (TCGA_CS_4941), sorted; columns `case` (its folder), `institution`,
            then those of data.csv as float, NaN where blank.
        slices: one row a slice, sorted by patient and slice; columns `patient`, `case`, `slice` (int),
            `tumour_pixels` (int).
        fingerprint: SHA-256 over table and tumour-bearing files, the provenance of results. A folder and its zip have
            the same, with or without the slices that bear no tumour.
        by_case: case -> what `open_cohort`'s `each_case` returned.
    """

    path: Path
    patients: pd.DataFrame
    slices: pd.DataFrame
    fingerprint: str
    by_case: dict[str, Any] = field(repr=False)
    _archive: Archive = field(repr=False)
    _names: dict = field(repr=False)

    @property
    def synthetic(self) -> bool:
        """True for the phantom."""
        return is_phantom(self.patients)

    def read(self, case: str, slice: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3), uint8, channels in the order of `SEQUENCES`, and mask (H, W), bool, of one slice.

        Raises:
            CohortError: there is no such slice, or one of its files is broken.
        """
        if (case, slice) not in self._names:
            raise CohortError(f"{self.path}: no slice {slice} of case {case}; choose one of the table `slices`")
        image_name, mask_name = self._names[case, slice]
        image = open_image(self._archive.read(image_name), image_name)
        mask, _ = open_mask(self._archive.read(mask_name), mask_name)
        check_size(image, mask, mask_name)
        return np.array(image), np.array(mask) > 0

    def labels(self, column: str = "COCCluster", positive: int = 2) -> pd.Series:
        """By patient, float: 1 in cluster `positive` of `column`, 0 in another one, NaN where the cluster is unknown.

        Raises:
            CohortError: no such column, or no patient in that cluster.
        """
        columns = self.patients.columns.drop(["case", "institution"])
        if column not in columns:
            raise CohortError(f"data.csv: no column {column!r}; choose one of {', '.join(columns)}")
        values = self.patients[column]
        clusters = sorted(values.dropna().unique())
        if positive not in clusters:
            choice = ", ".join(f"{cluster:g}" for cluster in clusters)
            raise CohortError(f"data.csv: no patient in cluster {positive!r} of {column}; choose one of {choice}")
        return values.eq(positive).astype(float).where(values.notna())


def open_cohort(path: str | Path, each_case: CaseFunction | None = None) -> Cohort:
    """Open the cohort in a folder or zip.

    Reads every mask and every tumour-bearing image, once, and decodes the masks only. What can be wrong with an image
    beyond its header shows when it is read, or in `verify`.

    Args:
        path: the folder or zip.
        each_case: called with the decoded tumour-bearing slices of every case in the same pass.

    Raises:
        CohortError: there is no cohort; or the first problem, and how many more there are.
    """
    archive = Archive(Path(path))
    found = scan(archive, each_case=each_case)
    if found.problems:
        more = f" ({len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise CohortError(f"{found.problems[0]}{more}; to list everything: python -m radiogen_utils verify {path}")
    provenance = fingerprint(found.patients.to_csv(), *found.manifest.sha256)
    return Cohort(archive.path, found.patients, found.slices, provenance, found.by_case, archive, found.names)


def is_phantom(patients: pd.DataFrame) -> bool:
    """True where the index names patients of the phantom."""
    return bool(patients.index.str.startswith("PHANTOM").any())
