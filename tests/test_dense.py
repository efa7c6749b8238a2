"""`dense` and `lesions`: the cells' answers, their loss, learning, and patches from both layouts."""

import csv
import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from radiogen_utils import dense, lesions, models, pretraining, tissue_pictures
from radiogen_utils.data.files import CohortError
from radiogen_utils.lesions import LesionPatches
from radiogen_utils.pretraining import GliomaSlices
from radiogen_utils.training import Training


def patches(n=60, seed=0):
    """Tumours whose left half is oedema and whose right half is enhancing and brighter, in FLAIR."""
    rng = np.random.default_rng(seed)
    tissues = np.zeros((n, 80, 80), np.uint8)
    for one, half, edge in zip(tissues, rng.integers(16, 32, n), rng.integers(-8, 8, n), strict=True):
        one[40 - half : 40 + half, 40 - half : 40 + edge] = 1
        one[40 - half : 40 + half, 40 + edge : 40 + half] = 3
        one[40 - 6 : 40 + 6, 40 - half + 2 : 40 - half + 10] = 2
    level = np.array([0, 80, 120, 200])[tissues]
    images = np.where(tissues > 0, np.clip(level + 10 * rng.normal(size=level.shape), 1, 255), 0).astype(np.uint8)
    return LesionPatches(np.stack([images] * 3, 1), tissues, np.array([f"case{i // 3:02d}" for i in range(n)]))


def test_a_cell_holds_the_shares_of_what_covers_it():
    tissues = torch.zeros(1, 80, 80, dtype=torch.uint8)
    tissues[0, :8, :4], tissues[0, :8, 4:8] = 1, 3
    tissues[0, 8:12, :8] = 2
    shares = dense.tissue_shares(tissues, (10, 10))
    assert shares[0, :, 0, 0].tolist() == [0.5, 0, 0.5] and shares[0, :, 1, 0].tolist() == [0, 0.5, 0]
    assert shares.sum() == 1.5


def test_the_loss_weighs_cells_by_coverage():
    shares = torch.zeros(1, 3, 1, 2)
    shares[0, 0, 0, 0], shares[0, 1, 0, 1] = 1, 0.5
    logits = torch.log(torch.tensor([[[[0.5, 0.25]], [[0.25, 0.5]], [[0.25, 0.25]]]]))
    assert dense.dense_loss(logits, shares).item() == pytest.approx(np.log(2))
    empty_wrong = logits.clone()
    empty_wrong[0, :, 0, 1] = torch.log(torch.tensor([0.9, 0.05, 0.05]))
    expected = (np.log(2) - 0.5 * np.log(0.05)) / 1.5
    assert dense.dense_loss(empty_wrong, shares).item() == pytest.approx(expected)


def test_the_mean_of_the_cells_is_what_the_network_answers_for_the_patch():
    network = models.create("compact", 1, 3, 0).eval()
    images = torch.rand(2, 1, 80, 80)
    torch.testing.assert_close(dense.dense_logits(network, images).mean((2, 3)), network(images), atol=1e-5, rtol=1e-5)


def test_a_perfect_answer_explains_everything_and_the_mean_nothing():
    data = patches(30)
    shares = dense.tissue_shares(torch.as_tensor(data.tissues), (10, 10)).numpy()
    perfect = shares / np.maximum(shares.sum(1, keepdims=True), 1e-9)
    found = dense.explained(perfect, data.tissues, data.case)
    assert all(value == pytest.approx(1, abs=1e-6) for unit in found.values() for value in unit.values())
    constant = np.broadcast_to(np.float32([1, 1, 1])[:, None, None] / 3, perfect.shape)
    assert all(
        value <= 1e-6 for unit in dense.explained(constant, data.tissues, data.case).values() for value in unit.values()
    )


def test_tissues_are_learnt_where_they_lie_and_the_record_tells_it(tmp_path, monkeypatch):
    data, path = patches(), tmp_path / "dense.safetensors"
    settings = Training(epochs=16, learning_rate=1e-2, batch_size=16)
    record = dense.pretrain_dense(data, ("FLAIR",), settings, 0, path)
    assert min(record["r2"]["cell"].values()) > 0.3 and len(record["curve"]) == 16
    assert record["cases"] + record["held_out_cases"] == 20
    assert json.loads(path.with_suffix(".json").read_text()) == record
    with monkeypatch.context() as patched:
        patched.delattr(dense, "fit_dense")
        assert dense.pretrain_dense(data, ("FLAIR",), settings, 0, path) == record  # kept
    other = dense.pretrain_dense(data, ("FLAIR",), Training(epochs=1, learning_rate=3e-3, batch_size=16), 0, path)
    assert other["key"] != record["key"]


def write_cut(folder, grade="HGG", among="0", image=None):
    rng = np.random.default_rng(0)
    label = np.zeros((32, 32), np.uint8)
    label[10:20, 8:22], label[12:16, 10:14] = 1, 3
    image = rng.integers(60, 200, (32, 32, 3)).astype(np.uint8) if image is None else image
    for part, array in (("images", image), ("labels", label)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / part / "A_z001.png")
    with open(folder / "slices.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "patient", "grade", "in_lgg110"], ["A_z001.png", "A", grade, among]])
    return image, label


def test_cut_slices_are_enlarged_centred_and_masked(tmp_path):
    image, label = write_cut(tmp_path)
    found = lesions.open_lesions(tmp_path)
    assert found.images.shape == (1, 3, 80, 80) and found.case.tolist() == ["A"]
    rows, columns = np.nonzero(found.tissues[0])
    assert rows.mean() == pytest.approx(40, abs=1) and columns.mean() == pytest.approx(40, abs=1)
    assert np.array_equal(
        np.bincount(found.tissues.ravel(), minlength=4)[1:], 4 * np.bincount(label.ravel(), minlength=4)[1:]
    )
    assert (found.images[:, :, found.tissues[0] == 0] == 0).all() and (
        found.images[:, :, found.tissues[0] > 0] > 0
    ).all()
    assert found.images[0, 1][found.tissues[0] > 0].mean() == pytest.approx(image[..., 1][label > 0].mean(), rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: write_cut(f, grade="LGG"), "not high-grade"),
        (lambda f: write_cut(f, among="1"), "in the LGG cohort"),
        (lambda f: (f / "images/A_z001.png").write_bytes(b"no"), "no picture"),
        (lambda f: (f / "labels/A_z001.png").unlink(), "labels/A_z001.png"),
        (lambda f: write_cut(f, image=np.zeros((16, 16, 3), np.uint8)), "expected H×W×3"),
        (lambda f: (f / "slices.csv").unlink(), "slices.csv"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    write_cut(tmp_path)
    change(tmp_path)
    with pytest.raises(CohortError, match=message):
        lesions.open_lesions(tmp_path)


def test_a_decathlon_volume_gives_the_same_kind_of_patches(tmp_path):
    rng = np.random.default_rng(0)
    brain = np.zeros((240, 240, 12), bool)
    brain[40:200, 30:210] = True
    tissue = np.zeros(brain.shape, np.uint8)
    tissue[90:130, 60:110, 1:11], tissue[100:110, 70:90, 1:11], tissue[112:122, 60:110, 1:11] = 1, 2, 3
    volume = np.zeros((*brain.shape, 4), np.float32)
    volume[brain] = 100 + 20 * rng.normal(size=(brain.sum(), 4))
    volume[..., 0][tissue > 0] += 60  # FLAIR: 3 SD brighter
    for folder, array in (("imagesTr", volume), ("labelsTr", tissue)):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / folder / "BRATS_001.nii.gz")
    found = lesions.open_lesions(tmp_path)
    assert len(found.images) == 2 and set(found.case) == {"BRATS_001"}
    inside = found.tissues > 0
    # 40 mm × 50 mm at 0.94 mm a pixel
    assert inside.sum((1, 2)) == pytest.approx(np.full(2, 40 * 50 / 0.9375**2), rel=0.05)
    pre, flair, post = (np.median(found.images[:, k][inside]) for k in range(3))
    assert pre == pytest.approx(post, abs=4) and flair > pre + 30
    assert 70 < pre < 90  # the brain's mean, z = 0, is 3/9 of 254
    rows, columns = np.nonzero(inside[0])
    assert np.ptp(columns) < np.ptp(rows)  # rows run from front to back, NIfTI's second axis


def test_a_case_without_core_or_with_little_enhancement_is_not_glioblastoma_like():
    counts = np.array([[99, 80, 10, 10], [99, 80, 0, 20], [99, 90, 10, 9], [99, 0, 0, 0]])
    assert pretraining.high_grade(counts).tolist() == [True, False, False, False]


def test_lesions_are_found_by_name_or_path(tmp_path):
    (tmp_path / "Task01_BrainTumour").mkdir()
    assert lesions.find_lesions("auto", [tmp_path / "nowhere", tmp_path]) == tmp_path / "Task01_BrainTumour"
    assert lesions.find_lesions("auto", []) is None
    assert lesions.find_lesions(str(tmp_path), []) == tmp_path
    with pytest.raises(CohortError, match="no such file"):
        lesions.find_lesions(str(tmp_path / "nowhere"), [])


def test_slices_of_one_sequence_become_patches_of_three_equal_channels():
    labels = np.zeros((2, 120, 120), np.uint8)
    labels[:, 40:60, 50:60], labels[0, 45:50, 50:60], labels[0, 52:56, 52:56] = 1, 3, 2
    slices = GliomaSlices(np.full((2, 120, 120), 90, np.uint8), labels, pd.DataFrame({"case": ["A", "B"], "z": [1, 1]}))
    found = lesions.of_slices(slices)
    assert found.case.tolist() == ["A"]  # B neither enhances nor has a core
    assert (found.images[0, 0] == found.images[0, 2]).all() and found.images.max() == 90
    assert (found.tissues > 0).sum() == 4 * (labels[0] > 0).sum()


def test_examples_are_one_slice_a_case_that_fits_and_has_all_tissues():
    data = patches(30)
    rows = tissue_pictures.examples(data, ["case01", "case02", "case03"], n=2)
    assert len(rows) == 2 and {data.case[row] for row in rows} < {"case01", "case02", "case03"}
    data.tissues[:, 0] = 1  # all reach the border now
    assert tissue_pictures.examples(data, np.unique(data.case)) == []


def test_a_cell_is_drawn_in_the_mixed_colours_of_its_tissues():
    shares = np.array([0.25, 0, 0.25])[:, None, None]
    mixed = tissue_pictures.cell_image(shares, np.array([[1.0]]))
    blue, _, red = (tissue_pictures.tissue_image(np.array([[k]]))[0, 0] for k in (1, 2, 3))
    np.testing.assert_allclose(mixed[0, 0], (blue + red) / 2)
    assert not tissue_pictures.cell_image(shares, np.array([[0.0]])).any()


def test_always_the_mean_costs_its_entropy():
    assert tissue_pictures.mean_shares_loss(np.array([[[1, 3], [0, 0]]], np.uint8)) == pytest.approx(np.log(2))


def test_pictures_of_answers_have_a_row_a_network():
    data = patches(6)
    figure = tissue_pictures.answers(data.images[:2, [1]], data.tissues[:2], {"a": models.create("compact", 1, 3)})
    assert len(figure.axes) == 3 * 2 and "Over all: the truth, " in figure.alt and "; a, " in figure.alt


def test_memory_knows_what_it_has_seen_and_nothing_else():
    data = patches(40)
    twice = np.concatenate([data.images[:, [1]]] * 2), np.concatenate([data.tissues] * 2)
    assert dense.memory_r2(*twice, np.arange(80) >= 40) == 1
    shuffled = np.random.default_rng(0).permutation(data.tissues)
    assert dense.memory_r2(data.images[:, [1]], shuffled, np.arange(40) >= 20) < 0.3
