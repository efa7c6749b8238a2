"""`pretraining`: both layouts of the glioblastoma slices, the rule, the split by case, the task."""

import gzip
import os
import zipfile
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import special

from radiogen_utils import models, pretraining, training
from radiogen_utils.data.archive import CohortError
from radiogen_utils.training import Training


def write_pngs(folder, cases=6, heights=(62, 77)):
    """Slices with a round tumour: oedema around an enhancing ring around a core; odd cases do not enhance."""
    y, x = np.mgrid[:120, :120] - 60
    radius = np.hypot(x, y)
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for case in range(cases):
        for z in heights:
            label = np.select([radius < 6, radius < 12, radius < 20], [2, 3 if case % 2 == 0 else 2, 1], 0).astype(
                np.uint8
            )
            image = (
                np.where(radius < 50, 90, 0) + np.choose(label, [0, -20, -60, 100]) + rng.integers(0, 10, (120, 120))
            )
            name = f"BRATS_{case + 1:03d}_z{z:02d}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / name)
            Image.fromarray(label).save(folder / "labels" / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_pngs(tmp_path / "slices")


def test_folder_and_zip_give_the_same_slices(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "slices.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, f"top/{file.relative_to(folder)}")
    a, b = pretraining.open_slices(folder), pretraining.open_slices(tmp_path / "slices.zip")
    np.testing.assert_array_equal(a.images, b.images)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.table.equals(b.table) and len(a.table) == 12
    assert a.table.iloc[0].tolist() == ["BRATS_001", 62]


def pack(folder, path, rename=lambda name: name):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.writestr(rename(file.relative_to(folder).as_posix()), file.read_bytes())
    return path


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"./{name}",
        lambda name: name.replace("/", "//"),
        lambda name: f"top\\{name}".replace("/", "\\"),
        lambda name: name.replace(".png", ".PNG"),
        lambda name: name.replace("BRATS_00", "BRATS-00"),
    ],
    ids=["dot", "double", "backslash", "PNG", "hyphen"],
)
def test_names_in_a_zip(folder, tmp_path, rename):
    slices = pretraining.open_slices(pack(folder, tmp_path / "slices.zip", rename))
    np.testing.assert_array_equal(slices.labels, pretraining.open_slices(folder).labels)


def test_what_systems_leave_is_no_slice(folder):
    for name in ("images/._BRATS_001_z62.png", "images/Thumbs.db", "__MACOSX/images/x_z01.png", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert len(pretraining.open_slices(folder).table) == 12


def test_damage_in_a_zip_is_told_by_its_cause(folder, tmp_path):
    path = pack(folder, tmp_path / "slices.zip")
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # in the first file
    path.write_bytes(content)
    with pytest.raises(CohortError, match=r"BRATS.*png: damaged \(.*slices.zip; download or copy it again"):
        pretraining.open_slices(path)
    content[content.index(b"PK\1\2") + 8] |= 1  # a flag of the first file, in the list at the end
    path.write_bytes(content)
    with pytest.raises(CohortError, match="BRATS.*png: encrypted in .*slices.zip; unpack it with its password"):
        pretraining.open_slices(path)


def test_labels_are_halved_by_majority():
    """As the images' means, by blocks of 2×2: half a pixel off otherwise. Ties: the smaller label."""
    blocks = {(1, 1, 1, 0): 1, (0, 3, 3, 3): 3, (0, 0, 1, 1): 0, (3, 2, 3, 2): 2, (0, 1, 2, 3): 0, (2, 1, 0, 2): 2}
    label = np.hstack([np.reshape(block, (2, 2)) for block in blocks]).astype(np.uint8)
    label = np.vstack([label, np.rot90(label, 2)])
    answers = [*blocks.values()]
    assert pretraining._majority(label).tolist() == [answers, answers[::-1]]
    image = np.arange(24.0).reshape(4, 6)
    assert pretraining._blocks(image).mean(-1)[1, 2] == image[2:, 4:].mean()


def test_an_unknown_label_is_found_where_the_majority_would_hide_it(tmp_path):
    label = np.zeros((240, 240, 60), np.uint8)
    label[100, 100, 46] = 7
    for part, array in (("imagesTr", np.ones((240, 240, 60, 4), np.uint8)), ("labelsTr", label)):
        (tmp_path / part).mkdir()
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / part / "BRATS_007.nii.gz")
    with pytest.raises(CohortError, match="holds label 7"):
        pretraining.open_slices(tmp_path)


def test_decathlon_folder(tmp_path):
    root = tmp_path / "Task01_BrainTumour"
    volume = np.full((240, 240, 155, 4), 300, np.int16)  # reading another channel finds no background
    flair, t1gd = volume[..., 0], volume[..., 2]  # of FLAIR, T1w, T1gd and T2w
    t1gd[:] = 0
    t1gd[40:200, 60:180, :100] = 500  # brain up to slice 99
    t1gd[40:57, 60:72, :100] = 1000  # a hundredth of it is twice as bright
    flair[:] = 0
    flair[60:80, 60:180, :50] = 300
    label = np.zeros((240, 240, 155), np.uint8)
    label[100:140, 100:120, 55:100] = 1
    label[110:120, 100:110, 55:100] = 3
    for part, array in (("imagesTr", volume), ("labelsTr", label)):
        (root / part).mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / part / "BRATS_007.nii.gz")
    slices = pretraining.open_slices(root)
    assert slices.table.values.tolist() == [["BRATS_007", z] for z in (46, 62, 77, 93)]  # none above the brain
    # Every tenth of the height, from three tenths to eight.
    assert pretraining.HEIGHTS == tuple(155 * tenth // 10 for tenth in range(3, 9))
    assert slices.images.shape == slices.labels.shape == (4, 120, 120) and slices.images.dtype == np.uint8
    assert not slices.labels[0].any()  # slice 46 lies below the tumour
    tumour, enhancing = (slices.labels[1] > 0).sum(), (slices.labels[1] == 3).sum()
    assert (tumour, enhancing) == (20 * 10, 5 * 5)  # half as many pixels along each axis
    # The bright hundredth is white, the rest half of it; where four pixels mix both halves, their mean.
    assert set(np.unique(slices.images[1])) == {0, 128, 191, 255} and (slices.images[1] > 0).sum() == 80 * 60
    # First axis of the volume (left-right) becomes the columns, the second (back-front) the rows, front on top.
    rows, columns = np.nonzero(slices.labels[1])
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (60, 70, 50, 70)

    flair = pretraining.open_slices(root, "FLAIR")
    assert flair.table.z.tolist() == [46] and (flair.images[0] > 0).sum() == 10 * 60
    with pytest.raises(CohortError, match="no sequence 'T1' there; choose one of FLAIR, T1w, T1gd, T2w"):
        pretraining.open_slices(root, "T1")
    for part in ("labelsTr", "imagesTr"):
        file = root / part / "BRATS_007.nii.gz"
        for content in (file.read_bytes()[:-2000], b"text", b""):
            file.write_bytes(content)
            with pytest.raises(CohortError, match=f"{file.name}: truncated, or not a NIfTI file .*download it again"):
                pretraining.open_slices(root)


def test_volumes_of_another_size_are_named(tmp_path):
    for part, shape in (("imagesTr", (25, 24, 60, 4)), ("labelsTr", (25, 24, 60))):
        (tmp_path / part).mkdir()
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.uint8), np.eye(4)), tmp_path / part / "BRATS_007.nii.gz")
    with pytest.raises(CohortError, match="BRATS_007.nii.gz: expected 240×240 voxels a slice, found .25, 24, 60"):
        pretraining.open_slices(tmp_path)


def test_a_damaged_volume_is_one_line(tmp_path):
    for part, shape in (("imagesTr", (240, 240, 1, 4)), ("labelsTr", (240, 240, 1))):
        (tmp_path / part).mkdir()
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.uint8), np.eye(4)), tmp_path / part / "BRATS_007.nii.gz")
    file = tmp_path / "imagesTr" / "BRATS_007.nii.gz"
    label = tmp_path / "labelsTr" / "BRATS_007.nii.gz"
    content = gzip.decompress(file.read_bytes())
    damages = [(label, gzip.decompress(label.read_bytes())[:3000])]  # packed well, but not the whole
    for position in (40, 42, 48, 70, 344):  # number of dimensions, two of them, type of the voxels, magic word
        damages.append((file, content[:position] + b"\x7f\x02" + content[position + 2 :]))
    for damaged, left in damages:
        before = damaged.read_bytes()
        damaged.write_bytes(gzip.compress(left))
        with pytest.raises(CohortError, match=f"{damaged.parent.name}/BRATS_007.nii.gz: ") as told:
            pretraining.open_slices(tmp_path)
        assert "\n" not in str(told.value)
        damaged.write_bytes(before)


def test_slices_as_png_hold_one_sequence(folder):
    with pytest.raises(CohortError, match="no sequence 'FLAIR' there; choose one of T1gd"):
        pretraining.open_slices(folder, "FLAIR")


def test_the_word_download_fetches_the_task(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(pretraining, "fetch_archive", lambda **options: asked.append(options) or tmp_path)
    assert pretraining.find_slices("download") == tmp_path
    assert asked[0]["url"].endswith("Task01_BrainTumour.tar") and len(asked[0]["md5"]) == 32


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "labels/BRATS_002_z62.png").unlink(), "BRATS_002_z62.png has no label"),
        (lambda f: (f / "images/BRATS_002_z62.png").unlink(), "BRATS_002_z62.png has no image"),
        (
            lambda f: (f / "images/BRATS_002_z62.png").rename(f / "images/BRATS_002-62.png"),
            "-62.png is not named <case>",
        ),
        (
            lambda f: (f / "labels/BRATS_002_z062.png").write_bytes(b"x"),
            "BRATS_002_z62.png is the same slice as labels/",
        ),
        (
            lambda f: (f / "images/new.tif").write_bytes(b"x"),
            "images/new.tif is not named <case>_z<slice>.png; rename or",
        ),
        (lambda f: Image.new("L", (60, 60)).save(f / "labels/BRATS_002_z62.png"), "must agree"),
        (lambda f: Image.new("L", (120, 120), 9).save(f / "labels/BRATS_002_z62.png"), "label 9"),
        (lambda f: (f / "images/BRATS_002_z62.png").write_bytes(b"not a picture"), "is no picture, or truncated"),
    ],
)
def test_bad_slices_are_named(folder, damage, message):
    damage(folder)
    with pytest.raises(CohortError, match=message):
        pretraining.open_slices(folder)


def test_wrong_places_are_named(tmp_path):
    with pytest.raises(CohortError, match="no such file"):
        pretraining.find_slices(str(tmp_path / "nothing"))
    with pytest.raises(CohortError, match="neither images/"):
        pretraining.open_slices(tmp_path)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(CohortError, match="text.zip: not a zip; download it again"):
        pretraining.open_slices(tmp_path / "text.zip")


def test_glioblastoma_rule_by_hand():
    def case(oedema, core, enhancing):
        label = np.zeros(100, np.uint8)
        label[: oedema + core + enhancing] = [1] * oedema + [2] * core + [3] * enhancing
        return label.reshape(10, 10)

    labels = np.stack([case(80, 10, 10), case(81, 10, 9), case(50, 0, 50), case(0, 0, 0), case(5, 1, 0), case(2, 0, 2)])
    table = pd.DataFrame({"case": ["at limit", "below", "no core", "none", "two slices", "two slices"], "z": 0})
    slices = pretraining.GliomaSlices(labels, labels, table)
    likely = pretraining.glioblastoma_like(slices)
    assert likely.to_dict() == {"at limit": True, "below": False, "no core": False, "none": False, "two slices": True}


def test_cases_are_on_one_side_only(folder):
    cases = [f"c{i}" for i in range(50)]
    train, held_out = pretraining.split_cases(cases, seed=0)
    assert len(train) == 40 and len(held_out) == 10 and not set(train) & set(held_out)
    assert list(pretraining.split_cases(cases[::-1], seed=0)[1]) == list(held_out)  # whatever their order
    assert list(pretraining.split_cases(cases, seed=1)[1]) != list(held_out)
    assert [len(part) for part in pretraining.split_cases(["a", "b"], seed=0)] == [1, 1]
    slices = pretraining.open_slices(folder)
    names = pretraining.composition_patches(slices, ["BRATS_001", "BRATS_004"], 3, seed=0)[2]
    assert set(names) == {"BRATS_001", "BRATS_004"} and len(names) == 2 * 2 * 3


def test_too_few_cases_are_told():
    with pytest.raises(CohortError, match="only 1 glioblastoma-like"):
        pretraining.split_cases(["BRATS_001"], seed=0)


def test_shares_are_those_of_the_visible_tumour(folder):
    slices = pretraining.open_slices(folder)
    images, shares, _ = pretraining.composition_patches(slices, ["BRATS_001"], 1, seed=0)
    label = slices.labels[0]  # of 40 pixels' width, all of it visible
    expected = [(label == tissue).sum() / (label > 0).sum() for tissue in (1, 2, 3)]
    np.testing.assert_allclose(shares[0], expected, rtol=1e-6)
    assert images.shape == (2, 1, 80, 80) and images.dtype == np.uint8 and not images[0, 0, :, 0].any()
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)


def glioma(labels, images=None, cases=None) -> pretraining.GliomaSlices:
    """Slices of given labels (N, 120, 120)."""
    labels = np.asarray(labels, np.uint8)
    images = np.full(labels.shape, 200, np.uint8) if images is None else images
    cases = ["BRATS_001"] * len(labels) if cases is None else cases
    return pretraining.GliomaSlices(images, labels, pd.DataFrame({"case": cases, "z": range(len(labels))}))


def block(rows, columns, tissue=1):
    """Label (120, 120) of a rectangular tumour."""
    label = np.zeros((120, 120), np.uint8)
    label[slice(*rows), slice(*columns)] = tissue
    return label


def centres(label, per_slice, seed):
    """Row and column of the slice that each patch has in its middle, read off images that show their coordinates."""
    found = []
    for coordinate in np.indices(label.shape).astype(np.uint8):
        images, _, _ = pretraining.composition_patches(
            glioma([label], coordinate[None]), ["BRATS_001"], per_slice, seed
        )
        # The pixel became four; beside the tumour's border some of them are mixed with black.
        found.append(images[:, 0, 40:42, 40:42].max((1, 2)))
    return np.stack(found, 1)


def test_the_first_patch_is_centred_on_the_tumour_and_the_others_on_random_pixels_of_it():
    label = block((30, 70), (35, 90)) + block((70, 72), (35, 90), 2)  # centre of mass 50.5, 62
    label[30, 35:90] = 0  # now 51
    found = centres(label, 200, seed=0)
    assert found[0].tolist() == [51, 62]
    rows, columns = found[1:].T
    assert label[rows, columns].all() and len(np.unique(found[1:], axis=0)) > 170
    # Spread evenly over 41 rows and 55 columns: standard deviations 11.8 and 15.9, each with an error of some 4 %.
    assert (rows.std(), columns.std()) == pytest.approx((11.8, 15.9), rel=0.15)
    assert np.array_equal(centres(label, 200, seed=0), found)
    other = centres(label, 200, seed=1)
    assert np.array_equal(other[0], found[0]) and not np.array_equal(other[1:], found[1:])


def test_the_centre_of_mass_is_rounded_to_the_nearest_pixel():
    label = block((50, 60), (50, 60))
    label[59, 55:] = 0  # centre of mass 54.24, 54.34
    assert centres(label, 1, seed=0).tolist() == [[54, 54]]
    label[50, :] = 0  # 54.76, 54.31
    assert centres(label, 1, seed=0).tolist() == [[55, 54]]


def test_a_tumour_larger_than_the_patch_has_the_shares_of_what_is_visible_at_twice_the_scale():
    label = block((30, 90), (30, 90)) + block((30, 90), (30, 35), 2) + block((55, 65), (55, 65), 1)
    images, shares, _ = pretraining.composition_patches(glioma([label]), ["BRATS_001"], 1, seed=0)
    visible = label[40:80, 40:80]
    np.testing.assert_allclose(shares[0], np.bincount(visible.ravel(), minlength=4)[1:] / 1600, rtol=1e-6)
    assert (images == 200).all()  # the tumour fills the patch
    small = glioma([block((55, 65), (57, 63))])
    patch = pretraining.composition_patches(small, ["BRATS_001"], 1, seed=0)[0][0, 0]
    assert ((patch > 100).any(1).sum(), (patch > 100).any(0).sum()) == (20, 12)


def test_a_centre_of_mass_between_far_foci_gives_no_patch():
    label = block((10, 15), (10, 15)) + block((100, 105), (100, 105), 3)
    images, shares, cases = pretraining.composition_patches(glioma([label]), ["BRATS_001"], 3, seed=0)
    assert len(images) == len(shares) == len(cases) == 2 and np.isfinite(shares).all()


@pytest.fixture(scope="module")
def varied():
    """Ten glioblastoma-like cases of one to three slices and two others, whose brightness shows the tissue."""
    rng, labels, cases = np.random.default_rng(0), [], []
    for case in range(12):
        for _ in range(1 + case % 3):
            top, left = rng.integers(30, 60, 2)
            label = block((top, top + 20), (left, left + 24))
            label[top : top + rng.integers(2, 18), left + 2 : left + 14] = 2
            if case < 10:
                label[top + 3 : top + 20, left + rng.integers(2, 16) : left + 20] = 3
            labels.append(label)
            cases.append(f"BRATS_{case:03d}")
    labels = np.stack(labels)
    images = np.array([0, 120, 60, 220], np.uint8)[labels] + rng.integers(0, 20, labels.shape, np.uint8)
    return glioma(labels, images, cases)


SETTINGS = Training(epochs=3, learning_rate=3e-3, batch_size=8)


def test_the_record_of_a_pretraining_is_that_of_its_weights_on_the_cases_held_out(varied, tmp_path):
    """Everything anew from the slices, by the definitions."""
    settings = replace(SETTINGS, epochs=20)
    record = training.pretrain("compact", varied, settings, 3, 1, tmp_path / "w.safetensors")
    train, held_out = pretraining.split_cases([f"BRATS_{case:03d}" for case in range(10)], seed=1)
    assert (record["cases"], record["held_out_cases"]) == (8, 2)
    images, shares, _ = pretraining.composition_patches(varied, train, 3, 1)
    again = models.create("compact", 1, 3, seed=1)
    losses = list(training.fit_by_epoch([again], images, shares, np.ones((1, len(images))), settings, [1]))
    network = models.create("compact", 1, 3)
    network.load_state_dict(models.load_weights(tmp_path / "w.safetensors"))
    assert torch.equal(network.head.weight, again.head.weight.cpu()) and record["patches"] == len(images)
    assert [epoch["training_loss"] for epoch in record["curve"]] == pytest.approx(np.concatenate(losses))
    assert len(losses) == 20 and losses[-1] < losses[0]

    unseen, true, case = pretraining.composition_patches(varied, held_out, 3, 1)
    weight = np.array([1 / (case == name).sum() for name in case])  # each case counts as much as any other
    assert len(set(weight)) > 1
    predicted = special.softmax(training.predict(network, unseen), 1)
    true = true.astype(float)
    assert record["curve"][-1]["held_out_loss"] == pytest.approx(-(true * np.log(predicted)).sum(1).mean(), rel=1e-5)
    for tissue, name in enumerate(pretraining.TISSUES):
        y = true[:, tissue]
        residual = (weight * (y - predicted[:, tissue]) ** 2).sum()
        total = (weight * (y - np.average(y, weights=weight)) ** 2).sum()
        assert record["r2"][name] == pytest.approx(1 - residual / total, rel=1e-4)
    largest, named = true.argmax(1), predicted.argmax(1)
    assert 2 in largest and len(set(named)) > 1
    recalls = [weight[(largest == t) & (named == t)].sum() / weight[largest == t].sum() for t in set(largest)]
    assert record["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert record["entropy"] == pytest.approx(special.entr(true).sum(1).mean(), rel=1e-5)
    assert record["prior_loss"] == pytest.approx(-(true @ np.log(shares.mean(0))).mean(), rel=1e-5)
    assert 0 < record["entropy"] < record["prior_loss"]


def test_pretraining_is_kept_until_anything_that_decides_it_changes(varied, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    record = training.pretrain("compact", varied, SETTINGS, 2, 0, path)

    def train(*arguments):
        raise RuntimeError("trained again")

    monkeypatch.setattr(training, "fit_by_epoch", train)
    for file in (path, path.with_suffix(".json")):
        os.utime(file, (0, 0))
    assert training.pretrain("compact", varied, SETTINGS, 2, 0, path) == record
    assert min(file.stat().st_mtime for file in tmp_path.iterdir()) > 0  # as fresh as the run that relies on them
    darker = replace(varied, images=varied.images // 2)
    for changed in (
        ("efficientnet_lite0", varied, SETTINGS, 2, 0),
        ("compact", darker, SETTINGS, 2, 0),
        ("compact", varied, replace(SETTINGS, weight_decay=0.02), 2, 0),
        ("compact", varied, SETTINGS, 3, 0),
        ("compact", varied, SETTINGS, 2, 1),
    ):
        with pytest.raises(RuntimeError, match="trained again"):
            training.pretrain(*changed, path)
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="trained again"):
        patched.setattr(training, "CODE", "other")
        training.pretrain("compact", varied, SETTINGS, 2, 0, path)
    (tmp_path / "other.py").write_text("other")
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="trained again"):
        patched.setattr(pretraining, "__file__", str(tmp_path / "other.py"))
        training.pretrain("compact", varied, SETTINGS, 2, 0, path)
    path.unlink()
    with pytest.raises(RuntimeError, match="trained again"):
        training.pretrain("compact", varied, SETTINGS, 2, 0, path)


def test_real_slices(real_archive):
    slices = pretraining.open_slices(real_archive.parent / "msd-brain-t1gd-slices.zip")
    assert len(slices.table) == 2758 and slices.labels.any((1, 2)).sum() == 1951
    likely = pretraining.glioblastoma_like(slices)
    assert (likely.sum(), len(likely)) == (334, 484)
