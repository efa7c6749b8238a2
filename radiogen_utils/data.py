"""Find, download, verify and open the lower-grade glioma (LGG) cohort.

Source: Kaggle data set mateuszbuda/lgg-mri-segmentation: 3,929 slices of 110 patients from the TCIA collection
TCGA-LGG, about 1 GB unpacked, CC BY-NC-SA 4.0; checked against `manifest.csv`. Its layout: `archive`.
"""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from .archive import Archive, CohortError, Visit, check_size, open_image, open_mask, scan
from .project import digest, project_root

SEQUENCES = ("pre-contrast", "FLAIR", "post-contrast")
"""The channels of an image, in order."""

KAGGLE = "mateuszbuda/lgg-mri-segmentation/versions/2"
KAGGLE_API = "https://api.kaggle.com"
MANIFEST = Path(__file__).with_name("manifest.csv")
PUBLIC_SLICES = 3929  # those without tumour, which `MANIFEST` leaves out, among them

# In the project's data folder; the last is what a browser calls the download.
_NAMES = ("lgg-mri-segmentation.zip", "kaggle_3m", "lgg-mri-segmentation", "archive.zip")
_NOTICE = """
{line}
NO REAL DATA: this run uses a SYNTHETIC PHANTOM. Its figures say nothing about patients.
Why: {reason}.
For the real cohort, allow the download from Kaggle, or put lgg-mri-segmentation.zip into
{folder}
{line}
"""


def find_cohort(where: str | Path = "auto", n_phantom_patients: int = 110, seed: int = 0) -> Path:
    """Folder or zip that holds the cohort, for `open_cohort`.

    Args:
        where: "auto" takes the first of: an archive in the project's `data` folder; the copy in kagglehub's cache; the
            Kaggle download, which needs no account; the phantom, with a printed notice. "phantom" takes the phantom,
            "phantom-null" the one whose images do not depend on the labels. Anything else is the path of a folder or
            zip; a relative one is taken from the project's root.
        n_phantom_patients, seed: size and seed of the phantom, which is written once and kept in `data`.

    Raises:
        CohortError: no cohort at the path, or the download is not the public archive.
    """
    if where in ("phantom", "phantom-null"):
        return _phantom(n_phantom_patients, seed, null=where == "phantom-null")
    if where != "auto":
        return Archive(project_root() / Path(where).expanduser()).path
    folder = project_root() / "data"
    for name in _NAMES:
        if (folder / name).exists():
            return folder / name
    try:
        return _kaggle()
    except requests.RequestException as error:
        print(_NOTICE.format(line="*" * 100, reason=f"{type(error).__name__}: {error}", folder=folder), flush=True)
    return _phantom(n_phantom_patients, seed, null=False)


def check_reachable(url: str, seconds: float = 8) -> None:
    """Raise `requests.ConnectionError` unless `url` answers, with whatever status, within `seconds`.

    The request has a thread of its own because no timeout of requests bounds the look-up of a name, which takes minutes
    where a firewall drops packets. kagglehub itself sets no timeout at all.
    """
    outcome = [f"no answer within {seconds:g} seconds"]

    def ask():
        try:
            requests.head(url, timeout=seconds)
            outcome.append(None)
        except requests.RequestException as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome[-1] is not None:
        raise requests.ConnectionError(f"{url} cannot be reached ({outcome[-1]})")


def _kaggle() -> Path:
    """kagglehub's copy of the public archive, downloaded and verified where it is missing."""
    from kagglehub import dataset_download
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    cache, handle = Cache(), parse_dataset_handle(KAGGLE)
    cached = cache.load_from_cache(handle)
    if cached is not None:
        return Path(cached)
    check_reachable(KAGGLE_API)
    folder = Path(dataset_download(KAGGLE))
    cache.mark_as_incomplete(handle)  # until it is verified, so that no later call takes it for a good copy
    found = verify(folder)
    if found.status != "complete" or found.problems:
        reason = [*found.problems, found.summary][0]
        raise CohortError(f"{folder}: not the public archive ({reason}); delete this folder and download it again")
    cache.mark_as_complete(handle)
    return folder


def _phantom(n_patients: int, seed: int, null: bool) -> Path:
    """The project's copy of the phantom cohort, written where it is missing."""
    from . import phantom

    name = f"phantom-{n_patients}-{seed}{'-null' if null else ''}"
    return keep_phantom(name, lambda folder: phantom.write_cohort(folder, n_patients, seed, null))


def keep_phantom(name: str, write: Callable[[Path], object]) -> Path:
    """The folder `name` with a digest of the phantom's source in `data`, filled by `write(folder)` where it is missing."""
    from . import anatomy, phantom

    data = project_root() / "data"
    source = digest(*(Path(module.__file__).read_bytes() for module in (anatomy, phantom)))[:8]
    folder = data / f"{name}-{source}"
    if folder.exists():
        return folder
    print(f"writing the synthetic {name} …", flush=True)
    data.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data, prefix=".phantom-") as temporary:
        written = Path(temporary, folder.name)
        write(written)
        try:
            written.rename(folder)  # only now, so that an interrupted writing is never taken for a cohort
        except OSError:
            if not folder.exists():  # else another process has written the same phantom meanwhile
                raise
    return folder


@dataclass(frozen=True, eq=False)
class Cohort:
    """An LGG cohort, opened by `open_cohort`.

    Attributes:
        path: the folder or zip.
        patients: one row a patient, index "patient" (TCGA_CS_4941), sorted; columns `case` (its folder), `institution`,
            then those of data.csv as float, NaN where blank.
        slices: one row a slice, sorted by patient and slice; columns `patient`, `case`, `slice` (int),
            `tumour_pixels` (int).
        digest: SHA-256 over table and tumour-bearing files, the provenance of results. A folder and its zip have the
            same, with or without the slices that bear no tumour.
        visited: case -> what `open_cohort`'s `visit` returned.
    """

    path: Path
    patients: pd.DataFrame
    slices: pd.DataFrame
    digest: str
    visited: dict[str, Any] = field(repr=False)
    _archive: Archive = field(repr=False)
    _names: dict = field(repr=False)

    @property
    def synthetic(self) -> bool:
        """True for the phantom."""
        return _is_phantom(self.patients)

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


def open_cohort(path: str | Path, visit: Visit | None = None) -> Cohort:
    """Open the cohort in a folder or zip.

    Reads every mask and every tumour-bearing image, once, and decodes the masks only. What can be wrong with an image
    beyond its header shows when it is read, or in `verify`.

    Args:
        visit: called with the decoded tumour-bearing slices of every case in the same pass.

    Raises:
        CohortError: there is no cohort; or the first problem, and how many more there are.
    """
    archive = Archive(Path(path))
    found = scan(archive, visit=visit)
    if found.problems:
        more = f" ({len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise CohortError(f"{found.problems[0]}{more}; to list everything: python -m radiogen_utils verify {path}")
    provenance = digest(found.patients.to_csv(), *found.manifest.sha256)
    return Cohort(archive.path, found.patients, found.slices, provenance, found.visited, archive, found.names)


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


def verify(path: str | Path) -> Verification:
    """Read and decode every file of a cohort, and compare the tumour-bearing ones with the public archive.

    Raises:
        CohortError: there is no cohort, no slice or no usable table, hence nothing to verify.
    """
    found = scan(Archive(Path(path)), decode_images=True)
    own, public = found.manifest, manifest_of_public_archive()
    n_slices, n_tumour, n_patients = len(found.slices), own.tumour_slices.sum(), len(own)
    size = f"{n_slices:,} slices, {n_tumour:,} of them tumour-bearing, of {n_patients} patients"
    part = f"{n_slices:,} of {PUBLIC_SLICES:,} slices"
    missing, modified = _compare(own, public)
    if _is_phantom(own):
        status, summary, missing, modified = "phantom", f"synthetic phantom: {size}", [], []
    elif own.index.intersection(public.index).empty:
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


def manifest(path: str | Path) -> pd.DataFrame:
    """What `manifest.csv` holds of the public archive, for any cohort.

    Returns:
        Index "patient", columns `tumour_slices` (int) and `sha256`: `project.digest` over, slice by slice of those
        that bear tumour, the image's name "<case>/<case>_<slice>.tif", the bytes of its file, those of the mask's file.
    """
    return scan(Archive(Path(path))).manifest


def manifest_of_public_archive() -> pd.DataFrame:
    """`manifest.csv`, written with `manifest(archive).to_csv(MANIFEST)`."""
    return pd.read_csv(MANIFEST, index_col="patient")


def _compare(own: pd.DataFrame, public: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Problems: what is missing from the public archive, and what is not as in it."""
    missing, modified = [], []
    for patient in own.index.union(public.index):
        if patient not in public.index:
            modified.append(f"{patient}: not in the public archive; remove its folder, or keep it elsewhere")
            continue
        expected, sha256 = public.loc[patient]
        present, own_sha256 = own.loc[patient] if patient in own.index else (0, None)
        if present < expected:
            missing.append(f"{patient}: {present} of {expected} tumour-bearing slices; download the archive again")
        elif sha256 != own_sha256:
            modified.append(f"{patient}: tumour-bearing files differ from the public archive; download it again")
    return missing, modified


def _is_phantom(patients: pd.DataFrame) -> bool:
    return bool(patients.index.str.startswith("PHANTOM").any())
