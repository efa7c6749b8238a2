"""Measure the course's speed: `make bench`, minutes on two cores.

Every figure that matters is a ratio of two things measured in this run, turn by turn, and the median over the turns,
because the speed of a shared machine changes from minute to minute. Each section runs in a separate process, so that
its peak memory can be measured.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from PIL import Image

from radiogen_utils import cross_validation, facts, heatmaps, models, patches, roc, training
from radiogen_utils.course.runner import locate
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.data.archive import Archive
from radiogen_utils.data.download import find_cohort
from radiogen_utils.folds import repeated_folds
from radiogen_utils.models import Initialisation
from radiogen_utils.support import project_root

CORES = joblib.cpu_count(only_physical_cores=True)
SETTINGS = replace(PROFILES["standard"].compact, epochs=3)  # a quarter of a real fit
IMAGENET = replace(PROFILES["standard"].imagenet, epochs=1)  # a fifth
TURNS = 7


def interleave(contenders: dict, turns: int = TURNS) -> dict[str, list[float]]:
    """Let the contenders take turns; after one turn each that does not count."""
    for turn in contenders.values():
        turn()
    results = {name: [] for name in contenders}
    for _ in range(turns):
        for name, turn in contenders.items():
            results[name].append(turn())
    return results


def ratio(results: dict[str, list[float]], above: str, below: str) -> float:
    """Median over the turns of one contender's figure over another's."""
    return statistics.median(a / b for a, b in zip(results[above], results[below], strict=True))


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Duration of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def medians(results: dict[str, list[float]], digits: int = 0) -> dict:
    """Median by contender."""
    return {name: round(statistics.median(values), digits) for name, values in results.items()}


# Training


def limit(images: np.ndarray, labels: np.ndarray, backbone: str, settings: training.Training) -> float:
    """Patches a second of the same network stepping again and again on one resident batch, on one core."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    size = settings.batch_size
    batch = (torch.from_numpy(images[:size]) / 255).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels[:size]).float()
    model = models.create(backbone).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    steps = len(images) // size * settings.epochs
    start = time.perf_counter()
    for _ in range(steps):
        with training.autocast(settings.bf16, batch.device):
            logits = model(batch).float()[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * size / (time.perf_counter() - start)


def loop(
    images: np.ndarray, labels: np.ndarray, backbone: str = "compact", settings: training.Training = SETTINGS
) -> float:
    """Patches a second of the course's loop, real augmentation included, on one core."""
    torch.set_num_threads(1)
    steps = len(images) // settings.batch_size * settings.epochs
    start = time.perf_counter()
    training.fit([models.create(backbone)], images.copy(), labels, np.ones((1, len(images))), settings, [0])
    return steps * settings.batch_size / (time.perf_counter() - start)


def train(path: Path) -> dict:
    """The course's loop against its limit, and against what a user would write instead."""
    import rivals

    data = patches.build_patches(path)
    images, labels = data.sequences(("FLAIR",)), data.table.label.to_numpy()
    one_core = {}
    for backbone, settings, n in (("compact", SETTINGS, len(images)), ("efficientnet_lite0", IMAGENET, 320)):
        arguments = images[:n], labels[:n], backbone, settings
        contenders = {"limit": lambda own=arguments: limit(*own), "course": lambda own=arguments: loop(*own)}
        one_core[backbone] = interleave(contenders)
    with tempfile.TemporaryDirectory() as unpacked, joblib.Parallel(CORES) as parallel:
        archive, folder = Archive(path), Path(unpacked)
        for row in data.table.itertuples():
            (folder / row.case).mkdir(exist_ok=True)
            for name in (f"{row.case}/{row.case}_{row.slice}.tif", f"{row.case}/{row.case}_{row.slice}_mask.tif"):
                (folder / name).write_bytes(archive.read(name))
        size = SETTINGS.batch_size
        others = {
            "TIFF files + scikit-image": rivals.Loop(rivals.TiffSlices(folder, data.table), CORES, size),
            "torchvision v2": rivals.Loop(rivals.Transformed(images, labels), CORES, size),
            "MONAI CacheDataset": rivals.Loop(rivals.monai_cached(images, labels), CORES, size),
        }
        contenders = {"course": lambda: sum(parallel(joblib.delayed(loop)(images, labels) for _ in range(CORES)))}
        contenders |= {name: other.turn for name, other in others.items()}
        all_cores = interleave(contenders, turns=3)
    return {
        "patches/s on one core": {backbone: medians(results) for backbone, results in one_core.items()},
        "course / limit": {backbone: ratio(results, "course", "limit") for backbone, results in one_core.items()},
        f"patches/s on {CORES} cores": medians(all_cores),
        "course / other": {name: ratio(all_cores, "course", name) for name in others},
    }


# Archive to patches


def bare(path: Path, table: pd.DataFrame) -> None:
    """Read and decode the tumour-bearing TIFFs and do nothing with them."""
    archive = Archive(path)
    for row in table.itertuples():
        for ending in ("", "_mask"):
            np.array(Image.open(BytesIO(archive.read(f"{row.case}/{row.case}_{row.slice}{ending}.tif"))))


def prepare(path: Path) -> dict:
    """Archive to patches against reading and decoding alone, and the second time."""
    table = patches.build_patches(path).table
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "patches.npz")

        def first():
            file.unlink(missing_ok=True)
            return len(table) / seconds(patches.keep_patches, file, path)

        results = interleave(
            {
                "reading and decoding": lambda: len(table) / seconds(bare, path, table),
                "first time": first,
                "second time": lambda: len(table) / seconds(patches.keep_patches, file, path),
            }
        )
    return {
        "slices/s": medians(results),
        "first time / reading and decoding": ratio(results, "first time", "reading and decoding"),
        "time saved the second time": 1 - ratio(results, "first time", "second time"),
    }


# Heatmaps and figures


def draw(path: Path) -> dict:
    """Heatmaps in batches against one by one; Figure 2 and its table from the committed predictions."""
    images = patches.build_patches(path).sequences(("FLAIR",))[:128]
    network = models.create("compact")
    results = interleave(
        {
            "batched": lambda: len(images) / seconds(heatmaps.grad_cam, network, images),
            "one by one": lambda: len(images) / seconds(heatmaps.grad_cam, network, images, 1),
        }
    )
    scores = facts.select(facts.read(project_root() / "figures" / "predictions.csv"), split="folds")

    arms = [facts.FIRST_STUDY, facts.Model("scratch"), facts.Model("natural", "", "efficientnet_lite0")]

    def figure():
        roc.figure2(scores, arms)

    return {
        "heatmaps/s": medians(results),
        "batched / one by one": ratio(results, "batched", "one by one"),
        "seconds of Figure 2 from committed predictions": statistics.median(seconds(figure) for _ in range(3)),
    }


# Growth with the number of patients


def grow(path: Path) -> dict:
    """Time for a quarter, a half and all of the patients; 1 is exactly linear."""
    data = patches.build_patches(path)
    archive, patients = Archive(path), list(data.labels.index)
    shares = (0.25, 0.5, 1)
    with tempfile.TemporaryDirectory() as folder:
        subsets = {}
        for share in shares:
            chosen = set(patients[:: round(1 / share)])
            rows = data.table.patient.isin(chosen).to_numpy()
            part = Path(folder, f"{share}.zip")
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("data.csv", archive.read("data.csv"))
                for row in data.table[rows].itertuples():
                    for ending in ("", "_mask"):
                        name = f"{row.case}/{row.case}_{row.slice}{ending}.tif"
                        file.writestr(name, archive.read(name))
            subsets[share] = (part, data.sequences(("FLAIR",))[rows], data.table.label.to_numpy()[rows])
        preparing = interleave({s: lambda s=s: seconds(patches.build_patches, subsets[s][0]) for s in shares})
        fitting = interleave({s: lambda s=s: seconds(loop, *subsets[s][1:]) for s in shares})
    size = {share: len(images) for share, (_, images, _) in subsets.items()}

    def linear(results: dict[str, list[float]]):
        return {f"{s:.0%} of the patients": ratio(results, s, 1) * size[1] / size[s] for s in shares[:-1]}

    return {"time per slice, over that of all: preparing": linear(preparing), "training": linear(fitting)}


# GPU


def gpu(path: Path) -> dict:
    """A whole arm of the compact network, ten folds and five repeats, together and one after the other."""
    if training.device().type != "cuda":
        return {"skipped": "no GPU here"}
    data = patches.build_patches(path)
    settings = PROFILES["paper"].compact
    arm = cross_validation.Arm(Initialisation("scratch", "compact"), settings)
    splits = [data.table.patient.map(split) for split in repeated_folds(data.labels, 10, 5, 0)]
    cv = cross_validation.CrossValidation(data, np.stack(splits), cross_validation.initial_weights([arm]), 0)
    fits = list(np.ndindex(5, 10))
    cv.fit(arm, fits[:1])
    results = interleave(
        {
            "together": lambda: seconds(cv.fit, arm, fits),
            "one after the other": lambda: seconds(lambda: [cv.fit(arm, [fit]) for fit in fits[:5]]) * 10,
        },
        turns=2,
    )
    return {
        "device": torch.cuda.get_device_name(),
        "seconds of 50 fits": medians(results, 1),
        "speed-up": ratio(results, "one after the other", "together"),
    }


SECTIONS = {"training": train, "archive": prepare, "drawing": draw, "growth": grow, "gpu": gpu}


def run_section(name: str, path: Path) -> dict:
    """One section in a separate process."""
    command = [sys.executable, __file__, "--data", str(path), "--section", name]
    start = time.perf_counter()
    # What the course is compared with runs on the CPU.
    environment = os.environ | ({} if name == "gpu" else {"CUDA_VISIBLE_DEVICES": ""})
    printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1]) | {"seconds": round(time.perf_counter() - start)}


def lines(values: dict, indent: str = "") -> Iterator[str]:
    """Nested results as lines of text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from lines(value, indent + "  ")
        else:
            yield (
                f"{indent}{name:<{60 - len(indent)}}{value:>12.2f}"
                if isinstance(value, float)
                else f"{indent}{name:<{60 - len(indent)}}{value!s:>12}"
            )


def main() -> None:
    """Measure all sections, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="phantom", help="the cohort: a path, phantom (default), or auto")
    parser.add_argument("--out", type=Path, default=project_root() / "runs" / "bench.json", help="file of the results")
    parser.add_argument("--section", choices=SECTIONS, help="one section only, its result as one line of JSON")
    options = parser.parse_args()
    path = find_cohort(locate(options.data))
    if options.section:
        result = SECTIONS[options.section](path)
        usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        result["peak memory, MiB"] = round(max(usage) / (1024 if sys.platform == "linux" else 1024**2))
        print(json.dumps(result))
        return
    results = {"data": path.name, "cores": CORES, "torch": torch.__version__}
    for name in SECTIONS:
        results[name] = run_section(name, path)
        print("\n".join(lines({name: results[name]})), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
