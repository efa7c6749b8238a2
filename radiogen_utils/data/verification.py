"""Compare a cohort with the public archive, patient by patient."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .archive import Archive
from .cohort import is_phantom
from .scan import scan

MANIFEST = Path(__file__).with_name("manifest.csv")
PUBLIC_SLICES = 3929  # those without tumour, which `MANIFEST` leaves out, among them


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        status: "complete", the public archive; "partial", slices or patients of it are missing and the others are
            unchanged; "modified", tumour-bearing files of it differ, or patients are added; "own", no patient of it;
            "phantom".
        summary: the status in words, one line or a few.
        problems: one line each. A missing slice without tumour is none: the course does not use it.
    """

    status: str
    summary: str
    problems: list[str]

    def __str__(self) -> str:
        """The summary, and loudly what is wrong: the first problems and how many more there are."""
        if not self.problems:
            return self.summary
        line = "*" * 100
        more = [f"… and {len(self.problems) - 5} more"] if len(self.problems) > 6 else []
        told = self.problems if not more else self.problems[:5]
        notice = "NOT THE PUBLIC ARCHIVE: these data are used as they are"
        return "\n".join([self.summary, line, notice, *told, *more, line])


def verify(path: str | Path) -> Verification:
    """Read and decode every file of a cohort, and compare the tumour-bearing ones with the public archive.

    Raises:
        CohortError: there is no cohort, no slice or no usable table, hence nothing to verify.
    """
    found = scan(Archive(Path(path)), decode_images=True)
    here, public = found.manifest, manifest_of_public_archive()
    n_slices, n_tumour, n_patients = len(found.slices), here.tumour_slices.sum(), len(here)
    size = f"{n_slices:,} slices, {n_tumour:,} of them tumour-bearing, of {n_patients} patients"
    part = f"{n_slices:,} of {PUBLIC_SLICES:,} slices"
    missing, modified = _compare(here, public)
    if is_phantom(here):
        status, summary, missing, modified = "phantom", f"synthetic phantom: {size}", [], []
    elif here.index.intersection(public.index).empty:
        status, summary, missing, modified = "own", f"own cohort: {size}; no patient of the public archive", [], []
    elif modified:
        status, summary = "modified", f"modified archive: {part}; {len(modified)} patients are not as in the public one"
    elif missing:
        status = "partial"
        summary = f"partial archive: {part}; {n_tumour:,} of {public.tumour_slices.sum():,} tumour-bearing slices"
    else:
        status = "complete" if n_slices == PUBLIC_SLICES else "partial"
        intact = f"all {n_tumour:,} tumour-bearing slices of {n_patients} patients are present and unchanged"
        summary = f"{status} archive: {part}; {intact}"
    if found.without_slices:
        summary += f"\nin the table without slices: {', '.join(found.without_slices)}"
    return Verification(status, summary, found.problems + missing + modified)


def manifest_of_public_archive() -> pd.DataFrame:
    """`manifest.csv`, written with `scan(archive).manifest.to_csv(MANIFEST)`."""
    return pd.read_csv(MANIFEST, index_col="patient")


def _compare(here: pd.DataFrame, public: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Problems: what is missing from the public archive, and what is not as in it."""
    missing, modified = [], []
    for patient in here.index.union(public.index):
        if patient not in public.index:
            modified.append(f"{patient}: not in the public archive; remove its folder, or keep it elsewhere")
            continue
        expected, sha256 = public.loc[patient]
        present, sha256_here = here.loc[patient] if patient in here.index else (0, None)
        if present < expected:
            missing.append(f"{patient}: {present} of {expected} tumour-bearing slices; download the archive again")
        elif sha256 != sha256_here:
            modified.append(f"{patient}: tumour-bearing files differ from the public archive; download it again")
    return missing, modified
