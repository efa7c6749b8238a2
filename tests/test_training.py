"""`training`: augmentation, networks that learn, alone as together, and the same again from the same seed."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, log_softmax
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

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
    both = training.augment(images, parameters(2, gamma=2, gain=0.9))
    torch.testing.assert_close(both, 0.9 * plain**2, **close)
    enlarged = functional.interpolate(plain[:, :, 20:60, 20:60], scale_factor=2, mode="bilinear", align_corners=False)
    inside = np.s_[:, :, 1:-1, 1:-1]  # at the border the enlargement of a part lacks neighbours
    torch.testing.assert_close(training.augment(images, parameters(2, zoom=0.5))[inside], enlarged[inside], **close)
    torch.testing.assert_close(training.augment(images, parameters(2, gain=1.1)), (plain * 1.1).clamp(max=1), **close)
    falling = parameters(2, **{"at 0": 1, "at 1/3": 2 / 3, "at 2/3": 1 / 3, "at 1": 0})
    inverted = torch.where(images > 0, 1 - plain, 0)  # outside the tumour 0 stays 0
    torch.testing.assert_close(training.augment(images, falling), inverted, **close)


def test_what_turns_in_from_beyond_the_patch_is_black():
    """A tumour larger than the patch has no surroundings to show; mirrored or smeared ones would be made up."""
    changed = training.augment(torch.full((1, 1, 80, 80), 255, dtype=torch.uint8), parameters(1, angle=np.pi / 4))[0, 0]
    assert not changed[[0, 0, -1, -1], [0, -1, 0, -1]].any() and changed[30:50, 30:50].min() > 0.999


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
    for values, low, high in (
        (angle, -np.deg2rad(20), np.deg2rad(20)),
        (zoom, 0.9, 1.1),
        (gamma, 2**-0.25, 2**0.25),
        (gain, 0.9, 1.1),
    ):  # within the range, and all of it: the outermost of 2,000 lie within a hundredth of the bounds
        assert low - 1e-6 <= values.min() < low + (high - low) / 100
        assert high - (high - low) / 100 < values.max() <= high + 1e-6
    assert set(flip_x.tolist()) == set(flip_y.tolist()) == {-1.0, 1.0}
    assert 0.45 < (flip_x * flip_y > 0).float().mean() < 0.55  # independent: standard error 0.011
    torch.testing.assert_close(drawn[:, 6:], parameters(2000)[:, 6:])  # the identity
    curves = training.draw_augmentation(2000, torch.Generator().manual_seed(1), random_curves=True)[:, 6:].diff(dim=1)
    assert ((curves >= 0).all(1) | (curves <= 0).all(1)).all()
    assert 0.45 < (curves >= 0).all(1).float().mean() < 0.55  # standard error 0.011


class Recorder(nn.Module):
    """A linear model of 4×4 images that notes the batches it meets and whether it is in training mode."""

    def __init__(self, outputs=1):
        super().__init__()
        self.head = nn.Linear(16, outputs)
        self.batches, self.modes = [], []

    def forward(self, x):
        self.batches.append(x.detach().cpu().flatten(1).numpy().astype(float))
        self.modes.append(self.training)
        return self.head(x.flatten(1))


@pytest.fixture
def small():
    """40 images of 4×4 with labels and unequal weights, one of them 0."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 1, 4, 4), np.uint8), np.arange(40) % 2
    return images, labels, rng.uniform(0.2, 3, (1, 40)) * (np.arange(40) != 5)


def meet(images, order, changes):
    """The batches that a network must meet: rows `order` of the images, changed by augmentation."""
    return training.augment(torch.as_tensor(images[order]), changes).flatten(1).numpy()


def one_cycle(step, steps, highest):
    """Learning rate and first-moment decay (Smith and Topin, 2019): cosine up in 30 % of the steps, then down."""
    rise = 0.3 * steps - 1
    up = step <= rise
    share = step / rise if up else (step - rise) / (steps - 1 - rise)
    rates, moments = ((highest / 25, highest), (0.95, 0.85)) if up else ((highest, highest / 25e4), (0.85, 0.95))
    return [end + (start - end) * (1 + np.cos(np.pi * share)) / 2 for start, end in (rates, moments)]


@pytest.mark.parametrize("random_curves", [False, True])
def test_every_step_is_that_of_adamw_under_one_cycle_worked_by_hand(small, random_curves):
    """Loshchilov and Hutter, ICLR 2019, algorithm 2, on the weighted logistic loss of the augmented images."""
    images, labels, weights = small
    settings = Training(epochs=5, learning_rate=0.05, batch_size=16, weight_decay=0.3, random_curves=random_curves)
    model, generator = Recorder(), torch.Generator().manual_seed(3)
    head = np.concatenate([values.detach().numpy().ravel() for values in model.head.parameters()]).astype(float)
    moment, square, step, steps, expected = np.zeros(17), np.zeros(17), 0, 10, []
    for _ in range(5):
        # 39 images that are shown fill two batches; the rest of the round is left out.
        order = np.delete(np.arange(40), 5)[torch.randperm(39, generator=generator)[:32]]
        x = meet(images, order, training.draw_augmentation(32, generator, random_curves))
        losses = []
        for rows in (slice(16), slice(16, 32)):
            batch, y, w = np.c_[x[rows], np.ones(16)], labels[order[rows]], weights[0, order[rows]]
            logits = batch @ head
            losses.append(np.mean(w * (np.logaddexp(0, logits) - y * logits)))
            gradient = (w * (expit(logits) - y)) @ batch / 16
            rate, decay = one_cycle(step, steps, 0.05)
            step += 1
            moment, square = decay * moment + (1 - decay) * gradient, 0.999 * square + 0.001 * gradient**2
            head = head * (1 - rate * 0.3)
            head -= rate * moment / (1 - decay**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        expected.append(np.mean(losses))
    found = list(training.fit_by_epoch([model], images, labels, weights, settings, [3]))
    # float32 against float64 in ten steps.
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4)
    fitted = np.concatenate([values.detach().cpu().numpy().ravel() for values in model.head.parameters()])
    np.testing.assert_allclose(fitted, head, atol=2e-4)


def test_the_loss_of_several_outputs_is_the_weighted_cross_entropy_of_shares(small):
    images, _, weights = small
    shares, model = np.random.default_rng(1).dirichlet([1, 1, 1], 40).astype(np.float32), Recorder(outputs=3)
    settings, generator = Training(epochs=1, learning_rate=0, batch_size=32), torch.Generator().manual_seed(0)
    (loss,) = training.fit_by_epoch([model], images, shares, weights, settings, [0])
    order = np.delete(np.arange(40), 5)[torch.randperm(39, generator=generator)[:32]]
    logits = model.head.cpu()(torch.tensor(model.batches[0], dtype=torch.float32)).detach().numpy()
    entropies = -(shares[order] * log_softmax(logits, 1)).sum(1)
    assert loss == pytest.approx((weights[0, order] * entropies).mean(), rel=1e-5)


def test_each_epoch_draws_another_order_and_other_changes(small):
    model = Recorder()
    training.fit([model], *small, Training(epochs=3, learning_rate=0, batch_size=32), [0])
    first, second, third = model.batches
    assert not np.allclose(first, second) and not np.allclose(second, third)


def test_a_network_trains_in_training_mode_whatever_was_done_with_it_between_the_epochs(small):
    """As `pretrain` does, which predicts after each epoch, and so leaves the network in evaluation mode."""
    model = Recorder().eval()
    for _ in training.fit_by_epoch([model], *small, QUICK, [0]):
        assert all(model.modes) and len(model.modes) == 2
        model.modes.clear()
        training.predict(model, small[0])
        assert not any(model.modes)
        model.modes.clear()
    training.fit([model], *small, QUICK, [0])
    assert not model.training


def test_networks_in_evaluation_mode_are_trained_together_in_training_mode():
    images, labels = bright_and_dark(64)
    networks = [models.create("compact", seed=seed).eval() for seed in (0, 1)]
    training.fit(networks, images, labels, np.ones((2, 64)), QUICK, [0, 1])
    for network in networks:  # normalisation has kept account of what it saw
        assert network.blocks[0][2].num_batches_tracked == 3 * 4 and not network.training


def test_predictions_are_those_of_the_evaluation_mode_in_any_batches():
    images, _ = bright_and_dark(20)
    model = models.create("compact")
    expected = model.eval()(torch.as_tensor(images) / 255).detach().numpy()
    for batch_size in (3, 256):
        np.testing.assert_allclose(training.predict(model.train(), images, batch_size), expected, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True])
def test_bfloat16_is_used_where_it_is_asked_for_and_the_processor_has_it(bf16):
    able = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if training.device().type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    with training.autocast(bf16, training.device()):
        assert torch.is_autocast_enabled(training.device().type) == (bf16 and able)


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
    for held_out, of_network in enumerate(weights):
        of_network[held_out::3] = 0
    settings = Training(epochs=3, learning_rate=1e-3, batch_size=16, bf16=bf16)

    def networks():
        return [models.create("compact", 1, outputs, seed) for seed in (5, 6, 7)]

    together, alone = networks(), networks()
    losses = np.stack(list(training.fit_by_epoch(together, images, targets, weights, settings, [5, 6, 7], steps=4)))
    for row, (model, seed) in enumerate(zip(alone, (5, 6, 7), strict=True)):
        curve = list(training.fit_by_epoch([model], images, targets, weights[row : row + 1], settings, [seed], steps=4))
        np.testing.assert_allclose(losses[:, row], np.concatenate(curve), atol=0.01)
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
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
