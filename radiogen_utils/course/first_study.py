"""The first study, trained: what the scores of notebook 4 are where none that come with the course match.

Networks of each initialisation, simple models, linear probes of the initial weights, each institution left out in turn,
and the same under permuted labels. Fits, and features of frozen networks, that are there already are kept.
"""

from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from .. import baselines, cross_validation, facts, models, transfer
from ..cross_validation import Arm
from ..data.cohort import open_cohort
from ..facts import FIRST_STUDY
from ..folds import assign_folds
from ..models import Initialisation
from ..patches import Patches
from .settings import Experiment, Profile

MASK = ("mask",)
"""Sequences of the arm that sees the tumour's outline alone: what it finds, intensities are not needed for."""


@dataclass(frozen=True)
class FirstStudy:
    """All that decides the scores.

    Attributes:
        settings: the profile.
        data: patches with their patients and labels.
        cohort: folder or zip that the patches are from, for the simple models.
        folder: has the glioblastoma weights, `<backbone>_gbm.safetensors`; an arm whose weights are not there is left
            out. Fits and features are left here.
        scheduler: as for `cross_validation.cross_validate`.
    """

    settings: Profile
    data: Patches
    cohort: Path
    folder: Path
    scheduler: str | None = None

    def arms(self, experiment: Experiment) -> list[Arm]:
        """A network with each of its initialisations, fully fine-tuned."""
        backbone, sequences = experiment.backbone, experiment.sequences
        training = self.settings.compact if backbone == "compact" else self.settings.imagenet
        weights = self.folder / f"{backbone}_gbm.safetensors"
        starts = {
            "scratch": Initialisation("scratch", backbone, sequences),
            "natural": Initialisation("natural", backbone, sequences, (0,)),
            "gbm": Initialisation("gbm", backbone, sequences, (weights,), "composition"),
        }
        chosen = [name for name in models.INITIALISATIONS[backbone] if name != "gbm" or weights.exists()]
        return [Arm(starts[name], training) for name in chosen]

    @property
    def main(self) -> Arm:
        """The primary arm, whose scores are those of `facts.FIRST_STUDY`."""
        return self.arms(Experiment(FIRST_STUDY.backbone, (FIRST_STUDY.sequences,), 1))[-1]

    @cached_property
    def simple_models(self) -> list[baselines.Baseline]:
        """The baselines; the last one is trees on all image features."""
        return baselines.clinical_and_image(open_cohort(self.cohort))

    def scores(self) -> pd.DataFrame:
        """Out-of-fold scores of everything, columns `facts.COLUMNS`."""
        mask = Arm(Initialisation("scratch", "compact", MASK), self.settings.compact)
        experiments = self.settings.networks
        tables = [self._trained(self.arms(experiment), experiment.repeats) for experiment in experiments]
        tables += [self._trained([mask], self.settings.repeats), self._simple()]
        tables += [self._probed(experiment) for experiment in experiments]
        tables += self._institutions_left_out()
        return pd.concat(tables, ignore_index=True)

    def permutations(self) -> pd.DataFrame:
        """AUCs of one repeat under permuted labels: `facts.FACTS`, permutation, auc.

        Of trees, whose labels are permuted over all patients; of a linear probe, within the folds, so that its features
        need not be made again; and, fewer, since they cost more, of the network that is trained.
        """
        settings, data = self.settings, self.data
        trees = self.simple_models[-1]
        permuted = [data.permuted(i).labels for i in range(settings.permutations)]
        aucs = {
            facts.simple(trees.name, trees.model): baselines.permutation_aucs(
                trees, permuted, settings.folds, settings.seed
            ),
            replace(FIRST_STUDY, readout="probe"): self._permuted_probe(),
            FIRST_STUDY: [self.permuted_network(i) for i in range(settings.network_permutations)],
        }
        rows = [(*astuple(model), i, auc) for model, own in aucs.items() for i, auc in enumerate(own)]
        return pd.DataFrame(rows, columns=[*facts.FACTS, "permutation", "auc"]).astype({"pixels": "Int64"})

    def permuted_network(self, number: int) -> float:
        """AUC of the primary arm, one repeat, on one permutation of the labels; its fits are in `permutations`."""
        folder = self.folder / "permutations" / str(number)
        data, settings = self.data.permuted(number), self.settings
        scores = cross_validation.cross_validate(
            data, [self.main], folder, settings.folds, 1, settings.seed, self.scheduler
        )
        return float(roc_auc_score(scores.y_true, scores.score))

    def _trained(self, arms: list[Arm], repeats: int) -> pd.DataFrame:
        settings = self.settings
        return cross_validation.cross_validate(
            self.data, arms, self.folder / "fits", settings.folds, repeats, settings.seed, self.scheduler
        )

    def _simple(self) -> pd.DataFrame:
        settings = self.settings
        return baselines.cross_validate(
            self.simple_models, self.data.labels, settings.folds, settings.repeats, settings.seed
        )

    def _probed(self, experiment: Experiment) -> pd.DataFrame:
        """Linear probes of the initial weights, whatever the arm; of as many random networks as there are repeats."""
        settings, starts = self.settings, [arm.initialisation for arm in self.arms(experiment)]
        seeds = tuple(range(settings.seed, settings.seed + experiment.repeats))
        starts = [start if start.networks else replace(start, networks=seeds) for start in starts]
        return transfer.probe(
            self.data, starts, self.folder / "features", settings.folds, experiment.repeats, settings.seed
        )

    def _institutions_left_out(self) -> list[pd.DataFrame]:
        """One repeat of the first networks and of the simple models, but for that which sees the institution alone."""
        institutions = self.data.institution_folds()
        if institutions is None:
            print("without some institution, one class only would remain to train on, so none is left out")
            return []
        common = institutions, 1, self.settings.seed
        arms = self.arms(self.settings.networks[0])
        others = [model for model in self.simple_models if model.name != "institution"]
        return [
            cross_validation.cross_validate(self.data, arms, self.folder / "institutions", *common, self.scheduler),
            baselines.cross_validate(others, self.data.labels, *common),
        ]

    def _permuted_probe(self) -> list[float]:
        settings, data, start = self.settings, self.data, self.main.initialisation
        if not settings.permutations:
            return []
        split = assign_folds(data.labels, settings.folds, settings.seed)
        file = transfer.feature_file(self.folder / "features", start, 0, 0)
        features = transfer.keep_features(file, data, start, 0, split)[:, :, transfer.POOLINGS.index("patch")]
        return list(transfer.permutation_aucs([features], data.labels, split, settings.permutations, settings.seed)[1])


def network_sizes() -> dict[str, int]:
    """Weights of each backbone."""
    return {name: sum(p.numel() for p in models.create(name).parameters()) for name in models.BACKBONES}
