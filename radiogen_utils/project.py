"""The project's folders, its run profiles and the run folder that the notebooks share.

Every setting that decides how long a run takes or what it finds stands in `PROFILES`.
"""

import hashlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path


BATCH_VARIABLE = "RADIOGEN_BATCH"
"""Environment variable that the command line sets: progress as plain lines instead of bars."""


class MissingStep(RuntimeError):
    """A file that an earlier notebook writes is not in the run folder."""


class FolderInUse(RuntimeError):
    """Another run writes into the same folder."""


class SchedulerError(RuntimeError):
    """The Dask scheduler cannot be used."""


@dataclass(frozen=True)
class Training:
    """How one network is fitted (`training.fit`)."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    weight_decay: float = 1e-2
    any_contrast: bool = False  # random intensity curves, where pretraining and target differ in sequence
    bf16: bool = False  # bfloat16 autocast where the processor has it; slower than float32 for depthwise convolutions


@dataclass(frozen=True)
class Planned:
    """Networks to be cross-validated: every initialisation that the backbone has, on some sequences, some times."""

    backbone: str
    sequences: tuple[str, ...]
    repeats: int


@dataclass(frozen=True)
class Profile:
    """All settings of a run; `PROFILES` holds the three that the course offers.

    `repeats` is for the simple models. `permutations` are those of a simple model, `network_permutations` those of the
    compact network.
    """

    folds: int
    repeats: int
    seed: int
    networks: tuple[Planned, ...]
    permutations: int
    network_permutations: int
    compact: Training
    imagenet: Training
    pretraining: Training
    imagenet_pretraining: Training
    patches_per_slice: int
    phantom_patients: int
    phantom_cases: int


_FLAIR, _POST, _ALL = ("FLAIR",), ("post-contrast",), ("pre-contrast", "FLAIR", "post-contrast")

_STANDARD = Profile(
    folds=10,
    repeats=1,
    seed=0,
    networks=(Planned("compact", _FLAIR, 1), Planned("efficientnet_lite0", _FLAIR, 1)),
    permutations=0,
    network_permutations=0,
    compact=Training(epochs=12, learning_rate=1e-3, bf16=True),
    imagenet=Training(epochs=5, learning_rate=3e-4),
    pretraining=Training(epochs=16, learning_rate=1e-3, batch_size=64, any_contrast=True, bf16=True),
    imagenet_pretraining=Training(epochs=12, learning_rate=1e-3, batch_size=64, any_contrast=True),
    patches_per_slice=4,
    phantom_patients=110,
    phantom_cases=200,
)

PROFILES = {
    # Continuous integration: the phantom, every step, minutes on two cores.
    "smoke": replace(
        _STANDARD,
        folds=4,
        networks=(*_STANDARD.networks, Planned("compact", _POST, 1)),
        permutations=4,
        network_permutations=2,
        compact=Training(epochs=12, learning_rate=1e-3, bf16=True),
        imagenet=Training(epochs=2, learning_rate=1e-3),
        imagenet_pretraining=Training(epochs=1, learning_rate=1e-3, batch_size=64, any_contrast=True),
        patches_per_slice=2,
        phantom_patients=40,
        phantom_cases=40,
    ),
    # The default: the paper's figures from the real archive in one sitting.
    "standard": _STANDARD,
    # The protocol's repeats.
    "paper": replace(
        _STANDARD,
        repeats=5,
        networks=(
            Planned("compact", _FLAIR, 5),
            Planned("compact", _ALL, 5),
            Planned("compact", _POST, 5),
            Planned("efficientnet_lite0", _FLAIR, 3),
            Planned("efficientnet_lite0", _ALL, 1),
        ),
        permutations=200,
        network_permutations=19,
    ),
}


def project_root() -> Path:
    """Folder of the checkout, wherever Jupyter or Python was started."""
    return Path(__file__).resolve().parent.parent


def is_batch() -> bool:
    """True under the command line, False where somebody watches a notebook."""
    return BATCH_VARIABLE in os.environ


def progress(items, total: int, unit: str, describe=None):
    """Yield `items` with a bar when interactive, or one printed line an item in batch.

    Bars flood batch logs (papermill issues #765 and #617), hence the lines.

    Args:
        items: iterable to pass through.
        total: number of items.
        unit: what one item is, e.g. "fold".
        describe: function item -> text for its line; `None` prints no line in batch.
    """
    if not is_batch():
        from tqdm.auto import tqdm  # here, so that the command line can speak before anything is installed

        yield from tqdm(items, total=total, unit=unit)
        return
    for number, item in enumerate(items, start=1):
        if describe is not None:
            print(f"{unit} {number}/{total}: {describe(item)}", flush=True)
        yield item


def write_atomically(path: Path, write) -> None:
    """Call `write(temporary_path)` and move the result to `path`, so that no half-written file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep a folder, created when missing, to this process; the system gives it back however the process ends.

    Raises:
        FolderInUse: another process has it, and still had it after some seconds: a run that was killed needs a moment.
    """
    from filelock import FileLock, Timeout  # here, so that the command line can speak before anything is installed

    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=5)
    except Timeout:
        raise FolderInUse(
            f"{folder} is in use by another run; wait for its end, or give this one another folder"
        ) from None
    with lock:
        yield


class Run:
    """The folder in which one pass through the notebooks leaves its files.

    Args:
        out: the folder, created when missing. A relative path is taken from the project's root, so that a
            notebook finds the same folder wherever Jupyter was started (papermill issue #316).
        profile: name of one of `PROFILES`.
    """

    def __init__(self, out: str | Path, profile: str):
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
        self.folder = project_root() / out
        self.profile_name = profile
        self.profile = PROFILES[profile]
        self.figures = self.folder / "figures"
        self.figures.mkdir(parents=True, exist_ok=True)

    def require(self, name: str, notebook: str) -> Path:
        """Path of a file that an earlier notebook wrote.

        Raises:
            MissingStep: it is not there; the message names the notebook to run first.
        """
        path = self.folder / name
        if not path.exists():
            raise MissingStep(f"{path} is missing: run notebooks/{notebook}.ipynb first, with the same `out`")
        return path

    def check_cohort(self, digest: str) -> None:
        """Refuse a file made from another cohort than the one that notebook 1 looked at last.

        Raises:
            MissingStep: the digests differ.
        """
        if digest != self.results()["cohort"]["digest"]:
            raise MissingStep(
                f"{self.folder} holds files of another cohort than notebook 1 found last: run the notebooks from "
                "notebooks/02_patches.ipynb on, or choose another `out`"
            )

    def results(self) -> dict:
        """Contents of results.json, empty before the first `record`."""
        path = self.folder / "results.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def record(self, section: str, values: dict) -> None:
        """Replace one section of results.json; `values` are plain numbers, texts, lists and dicts."""
        # JSON has no NaN; an absent number is null.
        values = json.loads(json.dumps(values, default=_plain), parse_constant=lambda _: None)
        results = self.results() | {"run": self._provenance(), section: values}
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        write_atomically(self.folder / "results.json", lambda path: path.write_text(text))

    def _provenance(self) -> dict:
        packages = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "grad-cam")
        return {
            "commit": _commit(),
            "profile": self.profile_name,
            "settings": asdict(self.profile),
            "versions": {name: importlib.metadata.version(name) for name in packages},
        }


def digest(*parts) -> str:
    """SHA-256 over the parts (bytes, or anything with a stable `repr`), as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()


def _commit() -> str | None:
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # a downloaded archive of the project has no history


def _plain(value):
    """NumPy scalars and arrays as JSON values."""
    return value.tolist()
