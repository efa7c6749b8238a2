"""The archive of a cohort: a folder or zip with a clinical table, and a TIFF for every image and mask.

Layout, that of the Kaggle data set mateuszbuda/lgg-mri-segmentation:

    kaggle_3m/data.csv                          one row a patient: numeric codes, blank where unknown
    kaggle_3m/<case>/<case>_<slice>.tif         H×W×3 uint8: pre-contrast, FLAIR, post-contrast
    kaggle_3m/<case>/<case>_<slice>_mask.tif    H×W, 0 and 255, or 0 and 1

A case is a patient and the date of the scan, TCGA_CS_4941_19960909; the patient's second token is the institution.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

from ..support import fingerprint
from .files import CohortError, Files, is_hidden

# What else the course keeps in the project's data folder.
_OTHER_DATA = ("phantom-", "msd-brain-t1gd-slices", "brats-hgg-lesion-slices", "Task01_BrainTumour")
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".opdownload", ".aria2")
_PACKED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


class NoTable(CohortError):
    """There is no data.csv, hence no cohort."""


class Archive:
    """The files below the folder of data.csv.

    The public archive has the cohort twice, as `kaggle_3m` and `lgg-mri-segmentation/kaggle_3m`: the upper one counts.

    Attributes:
        path: the folder or zip.
        root: the folder of data.csv; in a zip, its path inside the zip.

    Raises:
        CohortError: nothing there, neither folder nor zip, or not one data.csv in it.
    """

    def __init__(self, path: Path):
        self.path, self._prefix = path, ""
        if os.path.isdir(path):
            self.root = _only(_tables(path), path, [file.name for file in sorted(path.glob("*.zip"))]).parent
            self._files = Files(self.root)
            return
        self._files = Files(path)
        members = [PurePosixPath(name) for name in self._files.names()]
        tables = [m for m in members if m.name == "data.csv" and ".." not in m.parts]
        depth = min((len(m.parts) for m in tables), default=0)
        packed = [str(m) for m in members if m.suffix.lower() == ".zip"]
        self.root = _only([m for m in tables if len(m.parts) == depth], path, packed).parent
        if depth > 1:
            self._prefix = f"{self.root}/"

    def names(self) -> list[str]:
        """Name of every file below the root, relative to it; without hidden ones."""
        return self._below(self._files.names())

    def problems(self) -> list[str]:
        """One line for each name that cannot be told apart or followed, and for each folder without a file."""
        found = [f"{name}: {self._files.problems[self._prefix + name]}" for name in self._below(self._files.problems)]
        filled = {name.split("/")[0] for name in self.names()}
        empty = {name.split("/")[0] for name in self._below(self._files.folders)} - filled
        return found + [f"{name}: a folder without slices; restore them, or remove it" for name in sorted(empty)]

    def fingerprint(self) -> str:
        """Changes when a file does, found without reading any: for what is kept from one run to the next.

        It goes by the names, sizes and checksums that a zip lists, or the names, sizes and times of a folder's files.
        """
        return fingerprint(*self._files.state())

    def read(self, name: str) -> bytes:
        """Content of one file, named relative to the root.

        Raises:
            CohortError: it cannot be read, or its checksum in the zip is wrong.
        """
        return self._files.read(self._prefix + name)

    def equals(self, other: "Archive") -> bool:
        """True where both hold the same files, by content, below their roots."""
        if self._sizes() != other._sizes():
            return False
        one, two = self._files, other._files
        return all(one.checksum(self._prefix + name) == two.checksum(other._prefix + name) for name in self.names())

    def _sizes(self) -> dict[str, int]:
        sizes = self._files.sizes()
        return {name: sizes[self._prefix + name] for name in self.names()}

    def _below(self, names: Iterable[str]) -> list[str]:
        return [name[len(self._prefix) :] for name in names if name.startswith(self._prefix)]


def find_in(folder: Path) -> Path | None:
    """The cohort that lies in a folder, as folder or zip of whatever name; `None` if there is none.

    Of a cohort that is there twice, zipped and unpacked, the zip is taken. What is no cohort but may have been meant as
    one, such as half a download, is printed in a line each.

    Raises:
        CohortError: several cohorts, or none but something that may have been meant as one.
    """
    found, unusable = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if is_hidden(path.name) or path.name.startswith(_OTHER_DATA):
            continue
        try:
            if path.name == "data.csv":
                raise CohortError(f"{path}: loose; move it and its cases into a folder kaggle_3m")
            if path.name.lower().endswith(_UNFINISHED):
                raise CohortError(f"{path}: an unfinished download; finish it, or delete it")
            if path.is_dir() or _may_be_packed(path):
                found.append(Archive(path))
        except NoTable:
            pass
        except CohortError as error:
            unusable.append(str(error))
    if not found:
        if unusable:
            more = f" ({len(unusable) - 1} more)" if len(unusable) > 1 else ""
            raise CohortError(unusable[0] + more)
        return None
    found.sort(key=lambda archive: archive.path.is_dir())
    taken, *others = (f"{folder.name}/{archive.path.name}" for archive in found)
    if not all(found[0].equals(other) for other in found[1:]):
        listed = " and ".join([", ".join([taken, *others[:-1]]), others[-1]])
        raise CohortError(f'{folder}: {len(found)} cohorts, {listed}; choose one, as in DATA="{taken}"')
    if others:
        print(f"{taken} is used; {', '.join(others)} holds the same.", flush=True)
    for line in unusable:
        print(f"Not used: {line}.", flush=True)
    return found[0].path


def patient_of(case: str) -> str:
    """The first three tokens of a case."""
    return "_".join(case.split("_")[:3])


def _tables(folder: Path) -> list[Path]:
    """Every data.csv at the highest level that has one, down to two folders deep."""
    for level in ("", "*/", "*/*/"):
        found = sorted(folder.glob(f"{level}data.csv"))
        found = [table for table in found if not is_hidden(table.relative_to(folder).as_posix())]
        if found:
            return found
    for inner in (folder, *folder.glob("*/"), *folder.glob("*/*/")):
        if not os.access(inner, os.R_OK | os.X_OK):
            raise CohortError(f"{inner}: no permission to look into it; allow it, or copy it elsewhere")
    return []


def _only(tables: list[PurePath], path: Path, packed: list[str]) -> PurePath:
    """The one data.csv; `packed` are zips inside `path`, in one of which it may be."""
    if not tables and packed:
        raise CohortError(f"{path}: no data.csv found in it, but {packed[0]}; unpack that and give what it holds")
    advice = "give the path of one kaggle_3m folder, or of a zip of one"
    if not tables:
        raise NoTable(f"{path}: no data.csv found in it; {advice}")
    if len(tables) > 1:
        listed = ", ".join(str(table.parent) for table in tables[:3])
        raise CohortError(f"{path}: {len(tables)} cohorts in it, {listed}; {advice}")
    return tables[0]


def _may_be_packed(path: Path) -> bool:
    """By its name, or as a zip by its first bytes, which programs that add `.1` or drop `.zip` leave as they are.

    Tables in Excel's format are zips too, but never of a cohort. A link to what is gone may have been one.
    """
    if path.name.lower().endswith(_PACKED) or not path.exists():
        return True
    try:
        with open(path, "rb") as file:
            return path.suffix != ".xlsx" and file.read(4) == b"PK\3\4"
    except OSError:
        return False
