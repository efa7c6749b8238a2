"""The phantom: its layout, its determinism, what it hides in the pictures, and that nothing leaks beside that."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import perimeter
from sklearn.metrics import roc_auc_score

from radiogen_utils.phantom import cohort as phantom
from radiogen_utils.phantom import write_cohort, write_glioblastoma

N = 32
"""Patients of the cohort below: 16 / 7 / 9 in the clusters 1 / 2 / 3."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", n_patients=N, seed=0)


@pytest.fixture(scope="module")
def table(cohort):
    return pd.read_csv(cohort / "kaggle_3m" / "data.csv").set_index("Patient")


@pytest.fixture(scope="module")
def cases(cohort):
    """Patient -> (slice numbers, images (Z, 256, 256, 3), masks (Z, 256, 256) as stored)."""
    cases = {}
    for folder in sorted(path for path in (cohort / "kaggle_3m").iterdir() if path.is_dir()):
        numbers = sorted(int(path.stem.split("_")[-1]) for path in folder.glob("*[0-9].tif"))
        images = [np.asarray(Image.open(folder / f"{folder.name}_{n}.tif")) for n in numbers]
        masks = [np.asarray(Image.open(folder / f"{folder.name}_{n}_mask.tif")) for n in numbers]
        assert len(list(folder.iterdir())) == 2 * len(numbers)
        patient = re.fullmatch(r"(PHANTOM_[A-E]{2}_\d{4})_20000101", folder.name)[1]
        cases[patient] = numbers, np.stack(images), np.stack(masks)
    return cases


@pytest.fixture(scope="module")
def glioblastoma(tmp_path_factory):
    """Folder, and case -> number of pixels of the labels 0 to 3 in all its slices."""
    folder = write_glioblastoma(tmp_path_factory.mktemp("phantom") / "glioblastoma", n_cases=12, seed=0)
    counts = {}
    for path in sorted((folder / "labels").iterdir()):
        case = counts.setdefault(path.name[:9], [])
        case.append(np.bincount(np.asarray(Image.open(path)).ravel(), minlength=4))
    return folder, counts


@pytest.fixture
def without_images(monkeypatch):
    """`write_cohort` draws no heads: its tables alone, in a moment."""
    blank = [1], np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2), bool)
    monkeypatch.setattr(phantom, "_glioma", lambda *_: blank)


def contrasts(images, masks):
    """Mean of the tumour over the median of the tissue around it: pre-contrast, FLAIR, post-contrast."""
    values = []
    for image, mask in zip(images, masks > 0, strict=True):
        if mask.sum() >= 100:
            distance = ndimage.distance_transform_edt(~mask)
            around = (distance > 4) & (distance < 15) & (image[..., 1] > 10)
            values.append(image[mask].mean(0) / np.median(image[around], axis=0))
    return np.mean(values, axis=0)


def irregularity(masks):
    """Perimeter² over 4π area, which is 1 for a disc, averaged over the larger slices."""
    return np.mean([perimeter(m) ** 2 / (4 * np.pi * m.sum()) for m in masks > 0 if m.sum() >= 100])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ---- layout ----


def test_table_has_the_archives_columns_and_blanks(table, cases):
    assert (
        list(table.reset_index().columns)
        == (
            "Patient RNASeqCluster MethylationCluster miRNACluster CNCluster RPPACluster OncosignCluster COCCluster "
            "histological_type neoplasm_histologic_grade tumor_tissue_site laterality tumor_location gender "
            "age_at_initial_pathologic race ethnicity death01"
        ).split()
    )
    assert list(table.index) == sorted(cases) and len(cases) == N
    blanks = table.isna().sum()
    assert blanks["COCCluster"] == 0 and blanks["RNASeqCluster"] == round(0.16 * N)
    assert table.loc[:, "histological_type":].isna().all(axis=1).sum() == 1
    assert table["age_at_initial_pathologic"].dropna().between(20, 75).all()


@pytest.mark.parametrize("n", [10, 40, 110])
def test_clusters_come_in_the_real_proportions(n, without_images, tmp_path):
    write_cohort(tmp_path / "cohort", n)
    counts = pd.read_csv(tmp_path / "cohort/kaggle_3m/data.csv")["COCCluster"].value_counts()
    assert counts.sum() == n and counts.min() >= 2
    np.testing.assert_allclose(counts[[1, 2, 3]], np.array([56, 24, 30]) * n / 110, atol=1)


def test_slices_are_8_bit_and_bear_tumour_but_for_the_two_ends(cases):
    for numbers, images, masks in cases.values():
        assert images.shape[1:] == (256, 256, 3) and images.dtype == np.uint8
        assert masks.shape == images.shape[:3] and set(np.unique(masks)) == {0, 255}
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        bearing = masks.any((1, 2))
        assert bearing[1:-1].all() and not bearing[[0, -1]].any()
    assert 6 <= np.median([len(numbers) - 2 for numbers, *_ in cases.values()]) <= 10


def test_files_are_uncompressed_like_the_archives(cohort):
    path = next((cohort / "kaggle_3m").glob("*/*_mask.tif"))
    for file, mode in ((path, "L"), (path.with_stem(path.stem.removesuffix("_mask")), "RGB")):
        with Image.open(file) as image:
            assert (image.format, image.mode, image.info["compression"]) == ("TIFF", mode, "raw")


def test_mask_is_one_part_inside_the_brain(cases):
    for _, images, masks in cases.values():
        for image, mask in zip(images[1:-1], masks[1:-1] > 0, strict=True):
            assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
            # The scalp encloses the brain: filled from outside, the dark skull stays between scalp and mask.
            head = ndimage.binary_fill_holes(ndimage.gaussian_filter(image[..., 1].astype(float), 1) > 20)
            assert head[mask].mean() > 0.99
            assert ndimage.distance_transform_edt(head)[mask].min() > 4


def test_tumour_is_bright_on_flair_and_dark_before_contrast(cases):
    """Real medians, measured alike: 1.52 and 0.92."""
    pre, flair, _ = np.median([contrasts(images, masks) for _, images, masks in cases.values()], axis=0)
    assert 1.4 < flair < 1.7 and 0.85 < pre < 1


def test_missing_sequences_are_filled_with_flair(cases):
    pre = [(images[..., 0] == images[..., 1]).all() for _, images, _ in cases.values()]
    post = [(images[..., 2] == images[..., 1]).all() for _, images, _ in cases.values()]
    assert sum(pre) == round(N * 6 / 110) and sum(post) == round(N * 10 / 110)


def test_companions_fit_the_cohort(cohort, table):
    survival = pd.read_excel(cohort / "TCGA-CDR-SupplementalTableS1.xlsx", sheet_name="TCGA-CDR")
    assert set(survival["bcr_patient_barcode"].str.replace("-", "_")) == set(table.index)
    assert set(survival["OS"]) == {0, 1} and survival["OS.time"].between(1, 20_000).all()
    mutations = pd.read_csv(cohort / "TCGA_GBM_LGG_Mutations_all.csv", encoding="utf-8-sig")
    assert set(mutations["Case_ID"].str.replace("-", "_")) < set(table.index)
    assert set(mutations["IDH1"]) == {0, 1} and "IDH2" in mutations


def test_refuses_too_few_patients_and_a_folder_in_use(tmp_path, cohort):
    with pytest.raises(ValueError, match="at least 10"):
        write_cohort(tmp_path / "few", n_patients=9)
    with pytest.raises(FileExistsError):
        write_cohort(cohort)


# ---- determinism, and the null cohort ----


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return contents(write_cohort(tmp_path_factory.mktemp("phantom") / "small", n_patients=10, seed=3))


def test_null_shuffles_the_label_and_touches_nothing_else(small, tmp_path):
    """Shows determinism too: all files but the table come out byte for byte as before, from a second writing."""
    null = contents(write_cohort(tmp_path / "null", n_patients=10, seed=3, null=True))
    changed = [path for path in small if small[path] != null.get(path)]
    assert small.keys() == null.keys() and [path.name for path in changed] == ["data.csv"]
    tables = [pd.read_csv(io.BytesIO(files[changed[0]])) for files in (small, null)]
    labels = [table.pop("COCCluster") for table in tables]
    pd.testing.assert_frame_equal(*tables)
    assert not labels[0].equals(labels[1]) and sorted(labels[0]) == sorted(labels[1])


def test_tables_are_deterministic(without_images, tmp_path):
    first, again, other = (contents(write_cohort(tmp_path / n, 40, seed)) for n, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert first == again
    for name in ("data.csv", "TCGA-CDR-SupplementalTableS1.xlsx", "TCGA_GBM_LGG_Mutations_all.csv"):
        one, two = ({data for path, data in files.items() if path.name == name} for files in (first, other))
        assert one and one != two


def test_no_picture_occurs_twice(cohort, small):
    """Neither in one cohort nor under another seed."""
    files = [file for folder in (contents(cohort), small) for file in folder.items()]
    pictures = [data for path, data in files if path.suffix == ".tif" and not path.stem.endswith("_mask")]
    assert len(set(pictures)) == len(pictures) > 300


# ---- what cluster 2 looks like ----
# With 7 patients against 25 the standard error of a chance AUC is 0.12 (Hanley and McNeil, 1982). An effect must come
# out two of them above 0.5; what must not tell the clusters apart stays within two of it.
CHANCE = 0.25


def effects(labels, cases):
    """AUC of the contour and of the enhancement for cluster 2, the latter where both sequences are there."""
    second = (labels == 2).to_numpy()
    contour = np.array([irregularity(masks) for _, _, masks in cases.values()])
    pre, flair, post = np.transpose([contrasts(images, masks) for _, images, masks in cases.values()])
    both = (pre != flair) & (post != flair)
    return roc_auc_score(second, contour), roc_auc_score(second[both], (post - pre)[both])


def test_contour_and_enhancement_tell_cluster_2(table, cases):
    assert min(effects(table["COCCluster"], cases)) > 0.5 + CHANCE


def test_nothing_tells_cluster_2_of_the_null_cohort(table, cases, without_images, tmp_path):
    """The pictures of the null cohort are those of this one (shown above), so its labels suffice."""
    write_cohort(tmp_path / "null", n_patients=N, seed=0, null=True)
    labels = pd.read_csv(tmp_path / "null/kaggle_3m/data.csv").set_index("Patient")["COCCluster"]
    assert (labels != table["COCCluster"]).any()
    np.testing.assert_allclose(effects(labels, cases), 0.5, atol=CHANCE)


def test_size_and_institution_do_not_tell_cluster_2(table, cases):
    second = (table["COCCluster"] == 2).to_numpy()
    for size in ([len(numbers) for numbers, *_ in cases.values()], [(masks > 0).sum() for *_, masks in cases.values()]):
        assert abs(roc_auc_score(second, size) - 0.5) < CHANCE
    shares = pd.crosstab(table.index.str[8:10], second)
    expected = shares.sum(axis=1) * second.mean()
    assert (abs(shares[True] - expected) < 1.5).all() and len(shares) >= 4


def test_tables_tell_cluster_2():
    """Means over 2000 patients a cluster: age, grade, IDH and the hazard of death as documented."""
    clusters = np.repeat([1, 2, 3], 2000)
    names = [f"P_{i}" for i in range(len(clusters))]
    alike = [2] * len(names), [True] * len(names)
    table, survival, mutations = phantom._tables(np.random.default_rng(0), names, clusters, *alike)

    def by(frame, column):
        return frame[column].astype(float).groupby(clusters[frame.index]).mean()

    np.testing.assert_allclose(by(table, "age_at_initial_pathologic"), [40, 54, 51], atol=1.5)
    grade, idh = by(table, "neoplasm_histologic_grade"), by(mutations, "IDH1")
    assert grade[2] > 1.8 > 1.5 > grade[1] and grade[3] < 1.5
    assert idh[2] < 0.25 < 0.8 < min(idh[1], idh[3])
    hazard = by(survival, "OS") / by(survival, "OS.time")
    assert hazard[2] > 3 * max(hazard[1], hazard[3])


# ---- glioblastoma ----


def test_glioblastoma_layout(glioblastoma):
    folder, counts = glioblastoma
    names = sorted(path.name for path in (folder / "labels").iterdir())
    assert names == sorted(path.name for path in (folder / "images").iterdir())
    assert all(re.fullmatch(r"BRATS_0\d\d_z(46|62|77|93|108|124)\.png", name) for name in names)
    for name in names:
        image, label = (Image.open(folder / part / name) for part in ("images", "labels"))
        assert image.mode == label.mode == "L" and image.size == label.size == (120, 120)
        image, label = np.asarray(image), np.asarray(label)
        assert set(np.unique(label)) <= {0, 1, 2, 3}
        assert (image[label > 0] == 0).sum() <= 0.01 * (label > 0).sum()  # inside the brain
        assert (image == 0).mean() > 0.5 and image.max() > 50  # no skull, not empty
    assert len(counts) == 12 and {len(case) for case in counts.values()} == {5, 6}
    assert any(not slice_[1:].any() for case in counts.values() for slice_ in case)


def test_two_thirds_are_glioblastoma_like(glioblastoma):
    totals = np.array([np.sum(case, axis=0) for case in glioblastoma[1].values()])
    assert totals[:, 1:].sum(1).all()
    like = (totals[:, 3] >= 0.1 * totals[:, 1:].sum(1)) & (totals[:, 2] > 0)
    assert like.sum() == 8


def test_enhancing_tissue_is_bright_and_the_core_dark(glioblastoma):
    folder, _ = glioblastoma
    pixels = {1: [], 2: [], 3: []}
    for path in (folder / "labels").iterdir():
        label, image = np.asarray(Image.open(path)), np.asarray(Image.open(folder / "images" / path.name))
        brain = np.median(image[(image > 0) & (label == 0)])
        for tissue, values in pixels.items():
            values.extend(image[label == tissue] / brain)
    oedema, core, enhancing = (np.median(values) for values in pixels.values())
    assert core < oedema < 1.15 < 1.25 < enhancing


def test_glioblastoma_set_is_deterministic(tmp_path):
    first, again, other = (
        contents(write_glioblastoma(tmp_path / name, 2, seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    images = [{data for path, data in files.items() if path.parts[0] == "images"} for files in (first, other)]
    assert first == again and not images[0] & images[1]
    with pytest.raises(FileExistsError):
        write_glioblastoma(tmp_path / "a")
