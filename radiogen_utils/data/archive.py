"""The files of a cohort: a folder or zip with a clinical table, and a TIFF for every image and mask.

Layout, that of the Kaggle data set mateuszbuda/lgg-mri-segmentation:

    kaggle_3m/data.csv                          one row a patient: numeric codes, blank where unknown
    kaggle_3m/<case>/<case>_<slice>.tif         H×W×3 uint8: pre-contrast, FLAIR, post-contrast
    kaggle_3m/<case>/<case>_<slice>_mask.tif    H×W, 0 and 255, or 0 and 1

A case is a patient and the date of the scan, TCGA_CS_4941_19960909; the patient's second token is the institution.
"""

import csv
import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..support import CourseError, digest

_SLICE = re.compile(r"(?P<case>[^/_]+_[^/_]+_[^/_]+(?:_[^/]*)?)/(?P=case)_(?P<slice>\d+)(?P<mask>_mask)?\.tif")


class CohortError(CourseError, ValueError):
    """The cohort cannot be found or read: one line that names the file or patient and says what to do."""


# In the project's data folder; the last is what a browser calls the download.
_NAMES = ("lgg-mri-segmentation.zip", "kaggle_3m", "lgg-mri-segmentation", "archive.zip")


def find_in(folder: Path) -> Path | None:
    """The cohort that lies in a folder, as folder or zip; `None` if there is none."""
    return next((folder / name for name in _NAMES if (folder / name).exists()), None)


class Archive:
    """The files below the folder of data.csv, in a folder, or in a zip that stays open and is never unpacked.

    The public archive has the cohort twice, as `kaggle_3m` and `lgg-mri-segmentation/kaggle_3m`: the upper one counts.

    Attributes:
        path: the folder or zip.
        root: the folder of data.csv; in a zip, its path inside the zip.

    Raises:
        CohortError: nothing there, neither folder nor zip, or not one data.csv in it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip = None
        if path.is_dir():
            levels = (sorted(path.glob(pattern)) for pattern in ("data.csv", "*/data.csv", "*/*/data.csv"))
            tables = next((level for level in levels if level), [])
        elif path.exists():
            try:
                self._zip = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise CohortError(f"{path}: not a zip, or not the whole of one ({error}); download it again") from error
            members = [PurePosixPath(name) for name in self._zip.namelist()]
            tables = [m for m in members if m.name == "data.csv" and not {"..", "__MACOSX"} & {*m.parts}]
            tables = [m for m in tables if len(m.parts) == min(len(other.parts) for other in tables)]
        else:
            raise CohortError(f"{path}: no such file or folder; check the path")
        if len(tables) != 1:
            found = f"{len(tables)} cohorts in it" if tables else "no data.csv found in it"
            raise CohortError(f"{path}: {found}; give the path of one kaggle_3m folder, or of a zip of one")
        self.root = tables[0].parent
        self._prefix = "" if self.root == PurePosixPath(".") else f"{self.root}/"

    def names(self) -> list[str]:
        """`<folder>/<file>` of every file one folder below the root."""
        if self._zip is None:
            folders = [entry for entry in os.scandir(self.root) if entry.is_dir()]
            return [f"{folder.name}/{file.name}" for folder in folders for file in os.scandir(folder.path)]
        names = (name[len(self._prefix) :] for name in self._zip.namelist() if name.startswith(self._prefix))
        return [name for name in names if name.count("/") == 1 and not name.endswith("/")]

    def fingerprint(self) -> str:
        """Digest that changes when a file does, found without reading any: for what is kept from one run to the next.

        It goes by the names, sizes and checksums that a zip lists, or the names, sizes and times of a folder's files.
        """
        if self._zip is not None:
            return digest(*((info.filename, info.file_size, info.CRC) for info in self._zip.infolist()))
        files = (Path(self.root, name) for name in ("data.csv", *sorted(self.names())))
        return digest(*((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))

    def read(self, name: str) -> bytes:
        """Content of one file, named relative to the root.

        Raises:
            CohortError: it cannot be read, or its checksum in the zip is wrong.
        """
        try:
            if self._zip is None:
                with open(f"{self.root}/{name}", "rb") as file:
                    return file.read()
            return self._zip.read(self._prefix + name)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise CohortError(f"{name}: unreadable in {self.path} ({error}); download or copy it again") from error


def open_image(content: bytes, name: str, decode: bool = True) -> Image.Image:
    """The image in a TIFF file, checked to be H×W×3 uint8; with `decode` false, from its header only."""
    image = _open_tiff(content, name, decode)
    # Pillow gives 16-bit channels as 8-bit ones, hence the look at BitsPerSample.
    if image.mode != "RGB" or {*image.tag_v2.get(258, ())} != {8}:
        raise CohortError(f"{name}: not H×W×3 uint8; export it as pre-contrast, FLAIR and post-contrast of 8 bits each")
    return image


def open_mask(content: bytes, name: str) -> tuple[Image.Image, int]:
    """The mask in a TIFF file, checked to be binary, and its number of tumour pixels."""
    mask = _open_tiff(content, name)
    counts = mask.histogram() if mask.mode in ("L", "1") else []
    values = {value for value, count in enumerate(counts) if count}
    if not (values and (values <= {0, 1} or values <= {0, 255})):
        raise CohortError(f"{name}: not a binary mask; export it as one channel of 0 and 255, 8 bits")
    return mask, sum(counts[1:])


def check_size(image: Image.Image, mask: Image.Image, mask_name: str) -> None:
    """Raise `CohortError` unless image and mask have the same height and width."""
    if image.size != mask.size:
        sizes = [f"{height}×{width}" for width, height in (mask.size, image.size)]
        raise CohortError(f"{mask_name}: mask of {sizes[0]} pixels, image of {sizes[1]}; export both from one grid")


def patient_of(case: str) -> str:
    """The first three tokens of a case."""
    return "_".join(case.split("_")[:3])


@dataclass(frozen=True)
class Scan:
    """What one pass over an archive finds.

    Attributes:
        names: (case, slice) -> names of its image and its mask, in the order of patients and slices.
        patients, slices: see `cohort.Cohort`.
        manifest: see `verification.manifest`.
        without_slices: patients in the table that have no slice, as in a partial archive.
        problems: one line each.
        visited: case -> what `visit` returned; without the cases that have a problem.
    """

    names: dict[tuple[str, int], tuple[str, str]]
    patients: pd.DataFrame
    slices: pd.DataFrame
    manifest: pd.DataFrame
    without_slices: list[str]
    problems: list[str]
    visited: dict[str, Any]


Visit = Callable[[list[tuple[np.ndarray, np.ndarray]]], Any]
"""Function of a case's tumour-bearing slices: image (H, W, 3) uint8 and mask (H, W) bool of each."""


def scan(archive: Archive, decode_images: bool = False, visit: Visit | None = None) -> Scan:
    """Read the table, every mask and the tumour-bearing images, several cases at a time.

    Args:
        decode_images: read and decode every image.
        visit: called for every case in the same pass, so that nothing is read twice.

    Raises:
        CohortError: the table has no usable header, or there is no slice at all.
    """
    table, problems = _read_table(archive.read("data.csv"))
    names = _find_slices(archive, problems)
    numbers = {}
    for case, number in names:
        numbers.setdefault(case, []).append(number)
    folders, rows, manifest, visited = {}, [], {}, {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # unpacking and decoding happen outside Python's lock
        read = pool.map(
            lambda case: _read_case(archive, [names[case, n] for n in numbers[case]], decode_images, visit), numbers
        )
        read = dict(zip(numbers, read))
    for case, (pixels, sha256, found, result) in read.items():
        patient = patient_of(case)
        problems += found
        if not found:
            visited[case] = result
        if not (any(pixels) or found):
            problems.append(f"{patient}: no tumour pixel in any mask; check its masks, or remove its folder")
        if patient not in table.index:
            problems.append(f"{patient}: not in data.csv; add its row, or remove its folder")
        if patient in folders:
            problems.append(f"{patient}: two folders, {folders[patient]} and {case}; keep one")
        folders[patient] = case
        rows += [(patient, case, number, count) for number, count in zip(numbers[case], pixels)]
        manifest[patient] = (sum(count > 0 for count in pixels), sha256)
    patients = pd.DataFrame({"case": folders}).rename_axis("patient")
    patients["institution"] = [patient.split("_")[1] for patient in patients.index]
    return Scan(
        names=names,
        patients=patients.join(table),
        slices=pd.DataFrame(rows, columns=["patient", "case", "slice", "tumour_pixels"]),
        manifest=pd.DataFrame.from_dict(manifest, "index", columns=["tumour_slices", "sha256"]).rename_axis("patient"),
        without_slices=sorted(table.index.difference(patients.index)),
        problems=problems,
        visited=visited,
    )


def _open_tiff(content, name, decode=True):
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
        if decode:
            image.load()
        return image
    except Exception as error:  # what Pillow raises for a broken file has no class in common
        raise CohortError(f"{name}: truncated, or not a TIFF ({error}); download or export it again") from error


def _read_table(content):
    """data.csv, comma- or semicolon-separated, as a float table indexed by patient, and its problems."""
    text = content.decode("utf-8-sig", errors="replace")
    first_line = text.partition("\n")[0]
    separator = max(",;", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [name.strip() for name in next(reader, [])]
    if "Patient" not in header or len({*header}) < len(header):
        raise CohortError("data.csv: its first line must name each column once, Patient among them; download it again")
    table, problems = {}, []
    for cells in reader:
        if not any(cells):
            continue
        line = f"data.csv, line {reader.line_num}"
        if len(cells) != len(header):
            problems.append(f"{line}: {len(cells)} fields under {len(header)} column names; correct the line")
        row = {column: cell.strip() for column, cell in zip(header, cells)}
        patient = row.pop("Patient", "")
        if patient in table:
            problems.append(f"{line}: patient {patient} for the second time; keep one row")
        table[patient] = {}
        for column, cell in row.items():
            try:
                table[patient][column] = float(cell or "nan")
            except ValueError:
                problems.append(f"{line}: {column} of patient {patient} is {cell!r}; write a number or leave it blank")
    columns = [column for column in header if column != "Patient"]
    return pd.DataFrame(table, index=columns, dtype=float).T, problems


def _find_slices(archive, problems):
    """`Scan.names`; files without a partner or of another name are added to `problems`."""
    images, masks = {}, {}
    for name in archive.names():
        match = _SLICE.fullmatch(name)
        if match:
            files = masks if match["mask"] else images
            first = files.setdefault((match["case"], int(match["slice"])), name)
            if first != name:
                problems.append(f"{name}: the same slice as {first}; remove one of them")
        elif name.endswith(".tif") and "/." not in name:  # macOS leaves files named ._… beside the real ones
            problems.append(f"{name}: not named <case>/<case>_<slice>.tif or …_mask.tif; rename or remove it")
    problems += [f"{images[k]}: image without mask; add the mask or remove it" for k in sorted({*images} - {*masks})]
    problems += [f"{masks[k]}: mask without image; add the image or remove it" for k in sorted({*masks} - {*images})]
    keys = sorted({*images} & {*masks}, key=lambda key: (patient_of(key[0]), *key))
    if not keys:
        missing = f"{archive.path}: no slice named <case>/<case>_<slice>.tif beside data.csv; download it again"
        raise CohortError([*problems, missing][0])
    return {key: (images[key], masks[key]) for key in keys}


def _read_case(archive, names, decode_images, visit):
    """Tumour pixels of each slice, hash of the tumour-bearing files (`verification.manifest`), problems, `visit`'s result."""
    pixels, hashed, problems, pairs = [], [], [], []
    for image_name, mask_name in names:
        mask, count = None, 0
        try:
            mask_file = archive.read(mask_name)
            mask, count = open_mask(mask_file, mask_name)
        except CohortError as error:
            problems.append(str(error))
        pixels.append(count)
        if not (count or decode_images):
            continue
        try:
            image_file = archive.read(image_name)
            if count:
                hashed += [image_name, image_file, mask_file]
            image = open_image(image_file, image_name, decode_images or visit is not None)
            if mask is not None:
                check_size(image, mask, mask_name)
            if visit is not None and count:
                pairs.append((np.array(image), np.array(mask) > 0))
        except CohortError as error:
            problems.append(str(error))
    return pixels, digest(*hashed), problems, visit(pairs) if pairs and not problems else None
