"""`heatmaps`: Grad-CAM against its formula, its sign, empty maps; the margin statistics on hand-made tumours."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from radiogen_utils import heatmaps, models
from radiogen_utils.patches import Patches


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 1, 80, 80), np.uint8)


def test_grad_cam_equals_its_formula(images):
    model = models.create("compact", seed=1).eval()
    # With global averaging and a linear head the weights are the head's own, over the number of positions.
    with torch.inference_mode():
        x = torch.as_tensor(images) / 255
        for block in model.blocks:
            x = block(x)
        expected = torch.relu((x * model.head.weight[0][:, None, None]).sum(1) / (10 * 10))
        expected = torch.nn.functional.interpolate(expected[:, None], size=(80, 80), mode="bilinear")[:, 0]
    np.testing.assert_allclose(heatmaps.grad_cam(model, images), expected, rtol=1e-4, atol=1e-8)


def test_the_class_activation_map_adds_up_to_the_answer(images):
    model = models.create("compact", seed=1).eval()
    maps = heatmaps.class_activation(model, images, batch_size=2)
    with torch.inference_mode():
        answer = model(torch.as_tensor(images) / 255)[:, 0].numpy()
    np.testing.assert_allclose(maps.mean((1, 2)) + model.head.bias.item(), answer, rtol=1e-4, atol=1e-6)
    assert maps.shape == (3, 10, 10)


def test_each_image_is_read_by_the_network_of_its_fold():
    fold, images = np.array([1, 0, 1]), np.arange(3, dtype=np.uint8)[:, None, None, None]
    maps = heatmaps.by_fold(images, fold, lambda k: 10 * k, lambda network, shown: network + shown[:, 0].astype(float))
    assert maps[:, 0, 0].tolist() == [10, 1, 12]


def test_a_subset_keeps_patches_and_patients_together():
    data = one_patient([disc(10), disc(20), disc(30)])
    some = heatmaps.subset(data, np.array([False, True, True]))
    assert some.masks.sum((1, 2)).tolist() == data.masks[1:].sum((1, 2)).tolist()
    assert heatmaps.margin_table(some, some.masks.astype(float)).contrast.notna().all()


def test_maps_do_not_depend_on_the_batch(images):
    model = models.create("compact", seed=1)
    np.testing.assert_allclose(
        heatmaps.grad_cam(model, images), heatmaps.grad_cam(model, images, batch_size=1), atol=1e-7
    )


def test_the_sign_is_that_of_class_1_and_no_evidence_stays_empty(images):
    model = models.create("compact", seed=1)
    torch.nn.init.constant_(model.head.weight, 0.1)  # activations are not negative: all evidence is for class 1
    assert (heatmaps.grad_cam(model, images).max((1, 2)) > 0).all()
    torch.nn.init.constant_(model.head.weight, -0.1)
    assert not heatmaps.grad_cam(model, images).any()


def test_twice_the_evidence_gives_twice_the_map(images):
    model = models.create("compact", seed=1)
    torch.nn.init.constant_(model.head.weight, 0.1)
    single = heatmaps.grad_cam(model, images)
    torch.nn.init.constant_(model.head.weight, 0.2)
    np.testing.assert_allclose(heatmaps.grad_cam(model, images), 2 * single, rtol=1e-4)


def test_frozen_weights_are_refused(images):
    model = models.create("compact")
    torch.nn.init.zeros_(model.head.weight)
    with pytest.raises(RuntimeError, match="no gradient"):
        heatmaps.grad_cam(model, images)
    model = models.create("compact").requires_grad_(False)
    with pytest.raises(RuntimeError):
        heatmaps.grad_cam(model, images)


def test_the_imagenet_architecture_has_maps_too(images):
    assert heatmaps.grad_cam(models.create("efficientnet_lite0", seed=0), images).shape == (3, 80, 80)


def disc(radius, wave=0.0):
    """A round tumour; with `wave`, only its right half is lobulated."""
    y, x = np.mgrid[:80, :80] - 40
    angle = np.arctan2(y, x)
    limit = radius + wave * np.where(np.abs(angle) < np.pi / 2, np.sin(10 * angle), 0)
    return np.hypot(x, y) <= limit


def test_margin_band_of_a_disc():
    mask = disc(25)
    band = heatmaps.margin_band(mask, width=8)
    y, x = np.mgrid[:80, :80] - 40
    # Distances are between pixel centres, so the band's inner radius is 25 - 8 within a pixel.
    assert band[np.hypot(x, y) < 16].sum() == 0 and band[(np.hypot(x, y) > 19) & mask].all()


def test_the_band_is_as_wide_as_it_says():
    mask = np.zeros((80, 80), bool)
    mask[:, :40] = True
    band = heatmaps.margin_band(mask, width=8)
    assert band[:, 32:40].all() and band.sum() == 8 * 80


def test_the_patchs_border_is_no_contour():
    mask = np.ones((80, 80), bool)
    assert not heatmaps.margin_band(mask, 8).any()
    assert not heatmaps.local_irregularity(mask, 8)[0].any()


def test_a_straight_edge_is_regular_and_lobes_are_not():
    mask = np.zeros((80, 80), bool)
    mask[:, :40] = True
    contour, irregularity = heatmaps.local_irregularity(mask, 8)
    assert contour.sum() == 64 and irregularity[contour].max() < 1e-9
    mask = disc(25, wave=4)
    contour, irregularity = heatmaps.local_irregularity(mask, 8)
    right = np.mgrid[:80, :80][1] > 45
    left = np.mgrid[:80, :80][1] < 35
    assert irregularity[contour & right].mean() > 1.5 * irregularity[contour & left].mean()


def test_a_corner_is_irregular_whether_it_points_out_or_in():
    """A quarter of the disc is covered at the one, three quarters at the other: both a quarter from one half."""
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    mask[20:40, 20:40] = False
    contour, irregularity = heatmaps.local_irregularity(mask, 8)
    # The pixel lies half a pixel inside the contour, in a disc 17 pixels wide.
    for corner in ((59, 59), (40, 39)):
        assert contour[corner] and irregularity[corner] == pytest.approx(0.25, abs=0.06)
        y, x = np.mgrid[:80, :80]
        inside = np.hypot(y - corner[0], x - corner[1]) <= 8
        straight = (inside & (x <= corner[1])).sum()  # what a straight edge would cover
        assert irregularity[corner] == pytest.approx(abs(mask[inside].sum() - straight) / inside.sum())
    assert irregularity[contour].min() >= 0


def one_patient(masks):
    table = pd.DataFrame({"patient": ["TCGA_XX_0001"] * len(masks), "label": 1})
    return Patches(np.zeros((len(masks), 3, 80, 80), np.uint8), np.stack(masks), table, "")


def test_margin_table_sees_what_was_put_in():
    mask = disc(25, wave=4)
    band = heatmaps.margin_band(mask, 8)
    at_margin, in_core, flat = band.astype(float), (mask & ~band).astype(float), mask.astype(float)
    contrast = [
        heatmaps.margin_table(one_patient([mask]), m[None]).contrast.iloc[0] for m in (at_margin, in_core, flat)
    ]
    assert contrast == pytest.approx([1, -1, 0])
    contour, irregularity = heatmaps.local_irregularity(mask, 8)
    following = np.where(contour, irregularity, 0)[None]
    rho = heatmaps.margin_table(one_patient([mask]), following).rho.iloc[0]
    against = heatmaps.margin_table(one_patient([mask]), np.where(contour, 0.5 - irregularity, 0)[None]).rho.iloc[0]
    assert rho > 0.4 and against < 0 < rho


def test_margin_table_equals_its_definition_pixel_by_pixel():
    """Random attention, within the tumour and without: what lies without must not count."""
    rng = np.random.default_rng(0)
    masks, attention = [disc(22, wave=4), disc(18)], rng.random((2, 80, 80)) ** 3
    contrasts, rhos = [], []
    for mask, values in zip(masks, attention, strict=True):
        band = heatmaps.margin_band(mask, heatmaps.MARGIN_WIDTH)
        outer, inner = values[band].mean(), values[mask & ~band].mean()
        contrasts.append((outer - inner) / (outer + inner))
        contour, irregularity = heatmaps.local_irregularity(mask, heatmaps.IRREGULARITY_RADIUS)
        tumour, around = np.argwhere(mask), []
        for pixel in np.argwhere(contour):
            near = tumour[np.hypot(*(tumour - pixel).T) <= heatmaps.MARGIN_WIDTH / 2]
            around.append(values[tuple(near.T)].mean())
        ranks = (stats.rankdata(values) for values in (irregularity[contour].round(12), around))
        rhos.append(np.corrcoef(*ranks)[0, 1])
    table = heatmaps.margin_table(one_patient(masks), attention)
    assert table.contrast.item() == pytest.approx(np.mean(contrasts))
    assert table.rho.item() == pytest.approx(np.mean(rhos), abs=0.01)  # ranks of irregularities equal but for rounding


def test_the_widths_are_those_of_the_protocol():
    """Eight pixels: a cell of the map, below which it cannot tell margin from core."""
    assert (heatmaps.MARGIN_WIDTH, heatmaps.IRREGULARITY_RADIUS) == (8, 8)


@pytest.mark.filterwarnings("error")
def test_no_answer_is_nan_and_not_zero():
    mask, thin = disc(25), disc(5)
    table = heatmaps.margin_table(one_patient([mask]), np.zeros((1, 80, 80)))
    assert table.isna().all().all()
    assert heatmaps.margin_table(one_patient([thin]), thin[None].astype(float)).contrast.isna().all()
    both = heatmaps.margin_table(
        one_patient([mask, mask]), np.stack([np.zeros((80, 80)), heatmaps.margin_band(mask, 8)])
    )
    assert both.contrast.iloc[0] == pytest.approx(1)  # the empty map has no say


def test_summary_of_a_shift_and_of_none():
    rng = np.random.default_rng(0)
    fold = pd.Series(np.arange(101) % 10)
    shifted = heatmaps.summarise(pd.Series(np.r_[rng.normal(0.5, 1, 100), np.nan]), fold)
    assert (shifted["patients"], shifted["folds"]) == (100, 10) and shifted["low"] > 0 and shifted["p"] < 0.01
    symmetric = rng.normal(0, 1, 50)
    none = heatmaps.summarise(pd.Series(np.r_[symmetric, -symmetric]), pd.Series(np.arange(100) // 10))
    assert none["low"] < 0 < none["high"] and none["p"] > 0.9
    fold_of = pd.Series([0, 0, 1, 1, 2, 2, 0], list("abcdefg"))
    known = pd.Series([9.0, 1.0, np.nan, 2.0, 3.0, 4.0, 5.0], list("gacbdef"))  # patients in another order
    summary = heatmaps.summarise(known, fold_of)
    in_order = heatmaps.summarise(known.dropna().sort_index(), fold_of.drop("c"))
    assert summary == in_order and summary["p"] == stats.wilcoxon([2, 3, 4.5]).pvalue
    with pytest.raises(ValueError, match="too few"):
        heatmaps.summarise(pd.Series([1.0, 2.0, np.nan]), fold[:3])


def test_one_patient_a_fold_is_the_ordinary_bootstrap():
    values = np.random.default_rng(1).normal(0.2, 1, 40)
    ours = heatmaps.summarise(pd.Series(values), pd.Series(range(40)))
    theirs = stats.bootstrap((values,), np.median, n_resamples=2000, method="percentile", random_state=2)
    # Two draws of 2,000 resamples: their quantiles differ by some hundredths of the standard deviation, 1.
    np.testing.assert_allclose((ours["low"], ours["high"]), theirs.confidence_interval, atol=0.1)
    assert ours["p"] == stats.wilcoxon(values).pvalue


def test_the_interval_is_the_middle_95_percent_of_the_medians():
    """Nine folds of a patient each. That five or more of nine draws are among the lowest two has a chance of 3 %."""
    chance = stats.binom.sf(4, 9, 2 / 9)
    assert 0.025 < chance < 0.05 and stats.binom.sf(4, 9, 1 / 9) < 0.025
    found = heatmaps.summarise(pd.Series(range(9)), pd.Series(range(9)), n_resamples=20000)  # standard error 0.1 %
    assert (found["median"], found["low"], found["high"]) == (4, 1, 7)
    values = pd.Series(np.random.default_rng(0).normal(size=40))
    first, second = (heatmaps.summarise(values, pd.Series(range(40)), n_resamples=30, seed=seed) for seed in (0, 1))
    assert first["low"] != second["low"]


def test_patients_who_share_a_network_are_not_independent_witnesses():
    values, fold = np.random.default_rng(2).normal(0.2, 1, 10), np.arange(10)
    once, often = (heatmaps.summarise(pd.Series(values.repeat(n)), pd.Series(fold.repeat(n))) for n in (1, 11))
    assert often == once | {"patients": 110}


def test_occlusion_equals_blackening_by_hand(images):
    model = models.create("compact", seed=1).eval()

    def log_odds(x):
        with torch.inference_mode():
            return model(torch.as_tensor(x) / 255)[:, 0].numpy()

    maps = heatmaps.occlusion(model, images)
    for i, j in ((0, 0), (4, 7), (9, 9)):
        hidden = images.copy()
        hidden[:, :, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = 0
        fall = np.maximum(log_odds(images) - log_odds(hidden), 0)
        # The square's centre lies between four pixels; the enlargement mixes 1/16 of a neighbour in each direction.
        middle = maps[:, 8 * i + 3 : 8 * i + 5, 8 * j + 3 : 8 * j + 5].mean((1, 2))
        np.testing.assert_allclose(middle, fall, atol=0.15 * maps.max() + 1e-6)
    corner = maps[:, 0, 0]  # nothing is mixed in at the patch's corner
    hidden = images.copy()
    hidden[:, :, :8, :8] = 0
    np.testing.assert_allclose(corner, np.maximum(log_odds(images) - log_odds(hidden), 0), atol=1e-5)


def test_a_black_square_cannot_fall(images):
    images[:, :, :40] = 0
    maps = heatmaps.occlusion(models.create("compact", seed=1), images)
    assert not maps[:, :36].any() and maps.shape == (3, 80, 80)


def test_agreement_of_maps():
    mask = disc(25)
    rng = np.random.default_rng(0)
    one = rng.random((2, 80, 80))
    data = one_patient([mask, mask])
    assert heatmaps.agreement(data, one, one**3).iloc[0] == pytest.approx(1)
    assert heatmaps.agreement(data, one, -one).iloc[0] == pytest.approx(-1)
    assert np.isnan(heatmaps.agreement(data, one, np.zeros_like(one)).iloc[0])
    other = rng.random((2, 80, 80))
    other[:, ~mask] = one[:, ~mask]  # outside the tumour they agree, which is of no interest
    other[0, mask] = one[0, mask]
    rho = stats.spearmanr(one[1, mask], other[1, mask]).statistic
    assert heatmaps.agreement(data, one, other).item() == pytest.approx((1 + rho) / 2)  # the mean of the slices


def test_the_trained_networks_are_ranked_among_those_of_permuted_labels():
    trained = pd.DataFrame({"contrast": [0.1, 0.2, 0.3], "rho": [0.0, 0.1, np.nan]})
    medians = np.linspace(-0.2, 0.19, 40)  # all below the contrast's median, most below that of ρ
    draws = pd.DataFrame({"permutation": range(40), "patients": 3, "method": "Grad-CAM", "median": medians})
    draws = pd.concat([draws.assign(question=question) for question in heatmaps.QUESTIONS.values()])
    found = heatmaps.among_permutations({"Grad-CAM": {"trained": trained}, "occlusion": {"trained": trained}}, draws)
    assert list(found.index) == [("margin − core", "Grad-CAM"), ("irregularity ρ", "Grad-CAM")]  # no other draws
    contrast, rho = (found.loc[question, "Grad-CAM"] for question in heatmaps.QUESTIONS.values())
    assert contrast.as_much == 1 / 41 and contrast.as_little == 1 and contrast.permutations == 40
    assert rho.as_much == (1 + (medians >= 0.05).sum()) / 41 and rho.as_little == (1 + (medians <= 0.05).sum()) / 41
    assert -0.2 < contrast.low < contrast["median"] < contrast.high < 0.19
    assert heatmaps.among_permutations({"other": {"trained": trained}}, draws).empty


def test_a_verdict_follows_from_intervals_and_where_there_are_some_from_ranks():
    values = {"trained": (0.1, 0.3), "random weights": (-0.1, 0.1), "trained − random": (0.05, 0.2)}
    rows = {
        (question, "Grad-CAM", name): {"low": low, "high": high}
        for question in heatmaps.QUESTIONS.values()
        for name, (low, high) in values.items()
    }
    summaries = pd.DataFrame(rows).T.rename_axis(["question", "method", "network"])
    ranks = pd.DataFrame(
        {"as_much": [1.0], "as_little": [0.02]},
        pd.MultiIndex.from_tuples([("irregularity ρ", "Grad-CAM")], names=["question", "method"]),
    )
    found = heatmaps.judge(summaries, ranks)
    assert {asked: verdict.word for asked, verdict in found.items()} == {
        ("margin − core", "Grad-CAM"): "supported",
        ("irregularity ρ", "Grad-CAM"): "contradicted",
    }
    assert all(verdict.word == "supported" for verdict in heatmaps.judge(summaries, ranks[:0]).values())


def test_as_many_patients_of_each_fold_always_the_same():
    fold = pd.Series(np.arange(50) % 5, [f"p{i}" for i in range(50)])
    chosen = heatmaps.some_of_each_fold(fold, 3)
    assert fold[chosen].value_counts().eq(3).all() and chosen.is_unique and len(chosen) == 15
    assert chosen.equals(heatmaps.some_of_each_fold(fold, 3)) and set(chosen) != set(fold.index[:15])


def test_networks_are_compared_with_the_trained_ones_patient_by_patient():
    rng = np.random.default_rng(0)
    patients = pd.Index([f"p{i}" for i in range(40)])
    fold, other = (pd.Series(rng.permutation(40) % 5, patients) for _ in range(2))
    table = pd.DataFrame(rng.normal(size=(40, 2)), patients, ["contrast", "rho"])
    tables = {"Grad-CAM": {"trained": table, "random weights": table - 1, "permuted labels": table * 2}}
    found = heatmaps.compare(tables, fold, {"permuted labels": other})
    assert list(found.loc["margin − core"].index.get_level_values("network")) == [
        *("trained", "random weights", "permuted labels", "trained − random", "trained − permuted")
    ]
    assert tuple(found.loc[("irregularity ρ", "Grad-CAM", "trained − random"), ["low", "median", "high"]]) == (1, 1, 1)
    expected = heatmaps.summarise(table.contrast * 2, other)
    assert found.loc[("margin − core", "Grad-CAM", "permuted labels")].to_dict() == expected
