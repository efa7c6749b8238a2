"""Finding, reading and verifying a cohort: every bad input has one line that names it; folder and zip are alike."""

import shutil
import socket
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
import tifffile
from PIL import Image

from radiogen_utils.data import download, verification
from radiogen_utils.data.archive import CohortError
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.data.download import find_cohort
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
    assert (cohort.patients.dtypes.iloc[2:] == float).all()
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
    assert one.digest == other.digest
    for row in one.slices.itertuples():
        for a, b in zip(one.read(row.case, row.slice), other.read(row.case, row.slice)):
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


def test_digest_changes_with_labels_and_tumour_slices_only(tiny_cohort):
    folder = tiny_cohort()
    before = open_cohort(folder).digest
    for ending in (".tif", "_mask.tif"):
        (folder / "kaggle_3m" / f"{FIRST}_1{ending}").unlink()
    assert open_cohort(folder).digest == before
    rewrite(folder / "kaggle_3m" / "data.csv", "0002,2", "0002,1")
    relabelled = open_cohort(folder).digest
    assert relabelled != before
    save(folder / "kaggle_3m" / f"{FIRST}_6.tif", np.zeros((64, 64, 3), np.uint8))
    assert open_cohort(folder).digest not in (before, relabelled)


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


@pytest.fixture
def public_cohort(tiny_cohort, tmp_path, monkeypatch):
    """A tiny cohort that stands for the public archive: the manifest is its own."""
    folder = tiny_cohort()
    verification.manifest(folder).to_csv(tmp_path / "manifest.csv")
    monkeypatch.setattr(verification, "MANIFEST", tmp_path / "manifest.csv")
    monkeypatch.setattr(verification, "PUBLIC_SLICES", 12)
    return folder


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


def test_verify_own_and_phantom(tiny_cohort):
    own = verify(tiny_cohort())
    assert (own.status, own.problems) == ("own", [])
    phantom = tiny_cohort(prefix="PHANTOM", name="phantom")
    found = verify(phantom)
    assert (found.status, found.problems) == ("phantom", [])
    assert open_cohort(phantom).synthetic


# ---- finding ----


@pytest.fixture
def empty_project(tmp_path, monkeypatch):
    """A project without data and a kagglehub without cache."""
    monkeypatch.setattr(download, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def quick_phantom(tiny_cohort, monkeypatch):
    """Stands for the phantom, whose own tests are elsewhere; the list of the folders written."""
    from radiogen_utils import phantom

    written = []

    def write_cohort(folder, n_patients, seed, null):
        written.append((n_patients, seed, null))
        return Path(shutil.move(tiny_cohort(prefix="PHANTOM", name=f"written{len(written)}"), folder))

    monkeypatch.setattr(phantom, "write_cohort", write_cohort)
    return written


@pytest.mark.parametrize("name", ["lgg-mri-segmentation.zip", "kaggle_3m", "lgg-mri-segmentation"])
def test_auto_takes_what_lies_in_the_data_folder(empty_project, tiny_cohort, zip_of, name):
    folder = tiny_cohort()
    target = empty_project / "data" / name
    target.parent.mkdir()
    shutil.move({"kaggle_3m": folder / "kaggle_3m", "lgg-mri-segmentation": folder}.get(name) or zip_of(folder), target)
    assert find_cohort() == target
    assert find_cohort(f"data/{name}") == target  # from the project's root
    assert len(open_cohort(target).patients) == 3


def test_auto_without_network_reaches_the_phantom_within_20_seconds(empty_project, quick_phantom, monkeypatch, capsys):
    released = threading.Event()

    def dropped(*args, **kwargs):
        released.wait(120)
        raise OSError("packets are dropped")

    monkeypatch.setattr(socket, "getaddrinfo", dropped)
    start = time.monotonic()
    path = find_cohort(n_phantom_patients=12, seed=3)
    elapsed = time.monotonic() - start
    released.set()
    assert elapsed < 20
    assert quick_phantom == [(12, 3, False)]
    assert open_cohort(path).synthetic
    printed = capsys.readouterr().out
    assert "SYNTHETIC PHANTOM" in printed and "api.kaggle.com cannot be reached" in printed


def test_phantom_is_written_once_for_each_kind(empty_project, quick_phantom):
    first = find_cohort("phantom", 12)
    assert find_cohort("phantom", 12) == first
    assert (
        len({first, find_cohort("phantom-null", 12), find_cohort("phantom", 12, seed=1), find_cohort("phantom", 13)})
        == 4
    )
    assert quick_phantom == [(12, 0, False), (12, 0, True), (12, 1, False), (13, 0, False)]
    assert first.name.startswith("phantom-12-0-")


@pytest.mark.parametrize("module", ["anatomy", "cohort"])
def test_phantom_is_written_again_after_its_source_has_changed(
    empty_project, quick_phantom, monkeypatch, tmp_path, module
):
    first = find_cohort("phantom", 12)
    (tmp_path / "changed.py").write_text("# another program\n")
    monkeypatch.setattr(f"radiogen_utils.phantom.{module}.__file__", str(tmp_path / "changed.py"))
    assert find_cohort("phantom", 12) != first
    assert len(quick_phantom) == 2


def test_interrupted_phantom_leaves_nothing(empty_project, monkeypatch):
    from radiogen_utils import phantom

    def interrupted(folder, *arguments):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "write_cohort", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_cohort("phantom")
    assert list((empty_project / "data").iterdir()) == []


@pytest.fixture
def kaggle(empty_project, public_cohort, monkeypatch):
    """kagglehub with a download that moves `public_cohort` into its cache; the list of the handles asked for."""
    import kagglehub
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    asked = []

    def dataset_download(handle):
        asked.append(handle)
        folder = Path(Cache().get_path(parse_dataset_handle(handle)))
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(public_cohort, folder, dirs_exist_ok=True)
        Cache().mark_as_complete(parse_dataset_handle(handle))
        return str(folder)

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    monkeypatch.setattr(download, "check_reachable", lambda url: None)
    return asked


def test_kaggle_download_is_verified_and_kept(kaggle):
    path = find_cohort()
    assert verify(path).status == "complete"
    assert find_cohort() == path
    assert kaggle == ["mateuszbuda/lgg-mri-segmentation/versions/2"]


def test_kaggle_download_that_differs_is_refused_each_time(kaggle, public_cohort):
    save(public_cohort / "kaggle_3m" / f"{FIRST}_6.tif", np.zeros((64, 64, 3), np.uint8))
    for _ in range(2):
        with pytest.raises(CohortError, match="versions/2: not the public archive .*TCGA_XX_0001.* delete this folder"):
            find_cohort()
    assert len(kaggle) == 2  # the refused copy was not taken from the cache


def test_failing_kaggle_download_falls_back_to_the_phantom(kaggle, quick_phantom, monkeypatch, capsys):
    import kagglehub

    def refused(handle):
        raise requests.HTTPError("403 Client Error")

    monkeypatch.setattr(kagglehub, "dataset_download", refused)
    assert open_cohort(find_cohort()).synthetic
    assert "403 Client Error" in capsys.readouterr().out


# ---- the real archive ----


def test_real_archive_is_partial_and_unchanged(real_archive):
    found = verify(real_archive)
    assert (found.status, found.problems) == ("partial", [])
    assert found.summary == (
        "partial archive: 1,550 of 3,929 slices; all 1,373 tumour-bearing slices of 110 patients are present and unchanged"
    )


def test_manifest_is_that_of_the_real_archive(real_archive):
    public = verification.manifest_of_public_archive()
    pd.testing.assert_frame_equal(verification.manifest(real_archive), public)
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
