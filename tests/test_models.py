"""`models`: shapes, initialisations, weights that load without pickle."""

import json
from collections import Counter

import pytest
import torch
from safetensors import safe_open

from radiogen_utils import models


@pytest.mark.parametrize("backbone", models.BACKBONES)
@pytest.mark.parametrize("channels", [1, 3])
def test_output_shape_and_layers(backbone, channels):
    model = models.create(backbone, channels, outputs=2).eval()
    assert model(torch.rand(3, channels, 80, 80)).shape == (3, 2)
    assert model.stem.in_channels == channels and model.head.out_features == 2


def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (models.create("compact", seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["head.weight"], c["head.weight"])


def test_unknown_backbone_names_the_valid_ones():
    with pytest.raises(ValueError, match="compact, efficientnet_lite0"):
        models.create("resnet")


def test_transferred_weights_fill_all_but_the_head():
    source = models.create("compact", 1, outputs=3, seed=1)
    target = models.create("compact", 1, outputs=1, seed=2, weights=source.state_dict())
    fresh = models.create("compact", 1, outputs=1, seed=2)
    assert torch.equal(target.stem.weight, source.stem.weight)
    assert torch.equal(target.head.weight, fresh.head.weight)


@pytest.mark.parametrize("n_in, n_out", [(1, 3), (3, 1)])
def test_a_repeated_image_gives_the_same_response_with_other_channels(n_in, n_out):
    source = models.create("compact", n_in, seed=1).eval()
    target = models.create("compact", n_out, seed=2, weights=source.state_dict()).eval()
    image = torch.rand(2, 1, 80, 80)
    response = [m.blocks[0](image.repeat(1, n, 1, 1)) for m, n in ((source, n_in), (target, n_out))]
    torch.testing.assert_close(*response, rtol=1e-4, atol=1e-5)  # sums of 27 float32 products in another order


def test_weights_of_another_backbone_are_refused():
    with pytest.raises(ValueError, match="not of efficientnet_lite0"):
        models.create(
            "efficientnet_lite0",
            weights=models.create("compact").state_dict() | {"network.conv_stem.weight": torch.rand(32, 1, 3, 3)},
        )
    incomplete = models.create("compact").state_dict()
    del incomplete["blocks.1.0.weight"]
    with pytest.raises(ValueError, match="not of compact: .*blocks.1.0.weight"):
        models.create("compact", weights=incomplete)
    with pytest.raises(ValueError, match="not of compact: .*blocks.9"):
        models.create("compact", weights=models.create("compact").state_dict() | {"blocks.9": torch.rand(1)})


def test_the_imagenet_architecture_sees_images_as_its_weights_were_trained_on_them():
    """Black and white at the first convolution, against the mean and standard deviation that timm states."""
    model, seen = models.create("efficientnet_lite0", channels=3).eval(), []
    model.stem.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 64, 64)
    image[..., :8], image[..., 8:16] = 0, 1
    model(image)
    stated = models.timm.get_pretrained_cfg("tf_efficientnet_lite0")
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (stated.mean, stated.std))
    torch.testing.assert_close(seen[0], (image - mean) / deviation)
    assert (seen[0].min(), seen[0].max()) == (-1, 1)


def test_natural_weights_recognise_a_photograph():
    import skimage.data

    model = models.EfficientNetLite0(channels=3, outputs=1000).eval()
    model.load_state_dict(models.natural_weights())
    photograph = torch.from_numpy(skimage.data.coffee()[:, 100:500].copy()).permute(2, 0, 1)[None] / 255
    small = torch.nn.functional.interpolate(photograph, size=224, mode="bicubic", antialias=True).clamp(0, 1)
    with torch.inference_mode():
        probability, index = model(small).softmax(1)[0].max(0)
    assert models.imagenet_description(int(index)) == "espresso" and probability > 0.5


def test_natural_weights_with_a_wrong_checksum_are_refused(monkeypatch):
    monkeypatch.setattr(models, "IMAGENET_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="checksum"):
        models.natural_weights()


def test_saved_weights_come_back_and_are_safetensors(tmp_path):
    model = models.create("compact", seed=3)
    models.save_weights(model.state_dict(), tmp_path / "w.safetensors", {"cases": 2})
    assert all(
        torch.equal(v, model.state_dict()[k]) for k, v in models.load_weights(tmp_path / "w.safetensors").items()
    )
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict())
    assert '"cases": 2' in (tmp_path / "w.json").read_text()


@pytest.mark.parametrize("path", sorted(models.WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_weights_are_small_and_fit_with_their_record(path):
    assert path.stat().st_size <= 2e6
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["backbone"] == "compact" and len(record["curve"]) == record["training"]["epochs"]
    weights = models.load_weights(path)
    network = models.create("compact", len(record.get("sequences", "1")), weights=weights)
    torch.testing.assert_close(network.stem.weight, weights["blocks.0.0.weight"])


def test_five_dense_networks_are_shipped_for_each_input_and_they_know_tissues():
    records = [json.loads(path.read_text(encoding="utf-8")) for path in models.WEIGHTS.glob("dense_*.json")]
    found = Counter((tuple(record["sequences"]), record["data"]) for record in records)
    assert sorted(found.values()) == [5, 5, 5]
    assert all(min(record["r2"]["cell"].values()) > 0.2 for record in records)


@pytest.mark.parametrize("backbone", models.BACKBONES)
def test_untrained_networks_answer_about_even(backbone):
    """A head that is drawn too wide is certain before it has seen anything, and spoils what it starts from."""
    images = torch.rand(16, 1, 80, 80, generator=torch.Generator().manual_seed(0))
    for seed in range(3):
        logits = models.create(backbone, seed=seed).train()(images)
        assert logits.abs().max() < 2  # timm's own head: far beyond
