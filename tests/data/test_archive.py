"""Whatever names, systems and programs a cohort has come through: every file is read or named, with the way out."""

import os
import shutil
import struct
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from radiogen_utils import patches
from radiogen_utils.data import archive
from radiogen_utils.data.archive import Archive, CohortError, find_in
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.data.table import read_table
from radiogen_utils.data.verification import verify

CASE = "TCGA_XX_0001_20000101"
FIRST = f"{CASE}/{CASE}"


def problem(path: Path) -> str:
    """The only problem of a cohort."""
    try:
        problems = verify(path).problems
    except CohortError as error:  # no slice or table at all
        problems = [str(error)]
    assert len(problems) == 1, problems
    return problems[0]


# ---- names of slices ----


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace(".tif", ".TIF"),
        lambda name: name.replace(".tif", ".tiff"),
        lambda name: name.replace("_mask.tif", "_MASK.TIFF"),
        lambda name: name.replace("_6", "_006"),
    ],
    ids=["TIF", "tiff", "MASK.TIFF", "leading zeros"],
)
def test_other_spellings_are_read_and_are_the_same_cohort(tiny_cohort, zip_of, rename, packed):
    folder = tiny_cohort()
    public = open_cohort(folder)
    image = public.read(CASE, 6)[0]
    files = [file for file in folder.rglob("*.tif") if rename(file.name) != file.name]
    assert len(files) >= 6
    for file in files:
        file.rename(file.with_name(rename(file.name)))
    renamed = open_cohort(zip_of(folder) if packed else folder)
    assert renamed.fingerprint == public.fingerprint
    assert renamed.slices.equals(public.slices)
    assert np.array_equal(renamed.read(CASE, 6)[0], image)


def put(root: Path, name: str, content: bytes = b"x") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


# A file that is put into `kaggle_3m`, and what the one line says of it.
STRAY = {
    f"{FIRST}_7.png": "PNG is not read; export it as TIFF",
    f"{FIRST}_7.dcm": "DCM is not read; export it as TIFF",
    f"{FIRST}_6.tiff": f"the same slice as {FIRST}_6.tif; remove one of them",
    f"{FIRST}_6_mask.tiff": f"the same slice as {FIRST}_6_mask.tif; remove one of them",
    f"{CASE}/more/{CASE}_7.tif": "not directly in a folder of its case",
    f"{CASE}/TCGA_XX_0009_20000101/TCGA_XX_0009_20000101_7.tif": "not directly in a folder of its case",
    f"{CASE}/notes.txt": "not named <case>/<case>_<slice>.tif or …_mask.tif; rename or remove it",
    f"{FIRST}_7_mask2.tif": "not named <case>/<case>_<slice>.tif or …_mask.tif; rename or remove it",
    f"{FIRST}_7.tif.bak": "not named",
    f"{FIRST}_7.tif~": "not named",
    f"{CASE}_7.tif": "not directly in a folder of its case",
    f"{CASE}_7.jpg": "JPG is not read",
    "patients.zip": "neither a slice in the folder of its case nor a document",
    "deeper/data.csv": "a cohort inside the cohort; move deeper/ elsewhere",
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", STRAY)
def test_every_other_file_is_named(tiny_cohort, zip_of, name, packed):
    folder = tiny_cohort()
    put(folder / "kaggle_3m", name)
    line = problem(zip_of(folder) if packed else folder)
    assert line.startswith(f"{name}: ") and STRAY[name] in line and ";" in line


def test_what_systems_leave_and_documents_are_no_problem(tiny_cohort, zip_of):
    folder = tiny_cohort()
    root, before = folder / "kaggle_3m", open_cohort(folder).fingerprint
    beside = ("README.md", "LICENSE", "TCGA-CDR-SupplementalTableS1.xlsx", "TCGA_GBM_LGG_Mutations_all.csv")
    hidden = (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/kaggle_3m/x_1.tif", ".git/x.tif", "@eaDir/x.png")
    for name in (*beside, *hidden, f"{CASE}/._{CASE}_6.tif", f"{CASE}/Thumbs.db", f"{CASE}/.ipynb_checkpoints/x.png"):
        put(root, name)
    for path in (folder, zip_of(folder)):
        assert (verify(path).problems, open_cohort(path).fingerprint) == ([], before)


def test_a_hidden_copy_is_not_a_second_cohort(tiny_cohort):
    folder = tiny_cohort()
    shutil.copytree(folder / "kaggle_3m", folder / ".Trash" / "kaggle_3m")
    shutil.copytree(folder / "kaggle_3m", folder / "__MACOSX")
    assert len(open_cohort(folder).patients) == 3


def test_folders_without_slices_are_named(tiny_cohort):
    folder = tiny_cohort()
    (folder / "kaggle_3m" / "TCGA_XX_0005_20000101" / "empty").mkdir(parents=True)
    assert problem(folder).startswith("TCGA_XX_0005_20000101: a folder without slices; restore them")
    path = folder.with_suffix(".zip")
    shutil.make_archive(str(folder), "zip", folder)  # lists folders too
    assert problem(path).startswith("TCGA_XX_0005_20000101: a folder without slices; restore them")


def test_links(tiny_cohort, tmp_path):
    folder = tiny_cohort()
    root, before = folder / "kaggle_3m", open_cohort(folder).fingerprint
    shutil.move(root / CASE, tmp_path / CASE)
    (root / CASE).symlink_to(tmp_path / CASE)
    assert open_cohort(folder).fingerprint == before
    loop, gone = root / CASE / "loop", root / CASE / "gone.tif"
    loop.symlink_to(root)
    assert problem(folder) == f"{CASE}/loop: a link to a folder that it lies in; remove it"
    loop.unlink()
    gone.symlink_to(tmp_path / "nowhere")
    assert problem(folder).startswith(f"{CASE}/gone.tif: neither file nor folder, or a link to what is gone; restore")
    gone.unlink()
    gone.symlink_to(gone)
    assert problem(folder).startswith(f"{CASE}/gone.tif: neither file nor folder")
    gone.unlink()
    if hasattr(os, "mkfifo"):  # reading one would wait for ever
        os.mkfifo(root / f"{FIRST}_7.tif")
        assert problem(folder).startswith(f"{FIRST}_7.tif: neither file nor folder")


def test_letters_in_two_parts_as_on_macos_are_one_letter(tiny_cohort, zip_of):
    folder = tiny_cohort(prefix=unicodedata.normalize("NFD", "Köln"))
    table = folder / "kaggle_3m" / "data.csv"
    text = table.read_text(encoding="utf-8")
    for form in ("NFC", "NFD"):
        table.write_text(unicodedata.normalize(form, text), encoding="utf-8")
        for path in (folder, zip_of(folder)):
            cohort = open_cohort(path)
            assert cohort.patients.index[0] == "Köln_XX_0001" and cohort.patients.COCCluster.notna().all()
            assert cohort.read("Köln_XX_0001_20000101", 6)[1].sum() == 60


def test_the_fingerprint_changes_with_what_would_be_named(tiny_cohort):
    folder = tiny_cohort()
    root, found = folder / "kaggle_3m", [Archive(folder).fingerprint()]
    for spoil in (
        lambda: put(root, f"{FIRST}_7.png"),
        lambda: (root / "empty").mkdir(),
        lambda: (root / "gone").symlink_to(folder / "nowhere"),
    ):
        spoil()
        found.append(Archive(folder).fingerprint())
    assert len({*found}) == 4


def test_the_key_of_kept_patches_covers_every_module_that_decides_them():
    data = Path(archive.__file__).parent
    others = {"__init__.py", "clinical.py", "download.py", "own_image.py", "verification.py"}
    assert {file.name for file in patches._DECISIVE} == {file.name for file in data.glob("*.py")} - others
    assert all(file.is_file() for file in patches._DECISIVE)


# ---- masks and images ----


def write_mask(root: Path, array, **options) -> None:
    tifffile.imwrite(root / f"{FIRST}_6_mask.tif", array, **options)


tumour = np.zeros((64, 64), np.uint8)
tumour[20:26, 30:40] = 255
frame = np.full((64, 64), 255, np.uint8)
frame[2:-2, 2:-2] = 0
half = np.zeros((64, 64), np.uint8)
half[:33, 1:] = 255
SPOILT_MASKS = {
    "inverted": (
        lambda root: write_mask(root, 255 - tumour),
        "marks 99% of the slice and all its corners; if it is inv",
    ),
    "inverted, of 0 and 1": (lambda root: write_mask(root, 1 - tumour // 255), "marks 99% of the slice and all its"),
    "all corners": (lambda root: write_mask(root, frame), "marks 12% of the slice and all its corners; if"),
    "more than half": (
        lambda root: write_mask(root, half),
        "marks 51% of the slice; if it is inverted, export it with",
    ),
    "two pages": (lambda root: write_mask(root, np.stack([tumour, tumour])), "2 pages, of which one would be read"),
    "16 bits": (lambda root: write_mask(root, tumour.astype(np.uint16) * 257), "not a binary mask; export it as one"),
    "float": (lambda root: write_mask(root, tumour / np.float32(255)), "not a binary mask"),
    "RGBA": (lambda root: write_mask(root, np.dstack([tumour] * 4), photometric="rgb"), "not a binary mask"),
    "palette": (lambda root: Image.fromarray(tumour).convert("P").save(root / f"{FIRST}_6_mask.tif"), "not a binary"),
    "empty": (lambda root: put(root, f"{FIRST}_6_mask.tif", b""), "not a TIFF but an empty file; export it"),
    "PNG inside": (
        lambda root: Image.fromarray(tumour).save(root / f"{FIRST}_6_mask.tif", "PNG"),
        "not a TIFF but a PNG; export it as TIFF",
    ),
    "Git LFS": (
        lambda root: put(root, f"{FIRST}_6_mask.tif", b"version https://git-lfs.github.com/spec/v1"),
        "not a TIFF but a pointer of Git LFS",
    ),
    "damaged header": (lambda root: put(root, f"{FIRST}_6_mask.tif", b"II*\0zzzz"), "truncated or damaged; download"),
}


@pytest.mark.parametrize("spoil, message", SPOILT_MASKS.values(), ids=SPOILT_MASKS)
def test_masks_that_cannot_be_right_are_named(tiny_cohort, spoil, message):
    folder = tiny_cohort()
    spoil(folder / "kaggle_3m")
    assert problem(folder).startswith(f"{FIRST}_6_mask.tif: {message}")
    with pytest.raises(CohortError, match="_6_mask.tif: "):
        open_cohort(folder)


def test_large_and_bilevel_masks_are_read(tiny_cohort):
    folder = tiny_cohort()
    large = np.zeros((64, 64), np.uint8)
    large[:32] = 255  # half of the slice and two corners
    write_mask(folder / "kaggle_3m", large)
    assert open_cohort(folder).read(CASE, 6)[1].sum() == 32 * 64
    Image.fromarray(tumour > 0).save(folder / "kaggle_3m" / f"{FIRST}_6_mask.tif")  # one bit a pixel
    assert np.array_equal(open_cohort(folder).read(CASE, 6)[1], tumour > 0)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 64, 64, 3), np.uint8), "2 pages, of which one would be read; export each slice as a file"),
        (np.zeros((64, 64, 3), np.float32), "not H×W×3 uint8|truncated or damaged"),
    ],
    ids=["two pages", "float"],
)
def test_images_that_cannot_be_right_are_named(tiny_cohort, array, message):
    folder = tiny_cohort()
    tifffile.imwrite(folder / "kaggle_3m" / f"{FIRST}_6.tif", array, photometric="rgb")
    with pytest.raises(CohortError, match=f"{FIRST}_6.tif: ({message})"):
        open_cohort(folder)


# ---- the table ----

TEXT = "Patient,COCCluster,age\nKöln_A_1,1,41\nKöln_A_2,2,\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("latin-1"),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace(",", '","').replace("\n", '"\n"').removesuffix('"').join(['"', ""]).encode(),
        ("\n" * 5000 + TEXT.replace("\n", "\n" * 3000) + ",,\n").encode(),
        unicodedata.normalize("NFD", TEXT).encode(),
        TEXT.replace(",", ";").replace("41", "41,0").encode(),
    ],
    ids="utf-16 big-endian latin-1 CR BOM tabs quotes blank-lines NFD decimal-comma".split(),
)
def test_tables_as_programs_save_them(content):
    table, problems = read_table(content)
    assert problems == [] and list(table.index) == ["Köln_A_1", "Köln_A_2"]
    assert table.COCCluster.tolist() == [1, 2] and table.iloc[0, 1] == 41 and np.isnan(table.iloc[1, 1])


def test_decimal_commas_are_read_in_a_table_with_semicolons_only():
    table, problems = read_table(b"Patient;age\nP_A_1;41,5\n")
    assert problems == [] and table.age["P_A_1"] == 41.5
    _, problems = read_table(b'Patient,age\nP_A_1,"41,5"\n')
    assert problems == ["data.csv, line 2: age of patient P_A_1 is '41,5'; write a number or leave it blank"]


def test_rows_and_quotes_that_are_wrong_are_named():
    _, problems = read_table(b"Patient,age\n,41\n")
    assert problems == ["data.csv, line 2: no patient; name the patient, or remove the line"]
    with pytest.raises(CohortError, match="data.csv, line .*look for a stray quote"):
        read_table(b'Patient,age\nP_A_1,"41' + b"1,\n" * 100_000)


# ---- zips ----


def repack(source: Path, rename=lambda name: name, **options) -> Path:
    """A zip of a folder with other names in it, and one member or all of them changed."""
    path = source.with_name("other.zip")
    with zipfile.ZipFile(path, "w", **options) as packed:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                packed.writestr(rename(file.relative_to(source).as_posix()), file.read_bytes())
    return path


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"./{name}",
        lambda name: name.replace("/", "//", 1),
        lambda name: name.replace("/", "\\"),
        lambda name: f"/{name}",
        lambda name: f"./a//b\\{name}",
    ],
    ids=["dot", "double", "backslash", "absolute", "all"],
)
def test_names_in_a_zip(tiny_cohort, rename):
    folder = tiny_cohort()
    path = repack(folder, rename)
    assert open_cohort(path).fingerprint == open_cohort(folder).fingerprint
    assert verify(path).problems == []


def test_names_that_are_one_are_named(tiny_cohort):
    path = repack(tiny_cohort())
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(f"kaggle_3m\\{FIRST}_6.tif".replace("/", "\\"), b"another")
    assert problem(path) == f"{FIRST}_6.tif: there twice, the name being written in two ways or repeated; keep one"


def test_names_that_lead_out_of_the_root_are_named(tiny_cohort):
    path = repack(tiny_cohort() / "kaggle_3m")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("../TCGA_XX_0009_20000101/TCGA_XX_0009_20000101_7.tif", b"x")
    assert problem(path).startswith("../TCGA_XX_0009_20000101/TCGA_XX_0009_20000101_7.tif: not directly in")


def spoil_members(path: Path, name: str, flag: int | None = None, method: int | None = None) -> None:
    """Set flags or compression method of a member, in its own header and in the list at the end."""
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.rindex(signature, 0, content.index(name.encode(), content.index(signature)))
        assert content[start:].startswith(signature)
        for offset, value in ((at, flag), (at + 2, method)):
            if value is not None:
                content[start + offset : start + offset + 2] = struct.pack("<H", value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"flag": 1}, "encrypted in .*other.zip; unpack it with its password and give the folder"),
        (
            {"method": 9},
            "packed with Deflate64, which this Python cannot unpack, in .*other.zip; unpack it with another",
        ),
        ({"method": 98}, "packed with PPMd, which this Python cannot unpack, in .*other.zip; unpack it with another"),
        ({"method": 8}, r"damaged \(.*\) in .*other.zip; download or copy it again"),
    ],
    ids=["encrypted", "Deflate64", "PPMd", "damaged"],
)
@pytest.mark.parametrize("name", ["data.csv", f"{FIRST}_6_mask.tif"])
def test_advice_for_a_member_follows_the_cause(tiny_cohort, change, message, name):
    path = repack(tiny_cohort())  # stored, so that "deflated" is wrong
    spoil_members(path, f"kaggle_3m/{name}", **change)
    with pytest.raises(CohortError, match=f"{name}: {message}") as caught:
        open_cohort(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_under_other_compressions(tiny_cohort, method):
    folder = tiny_cohort()
    path = repack(folder, compression=method)
    assert open_cohort(path).fingerprint == open_cohort(folder).fingerprint
    with zipfile.ZipFile(path) as packed:
        info = packed.getinfo(f"kaggle_3m/{FIRST}_6.tif")
    content = bytearray(path.read_bytes())
    middle = info.header_offset + info.compress_size // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(CohortError, match=f"{FIRST}_6.tif: (damaged|unreadable) .*; download or copy it again"):
        open_cohort(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "not a zip but a 7z archive; unpack it and give the folder"),
        (b"Rar!\x1a\7\0", "not a zip but a RAR archive; unpack it and give the folder"),
        (b"\x1f\x8b\x08", "not a zip but a gzip archive; unpack it and give the folder"),
        (b"<!doctype html>", "not a zip but a web page; download it again"),
        (b"", "not a zip but an empty file; download it again"),
        (b"PK\3\4" + bytes(999), "not the whole of a zip; download it again"),
        (b"text", "not a zip; download it again"),
    ],
)
def test_advice_for_what_is_no_zip_follows_the_cause(tmp_path, content, message):
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(CohortError) as caught:
        open_cohort(tmp_path / "archive.zip")
    assert str(caught.value) == f"{tmp_path / 'archive.zip'}: {message}"


def test_a_zip_in_a_zip_or_folder_is_named(tiny_cohort, zip_of, tmp_path):
    inner = zip_of(tiny_cohort())
    outer = tmp_path / "outer"
    outer.mkdir()
    shutil.move(inner, outer / "kaggle_3m.zip")
    for path in (outer, zip_of(outer)):
        with pytest.raises(CohortError, match="no data.csv found in it, but kaggle_3m.zip; unpack that and give what"):
            open_cohort(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_no_permission_is_another_matter(tiny_cohort, zip_of):
    folder = tiny_cohort()
    path = zip_of(folder)
    for locked in (path, folder / "kaggle_3m" / f"{FIRST}_6_mask.tif", folder / "kaggle_3m" / CASE):
        mode = locked.stat().st_mode
        locked.chmod(0)
        with pytest.raises(CohortError, match="no permission to read it.*; allow it, or copy it"):
            open_cohort(path if locked == path else folder)
        locked.chmod(mode)


@pytest.mark.parametrize("level", [0, 1])
def test_a_locked_folder_is_not_one_without_a_table(tmp_path, monkeypatch, level):
    (tmp_path / "archive" / "kaggle_3m").mkdir(parents=True)
    locked = tmp_path / ["archive", "archive/kaggle_3m"][level]
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked)
    with pytest.raises(CohortError, match=f"{locked.name}: no permission to look into it; allow it"):
        open_cohort(tmp_path / "archive")


@pytest.mark.parametrize("where", ["builtins.open", "os.scandir"])
def test_no_permission_as_python_tells_it(tiny_cohort, monkeypatch, where):
    folder = tiny_cohort()

    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(where, refused)
    with pytest.raises(CohortError, match="no permission to read it.*; allow it, or copy it elsewhere"):
        Archive(folder / "kaggle_3m").read("data.csv")


# ---- finding ----


@pytest.fixture
def data(tmp_path):
    """The project's data folder with all that is no cohort in it."""
    folder = tmp_path / "data"
    for name in (
        *("phantom-110-0-0a1b2c3d/kaggle_3m/data.csv", "msd-brain-t1gd-slices.zip", "Task01_BrainTumour/data.csv"),
        *("Task01_BrainTumour.tar", "brats-hgg-lesion-slices.zip", ".phantom-x/data.csv", "notes.txt", "photos/x.png"),
    ):
        put(folder, name)
    with zipfile.ZipFile(folder / "glioma+grading+dataset.zip", "w") as packed:
        packed.writestr("TCGA_GBM_LGG_Mutations_all.csv", "Case_ID\n")
    return folder


def test_nothing_is_found_among_the_courses_other_data(data, capsys):
    assert find_in(data) is None
    assert find_in(data / "absent") is None
    assert capsys.readouterr().out == ""


NAMES = [
    "archive (1).zip",
    "kaggle_3m.zip",
    "lgg-mri-segmentation (2).zip",
    "archive.zip.1",
    "archive",
    "Kaggle LGG.ZIP",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_zip_of_any_name_is_found(data, tiny_cohort, zip_of, name):
    shutil.move(zip_of(tiny_cohort()), data / name)
    assert find_in(data) == data / name


@pytest.mark.parametrize("name", ["archive", "kaggle_3m", "lgg", "Neuer Ordner/archive"])  # codespell:ignore ordner
def test_a_folder_of_any_name_is_found(data, tiny_cohort, name):
    folder = tiny_cohort()
    (data / name).parent.mkdir(exist_ok=True)
    shutil.move(folder / "kaggle_3m" if name == "kaggle_3m" else folder, data / name)
    assert find_in(data) == data / name.split("/")[0]


def test_a_cohort_zipped_and_unpacked_is_one(data, tiny_cohort, zip_of, capsys):
    folder = tiny_cohort()
    shutil.copy(zip_of(folder), data / "lgg.zip")
    shutil.move(folder, data / "archive")
    assert find_in(data) == data / "lgg.zip"
    assert capsys.readouterr().out == "data/lgg.zip is used; data/archive holds the same.\n"
    mask = data / "archive" / "kaggle_3m" / f"{FIRST}_6_mask.tif"
    content = bytearray(mask.read_bytes())
    content[content.index(b"\xff")] ^= 0xFF
    mask.write_bytes(content)  # as many bytes as before
    with pytest.raises(CohortError) as caught:
        find_in(data)
    assert (
        str(caught.value) == f'{data}: 2 cohorts, data/lgg.zip and data/archive; choose one, as in DATA="data/lgg.zip"'
    )


def test_several_cohorts_are_named(data, tiny_cohort, zip_of):
    shutil.move(tiny_cohort(2), data / "b")
    shutil.move(tiny_cohort(3), data / "a")
    shutil.move(zip_of(tiny_cohort(4)), data / "c (1).zip")
    with pytest.raises(CohortError, match=r'3 cohorts, data/c \(1\).zip, data/a and data/b; choose one, as in DATA="'):
        find_in(data)


UNUSABLE = {
    "archive.zip.crdownload": (b"PK\3\4", "an unfinished download; finish it, or delete it"),
    "lgg-mri-segmentation.zip.part": (b"PK\3\4", "an unfinished download"),
    "archive.zip.download/archive.zip": (b"PK\3\4", "archive.zip.download: an unfinished download"),
    "archive.zip": (b"PK\3\4" + bytes(99), "not the whole of a zip; download it again"),
    "archive": (b"PK\3\4" + bytes(99), "not the whole of a zip; download it again"),
    "kaggle_3m.7z": (b"7z\xbc\xaf\x27\x1c", "not a zip but a 7z archive; unpack it and give the folder"),
    "kaggle_3m.tar.gz": (b"\x1f\x8b\x08", "not a zip but a gzip archive; unpack it and give the folder"),
    "login.zip": (b"<html>", "not a zip but a web page; download it again"),
    "data.csv": (b"Patient\n", "data.csv: loose; move it and its cases into a folder kaggle_3m"),
    "two/one/data.csv": (b"Patient\n", "two: 2 cohorts in it, "),
    "outer/kaggle_3m.zip": (b"PK\3\4", "outer: no data.csv found in it, but kaggle_3m.zip; unpack that"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_may_have_been_meant_as_a_cohort_is_named(data, tiny_cohort, name, capsys):
    content, message = UNUSABLE[name]
    put(data, name, content)
    if name == "two/one/data.csv":
        put(data, "two/two/data.csv")
    with pytest.raises(CohortError) as caught:  # rather than a download, or the phantom
        find_in(data)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    shutil.move(tiny_cohort(), data / "lgg")
    assert find_in(data) == data / "lgg"
    printed = capsys.readouterr().out
    assert printed.startswith("Not used: ") and message in printed and printed.count("\n") == 1


def test_a_link_to_what_is_gone_is_named(data):
    (data / "kaggle_3m").symlink_to(data / "nowhere")
    with pytest.raises(CohortError, match="kaggle_3m: no such file or folder; check the path"):
        find_in(data)
