"""One pass over an archive: the table, every mask, the tumour-bearing images, and all that is wrong with them."""

import io
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from ..support import fingerprint
from .archive import Archive, patient_of
from .files import CohortError, kind_of
from .table import read_table

_SLICE = re.compile(
    r"(?P<case>[^/_]+_[^/_]+_[^/_]+(?:_[^/]*)?)/(?P=case)_(?P<slice>[0-9]+)(?P<mask>_(?i:mask))?\.(?i:tiff?)"
)
# May lie beside data.csv without being read.
_DOCUMENT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation)(\.\w+)?|.+\.(csv|tsv|xlsx?|ods|txt|md|rst|pdf|html?|json|ya?ml|docx?)",
    re.IGNORECASE,
)
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".dcm", ".nii", ".gz", ".nrrd", ".mha", ".npy", ".jp2", ".webp")


def open_image(content: bytes, name: str, decode: bool = True) -> Image.Image:
    """The image in a TIFF file, checked to be H×W×3 uint8; with `decode` false, from its header only."""
    image = _open_tiff(content, name, decode)
    # Pillow gives 16-bit channels as 8-bit ones, hence the look at BitsPerSample.
    if image.mode != "RGB" or {*image.tag_v2.get(258, ())} != {8}:
        raise CohortError(f"{name}: not H×W×3 uint8; export it as pre-contrast, FLAIR and post-contrast of 8 bits each")
    return image


def open_mask(content: bytes, name: str) -> tuple[Image.Image, int]:
    """The mask in a TIFF file, checked to be binary and at most half of the slice, and its number of tumour pixels.

    The public archive's largest tumour fills 12 % of its slice. An inverted mask fills nearly all and all four corners.
    """
    mask = _open_tiff(content, name)
    counts = mask.histogram() if mask.mode in ("L", "1") else []
    values = {value for value, count in enumerate(counts) if count}
    if not (values and (values <= {0, 1} or values <= {0, 255})):
        raise CohortError(f"{name}: not a binary mask; export it as one channel of 0 and 255, 8 bits")
    count, right, bottom = sum(counts[1:]), mask.width - 1, mask.height - 1
    share = count / (mask.width * mask.height)
    corners = share > 0 and all(mask.getpixel(xy) for xy in ((0, 0), (right, 0), (0, bottom), (right, bottom)))
    if corners or share > 0.5:
        where = f"{share:.0%} of the slice" + (" and all its corners" if corners else "")
        raise CohortError(f"{name}: marks {where}; if it is inverted, export it with tumour = 255 and the rest = 0")
    return mask, count


def check_size(image: Image.Image, mask: Image.Image, mask_name: str) -> None:
    """Raise `CohortError` unless image and mask have the same height and width."""
    if image.size != mask.size:
        sizes = [f"{height}×{width}" for width, height in (mask.size, image.size)]
        raise CohortError(f"{mask_name}: mask of {sizes[0]} pixels, image of {sizes[1]}; export both from one grid")


@dataclass(frozen=True)
class Scan:
    """What one pass over an archive finds.

    Attributes:
        names: (case, slice) -> names of its image and its mask, in the order of patients and slices.
        patients, slices: see `cohort.Cohort`.
        manifest: index "patient", columns `tumour_slices` (int) and `sha256`: `support.fingerprint` over, slice by
            slice of those that bear tumour, the public name "<case>/<case>_<slice>.tif", the bytes of the image's file
            and of the mask's.
        without_slices: patients in the table that have no slice, as in a partial archive.
        problems: one line each.
        by_case: case -> what `each_case` returned; without the cases that have a problem.
    """

    names: dict[tuple[str, int], tuple[str, str]]
    patients: pd.DataFrame
    slices: pd.DataFrame
    manifest: pd.DataFrame
    without_slices: list[str]
    problems: list[str]
    by_case: dict[str, Any]


CaseFunction = Callable[[list[tuple[np.ndarray, np.ndarray]]], Any]
"""Takes a case's tumour-bearing slices, image (H, W, 3) uint8 and mask (H, W) bool of each, and returns anything."""


def scan(archive: Archive, decode_images: bool = False, each_case: CaseFunction | None = None) -> Scan:
    """Read the table, every mask and the tumour-bearing images, several cases at a time.

    Args:
        archive: of the cohort.
        decode_images: read and decode every image.
        each_case: called for every case in the same pass, so that nothing is read twice.

    Raises:
        CohortError: the table has no usable header, or there is no slice at all.
    """
    table, problems = read_table(archive.read("data.csv"))
    names = _find_slices(archive, problems)
    numbers = {}
    for case, number in names:
        numbers.setdefault(case, []).append(number)
    folders, rows, manifest, by_case = {}, [], {}, {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # unpacking and decoding happen outside Python's lock
        read = pool.map(
            lambda case: _read_case(
                archive, case, {n: names[case, n] for n in numbers[case]}, decode_images, each_case
            ),
            numbers,
        )
        read = dict(zip(numbers, read, strict=True))
    for case, (pixels, sha256, found, result) in read.items():
        patient = patient_of(case)
        problems += found
        if not found:
            by_case[case] = result
        if not (any(pixels) or found):
            problems.append(f"{patient}: no tumour pixel in any mask; check its masks, or remove its folder")
        if patient not in table.index:
            problems.append(f"{patient}: not in data.csv; add its row, or remove its folder")
        if patient in folders:
            problems.append(f"{patient}: two folders, {folders[patient]} and {case}; keep one")
        folders[patient] = case
        rows += [(patient, case, number, count) for number, count in zip(numbers[case], pixels, strict=True)]
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
        by_case=by_case,
    )


def _open_tiff(content: bytes, name: str, decode: bool = True) -> Image.Image:
    if not content.startswith((b"II", b"MM")):
        kind = kind_of(content[:64])
        cause = "not a TIFF" + (f" but {kind}" if kind else "")
        raise CohortError(f"{name}: {cause}; export it as TIFF, or download it again")
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
        pages = image.n_frames
        if decode:
            image.load()
    except Exception as error:  # what Pillow raises for a broken file has no class in common
        cause = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # whose text is an address in memory
        raise CohortError(f"{name}: truncated or damaged{cause}; download or export it again") from error
    if pages > 1:
        raise CohortError(f"{name}: {pages} pages, of which one would be read; export each slice as a file of one page")
    return image


def _find_slices(archive: Archive, problems: list[str]) -> dict[tuple[str, int], tuple[str, str]]:
    """`Scan.names`; every other file, unless it is a document beside data.csv, is added to `problems`."""
    images, masks = {}, {}
    problems += archive.problems()
    names = archive.names()
    inner = tuple(name.removesuffix("data.csv") for name in names if name.endswith("/data.csv"))
    problems += [f"{folder}data.csv: a cohort inside the cohort; move {folder} elsewhere" for folder in inner]
    for name in names:
        match = _SLICE.fullmatch(name)
        if name.startswith(inner):
            continue
        if match:
            files = masks if match["mask"] else images
            first = files.setdefault((match["case"], int(match["slice"])), name)
            if first != name:
                problems.append(f"{name}: the same slice as {first}; remove one of them")
        elif "/" in name or not _DOCUMENT.fullmatch(name):
            problems.append(_not_read(name))
    problems += [f"{images[k]}: image without mask; add the mask or remove it" for k in sorted({*images} - {*masks})]
    problems += [f"{masks[k]}: mask without image; add the image or remove it" for k in sorted({*masks} - {*images})]
    keys = sorted({*images} & {*masks}, key=lambda key: (patient_of(key[0]), *key))
    if not keys:
        missing = f"{archive.path}: no slice named <case>/<case>_<slice>.tif beside data.csv; download it again"
        raise CohortError([*problems, missing][0])
    return {key: (images[key], masks[key]) for key in keys}


def _not_read(name: str) -> str:
    """Why a file is not read, and what to do, in one line."""
    wanted, suffix = "<case>/<case>_<slice>.tif or …_mask.tif", PurePosixPath(name).suffix.lower()
    if suffix in _PICTURES:
        return f"{name}: {suffix[1:].upper()} is not read; export it as TIFF and name it {wanted}"
    if suffix in (".tif", ".tiff") and name.count("/") != 1:
        return f"{name}: not directly in a folder of its case; move it, named {wanted}"
    if "/" in name:
        return f"{name}: not named {wanted}; rename or remove it"
    return f"{name}: neither a slice in the folder of its case nor a document; move it elsewhere"


def _read_case(
    archive: Archive, case: str, names: dict[int, tuple[str, str]], decode_images: bool, each_case: CaseFunction | None
) -> tuple[list[int], str, list[str], Any]:
    """Tumour pixels of each slice, hash of those that bear any (`Scan.manifest`), problems, result of `each_case`.

    The hash goes by the public name, so that a cohort whose slices are named in another allowed way has the same.
    """
    pixels, hashed, problems, pairs = [], [], [], []
    for number, (image_name, mask_name) in names.items():
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
                hashed += [f"{case}/{case}_{number}.tif", image_file, mask_file]
            image = open_image(image_file, image_name, decode_images or each_case is not None)
            if mask is not None:
                check_size(image, mask, mask_name)
            if each_case is not None and count:
                pairs.append((np.array(image), np.array(mask) > 0))
        except CohortError as error:
            problems.append(str(error))
    return pixels, fingerprint(*hashed), problems, each_case(pairs) if pairs and not problems else None
