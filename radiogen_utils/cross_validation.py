"""Cross-validate many networks: on the cores of this machine, on its GPU, or on a Dask cluster.

A fit is one arm, repeat and fold. Fits are independent. A worker returns scores; the process that asked for them writes
them into the run folder as they come, so that an interrupted cross-validation continues with those missing.
"""

import platform
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
import torch

from . import facts, models, training, transfer
from .facts import Model
from .folds import repeated_folds, split_of
from .models import Initialisation
from .patches import Patches
from .support import CourseError, exclusive, fingerprint, progress, write_atomically
from .training import Training

if TYPE_CHECKING:  # an extra, imported where it is used
    from distributed import Client

FITS_AT_ONCE = 50
"""Fits of the compact network that a GPU does at the same time: a single one would leave it idle most of the time."""
SCHEDULER_TIMEOUT = 30
"""Seconds to wait for a Dask scheduler's answer."""

CODE = fingerprint(transfer.CODE, Path(__file__).read_bytes())
"""Fingerprint of the code that decides what a fit finds, as it was imported."""
SOURCE = fingerprint(
    *(Path(file).read_bytes() for file in (models.__file__, training.__file__, transfer.__file__, __file__))
)
"""The same without torch's version: recorded with results, which outlive it."""


class SchedulerError(CourseError):
    """The Dask scheduler cannot be used."""


@dataclass(frozen=True)
class Arm:
    """One way to obtain a trained network: where it starts and how it is trained.

    Attributes:
        initialisation: the networks before training. Repeat r starts from number r modulo how many they are.
        training: settings of full fine-tuning.
        readout: `full`: all weights, under a new head (the first study); `lp-ft`: a linear probe becomes the head, then
            all weights are trained at a tenth of the learning rate (Kumar et al., ICLR 2022).
    """

    initialisation: Initialisation
    training: Training
    readout: str = "full"

    @property
    def backbone(self) -> str:
        """Name of one of `models.BACKBONES`."""
        return self.initialisation.backbone

    @property
    def name(self) -> str:
        """What distinguishes the arm, for files and messages."""
        start = self.initialisation
        return "-".join(filter(None, (start.arm, start.pretraining, start.backbone, start.input, self.readout)))

    def model(self, split: str) -> Model:
        """The facts of its scores."""
        start = self.initialisation
        facts = (start.arm, start.pretraining, start.backbone, start.pixels, start.input)
        return Model(*facts, self.readout, "patch", split)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All that a fit needs, so that a worker needs no file of the machine that asked.

    Attributes:
        data: patches with their patients and labels.
        splits: (repeats, N) fold of each slice's patient.
        initial: weights by layer of each of an arm's networks, by arm; none: random ones, drawn by the fit's seed.
        seed: of the first repeat.
        code: fingerprint of the code that asked; a worker with other code refuses.
        fingerprint: of code, data and number of folds, for the keys of the fits.
    """

    data: Patches
    splits: np.ndarray
    initial: dict[Arm, list[dict[str, np.ndarray]]]
    seed: int
    code: str = CODE
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        # Now and not when a key is first wanted: by then another thread may be pickling this object for the workers.
        value = fingerprint(self.code, self.data.images.tobytes(), self.data.table.to_csv(), self.folds)
        object.__setattr__(self, "fingerprint", value)

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.splits.max()) + 1

    def key(self, arm: Arm, repeat: int, fold: int) -> str:
        """Fingerprint of all that decides a fit: data, settings, initial weights, split, seed and code."""
        weights = [(name, values.tobytes()) for name, values in (self._initial(arm, repeat) or {}).items()]
        held_out = self.splits[repeat] == fold
        settings = asdict(replace(arm, initialisation=replace(arm.initialisation, networks=())))
        return fingerprint(self.fingerprint, settings, weights, held_out.tobytes(), self._seed_of(repeat, fold))

    def network(self, arm: Arm, repeat: int) -> int | None:
        """Number of the network that a repeat starts from; `None` where each fit draws its own weights."""
        return repeat % len(self.initial[arm]) if self.initial[arm] else None

    def _initial(self, arm: Arm, repeat: int) -> dict[str, np.ndarray] | None:
        number = self.network(arm, repeat)
        return None if number is None else self.initial[arm][number]

    def _seed_of(self, repeat: int, fold: int) -> int:
        return (self.seed + repeat) * 1000 + fold

    def fit(self, arm: Arm, fits: list[tuple[int, int]]) -> list[dict]:
        """Carry out fits of one arm, several together.

        Args:
            arm: what is trained.
            fits: repeat and fold of each.

        Returns:
            For each: repeat, fold, seconds, patient (names) and score (mean log-odds over the patient's tumour slices,
            from the network that did not see the patient); and network, the state dict, for the heatmaps: of the
            compact network in the first repeat, else `None`.

        Raises:
            RuntimeError: the code here is not the code that asked.
        """
        if self.code != CODE:
            raise RuntimeError(
                f"{platform.node()} runs another version of radiogen_utils or torch than the machine that asked; "
                "install the same commit and requirements there"
            )
        start = time.perf_counter()
        if training.device().type == "cpu":
            torch.set_num_threads(1)  # one fit to a core; several threads in each would hinder one another
        images, table = self.data.sequences(arm.initialisation.sequences), self.data.table
        seeds = [self._seed_of(repeat, fold) for repeat, fold in fits]
        networks = [
            models.create(arm.backbone, images.shape[1], 1, seed, _tensors(self._initial(arm, repeat)))
            for seed, (repeat, _) in zip(seeds, fits, strict=True)
        ]
        held_out = np.stack([self.splits[repeat] == fold for repeat, fold in fits])
        weights = np.zeros(held_out.shape)
        for row, out in zip(weights, held_out, strict=True):
            row[~out] = training.slice_weights(table[~out])
        # The same number of steps in every fit, so that fits can be trained together.
        steps = max(1, len(table) * (self.folds - 1) // self.folds // arm.training.batch_size)
        settings = arm.training
        if arm.readout == "lp-ft":
            for network, out, seed in zip(networks, held_out, seeds, strict=True):
                transfer.probe_head(network, images[~out], self.data.masks[~out], table[~out], seed)
            settings = replace(settings, learning_rate=settings.learning_rate / 10)
        training.fit(networks, images, table.label.to_numpy(), weights, settings, seeds, steps)
        results = []
        for (repeat, fold), network, out in zip(fits, networks, held_out, strict=True):
            test = table[out].assign(score=training.predict(network, images[out])[:, 0])
            scores = test.groupby("patient").score.mean()
            result = {"repeat": repeat, "fold": fold, "patient": scores.index.to_numpy(str), "score": scores.to_numpy()}
            state = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
            results.append(result | {"network": state if _keeps_network(arm, repeat) else None})
        seconds = (time.perf_counter() - start) / len(fits)
        return [result | {"seconds": seconds} for result in results]


def initial_weights(arms: list[Arm]) -> dict[Arm, list[dict[str, np.ndarray]]]:
    """The weights of every arm's networks, as `CrossValidation` sends them to its workers."""

    def arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
        return {name: values.numpy() for name, values in state.items()}

    return {arm: [arrays(state) for state in arm.initialisation.states()] for arm in arms}


def _tensors(state: dict[str, np.ndarray] | None) -> dict[str, torch.Tensor] | None:
    return state and {name: torch.tensor(values) for name, values in state.items()}


def cross_validate(
    data: Patches,
    arms: list[Arm],
    folder: Path,
    folds: int | pd.Series = 10,
    repeats: int = 1,
    seed: int = 0,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Out-of-fold scores of every patient for every arm; all arms share folds and seeds.

    Args:
        data: patches with their patients and labels.
        arms: the networks to train.
        folder: where each fit leaves its scores, and the first repeat's networks of the compact backbone, as
            `<Arm.name>-r<repeat>-f<fold>`. Fits found there that were made from the same data, settings and code
            are not repeated.
        folds: number of random folds; or each patient's fold, 0 … K-1, such as the institution, in every repeat.
        repeats: the repeats train with other seeds, and reshuffle random folds.
        seed: of the first repeat.
        scheduler: address of a Dask scheduler, `tcp://host:port`, whose workers do the fits; `None`: this machine.

    Returns:
        One row a repeat and patient, columns `facts.COLUMNS`: `score` is the mean log-odds over the patient's tumour
        slices, from the network of the fold in which the patient was held out.

    Raises:
        FolderInUse: another run writes into the folder.
        SchedulerError: Dask is not installed, or no scheduler answers at that address.
    """
    patient = data.table.patient
    splits = [patient.map(split) for split in repeated_folds(data.labels, folds, repeats, seed)]
    cv = CrossValidation(data, np.stack(splits), initial_weights(arms), seed)
    with exclusive(folder):
        tables, missing = {}, {arm: [] for arm in arms}
        for arm in arms:
            for fit in np.ndindex(repeats, cv.folds):
                kept = _read(folder, cv, arm, *fit)
                if kept is None:
                    missing[arm].append(fit)
                else:
                    tables[arm, *fit] = kept
        n_missing = sum(map(len, missing.values()))
        if tables:
            print(f"{len(tables)} of {len(tables) + n_missing} fits are there already", flush=True)
        results = carry_out(cv, missing, scheduler) if n_missing else ()
        for arm, result in progress(results, n_missing, "fit", _describe):
            _write(folder, cv, arm, result)
            fit = result["repeat"], result["fold"]
            tables[arm, *fit] = _read(folder, cv, arm, *fit)

    def rows(arm: Arm, repeat: int, fold: int) -> pd.DataFrame:
        scores = tables[arm, repeat, fold]
        columns = {"repeat": repeat, "fold": fold, "patient": scores.index, "y_true": data.labels[scores.index]}
        return facts.table(arm.model(split_of(folds)), cv.network(arm, repeat), **columns, score=scores)

    # In the order of the arms, not in that in which the fits were finished.
    fits = [(arm, *fit) for arm in arms for fit in np.ndindex(repeats, cv.folds)]
    return pd.concat([rows(*fit) for fit in fits], ignore_index=True)


def carry_out(cv: CrossValidation, missing: dict[Arm, list], scheduler: str | None) -> Iterator[tuple[Arm, dict]]:
    """Do the missing fits (repeat, fold) of each arm; yields arm and result, as they are done."""
    on_gpu = scheduler is None and training.device().type == "cuda"
    tasks = []
    for arm, fits in missing.items():
        together = FITS_AT_ONCE if on_gpu and arm.backbone == "compact" else 1
        tasks += [(arm, fits[i : i + together]) for i in range(0, len(fits), together)]
    if scheduler is not None:
        finished = _on_cluster(cv, tasks, scheduler)
    else:
        parallel = joblib.Parallel(
            1 if on_gpu else joblib.cpu_count(only_physical_cores=True), batch_size=1, return_as="generator_unordered"
        )
        finished = parallel(joblib.delayed(_fit)(cv, *task) for task in tasks)
    with warnings.catch_warnings():
        # A worker whose memory has grown is replaced by a new one between two fits. Nothing is lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)
        for arm, results in finished:
            for result in results:
                yield arm, result


def _on_cluster(
    cv: CrossValidation, tasks: list[tuple[Arm, list[tuple[int, int]]]], scheduler: str
) -> Iterator[tuple[Arm, list[dict]]]:
    """What `_fit` returns for each task, in the order in which the workers of a Dask cluster finish."""
    with connect(scheduler) as client:
        from distributed import KilledWorker, as_completed

        if not client.ncores():
            print(f"waiting for a worker; start one with: dask worker --nthreads 1 {scheduler}", flush=True)
            client.wait_for_workers(1)
        with warnings.catch_warnings():
            # The data are a task as well, so that the scheduler can send them again after their workers are gone.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            data = client.submit(_same, cv, pure=False)
        try:
            for future in as_completed([client.submit(_fit, data, *task, pure=False) for task in tasks]):
                yield future.result()
                future.release()
        except KilledWorker as error:
            raise SchedulerError(
                f"workers died over the same fit again and again, most often for want of memory ({error}); start them "
                "with more, and run the same command again: finished fits are kept"
            ) from error


def _same(cv: CrossValidation) -> CrossValidation:
    return cv


def _fit(cv: CrossValidation, arm: Arm, fits: list[tuple[int, int]]) -> tuple[Arm, list[dict]]:
    return arm, cv.fit(arm, fits)


def connect(scheduler: str) -> "Client":
    """A client of a Dask scheduler.

    Raises:
        SchedulerError: Dask is not installed, or no scheduler answers at that address.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SchedulerError("a scheduler needs Dask: python install.py cluster") from None
    try:
        return Client(scheduler, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError) as error:
        raise SchedulerError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with: dask scheduler"
        ) from None


def _describe(done: tuple[Arm, dict]) -> str:
    arm, result = done
    return f"{arm.name} repeat {result['repeat'] + 1} fold {result['fold'] + 1}: {result['seconds']:.1f} s"


def _keeps_network(arm: Arm, repeat: int) -> bool:
    """Whether the network itself is kept, for the heatmaps."""
    return repeat == 0 and arm.backbone == "compact"


def _path(folder: Path, arm: Arm, repeat: int, fold: int) -> Path:
    return Path(folder) / f"{arm.name}-r{repeat}-f{fold}.npz"


def _write(folder: Path, cv: CrossValidation, arm: Arm, result: dict) -> None:
    """Leave a fit's scores, and its network if it came along, in the folder."""
    repeat, fold = result["repeat"], result["fold"]
    path = _path(folder, arm, repeat, fold)
    if result["network"] is not None:
        models.save_weights(result["network"], path.with_suffix(".safetensors"))

    def write(temporary: Path):
        with open(temporary, "wb") as file:
            np.savez(file, key=cv.key(arm, repeat, fold), patient=result["patient"], score=result["score"])

    write_atomically(path, write)


def _read(folder: Path, cv: CrossValidation, arm: Arm, repeat: int, fold: int) -> pd.Series | None:
    """Score by patient of a fit that `_write` left; `None` where there is none of the same data, settings and code."""
    path = _path(folder, arm, repeat, fold)
    try:
        with np.load(path, allow_pickle=False) as saved:
            complete = not _keeps_network(arm, repeat) or path.with_suffix(".safetensors").exists()
            if str(saved["key"]) != cv.key(arm, repeat, fold) or not complete:
                return None
            return pd.Series(saved["score"], saved["patient"]).sort_index()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # not there, or damaged by a full disk, say
