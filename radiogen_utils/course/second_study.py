"""The second study's linear probes, from their data, and those of permuted labels.

Fine-tuned networks, which take a day on two cores, are read (`benchmarks/second_study.py` trains them).
"""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from .. import facts, transfer
from ..data.cohort import SEQUENCES
from ..facts import Model
from ..folds import assign_folds
from ..models import WEIGHTS, Initialisation
from ..patches import PATCH_SIZE, Patches
from . import precomputed

INPUTS = {"FLAIR": ("FLAIR",), "post-contrast": ("post-contrast",), "all": SEQUENCES}
SEEDS = range(5)
FOLDS, REPEATS, PERMUTATIONS = 10, 5, 1000
FILES = "second_study.csv", "second_study_permutations.csv"
"""Of a run that has computed this."""


def network_file(name: str, seed: int) -> Path:
    """Where the network pretrained on one input, with one seed, lies."""
    return WEIGHTS / f"dense_{name}_{seed}.safetensors"


def initialisations() -> list[Initialisation]:
    """The three initialisations on the three inputs."""
    found = []
    for name, sequences in INPUTS.items():
        networks = tuple(network_file(name, seed) for seed in SEEDS)
        found += [
            Initialisation("gbm", "compact", sequences, networks, "dense"),
            Initialisation("scratch", "compact", sequences, tuple(SEEDS)),
            Initialisation("natural", "efficientnet_lite0", sequences, (0,)),
        ]
    return found


def variant_pairs() -> list[tuple[Model, Model]]:
    """Glioblastoma against the other initialisations in the two variants of the probe that the protocol names.

    Features averaged over the tumour alone; and natural images at 224 pixels, the size that they were trained on.
    """
    pairs = []
    for name in INPUTS:
        probe = replace(facts.SECOND_STUDY, sequences=name)
        natural = replace(probe, arm="natural", pretraining="", backbone="efficientnet_lite0")
        tumour = replace(probe, pooling="tumour")
        pairs += [(tumour, replace(tumour, arm="scratch", pretraining=""))]
        pairs += [(tumour, replace(natural, pooling="tumour")), (probe, replace(natural, pixels=224))]
    return pairs


def variants(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of scores that are of a model of `variant_pairs`, the primary readout left out."""
    every = dict.fromkeys(model for pair in variant_pairs() for model in pair)
    chosen = [model for model in every if model.pooling == "tumour" or model.pixels != PATCH_SIZE]
    return pd.concat(facts.of_model(scores, model) for model in chosen)


def probes(data: Patches, folder: Path) -> pd.DataFrame:
    """Out-of-fold scores, columns `facts.COLUMNS`; features are left in `folder`."""
    return transfer.probe(data, initialisations(), folder, FOLDS, REPEATS, 0)


def permuted_probes(data: Patches, folder: Path, inputs: Iterable[str]) -> pd.DataFrame:
    """AUCs of the glioblastoma probes under permuted labels: `facts.FACTS`, permutation, auc.

    Args:
        data: the patches.
        folder: where `probes` has left its features.
        inputs: which of `INPUTS`; each takes some minutes on two cores.
    """
    split = assign_folds(data.labels, FOLDS, 0)
    tables = []
    for start in (start for start in initialisations() if start.arm == "gbm" and start.input in inputs):
        files = [transfer.feature_file(folder, start, n, 0) for n in range(len(start.networks))]
        features = [transfer.keep_features(file, data, start, n, split) for n, file in enumerate(files)]
        patch = [values[:, :, transfer.POOLINGS.index("patch")] for values in features]
        _, aucs = transfer.permutation_aucs(patch, data.labels, split, PERMUTATIONS, 0)
        model = asdict(replace(facts.SECOND_STUDY, sequences=start.input))
        tables.append(pd.DataFrame([model | {"permutation": i, "auc": auc} for i, auc in enumerate(aucs)]))
    return pd.concat(tables, ignore_index=True).astype({"pixels": "Int64"})


def load(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores, and AUCs under permuted labels: those that come with the course, but for what a run has computed itself.

    Args:
        folder: of the run.
    """
    found = []
    published = precomputed.second_study(), precomputed.second_study_permutations()
    for table, name in zip(published, FILES, strict=True):
        file = folder / name
        if file.exists():
            own = dict(facts.by_model(facts.read(file)))
            table = pd.concat([own.get(model, rows) for model, rows in facts.by_model(table)], ignore_index=True)
        found.append(table)
    return found[0], found[1]
