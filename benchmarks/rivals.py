"""What a user would write instead of the course's training loop: `Dataset`, `DataLoader`, one sample at a time.

All train the same network on the same patches with the same batch size, loss, optimiser and augmentations (rotation up
to 20°, zoom up to 10 %, flips, gamma, gain), in the precision and memory layout that PyTorch takes by itself.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import skimage.transform
import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2  # after radiogen_utils.models, which mends a CPU-only installation

from radiogen_utils import models
from radiogen_utils.patches import head_window, stretch, tumor_patch


class TiffSlices(Dataset):
    """Reads a slice's two TIFF files at each access; scikit-image as in the author's segmentation code."""

    def __init__(self, folder: Path, table: pd.DataFrame):
        self.files = [folder / row.case / f"{row.case}_{row.slice}" for row in table.itertuples()]
        self.labels = table.label.to_numpy(np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.float32]:
        image = np.asarray(Image.open(f"{self.files[index]}.tif"))[..., 1]
        mask = np.asarray(Image.open(f"{self.files[index]}_mask.tif"))
        patch = stretch(tumor_patch(image, mask), head_window(image)) / 255
        patch = skimage.transform.rotate(patch, np.random.uniform(-20, 20))
        zoom = skimage.transform.AffineTransform(scale=np.random.uniform(0.9, 1.1), translation=(0, 0))
        patch = skimage.transform.warp(patch, zoom)
        patch = patch[:: np.random.choice([-1, 1]), :: np.random.choice([-1, 1])]
        patch = np.clip(patch ** (2 ** np.random.uniform(-0.25, 0.25)) * np.random.uniform(0.9, 1.1), 0, 1)
        return torch.from_numpy(patch.astype(np.float32)[None].copy()), self.labels[index]


class Transformed(Dataset):
    """Patches in memory; torchvision's transforms (v2), sample by sample."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = torch.from_numpy(images), labels.astype(np.float32)
        self.change = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomAffine(20, scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
                v2.ColorJitter(brightness=0.1),
                v2.Lambda(lambda image: v2.functional.adjust_gamma(image, 2 ** np.random.uniform(-0.25, 0.25))),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.float32]:
        return self.change(self.images[index]), self.labels[index]


def monai_cached(images: np.ndarray, labels: np.ndarray) -> Dataset:
    """MONAI's `CacheDataset` with its random array transforms."""
    from monai.data import CacheDataset
    from monai.transforms import (
        Compose,
        EnsureTyped,
        RandAdjustContrastd,
        RandFlipd,
        RandRotated,
        RandScaleIntensityd,
        RandZoomd,
        ScaleIntensityRanged,
    )

    key = {"keys": "image"}
    change = Compose(
        [
            EnsureTyped(**key, dtype=torch.float32),
            ScaleIntensityRanged(**key, a_min=0, a_max=255, b_min=0, b_max=1),
            RandFlipd(**key, prob=0.5, spatial_axis=0),
            RandFlipd(**key, prob=0.5, spatial_axis=1),
            RandRotated(**key, prob=1, range_x=np.pi / 9, padding_mode="zeros"),
            RandZoomd(**key, prob=1, min_zoom=0.9, max_zoom=1.1, padding_mode="constant"),
            RandAdjustContrastd(**key, prob=1, gamma=(2**-0.25, 2**0.25)),
            RandScaleIntensityd(**key, prob=1, factors=0.1),
        ]
    )
    rows = [{"image": image, "label": np.float32(label)} for image, label in zip(images, labels, strict=True)]
    return CacheDataset(rows, change, cache_rate=1.0, progress=False)


class Loop:
    """The usual training loop on all cores; the workers of its `DataLoader` stay alive between the turns."""

    def __init__(self, dataset: Dataset, cores: int, batch_size: int):
        self.cores = cores
        self.loader = DataLoader(
            dataset, batch_size, shuffle=True, num_workers=cores, drop_last=True, persistent_workers=True
        )
        self.model = models.create("compact")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)

    def turn(self) -> float:
        """Patches a second over one epoch, the start of the epoch included."""
        torch.set_num_threads(self.cores)
        self.model.train()
        start, seen = time.perf_counter(), 0
        for batch in self.loader:
            images, labels = batch.values() if isinstance(batch, dict) else batch
            loss = functional.binary_cross_entropy_with_logits(self.model(images)[:, 0], labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen += len(images)
        return seen / (time.perf_counter() - start)
