"""The run profiles: every setting that decides how long a run takes or what it finds."""

from dataclasses import dataclass, replace

from ..training import Training


@dataclass(frozen=True)
class Experiment:
    """A cross-validation of networks: a backbone with each of its initialisations, on some sequences, repeated."""

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
    networks: tuple[Experiment, ...]
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
    networks=(Experiment("compact", _FLAIR, 1), Experiment("efficientnet_lite0", _FLAIR, 1)),
    permutations=0,
    network_permutations=0,
    compact=Training(epochs=12, learning_rate=1e-3, bf16=True),
    imagenet=Training(epochs=5, learning_rate=3e-4),
    pretraining=Training(epochs=16, learning_rate=1e-3, batch_size=64, random_curves=True, bf16=True),
    imagenet_pretraining=Training(epochs=12, learning_rate=1e-3, batch_size=64, random_curves=True),
    patches_per_slice=4,
    phantom_patients=110,
    phantom_cases=200,
)

PROFILES = {
    # Continuous integration: the phantom, every step, minutes on two cores.
    "smoke": replace(
        _STANDARD,
        folds=4,
        networks=(*_STANDARD.networks, Experiment("compact", _POST, 1)),
        permutations=4,
        network_permutations=2,
        compact=Training(epochs=12, learning_rate=1e-3, bf16=True),
        imagenet=Training(epochs=2, learning_rate=1e-3),
        imagenet_pretraining=Training(epochs=1, learning_rate=1e-3, batch_size=64, random_curves=True),
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
            Experiment("compact", _FLAIR, 5),
            Experiment("compact", _ALL, 5),
            Experiment("compact", _POST, 5),
            Experiment("efficientnet_lite0", _FLAIR, 3),
        ),
        permutations=200,
    ),
}

QUICK = "smoke"
"""The profile for the phantom where it stands in for a real cohort that could not be had."""

_READ = {"01": 25, "02": 20, "03": 30, "04": 50, "05": 25, "06": 55, "07": 20, "08": 25, "09": 15, "10": 15, "11": 20}
SECONDS = {
    "read": _READ,
    "smoke": _READ | {"03": 35, "04": 140, "06": 35, "08": 60},
    "standard": _READ | {"03": 600, "04": 2430},
    "paper": _READ | {"03": 600, "04": 4700, "08": 250},
}
"""What each notebook takes on two cores, roughly: by profile, or "read" where precomputed scores are read."""
