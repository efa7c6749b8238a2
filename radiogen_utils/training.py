"""Fit networks: one, or several of the same architecture together.

Patches stay on the device as uint8. Each network has a generator on the CPU for its random numbers (order,
augmentation), so that it meets the same batches alone, together with others, and on a GPU.
"""

import copy
import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score, recall_score
from torch import nn
from torch.nn import functional

from . import models, pretraining
from .pretraining import GliomaSlices
from .support import fingerprint, progress

CODE = fingerprint(torch.__version__, *(Path(file).read_bytes() for file in (__file__, models.__file__)))
"""Fingerprint of the code that decides what a fit finds, as it was imported."""


@dataclass(frozen=True)
class Training:
    """How one network is fitted (`training.fit`)."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    weight_decay: float = 1e-2
    random_curves: bool = False  # random intensity curves, where pretraining and target differ in sequence
    bf16: bool = False  # bfloat16 autocast where the processor has it; slower than float32 for depthwise convolutions


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def draw_augmentation(n: int, generator: torch.Generator, random_curves: bool = False) -> torch.Tensor:
    """Random parameters for `augment`: rotation up to 20°, zoom up to 10 %, flips, gamma and gain.

    Args:
        n: how many images.
        generator: draws the numbers.
        random_curves: intensities follow a random rising or falling curve as well, so that a network cannot rely on
            what is bright in one kind of image (Billot et al., Medical Image Analysis 2023;86:102789, go further and
            train on images of random contrast only).

    Returns:
        (n, 10) float32: angle in radians, zoom, horizontal and vertical flip (±1), gamma, gain, and the curve's values
        at the intensities 0, 1/3, 2/3 and 1.
    """
    low = torch.tensor([-np.pi / 9, 0.9, -1, -1, -0.25, 0.9])
    high = torch.tensor([np.pi / 9, 1.1, 1, 1, 0.25, 1.1])
    parameters = low + (high - low) * torch.rand(n, 6, generator=generator)
    parameters[:, 2:4] = torch.where(parameters[:, 2:4] < 0, -1.0, 1.0)
    parameters[:, 4] = torch.exp2(parameters[:, 4])
    curve = torch.linspace(0, 1, 4).repeat(n, 1)
    if random_curves:
        rising = torch.rand(n, 4, generator=generator).sort(1).values
        falls = torch.rand(n, 1, generator=generator) < 0.5
        curve = torch.where(falls, rising.flip(1), rising)
    return torch.cat([parameters, curve], 1)


def augment(images: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Change brightness, then mirror, turn and zoom about the centre; every image by other parameters.

    Args:
        images: (N, C, H, W) uint8, 0 outside the tumour; 0 stays 0.
        parameters: (N, 10) of `draw_augmentation`, on the same device.

    Returns:
        (N, C, H, W) float32 in [0, 1].
    """
    return functional.grid_sample(
        brighten(images, parameters), sampling_grid(parameters, images.shape[2:]), align_corners=False
    )


def brighten(images: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The change of intensities in `augment`, alone: gamma, gain and curve; same shapes."""
    gamma, gain = parameters[:, 4:6].T[..., None]
    # 256 levels an image instead of one computation a pixel.
    levels = functional.interpolate(parameters[:, None, 6:], 256, mode="linear", align_corners=True)[:, 0]
    levels = (levels**gamma * gain).clamp(max=1)
    levels[:, 0] = 0
    return levels.gather(1, images.flatten(1).long()).view(images.shape)


def sampling_grid(parameters: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Where each pixel of `augment` comes from: (N, H, W, 2) in [-1, 1], for `grid_sample`; `shape` is (H, W).

    No translation: the patch is centred on the tumour.
    """
    angle, zoom, flip_x, flip_y = parameters[:, :4].T[..., None]
    y, x = (((2 * torch.arange(n, device=parameters.device) + 1) / n - 1) for n in shape)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    grid = torch.empty(len(parameters), len(y), len(x), 2, device=parameters.device)
    torch.add((flip_x * cosine * x)[:, None, :], (-flip_x * sine * y)[:, :, None], out=grid[..., 0])
    torch.add((flip_y * sine * x)[:, None, :], (flip_y * cosine * y)[:, :, None], out=grid[..., 1])
    return grid


def autocast(bf16: bool, where: torch.device) -> torch.autocast:
    """bfloat16 where it was asked for and the hardware multiplies it; else full precision."""
    if where.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # some builds (macOS on ARM) have no oneDNN, and then not even the question
        able = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(where.type, torch.bfloat16, enabled=bf16 and able)


def one_cycle(
    weights: Iterable[nn.Parameter], training: Training, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW and its one-cycle schedule for `weights`; `steps` batches an epoch."""
    optimizer = torch.optim.AdamW(weights, training.learning_rate, weight_decay=training.weight_decay, fused=True)
    total = steps * training.epochs
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, total_steps=total)


class Stack:
    """Networks of one architecture that are trained together; alone, a network is called as it is.

    Several small networks keep a GPU busy where one cannot. Their weights are stacked along a new first axis and mapped
    over by `torch.vmap`, which turns their convolutions into one grouped convolution.
    """

    def __init__(self, networks: list[nn.Module]):
        self.networks = networks
        if len(networks) == 1:
            self.weights = list(networks[0].parameters())
        else:
            self._parameters, self._buffers = torch.func.stack_module_state(networks)
            self._architecture = copy.deepcopy(networks[0]).to("meta")
            self.weights = list(self._parameters.values())

    def __call__(self, batches: torch.Tensor) -> torch.Tensor:
        """(M, B, C, H, W), a batch for each network -> (M, B, K) logits."""
        if len(self.networks) == 1:
            return self.networks[0](batches[0].contiguous(memory_format=torch.channels_last))[None]
        return torch.vmap(self._one)(self._parameters, self._buffers, batches)

    def _one(
        self, parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], batch: torch.Tensor
    ) -> torch.Tensor:
        return torch.func.functional_call(self._architecture, (parameters, buffers), (batch,))

    def unstack(self) -> None:
        """Put the trained weights back into the networks."""
        if len(self.networks) > 1:
            state = {**self._parameters, **self._buffers}
            for row, network in enumerate(self.networks):
                network.load_state_dict({name: values[row].detach() for name, values in state.items()})


def fit_by_epoch(
    networks: list[nn.Module],
    images: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    training: Training,
    seeds: list[int],
    steps: int | None = None,
) -> Iterator[np.ndarray]:
    """Train networks in place by AdamW with a one-cycle learning rate.

    Args:
        networks: M of one architecture, with K outputs; K = 1: logistic loss, K > 1: cross-entropy.
        images: (N, C, H, W) uint8, shared by all.
        targets: (N,) 0 or 1 for K = 1; (N, K) probabilities of the classes for K > 1.
        weights: (M, N) weight of each image in each network's loss; an image of weight 0 is never shown to it.
        training: epochs, learning rate and so on.
        seeds: M, of the order of the images and of the augmentation.
        steps: batches an epoch; `None`: as many as the images of the first network fill. A network with fewer images
            meets some twice.

    Yields:
        (M,) mean training loss of each epoch.
    """
    torch.set_flush_denormal(True)  # denormal numbers make a step several times slower
    where, size = device(), training.batch_size
    rows = [torch.from_numpy(np.flatnonzero(of_network)) for of_network in weights]
    # The last, incomplete batch is left out: batch normalisation is unreliable on a few images.
    steps = steps or max(1, len(rows[0]) // size)
    images, targets, weights = (torch.as_tensor(array, device=where) for array in (images, targets, weights))
    weights = weights.float()
    # Under vmap, batch normalisation on a GPU takes no other layout than the contiguous one.
    layout = torch.channels_last if len(networks) == 1 else torch.contiguous_format
    for network in networks:
        network.to(where, memory_format=layout).train()
    stack = Stack(networks)
    optimizer, schedule = one_cycle(stack.weights, training, steps)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for _ in range(training.epochs):
        for network in networks:
            network.train()
        batches = _draw_batches(rows, steps, training, generators, where)
        losses = [_step(stack, optimizer, schedule, images, targets, weights, training, *batch) for batch in batches]
        stack.unstack()
        yield (sum(losses) / steps).cpu().numpy()


def _draw_batches(
    rows: list[torch.Tensor],
    steps: int,
    training: Training,
    generators: list[torch.Generator],
    where: torch.device,
):
    """The batches of an epoch: which images, (M, B), and how each is augmented, (M, B, 10)."""
    n = steps * training.batch_size
    order = torch.stack(
        [_order(of_network, n, generator) for of_network, generator in zip(rows, generators, strict=True)]
    )
    changes = torch.stack([draw_augmentation(n, generator, training.random_curves) for generator in generators])
    order, changes = (values.to(where).split(training.batch_size, 1) for values in (order, changes))
    return zip(order, changes, strict=True)


def _step(
    stack: Stack,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    images: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    training: Training,
    chosen: torch.Tensor,
    changes: torch.Tensor,
) -> torch.Tensor:
    """One step of every network on its batch; returns the losses, (M,)."""
    batches = augment(images[chosen.flatten()], changes.flatten(0, 1)).unflatten(0, chosen.shape)
    # Batch normalisation of bfloat16 under vmap is not reliable (PyTorch issue 192617).
    with autocast(training.bf16, images.device) if len(chosen) == 1 else nullcontext():
        logits = stack(batches).float()
    losses = (_loss(logits, targets[chosen]) * weights.gather(1, chosen)).mean(1)
    optimizer.zero_grad()
    losses.sum().backward()
    optimizer.step()
    schedule.step()
    return losses.detach()


def _order(rows: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """`n` of the rows in random order, none again before all were drawn."""
    rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-n // len(rows)))]
    return torch.cat(rounds)[:n]


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(M, B) from logits (M, B, K) and targets (M, B) or (M, B, K)."""
    if logits.shape[-1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[..., 0], targets.float(), reduction="none")
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1), reduction="none").view(
        logits.shape[:2]
    )


def fit(networks: list[nn.Module], *arguments: object, **options: object) -> None:
    """Train as `fit_by_epoch` does, to the end; leaves the networks in evaluation mode."""
    for _ in fit_by_epoch(networks, *arguments, **options):
        pass
    for network in networks:
        network.eval()


def predict(model: nn.Module, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Logits of a fitted network.

    Args:
        model: a network of `models`.
        images: (N, C, H, W) uint8.
        batch_size: images at a time.

    Returns:
        (N, K) float32; for K = 1 the log-odds of class 1.
    """
    model.eval()
    where = next(model.parameters()).device
    with torch.inference_mode():
        batches = torch.as_tensor(images).split(batch_size)
        return np.concatenate([model(batch.to(where) / 255).float().cpu().numpy() for batch in batches])


def slice_weights(table: pd.DataFrame) -> np.ndarray:
    """Weight of each slice in the loss: the two classes weigh the same, and so do the patients within a class.

    Without it a patient with 37 tumour slices would count twelve times one with 3.
    """
    slices = table.groupby("patient").label.transform("size")
    patients = table.groupby("label").patient.transform("nunique")
    return (1 / (slices * patients)).to_numpy() * len(table) / 2


def pretrain(
    backbone: str,
    slices: GliomaSlices,
    training: Training,
    patches_per_slice: int,
    seed: int,
    path: Path,
) -> dict:
    """Train a network on the tissue shares of glioblastoma-like cases and judge it on cases held out.

    Args:
        backbone: name of one of `models.BACKBONES`.
        slices: all slices; cases that are not glioblastoma-like are left out.
        training: epochs, learning rate and so on.
        patches_per_slice: as for `pretraining.composition_patches`.
        seed: of weights, split, patches and order.
        path: file of the weights, `.safetensors`; the record goes beside it as `.json`. When both are there and were
            made from the same data, settings and code, they are kept.

    Returns:
        The record: data, settings, `curve` (loss by epoch), `entropy` and `prior_loss` (the lowest loss possible, and
        that of the mean shares), and on the held-out cases, each of the same weight, `r2` (explained variance of each
        tissue's share) and `balanced_accuracy` of naming the largest tissue.
    """
    likely = pretraining.glioblastoma_like(slices)
    cases, held_out_cases = pretraining.split_cases(likely.index[likely], seed)
    data = fingerprint(slices.images.tobytes(), slices.labels.tobytes(), slices.table.to_csv())
    code = Path(pretraining.__file__).read_bytes()
    key = fingerprint(CODE, code, backbone, data, training, patches_per_slice, seed)
    record = kept_record(path, key)
    if record is not None:
        return record
    images, shares, _ = pretraining.composition_patches(slices, cases, patches_per_slice, seed)
    held_out = pretraining.composition_patches(slices, held_out_cases, patches_per_slice, seed)
    model = models.create(backbone, channels=1, outputs=shares.shape[1], seed=seed)
    record = {
        "key": key,
        "backbone": backbone,
        "data": data,
        "training": asdict(training) | {"patches_per_slice": patches_per_slice, "seed": seed},
        "cases": len(cases),
        "held_out_cases": len(held_out_cases),
        "patches": len(images),
        "curve": _learn(model, images, shares, *held_out[:2], training, seed),
        "prior_loss": float(-(held_out[1] @ np.log(shares.mean(0))).mean()),
        **_judge(model, *held_out),
    }
    models.save_weights(model.state_dict(), path, record)
    return record


def kept_record(path: Path, key: str) -> dict | None:
    """The record beside the weights in `path` if they were made with this key, else `None`."""
    record_path = path.with_suffix(".json")
    if not (path.exists() and record_path.exists()):
        return None
    record = json.loads(record_path.read_text(encoding="utf-8"))
    if record["key"] != key:
        return None
    for file in (path, record_path):
        file.touch()  # as fresh as the run that relies on them
    return record


def _learn(
    model: nn.Module,
    images: np.ndarray,
    shares: np.ndarray,
    unseen: np.ndarray,
    unseen_shares: np.ndarray,
    training: Training,
    seed: int,
) -> list[dict]:
    """Train on the shares; returns the losses on training and held-out patches by epoch."""
    curve = []
    losses = fit_by_epoch([model], images, shares, np.ones((1, len(images))), training, [seed])
    losses = (float(loss[0]) for loss in losses)
    for loss in progress(losses, training.epochs, "pretraining epoch", lambda loss: f"training loss {loss:.3f}"):
        logits = torch.as_tensor(predict(model, unseen))
        held_out_loss = float(functional.cross_entropy(logits, torch.as_tensor(unseen_shares)))
        curve.append({"epoch": len(curve) + 1, "training_loss": loss, "held_out_loss": held_out_loss})
    return curve


def _judge(model: nn.Module, images: np.ndarray, shares: np.ndarray, case: np.ndarray) -> dict:
    """`entropy`, `r2` and `balanced_accuracy` of `pretrain`'s record, on held-out patches."""
    predicted = torch.softmax(torch.as_tensor(predict(model, images)), 1).numpy()
    # All cases weigh the same, so that a case with many tumour slices does not count more than one with few.
    weights = 1 / pd.Series(case).groupby(case).transform("size").to_numpy()
    r2 = r2_score(shares, predicted, sample_weight=weights, multioutput="raw_values")
    largest, named = shares.argmax(1), predicted.argmax(1)
    # The mean recall of the tissues that occur, as scikit-learn defines balanced accuracy.
    options = {"labels": np.unique(largest), "average": "macro", "sample_weight": weights}
    return {
        "entropy": float(-np.sum(shares * np.log(np.maximum(shares, 1e-12)), 1).mean()),
        "r2": dict(zip(pretraining.TISSUES, r2.tolist(), strict=True)),
        "balanced_accuracy": float(recall_score(largest, named, **options)),
    }
