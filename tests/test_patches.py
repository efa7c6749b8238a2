"""`patches`: the contract of tumor_patch against hand-made masks, windows, and patches of a whole cohort."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from radiogen_utils import patches
from radiogen_utils.article import FIGURE1
from radiogen_utils.data.archive import CohortError
from radiogen_utils.data.cohort import SEQUENCES, open_cohort


def naive_patch(image, mask, size):
    """The definition, pixel by pixel: rows [c - size//2, c - size//2 + size) around the rounded centre of mass."""
    rows, columns = np.nonzero(mask)
    r0, c0 = round(rows.mean()) - size // 2, round(columns.mean()) - size // 2
    result = np.zeros((size, size), image.dtype)
    for r in range(size):
        for c in range(size):
            y, x = r0 + r, c0 + c
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]:
                result[r, c] = image[y, x]
    return result


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 256, (100, 120), np.uint8)


@pytest.mark.parametrize(
    "rows, columns",
    [
        ((40, 60), (50, 70)),  # inside
        ((0, 5), (0, 7)),  # upper left corner
        ((95, 100), (110, 120)),  # lower right corner
        ((0, 100), (0, 120)),  # larger than the patch
        ((10, 11), (10, 11)),  # one pixel
        ((10, 12), (10, 13)),  # centre of mass between pixels
    ],
)
@pytest.mark.parametrize("size", [80, 7, 8])
def test_tumor_patch_equals_the_definition(image, rows, columns, size):
    mask = np.zeros(image.shape, np.uint8)
    mask[slice(*rows), slice(*columns)] = 255
    np.testing.assert_array_equal(patches.tumor_patch(image, mask, size), naive_patch(image, mask, size))


def test_tumor_patch_worked_by_hand():
    image = np.arange(25).reshape(5, 5)
    mask = np.zeros((5, 5))
    mask[0, 0:2] = 1  # centre of mass (0, 0.5) rounds to (0, 0): rows and columns -1 … 2 for size 4 start at -2
    expected = np.zeros((4, 4), int)
    expected[2, 2:4] = [0, 1]
    np.testing.assert_array_equal(patches.tumor_patch(image, mask, 4), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_tumor_patch_keeps_the_dtype(image, dtype):
    assert patches.tumor_patch(image.astype(dtype), np.ones(image.shape)).dtype == dtype


def test_tumor_patch_takes_any_non_zero_mask_and_several_channels(image):
    mask = np.zeros(image.shape, int)
    mask[20:60, 30:50] = -3
    both = patches.tumor_patch(np.stack([image, image // 2], -1), mask)
    np.testing.assert_array_equal(both[..., 0], patches.tumor_patch(image, mask != 0))
    np.testing.assert_array_equal(both[..., 1], patches.tumor_patch(image // 2, mask != 0))


def test_tumor_patch_does_not_change_its_input(image):
    before = image.copy()
    patches.tumor_patch(image, image > 200)[:] = 0
    np.testing.assert_array_equal(image, before)


def test_tumor_patch_refuses_an_empty_mask_and_another_shape(image):
    with pytest.raises(ValueError, match="no tumour pixel"):
        patches.tumor_patch(image, np.zeros(image.shape))
    with pytest.raises(ValueError, match="differ"):
        patches.tumor_patch(image, np.ones((120, 100)))


def test_exceeds_counts_the_extent_of_the_tumour():
    mask = np.zeros((256, 256), bool)
    mask[10, 20:100] = True  # 80 pixels wide
    assert not patches.exceeds(mask)
    mask[10, 100] = True
    assert patches.exceeds(mask)


def test_stretch_is_linear_between_the_levels_and_clipped():
    image = np.array([[0, 50, 75, 100, 255]], np.uint8)
    np.testing.assert_array_equal(patches.stretch(image, (50, 100)), [[0, 0, 128, 255, 255]])


def test_head_window_is_relative_to_the_head_and_not_to_the_background():
    values = np.zeros((100, 100), np.uint8)
    values[20:80, 20:80] = 40  # brain
    values[20:23, 20:80] = 200  # fat
    assert patches.head_window(values) == (0, 2.5 * 40)
    assert patches.head_window(values // 2) == (0, 2.5 * 20)
    assert patches.head_window(np.pad(values, 50)) == (0, 2.5 * 40)  # more background


@pytest.mark.parametrize("value, high", [(0, 2.5), (40, 100.0)])
def test_a_sequence_of_a_single_intensity_has_a_window(value, high):
    """As in another cohort, in which a missing sequence is blank."""
    assert patches.head_window(np.full((2, 8, 8), value, np.uint8)) == (0.0, high)


def test_percentile_window_agrees_with_numpy_and_is_never_empty():
    values = np.arange(256, dtype=np.uint8)
    assert patches.percentile_window(values) == tuple(np.percentile(values, [1, 97]))
    low, high = patches.percentile_window(np.zeros(9, np.uint8))
    assert high > low


def test_patches_of_a_cohort_are_its_tumour_slices(tiny_cohort):
    cohort = open_cohort(tiny_cohort(n_patients=6))
    data = patches.build_patches(cohort.path)
    assert data.table.groupby("patient").size().eq(3).all() and data.images.shape == (18, 3, 80, 80)
    assert not data.table.exceeds.any()
    assert data.labels.tolist() == [0, 0, 1, 1, 0, 0]  # XX_0001, XX_0003, XX_0005, YY_0002, …
    assert (
        data.images.dtype == np.uint8
        and not data.images[~np.broadcast_to(data.masks[:, None], data.images.shape)].any()
    )
    row = data.table.iloc[4]
    image, mask = cohort.read(row.case, row.slice)
    np.testing.assert_array_equal(data.masks[4], patches.tumor_patch(mask, mask))
    # A monotonic stretch keeps the order of the pixels.
    raw, seen = patches.tumor_patch(image[..., 1], mask)[data.masks[4]], data.images[4, 1][data.masks[4]]
    assert (np.diff(seen[np.argsort(raw)].astype(int)) >= 0).all()


def test_each_sequence_has_the_level_of_the_patient_s_own_head_in_all_tumour_slices():
    """The second sequence is twice as bright, the second slice's head larger and darker: medians 60, 120, 60."""
    y, x = np.mgrid[:100, :100]
    mask = np.hypot(y - 50, x - 50) < 10
    pairs = []
    for grey, radius in ((80, 30), (60, 45)):
        head = (np.hypot(y - 50, x - 50) < radius) * np.uint8(grey)
        pairs.append((np.stack([head, 2 * head, head], -1), mask))
    images, masks, exceeds = patches._cut(pairs)
    assert not exceeds.any() and patches._cut([pairs[0], (pairs[1][0], x < 81)])[2].tolist() == [False, True]
    for image, inside, grey in zip(images, masks, (80, 60), strict=True):
        for channel, factor in enumerate((1, 2, 1)):
            level = np.rint(255 * factor * grey / (2.5 * factor * 60))
            assert (image[channel][inside] == level).all() and not image[channel][~inside].any()


def test_a_figure_s_patch_is_flair_between_two_percentiles_of_the_patient_s_tumour_slices(tiny_cohort):
    cohort = open_cohort(tiny_cohort())
    case = cohort.slices.case.iloc[-1]
    flair = {number: cohort.read(case, number)[0][..., 1] for number in (2, 6, 10)}  # slice 1 has no tumour
    low, high = np.percentile(list(flair.values()), (1, 97))
    mask = cohort.read(case, 6)[1]
    stretched = np.rint(np.clip((flair[6] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(patches.figure_patch(cohort, case, 6), naive_patch(stretched, mask, 80))


def test_a_patients_patches_do_not_depend_on_other_slices_or_patients(tiny_cohort):
    whole = patches.build_patches(tiny_cohort(n_patients=6))
    folder = tiny_cohort(n_patients=6, name="part")
    for file in folder.rglob("*_1*.tif"):
        if "_1.tif" in file.name or "_1_mask.tif" in file.name:
            file.unlink()  # the slice without tumour
    partial = patches.build_patches(folder)
    np.testing.assert_array_equal(whole.images, partial.images)


def test_a_patient_without_the_label_is_left_out(tiny_cohort):
    data = patches.build_patches(tiny_cohort(n_patients=4), "RPPACluster", 2)
    assert len(data.labels) == 3


def test_unknown_cluster_column_is_named(tiny_cohort):
    with pytest.raises(CohortError, match="COCCluster"):
        patches.build_patches(tiny_cohort(), "NoSuchCluster")


def test_saved_patches_come_back(tiny_cohort, tmp_path):
    data = patches.build_patches(tiny_cohort())
    data.save(tmp_path / "patches.npz")
    back = patches.Patches.load(tmp_path / "patches.npz")
    np.testing.assert_array_equal(back.images, data.images)
    np.testing.assert_array_equal(back.masks, data.masks)
    assert back.table.equals(data.table) and back.cohort_fingerprint == data.cohort_fingerprint
    with pytest.raises(ValueError, match="FLAIR"):
        back.sequences(("T2",))
    np.testing.assert_array_equal(back.sequences(("FLAIR",))[:, 0], data.images[:, SEQUENCES.index("FLAIR")])
    swapped = back.sequences(("post-contrast", "FLAIR"))  # in the order asked for
    np.testing.assert_array_equal(swapped, data.images[:, [2, 1]])


def test_patches_are_kept_until_archive_label_or_code_change(tiny_cohort, zip_of, tmp_path, monkeypatch):
    folder, file = tiny_cohort(n_patients=6), tmp_path / "patches.npz"
    archive = zip_of(folder)
    first = patches.keep_patches(file, archive)
    built = []
    build = patches.build_patches
    monkeypatch.setattr(patches, "build_patches", lambda *arguments: built.append(1) or build(*arguments))
    os.utime(file, (0, 0))
    kept = patches.keep_patches(file, archive)
    assert file.stat().st_mtime > 0  # as fresh as the run that relies on it
    assert not built and np.array_equal(kept.images, first.images) and kept.table.equals(first.table)
    assert patches.keep_patches(file, archive, "COCCluster", 3).labels.sum() == 2 and len(built) == 1
    assert patches.keep_patches(file, archive, "RPPACluster", 2).labels.sum() == 3 and len(built) == 2
    built.pop()
    patches.keep_patches(file, archive)
    image = next(folder.rglob("*_10.tif"))
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    changed = patches.keep_patches(file, zip_of(folder))
    assert len(built) == 3 and not np.array_equal(changed.images, first.images)
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(patches.keep_patches(file, archive).images, changed.images) and len(built) == 4
    monkeypatch.setattr(patches, "CODE", "other")
    patches.keep_patches(file, archive)
    assert len(built) == 5


@pytest.mark.slow
def test_the_published_slices_and_sizes_of_the_real_cohort(real_cohort):
    known = set(zip(real_cohort.slices.case, real_cohort.slices.slice, strict=True))
    assert {item for row in FIGURE1.values() for item in row} <= known
    for cluster, row in FIGURE1.items():
        names = [case[:12] for case, _ in row]
        assert real_cohort.patients.COCCluster[names].eq(cluster).all()
    data = patches.build_patches(real_cohort.path)
    assert len(data.table) == 1373 and data.labels.sum() == 24 and data.labels.size == 110
    assert round(data.table.exceeds.mean(), 2) == 0.28


def test_permuted_labels_are_of_patients_and_repeatable(tiny_cohort):
    data = patches.build_patches(tiny_cohort(n_patients=12))
    permuted = data.permuted(1)
    assert permuted.labels.sum() == data.labels.sum() and not permuted.labels.equals(data.labels)
    assert permuted.table.groupby("patient").label.nunique().eq(1).all() and permuted.images is data.images
    assert permuted.table.equals(data.permuted(1).table) and not permuted.table.equals(data.permuted(2).table)


def test_the_fingerprint_is_of_what_a_network_sees(tiny_cohort):
    data = patches.build_patches(tiny_cohort(n_patients=6))
    assert dataclasses.replace(data, cohort_fingerprint="of another archive").fingerprint == data.fingerprint
    assert data.permuted(0).fingerprint != data.fingerprint
    assert dataclasses.replace(data, images=255 - data.images).fingerprint != data.fingerprint


def test_each_institution_is_a_fold_where_the_others_have_both_classes(tiny_cohort):
    data = patches.build_patches(tiny_cohort(n_patients=12))  # institutions XX and YY by turns
    folds = data.institution_folds()
    assert folds.groupby(folds.index.str.split("_").str[1]).nunique().eq(1).all() and set(folds) == {0, 1}
    positive = data.table.patient.str.contains("_XX_")
    assert dataclasses.replace(data, table=data.table.assign(label=positive.astype(int))).institution_folds() is None
    alone = dataclasses.replace(data, table=data.table.assign(patient=data.table.patient.str.replace("YY", "XX")))
    assert alone.institution_folds() is None
