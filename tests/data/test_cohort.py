"""Finding, reading and verifying a cohort: every bad input has one line that names it; folder and zip are alike."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from radiogen_utils.data import verification
from radiogen_utils.data.archive import Archive, CohortError
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.data.download import find_cohort
from radiogen_utils.data.scan import scan
from radiogen_utils.data.verification import verify

FIRST = "TCGA_XX_0001_20000101/TCGA_XX_0001_20000101"


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(path)


# ---- reading ----


def test_open_cohort_gives_tables_and_pixels(tiny_cohort):
    folder = tiny_cohort()
    cohort = open_cohort(folder)
    assert list(cohort.patients.index) == ["TCGA_XX_0001", "TCGA_XX_0003", "TCGA_YY_0002"]
    assert list(cohort.patients.columns[:3]) == ["case", "institution", "COCCluster"]
    assert list(cohort.patients.institution) == ["XX", "XX", "YY"]
    assert (cohort.patients.dtypes.iloc[2:] == np.float64).all()
    assert np.isnan(cohort.patients.RPPACluster["TCGA_XX_0001"])
    assert list(cohort.slices.columns) == ["patient", "case", "slice", "tumour_pixels"]
    # Numerical order: 10 after 2 and 6.
    assert list(cohort.slices.slice) == [1, 2, 6, 10] * 3
    assert list(cohort.slices.tumour_pixels) == [0, 20, 60, 100] * 3
    assert not cohort.synthetic

    image, mask = cohort.read("TCGA_XX_0001_20000101", 6)
    assert image.dtype == np.uint8 and mask.dtype == bool
    assert np.array_equal(image, np.array(Image.open(folder / "kaggle_3m" / f"{FIRST}_6.tif")))
    assert mask.sum() == 60 and mask[20:26, 30:40].all()
    with pytest.raises(CohortError, match="no slice 7 of case TCGA_XX_0001_20000101"):
        cohort.read("TCGA_XX_0001_20000101", 7)


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.patients, other.patients)
    pd.testing.assert_frame_equal(one.slices, other.slices)
    assert one.fingerprint == other.fingerprint
    for row in one.slices.itertuples():
        for a, b in zip(one.read(row.case, row.slice), other.read(row.case, row.slice), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("prefixes", [("",), ("a/b/",), ("", "lgg-mri-segmentation/")], ids=["once", "deeper", "twice"])
def test_zip_and_folder_are_the_same_cohort(tiny_cohort, zip_of, prefixes):
    folder = tiny_cohort()
    assert_same(open_cohort(folder), open_cohort(zip_of(folder, prefixes)))


def test_cohort_twice_in_a_folder_is_read_once(tiny_cohort):
    folder = tiny_cohort()
    once = open_cohort(folder / "kaggle_3m")
    shutil.copytree(folder / "kaggle_3m", folder / "lgg-mri-segmentation" / "kaggle_3m")
    assert_same(once, open_cohort(folder))


def test_zip_of_the_bare_folder(tiny_cohort, zip_of):
    folder = tiny_cohort() / "kaggle_3m"
    assert_same(open_cohort(folder), open_cohort(zip_of(folder)))


def test_zip_with_hostile_names_is_read_and_nothing_unpacked(tiny_cohort, zip_of, tmp_path):
    folder = tiny_cohort()
    path = zip_of(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../data.csv", "Patient\nintruder\n")
        archive.writestr("../../evil.tif", "x")
        archive.writestr("/evil/evil_1.tif", "x")
    before = sorted(tmp_path.rglob("*"))
    assert_same(open_cohort(folder), open_cohort(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_semicolons_and_byte_order_mark(tiny_cohort):
    folder = tiny_cohort()
    before = open_cohort(folder)
    table = folder / "kaggle_3m" / "data.csv"
    table.write_text("\ufeff" + table.read_text().replace(",", ";").replace("\n", "\r\n"), newline="")
    assert_same(before, open_cohort(folder))


def test_masks_of_zeros_and_ones(tiny_cohort):
    folder = tiny_cohort()
    before = open_cohort(folder).read(FIRST.split("/")[0], 6)[1]
    save(folder / "kaggle_3m" / f"{FIRST}_6_mask.tif", before.astype(np.uint8))
    cohort = open_cohort(folder)
    assert np.array_equal(cohort.read(FIRST.split("/")[0], 6)[1], before)
    assert list(cohort.slices.tumour_pixels[:4]) == [0, 20, 60, 100]


def test_the_fingerprint_changes_with_labels_and_tumour_slices_only(tiny_cohort):
    folder = tiny_cohort()
    before = open_cohort(folder).fingerprint
    for ending in (".tif", "_mask.tif"):
        (folder / "kaggle_3m" / f"{FIRST}_1{ending}").unlink()
    assert open_cohort(folder).fingerprint == before
    rewrite(folder / "kaggle_3m" / "data.csv", "0002,2", "0002,1")
    relabelled = open_cohort(folder).fingerprint
    assert relabelled != before
    save(folder / "kaggle_3m" / f"{FIRST}_6.tif", np.zeros((64, 64, 3), np.uint8))
    assert open_cohort(folder).fingerprint not in (before, relabelled)


def test_labels(tiny_cohort):
    cohort = open_cohort(tiny_cohort())
    assert cohort.labels().to_dict() == {"TCGA_XX_0001": 0, "TCGA_YY_0002": 1, "TCGA_XX_0003": 0}
    unknown = cohort.labels("RPPACluster", 1)
    assert unknown.isna().to_dict() == {"TCGA_XX_0001": True, "TCGA_YY_0002": False, "TCGA_XX_0003": False}
    assert unknown["TCGA_XX_0003"] == 1
    with pytest.raises(CohortError, match="'Cluster'; choose one of COCCluster, RPPACluster, age"):
        cohort.labels("Cluster")
    with pytest.raises(CohortError, match="cluster 9 of COCCluster; choose one of 1, 2, 3"):
        cohort.labels(positive=9)


def test_table_row_without_slices_is_dropped_and_named(tiny_cohort):
    folder = tiny_cohort()
    shutil.rmtree(folder / "kaggle_3m" / FIRST.split("/")[0])
    assert list(open_cohort(folder).patients.index) == ["TCGA_XX_0003", "TCGA_YY_0002"]
    found = verify(folder)
    assert found.problems == [] and "without slices: TCGA_XX_0001" in found.summary


# ---- bad input ----

# What is done to the `kaggle_3m` folder, and what the one line says.
BAD_INPUT = {
    "truncated mask": (
        lambda root: (root / f"{FIRST}_6_mask.tif").write_bytes((root / f"{FIRST}_6_mask.tif").read_bytes()[:900]),
        f"{FIRST}_6_mask.tif: truncated or damaged",
    ),
    "image is no TIFF": (
        lambda root: (root / f"{FIRST}_6.tif").write_bytes(b"<html>"),
        f"{FIRST}_6.tif: not a TIFF but a web page",
    ),
    "image without mask": (lambda root: (root / f"{FIRST}_6_mask.tif").unlink(), f"{FIRST}_6.tif: image without mask"),
    "mask without image": (lambda root: (root / f"{FIRST}_6.tif").unlink(), f"{FIRST}_6_mask.tif: mask without image"),
    "mask of another size": (
        lambda root: save(root / f"{FIRST}_6_mask.tif", np.tri(32, 48, dtype=np.uint8)),
        f"{FIRST}_6_mask.tif: mask of 32×48 pixels, image of 64×64",
    ),
    "mask not binary": (
        lambda root: save(root / f"{FIRST}_6_mask.tif", np.arange(4096, dtype=np.uint8).reshape(64, 64)),
        f"{FIRST}_6_mask.tif: not a binary mask",
    ),
    "mask of 0, 1 and 255": (
        lambda root: save(root / f"{FIRST}_6_mask.tif", np.resize(np.array([0, 1, 255], np.uint8), (64, 64))),
        f"{FIRST}_6_mask.tif: not a binary mask",
    ),
    "mask of three channels": (
        lambda root: save(root / f"{FIRST}_6_mask.tif", np.zeros((64, 64, 3), np.uint8)),
        f"{FIRST}_6_mask.tif: not a binary mask",
    ),
    "image of one channel": (
        lambda root: save(root / f"{FIRST}_6.tif", np.zeros((64, 64), np.uint8)),
        f"{FIRST}_6.tif: not H×W×3 uint8",
    ),
    "image of four channels": (
        lambda root: save(root / f"{FIRST}_6.tif", np.zeros((64, 64, 4), np.uint8)),
        f"{FIRST}_6.tif: not H×W×3 uint8",
    ),
    "image of 16 bits": (
        lambda root: tifffile.imwrite(root / f"{FIRST}_6.tif", np.zeros((64, 64, 3), np.uint16), photometric="rgb"),
        f"{FIRST}_6.tif: not H×W×3 uint8",
    ),
    "file of another name": (
        lambda root: (root / f"{FIRST}_6.tif").rename(root / f"{FIRST}-6.tif"),
        f"{FIRST}-6.tif: not named",
    ),
    "slice twice": (lambda root: shutil.copy(root / f"{FIRST}_6.tif", root / f"{FIRST}_06.tif"), "the same slice as"),
    "patient not in the table": (
        lambda root: rewrite(root / "data.csv", "TCGA_XX_0001", "TCGA_XX_9999"),
        "TCGA_XX_0001: not in data.csv",
    ),
    "patient twice in the table": (
        lambda root: rewrite(root / "data.csv", "TCGA_YY_0002", "TCGA_XX_0001"),
        "data.csv, line 3: patient TCGA_XX_0001 for the second time",
    ),
    "not a number": (
        lambda root: rewrite(root / "data.csv", "0002,2", "0002,two"),
        "data.csv, line 3: COCCluster of patient TCGA_YY_0002 is 'two'",
    ),
    "line too short": (
        lambda root: rewrite(root / "data.csv", "0002,2,2,41", "0002,2"),
        "data.csv, line 3: 2 fields under 4 column names",
    ),
    "no header": (lambda root: rewrite(root / "data.csv", "Patient", "Subject"), "data.csv: its first line must name"),
    "empty table": (lambda root: (root / "data.csv").write_text(""), "data.csv: its first line must name"),
    "no tumour": (
        lambda root: [save(root / f"{FIRST}_{n}_mask.tif", np.zeros((64, 64), np.uint8)) for n in (2, 6, 10)],
        "TCGA_XX_0001: no tumour pixel in any mask",
    ),
    "two folders of a patient": (
        lambda root: [
            (root / "TCGA_XX_0001_20010101").mkdir(),
            *(
                shutil.copy(
                    root / f"{FIRST}_6{ending}", root / f"TCGA_XX_0001_20010101/TCGA_XX_0001_20010101_6{ending}"
                )
                for ending in (".tif", "_mask.tif")
            ),
        ],
        "TCGA_XX_0001: two folders, TCGA_XX_0001_20000101 and TCGA_XX_0001_20010101",
    ),
    "no slices": (
        lambda root: [shutil.rmtree(folder) for folder in root.iterdir() if folder.is_dir()],
        "no slice named <case>/<case>_<slice>.tif",
    ),
    "no table": (lambda root: (root / "data.csv").unlink(), "no data.csv found"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("spoil, message", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_named_in_one_line(tiny_cohort, zip_of, spoil, message, packed):
    folder = tiny_cohort()
    spoil(folder / "kaggle_3m")
    path = zip_of(folder) if packed else folder
    with pytest.raises(CohortError) as caught:
        open_cohort(path)
    line = str(caught.value)
    assert message in line and "\n" not in line and ";" in line
    try:
        assert any(message in problem for problem in verify(path).problems)
    except CohortError as error:  # nothing to list where there is no table or no slice
        assert message in str(error)


def test_open_cohort_counts_further_problems_and_verify_lists_them(tiny_cohort):
    folder = tiny_cohort()
    for name in ("not a number", "no tumour", "file of another name"):
        BAD_INPUT[name][0](folder / "kaggle_3m")
    found = verify(folder)
    assert len(found.problems) == 4  # the renamed file leaves a mask without image
    with pytest.raises(CohortError, match=r"\(3 more\); to list everything: python -m radiogen_utils verify .*cohort$"):
        open_cohort(folder)


@pytest.mark.parametrize("number", [1, 6])
def test_truncated_image_is_named_when_read_and_by_verify(tiny_cohort, number):
    folder = tiny_cohort()
    path = folder / "kaggle_3m" / f"{FIRST}_{number}.tif"
    path.write_bytes(path.read_bytes()[:5000])
    cohort = open_cohort(folder)  # decodes no image
    with pytest.raises(CohortError, match=f"{FIRST}_{number}.tif: truncated"):
        cohort.read("TCGA_XX_0001_20000101", number)
    (problem,) = verify(folder).problems
    assert problem.startswith(f"{FIRST}_{number}.tif: truncated")


def test_bad_checksum_in_a_zip(tiny_cohort, zip_of):
    path = zip_of(tiny_cohort())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"kaggle_3m/{FIRST}_6.tif")
    content = bytearray(path.read_bytes())
    # The compressed bytes follow the 30 bytes of the local header and the name.
    content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CohortError, match=f"{FIRST}_6.tif: damaged .* in .*download or copy it again"):
        open_cohort(path)


@pytest.mark.parametrize("opened_by", [find_cohort, open_cohort, verify])
def test_path_that_holds_no_cohort(tiny_cohort, zip_of, tmp_path, opened_by):
    with pytest.raises(CohortError, match="absent: no such file or folder"):
        opened_by(tmp_path / "absent")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(CohortError, match="text.zip: not a zip"):
        opened_by(tmp_path / "text.zip")
    path = zip_of(tiny_cohort())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CohortError, match="cohort.zip: not the whole of a zip; download it again"):
        opened_by(path)
    tiny_cohort(name="many/one")
    tiny_cohort(name="many/two")
    with pytest.raises(CohortError, match="many: 2 cohorts in it, .*one/kaggle_3m, .*two/kaggle_3m; give the path"):
        opened_by(tmp_path / "many")


# ---- verifying ----


def test_verify_complete(public_cohort):
    found = verify(public_cohort)
    assert (found.status, found.problems) == ("complete", [])
    assert "all 9 tumour-bearing slices of 3 patients are present and unchanged" in found.summary


def test_verify_partial_without_tumour_free_slices_is_no_problem(public_cohort):
    for ending in (".tif", "_mask.tif"):
        (public_cohort / "kaggle_3m" / f"{FIRST}_1{ending}").unlink()
    found = verify(public_cohort)
    assert (found.status, found.problems) == ("partial", [])
    assert found.summary.startswith("partial archive: 11 of 12 slices; all 9 tumour-bearing slices of 3 patients")


def test_verify_partial_lists_missing_tumour_slices_and_patients(public_cohort):
    for ending in (".tif", "_mask.tif"):
        (public_cohort / "kaggle_3m" / f"{FIRST}_6{ending}").unlink()
    shutil.rmtree(next(public_cohort.glob("kaggle_3m/TCGA_YY_0002*")))
    found = verify(public_cohort)
    assert found.status == "partial"
    assert [problem.split(";")[0] for problem in found.problems] == [
        "TCGA_XX_0001: 2 of 3 tumour-bearing slices",
        "TCGA_YY_0002: 0 of 3 tumour-bearing slices",
    ]


@pytest.mark.parametrize("ending", [".tif", "_mask.tif"])
def test_verify_modified(public_cohort, ending):
    path = public_cohort / "kaggle_3m" / f"{FIRST}_6{ending}"
    array = np.array(Image.open(path))
    array[0, 0] = 255 - array[0, 0]
    save(path, array)
    found = verify(public_cohort)
    assert found.status == "modified"
    assert [problem.split(";")[0] for problem in found.problems] == [
        "TCGA_XX_0001: tumour-bearing files differ from the public archive"
    ]


def test_what_is_wrong_is_said_loudly_and_in_short(public_cohort):
    assert str(verify(public_cohort)) == verify(public_cohort).summary
    masks = sorted(public_cohort.rglob("*_mask.tif"))
    for mask in masks[:3]:
        mask.unlink()
    found = verify(public_cohort)
    assert "NOT THE PUBLIC ARCHIVE" in str(found) and all(problem in str(found) for problem in found.problems)
    for mask in masks[3:10]:
        mask.unlink()
    found = verify(public_cohort)
    assert found.problems[4] in str(found) and f"… and {len(found.problems) - 5} more" in str(found)


def test_verify_own_and_phantom(tiny_cohort):
    found = verify(tiny_cohort())
    assert (found.status, found.problems) == ("own", [])
    phantom = tiny_cohort(prefix="PHANTOM", name="phantom")
    found = verify(phantom)
    assert (found.status, found.problems) == ("phantom", [])
    assert open_cohort(phantom).synthetic


# ---- the real archive ----


def test_real_archive_is_partial_and_unchanged(real_archive):
    found = verify(real_archive)
    assert (found.status, found.problems) == ("partial", [])
    assert found.summary == (
        "partial archive: 1,550 of 3,929 slices; "
        "all 1,373 tumour-bearing slices of 110 patients are present and unchanged"
    )


def test_manifest_is_that_of_the_real_archive(real_archive):
    public = verification.manifest_of_public_archive()
    pd.testing.assert_frame_equal(scan(Archive(real_archive)).manifest, public)
    assert len(public) == 110 and public.tumour_slices.sum() == 1373


def test_real_labels(real_cohort):
    assert real_cohort.patients.COCCluster.value_counts().to_dict() == {1: 56, 2: 24, 3: 30}
    assert real_cohort.labels().sum() == 24
    missing = dict(RNASeqCluster=18, RPPACluster=12, OncosignCluster=5, CNCluster=2, MethylationCluster=1, COCCluster=0)
    assert {column: real_cohort.patients[column].isna().sum() for column in missing} == missing


def test_real_slices(real_cohort):
    tumour = real_cohort.slices[real_cohort.slices.tumour_pixels > 0]
    counts = tumour.groupby("patient").size()
    assert (counts.min(), counts.median(), counts.max()) == (3, 11, 37)
    assert (len(real_cohort.slices), len(tumour), real_cohort.synthetic) == (1550, 1373, False)


def test_real_missing_sequences_are_copies_of_flair(real_cohort):
    middle = real_cohort.slices.sort_values("tumour_pixels").groupby("patient").last()
    images = [real_cohort.read(row.case, row.slice)[0] for row in middle.itertuples()]
    assert sum(np.array_equal(image[..., 0], image[..., 1]) for image in images) == 6
    assert sum(np.array_equal(image[..., 2], image[..., 1]) for image in images) == 10


def test_the_fingerprint_changes_with_any_file_of_a_folder_or_zip(tiny_cohort, zip_of):
    from radiogen_utils.data.archive import Archive

    folder = tiny_cohort()
    found = [(Archive(folder).fingerprint(), Archive(zip_of(folder)).fingerprint())]
    assert found[0] == (Archive(folder).fingerprint(), Archive(zip_of(folder)).fingerprint())
    for file in (next(folder.rglob("*_6.tif")), next(folder.rglob("*_6_mask.tif")), next(folder.rglob("data.csv"))):
        file.write_bytes(file.read_bytes() + b" ")
        found.append((Archive(folder).fingerprint(), Archive(zip_of(folder)).fingerprint()))
    assert len({a for a, _ in found}) == len({b for _, b in found}) == 4
