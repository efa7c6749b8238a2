"""`pretraining`: both layouts of the glioblastoma slices, the rule, the split by case, the task."""

import gzip
import zipfile

import nibabel
import numpy as np
import pytest
from PIL import Image

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


def test_decathlon_folder(tmp_path):
    root = tmp_path / "Task01_BrainTumour"
    volume = np.zeros((240, 240, 155, 4), np.int16)
    volume[40:200, 60:180, :100, 2] = 500  # T1gd: brain up to slice 99
    volume[60:80, 60:180, :50, 0] = 300  # FLAIR: another shape
    label = np.zeros((240, 240, 155), np.uint8)
    label[100:140, 100:120, 55:100] = 1
    label[110:120, 100:110, 55:100] = 3
    for part, array in (("imagesTr", volume), ("labelsTr", label)):
        (root / part).mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / part / "BRATS_007.nii.gz")
    slices = pretraining.open_slices(root)
    assert slices.table.values.tolist() == [["BRATS_007", z] for z in (46, 62, 77, 93)]  # none above the brain
    assert slices.images.shape == slices.labels.shape == (4, 120, 120) and slices.images.dtype == np.uint8
    assert not slices.labels[0].any()  # slice 46 lies below the tumour
    tumour, enhancing = (slices.labels[1] > 0).sum(), (slices.labels[1] == 3).sum()
    assert (tumour, enhancing) == (20 * 10, 5 * 5)  # half as many pixels along each axis
    assert slices.images[1].max() == 255 and (slices.images[1] > 0).sum() == 80 * 60
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
    table = pretraining.pd.DataFrame(
        {"case": ["at limit", "below", "no core", "none", "two slices", "two slices"], "z": 0}
    )
    slices = pretraining.GliomaSlices(labels, labels, table)
    likely = pretraining.glioblastoma_like(slices)
    assert likely.to_dict() == {"at limit": True, "below": False, "no core": False, "none": False, "two slices": True}


def test_cases_are_on_one_side_only(folder):
    train, held_out = pretraining.split_cases([f"c{i}" for i in range(50)], seed=0)
    assert len(train) == 40 and len(held_out) == 10 and not set(train) & set(held_out)
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


def test_pretraining_learns_is_recorded_and_kept(tmp_path, monkeypatch):
    slices = pretraining.open_slices(write_pngs(tmp_path / "more", cases=20))
    likely = pretraining.glioblastoma_like(slices)
    assert likely.tolist() == [True, False] * 10
    settings = Training(epochs=6, learning_rate=3e-3, batch_size=8)
    path = tmp_path / "w.safetensors"
    record = training.pretrain("compact", slices, settings, 4, 0, path)
    assert (record["cases"], record["held_out_cases"]) == (8, 2)
    losses = [epoch["training_loss"] for epoch in record["curve"]]
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert set(record["r2"]) == set(pretraining.TISSUES)
    assert models.load_weights(path)["head.weight"].shape == (3, 128)

    def train(*arguments):
        raise RuntimeError("trained again")

    monkeypatch.setattr(training, "fit_by_epoch", train)
    assert training.pretrain("compact", slices, settings, 4, 0, path) == record
    with pytest.raises(RuntimeError, match="trained again"):  # another seed
        training.pretrain("compact", slices, settings, 4, 1, path)


def test_real_slices(real_archive):
    slices = pretraining.open_slices(real_archive.parent / "msd-brain-t1gd-slices.zip")
    assert len(slices.table) == 2758 and slices.labels.any((1, 2)).sum() == 1951
    likely = pretraining.glioblastoma_like(slices)
    assert (likely.sum(), len(likely)) == (334, 484)
