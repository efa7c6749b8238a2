"""The checks of notebooks 3 and 6 name the mistakes that readers make."""

import numpy as np
import pytest
import torch

from radiogen_utils import models
from radiogen_utils.course.checks import heatmaps, pretraining


def shares(labels, tissues=(1, 2, 3)):
    return np.stack([(labels == k).reshape(10, 8, 10, 8).mean((1, 3)) for k in tissues])


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda labels: None, "returns nothing"),
        (lambda labels: 64 * shares(labels), "divide by the 64 pixels"),
        (lambda labels: shares(labels, range(4)), "leave it out"),
        (lambda labels: shares(labels, range(3)), "labelled 1, 2 and 3"),
        (lambda labels: shares(labels).transpose(1, 2, 0), "the tissues come first"),
        (lambda labels: shares(labels).transpose(0, 2, 1), "swapped"),
        (lambda labels: shares(labels) / np.maximum(shares(labels).sum(0), 1e-9), "the whole cell"),
        (lambda labels: shares(np.roll(labels, 4)), "a block of 8×8 pixels"),
    ],
)
def test_what_is_wrong_with_a_dense_target_is_said(answer, words):
    found = pretraining.cell_shares(answer)
    assert not found and words in found.message
    assert pretraining.cell_shares(shares)


def test_what_leaks_is_judged():
    case, held_out = np.array(list("aaabbc")), np.array([True, False, False, False, False, True])
    assert pretraining.leak(0.5, case, held_out)
    assert "divide by" in pretraining.leak(1, case, held_out).message
    assert "per cent" in pretraining.leak(50, case, held_out).message


def test_a_transfer_is_judged():
    def transfer(weights, outputs=1, names=lambda name: not name.startswith("head.")):
        network = models.CompactCNN(1, outputs)
        network.load_state_dict({k: v for k, v in weights.items() if names(k)}, strict=False)
        return network

    assert pretraining.reuse(transfer)
    assert "3 outputs" in pretraining.reuse(lambda weights: transfer(weights, 3)).message
    assert "blocks.0" in pretraining.reuse(lambda weights: transfer(weights, names=lambda k: "blocks.3" in k)).message
    assert "report" in pretraining.reuse(lambda weights: models.CompactCNN(1, 3).load_state_dict(weights)).message
    assert "begin with `head.`" in pretraining.reuse(lambda weights: transfer(weights, names=lambda k: True)).message
    assert "strict=False" in pretraining.reuse(lambda weights: models.CompactCNN(1, 1).load_state_dict({})).message


def by_hand(network, images, reduce=torch.mean, end=torch.relu, answer=lambda y: y):
    maps = network.features(images)
    maps.retain_grad()
    answer(network.head(maps.mean((2, 3)))).sum().backward()
    return end((reduce(maps.grad, (2, 3), keepdim=True) * maps).sum(1)).detach()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"end": lambda x: x}, "negative values are left"),
        ({"end": lambda x: torch.relu(-x)}, "sign is turned round"),
        ({"reduce": torch.sum}, "a hundred times too large"),
        ({"end": lambda x: torch.relu(x) / torch.relu(x).amax((1, 2), keepdim=True)}, "scaled to 1"),
        ({"answer": torch.sigmoid}, "of the log-odds"),
        ({"reduce": lambda gradient, axes, keepdim: gradient.mean(axes, keepdim=keepdim).abs()}, "other maps"),
    ],
)
def test_what_is_wrong_with_a_grad_cam_is_said(options, words):
    found = heatmaps.grad_cam(lambda network, images: by_hand(network, images, **options))
    assert not found and words in found.message
    assert heatmaps.grad_cam(by_hand)


def test_maps_without_a_gradient_are_named():
    def another_pass(network, images):
        maps = network.features(images)
        maps.retain_grad()
        network(images).sum().backward()
        return (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1)

    assert "these same maps" in heatmaps.grad_cam(another_pass).message


def test_a_contrast_is_judged():
    def contrast(heatmap, mask, band, inside=lambda mask, band: mask & ~band, value=np.mean):
        outer, inner = value(heatmap[band]), value(heatmap[inside(mask, band)])
        return (outer - inner) / (outer + inner)

    assert heatmaps.contrast(contrast)
    assert "not sums" in heatmaps.contrast(lambda *given: contrast(*given, value=np.sum)).message
    assert "mask & ~band" in heatmaps.contrast(lambda *given: contrast(*given, inside=lambda m, b: ~b)).message
    assert "without its band" in heatmaps.contrast(lambda *given: contrast(*given, inside=lambda m, b: m)).message
    assert "turned round" in heatmaps.contrast(lambda *given: -contrast(*given)).message


def test_the_sum_of_a_map_is_judged():
    def from_map(network, images, bias=True, reduce=torch.mean):
        maps = network.features(images) * network.head.weight[0][:, None, None]
        return reduce(maps.sum(1), (1, 2)) + bias * network.head.bias

    assert heatmaps.exact(from_map)
    assert "bias is missing" in heatmaps.exact(lambda *given: from_map(*given, bias=False)).message
    assert "averages over the cells" in heatmaps.exact(lambda *given: from_map(*given, reduce=torch.sum)).message


def cell_by_cell(network, images):
    return network.head(network.features(images).permute(0, 2, 3, 1))[..., 0].mean((1, 2))


@pytest.mark.parametrize(
    "answer",
    [
        lambda network, images: network(images)[:, 0],
        lambda network, images: network.forward(images).squeeze(),
        lambda network, images: network.head(network.features(images).mean((2, 3)))[:, 0],
    ],
)
def test_the_networks_own_answer_is_no_sum_of_a_map(answer):
    assert "the network's own answer" in heatmaps.exact(answer).message
    assert heatmaps.exact(cell_by_cell)
