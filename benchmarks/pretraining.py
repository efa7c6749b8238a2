"""The choices of the dense pretraining, compared on glioblastoma cases that were held out; no patient of the cohort.

    python benchmarks/pretraining.py LESIONS                 all variants, one network each; hours on one core
    python benchmarks/pretraining.py LESIONS --pictures      only draws the pictures that come with the course

Writes figures/pretraining.json, and figures/glioblastoma.png and figures/dense_answers.png. Variants that are in the
file already are kept.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from radiogen_utils import dense, figures, models, tissue_pictures, training
from radiogen_utils.data.cohort import SEQUENCES
from radiogen_utils.lesions import LesionPatches, open_lesions
from radiogen_utils.pretraining import split_cases
from radiogen_utils.support import fingerprint, project_root
from radiogen_utils.training import Training

FIGURES = project_root() / "figures"
WIDTHS = (16, 32, 64, 128)
CELLS = (10, 10)


@dataclass(frozen=True)
class Variant:
    """A way to pretrain.

    Attributes:
        sequences: input channels.
        task: `dense`, an answer a cell; or `patch`, one answer a patch.
        epochs: of training.
        random_curves: intensities follow a random curve in every patch.
        shared: one network of one channel reads every sequence.
        width: the layers have so many times the compact network's channels.
    """

    sequences: tuple[str, ...] = ("FLAIR",)
    task: str = "dense"
    epochs: int = 16
    random_curves: bool = False
    shared: bool = False
    width: int = 1


VARIANTS = (
    Variant(),
    Variant(task="patch"),
    Variant(("post-contrast",)),
    Variant(SEQUENCES),
    Variant(SEQUENCES, shared=True),
    Variant(random_curves=True),
    Variant(epochs=32),
    Variant(width=2),
)


def network(variant: Variant) -> nn.Module:
    """The compact network of a variant, random weights of seed 0."""
    channels = 1 if variant.shared else len(variant.sequences)
    torch.manual_seed(0)
    made = models.CompactCNN(channels, 3)
    if variant.width > 1:
        widths = [variant.width * width for width in WIDTHS]
        for block, before, width in zip(made.blocks, (channels, *widths), widths, strict=False):
            block[0], block[2] = nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        made.head = nn.Linear(widths[-1], 3)
    return made.to(memory_format=torch.channels_last)


def fit(variant: Variant, images: np.ndarray, tissues: np.ndarray) -> nn.Module:
    """Train a variant's network on patches (N, C, 80, 80) and their tissues (N, 80, 80)."""
    torch.set_flush_denormal(True)
    settings = Training(variant.epochs, 1e-3, batch_size=64, random_curves=variant.random_curves, bf16=True)
    made, generator = network(variant), torch.Generator().manual_seed(0)
    steps = len(images) // settings.batch_size
    optimizer, schedule = training.one_cycle(made.parameters(), settings, steps)
    images, tissues = torch.as_tensor(images), torch.as_tensor(tissues)
    for _ in range(settings.epochs):
        made.train()
        order = torch.randperm(len(images), generator=generator)[: steps * settings.batch_size]
        changes = training.draw_augmentation(len(order), generator, settings.random_curves)
        sequence = torch.randint(images.shape[1], (len(order),), generator=generator) if variant.shared else None
        for batch in torch.arange(len(order)).split(settings.batch_size):
            rows, change = order[batch], changes[batch]
            shown = images[rows]
            if sequence is not None:
                shown = shown[torch.arange(len(rows)), sequence[batch]][:, None]
            loss = _loss(made, shown, tissues[rows], change, variant.task, settings.bf16)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return made.eval()


def _loss(
    made: nn.Module, images: torch.Tensor, tissues: torch.Tensor, change: torch.Tensor, task: str, bf16: bool
) -> torch.Tensor:
    grid = training.sampling_grid(change, images.shape[2:])
    batch = functional.grid_sample(training.brighten(images, change), grid, align_corners=False)
    labels = functional.grid_sample(tissues[:, None].float(), grid[:, ::2, ::2], mode="nearest", align_corners=False)
    shares = dense.tissue_shares(labels[:, 0], CELLS)
    batch = batch.contiguous(memory_format=torch.channels_last)
    with training.autocast(bf16, images.device):
        logits = dense.dense_logits(made, batch) if task == "dense" else made(batch)
    if task == "dense":
        return dense.dense_loss(logits.float(), shares)
    composition = shares.sum((2, 3))
    return functional.cross_entropy(logits.float(), composition / composition.sum(1, keepdim=True).clamp(min=1e-9))


def judge(variant: Variant, made: nn.Module, data: LesionPatches) -> dict[str, dict]:
    """`dense.explained` of held-out patches by what is read: each sequence of a shared network, else `all` as one."""
    images = _channels(variant, data)
    inputs = {"+".join(variant.sequences): images}
    if variant.shared:
        inputs = {name: images[:, [k]] for k, name in enumerate(variant.sequences)}
    found = {}
    for name, shown in inputs.items():
        if variant.task == "dense":
            predicted = dense.predict_shares(made, shown)
        else:
            logits = torch.as_tensor(training.predict(made, shown))
            predicted = logits.softmax(1)[:, :, None, None].expand(-1, -1, *CELLS).numpy()
        r2 = dense.explained(predicted, data.tissues, data.case)
        for unit in ("patch", "cell"):
            found.setdefault(name, {})[unit] = {tissue: round(value, 3) for tissue, value in r2[unit].items()}
    return found


def _channels(variant: Variant, data: LesionPatches) -> np.ndarray:
    return data.images[:, [SEQUENCES.index(name) for name in variant.sequences]]


def pictures(data: LesionPatches, held_out: np.ndarray) -> None:
    """Draw the pictures of held-out cases that come with the course."""
    rows = tissue_pictures.examples(data, held_out)
    figure = tissue_pictures.lesions(data, rows, ("FLAIR", "post-contrast"))
    figures.finish(figure, FIGURES / "glioblastoma.png", False, tissue_pictures.BRATS)
    images = data.images[:, [SEQUENCES.index("FLAIR")]]
    networks = tissue_pictures.dense_networks("FLAIR", images)
    figure = tissue_pictures.answers(images[rows], data.tissues[rows], networks)
    figures.finish(figure, FIGURES / "dense_answers.png", False, tissue_pictures.BRATS)


def main() -> None:
    """Train and judge what is missing, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesions", type=Path, help="glioblastoma in three sequences, as lesions.open_lesions reads it")
    parser.add_argument("--pictures", action="store_true", help="train nothing")
    options = parser.parse_args()
    data = open_lesions(options.lesions)
    cases, held_out = split_cases(np.unique(data.case), seed=0)
    pictures(data, held_out)
    if options.pictures:
        return
    file = FIGURES / "pretraining.json"
    mark = {"data": fingerprint(data.images.tobytes(), data.tissues.tobytes(), "".join(data.case))}
    mark |= {"cases": len(cases), "held_out_cases": len(held_out)}
    by_slice = np.random.default_rng(0).random(len(data.case)) < 0.2
    splits = {"slices": by_slice, "cases": np.isin(data.case, held_out)}
    flair = data.images[:, [SEQUENCES.index("FLAIR")]]
    mark["memory"] = {name: round(dense.memory_r2(flair, data.tissues, out), 3) for name, out in splits.items()}
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rows = found["rows"] if found.get("data") == mark["data"] else []
    seen, unseen = (np.isin(data.case, part) for part in (cases, held_out))
    test = LesionPatches(data.images[unseen], data.tissues[unseen], data.case[unseen])
    for variant in VARIANTS:
        facts = json.loads(json.dumps(asdict(variant)))
        if not any(row["variant"] == facts for row in rows):
            made = fit(variant, _channels(variant, data)[seen], data.tissues[seen])
            rows.append({"variant": facts, "r2": judge(variant, made, test)})
            file.write_text(json.dumps(mark | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
