"""`training`: augmentation, networks that learn, alone as together, and the same again from the same seed."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from radiogen_utils import models, training
from radiogen_utils.training import Training

QUICK = Training(epochs=3, learning_rate=3e-3, batch_size=16)


def bright_and_dark(n=160, seed=0):
    """Images (N, 1, 32, 32) uint8 of noise, and labels that their brightness tells."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = 110 + 20 * rng.normal(size=(n, 1, 32, 32)) + 40 * (labels[:, None, None, None] - 0.5)
    return images.clip(0, 255).astype(np.uint8), labels


def test_slices_weigh_alike_by_patient_and_class():
    table = pd.DataFrame({"patient": list("aaabcc"), "label": [1, 1, 1, 0, 0, 0]})
    weights = pd.Series(training.slice_weights(table))
    np.testing.assert_allclose(weights, [1, 1, 1, 1.5, 0.75, 0.75])
    assert weights.mean() == 1


def parameters(n, **changes):
    """Of an augmentation that changes nothing, but for `changes` by column."""
    names = ["angle", "zoom", "flip_x", "flip_y", "gamma", "gain", "at 0", "at 1/3", "at 2/3", "at 1"]
    neutral = torch.tensor([[0, 1, 1, 1, 1, 1, 0, 1 / 3, 2 / 3, 1]]).repeat(n, 1)
    for name, value in changes.items():
        neutral[:, names.index(name)] = value
    return neutral


def test_augmentation_without_change_only_scales_to_one():
    images = torch.randint(0, 256, (3, 2, 80, 80), dtype=torch.uint8)
    torch.testing.assert_close(training.augment(images, parameters(3)), images / 255, atol=1e-4, rtol=0)


def test_each_kind_of_augmentation_does_what_it_says():
    images = torch.randint(0, 256, (2, 3, 80, 80), dtype=torch.uint8)
    plain = images / 255
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(training.augment(images, parameters(2, flip_x=-1)), plain.flip(3), **close)
    torch.testing.assert_close(training.augment(images, parameters(2, flip_y=-1)), plain.flip(2), **close)
    turned = training.augment(images, parameters(2, angle=np.pi / 2))
    assert min((turned - plain.rot90(k, (2, 3))).abs().max() for k in (1, 3)) < 1e-3
    torch.testing.assert_close(training.augment(images, parameters(2, gamma=2)), plain**2, **close)
    torch.testing.assert_close(training.augment(images, parameters(2, gain=1.1)), (plain * 1.1).clamp(max=1), **close)
    falling = parameters(2, **{"at 0": 1, "at 1/3": 2 / 3, "at 2/3": 1 / 3, "at 1": 0})
    inverted = torch.where(images > 0, 1 - plain, 0)  # outside the tumour 0 stays 0
    torch.testing.assert_close(training.augment(images, falling), inverted, **close)


def test_augmentation_keeps_shape_range_and_an_empty_background():
    images = torch.zeros(64, 2, 80, 80, dtype=torch.uint8)
    images[:, :, 30:50, 25:45] = 128
    changed = training.augment(images, training.draw_augmentation(64, torch.Generator().manual_seed(0)))
    assert changed.shape == images.shape and 0 <= changed.min() and changed.max() <= 1
    assert not changed[:, :, :4].any()  # a turned and zoomed square of 20 pixels stays away from the border
    areas = (changed[:, 0] > 0.25).sum((1, 2)) / 400
    assert 0.75 < areas.min() < areas.max() < 1.3  # zoom by 0.9 to 1.1 changes the area by 0.83 to 1.23


def test_augmentation_mirrors_and_turns_but_does_not_shear():
    images = torch.zeros(200, 1, 80, 80, dtype=torch.uint8)
    images[:, :, 38:42, 10:70] = 255  # a bar
    changed = training.augment(images, training.draw_augmentation(200, torch.Generator().manual_seed(0)))[:, 0] > 0.3
    y, x = torch.meshgrid(*[torch.arange(80.0) - 39.5] * 2, indexing="ij")
    for bar in changed:
        spread = torch.cov(torch.stack([x[bar], y[bar]]))
        values, vectors = torch.linalg.eigh(spread)
        angle = torch.rad2deg(torch.atan2(vectors[1, 1], vectors[0, 1]))
        assert min(abs(angle), 180 - abs(angle)) < 21
        assert values[1] / values[0] > 100  # still a thin bar


def test_drawn_parameters_stay_in_their_ranges_and_follow_the_seed():
    drawn = training.draw_augmentation(2000, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, training.draw_augmentation(2000, torch.Generator().manual_seed(1)))
    angle, zoom, flip_x, flip_y, gamma, gain = drawn[:, :6].T
    assert angle.abs().max() <= np.deg2rad(20) + 1e-6 and 0.9 <= zoom.min() and zoom.max() <= 1.1
    assert set(flip_x.tolist()) == set(flip_y.tolist()) == {-1.0, 1.0}
    assert 0.45 < (flip_x * flip_y > 0).float().mean() < 0.55  # independent: standard error 0.011
    torch.testing.assert_close(drawn[:, 6:], parameters(2000)[:, 6:])  # the identity
    curves = training.draw_augmentation(2000, torch.Generator().manual_seed(1), any_contrast=True)[:, 6:].diff(dim=1)
    assert ((curves >= 0).all(1) | (curves <= 0).all(1)).all()
    assert 0.45 < (curves >= 0).all(1).float().mean() < 0.55  # standard error 0.011
    assert 2**-0.25 <= gamma.min() and gamma.max() <= 2**0.25 and 0.9 <= gain.min() and gain.max() <= 1.1


def test_a_network_learns_what_can_be_learnt():
    images, labels = bright_and_dark()
    model = models.create("compact")
    training.fit([model], images, labels, np.ones((1, 160)), QUICK, [0])
    assert roc_auc_score(labels, training.predict(model, images)[:, 0]) > 0.95


def test_an_image_of_weight_zero_is_never_seen():
    images, labels = bright_and_dark()
    weights = np.ones((1, 160))
    weights[0, ::3] = 0
    fitted = []
    for replaced in (images, np.where(weights[0] > 0, images.T, 255).T.astype(np.uint8)):
        model = models.create("compact")
        training.fit([model], replaced, labels, weights, QUICK, [0])
        fitted.append(training.predict(model, images))
    assert np.array_equal(*fitted)


def test_the_order_repeats_no_image_before_all_were_drawn():
    rows = torch.arange(10, 17)
    order = training._order(rows, 20, torch.Generator().manual_seed(0))
    assert sorted(order[:7].tolist()) == sorted(order[7:14].tolist()) == rows.tolist()
    assert len(order) == 20 and order[:7].tolist() != order[7:14].tolist()


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_networks_trained_together_are_those_trained_alone(outputs, bf16):
    """Same order, augmentation and steps: what differs is rounding, which 30 steps of Adam enlarge a little."""
    images, labels = bright_and_dark(96)
    targets = labels if outputs == 1 else np.eye(3, dtype=np.float32)[np.arange(96) % 3]
    weights = np.ones((3, 96))
    for held_out, own in enumerate(weights):
        own[held_out::3] = 0
    settings = Training(epochs=3, learning_rate=1e-3, batch_size=16, bf16=bf16)

    def networks():
        return [models.create("compact", 1, outputs, seed) for seed in (5, 6, 7)]

    together, alone = networks(), networks()
    losses = np.stack(list(training.fit_by_epoch(together, images, targets, weights, settings, [5, 6, 7], steps=4)))
    for row, (model, seed) in enumerate(zip(alone, (5, 6, 7))):
        own = list(training.fit_by_epoch([model], images, targets, weights[row : row + 1], settings, [seed], steps=4))
        np.testing.assert_allclose(losses[:, row], np.concatenate(own), atol=0.01)
    a, b = (np.stack([training.predict(model, images) for model in each]) for each in (together, alone))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995
    # The running statistics of the normalisation came along.
    assert not torch.equal(together[0].blocks[0][2].running_mean, torch.zeros(16))
    assert np.abs(a[0] - a[1]).max() > 0.01  # and they are three networks, not one


def test_the_same_seed_gives_the_same_network_bit_for_bit():
    images, labels = bright_and_dark(64)
    first, again, other = (models.create("compact") for _ in range(3))
    for model, seed in ((first, 0), (again, 0), (other, 1)):
        training.fit([model], images, labels, np.ones((1, 64)), QUICK, [seed])
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.head.weight, other.head.weight)
