"""Baselines in the folds of the networks: simple models."""

from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy import ndimage, stats
from scipy.special import logit
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import label, regionprops
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from . import evaluation, facts
from .data.archive import patient_of
from .data.cohort import SEQUENCES, Cohort, open_cohort
from .folds import assign_folds, repeated_folds, split_of
from .patches import head_window
from .repeats import score_matrix

RING = 10
"""Width in pixels of the surroundings with which a tumour is compared."""
GREY_LEVELS = 16
"""Levels to which intensities are reduced before their co-occurrence is counted."""
SHAPE = ("volume", "slices", "largest area", "pieces", "eccentricity", "solidity", "extent", "compactness")
SHAPE += ("major axis", "minor axis", "diameter", "off centre")
"""Columns of `image_features` that use the mask alone."""

TEXTURES = ("contrast", "homogeneity", "correlation", "energy")


def image_features(path: Path) -> pd.DataFrame:
    """Shape and intensity of each patient's tumour, in one pass over the archive.

    Intensities are multiples of the median of the patient's head, as for the networks. `<sequence> relative` is the
    mean in the tumour over the mean in a ring around it. Shape and texture (Haralick et al., 1973) are those of the
    slice with the largest tumour; lengths are in pixels.

    Returns:
        Indexed by patient, about forty columns of float; those of `SHAPE` first.
    """
    cohort = open_cohort(path, _features)
    return pd.DataFrame.from_dict(cohort.by_case, "index").rename(patient_of).rename_axis("patient").sort_index()


def _features(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    areas = np.array([mask.sum() for _, mask in pairs])
    image, mask = pairs[int(areas.argmax())]
    whole = regionprops(mask.astype(np.uint8))[0]
    middle = (np.array(mask.shape) - 1) / 2
    values = (
        areas.sum(),
        len(areas),
        areas.max(),
        label(mask).max(),
        whole.eccentricity,
        whole.solidity,
        whole.extent,
        whole.perimeter**2 / (4 * np.pi * whole.area),
        whole.axis_major_length,
        whole.axis_minor_length,
        whole.feret_diameter_max,
        float(np.hypot(*(whole.centroid - middle))),
    )
    found = dict(zip(SHAPE, map(float, values), strict=True))
    for channel, sequence in enumerate(SEQUENCES):
        values = np.stack([one[..., channel] for one, _ in pairs])
        scale = head_window(values)[1]
        inside = np.concatenate([one[..., channel][tumour] for one, tumour in pairs]) / scale
        rings = [
            ndimage.binary_dilation(tumour, iterations=RING) & ~tumour & (one[..., channel] > 0)
            for one, tumour in pairs
        ]
        around = np.concatenate([one[..., channel][ring] for (one, _), ring in zip(pairs, rings, strict=True)]) / scale
        found |= {f"{sequence} mean": inside.mean(), f"{sequence} spread": inside.std()}
        found |= {f"{sequence} {p} %": np.percentile(inside, p) for p in (5, 50, 95)}
        found[f"{sequence} relative"] = inside.mean() / around.mean() if around.any() else np.nan
        grey = np.clip(image[..., channel] / scale * GREY_LEVELS, 0, GREY_LEVELS - 1).astype(np.uint8)
        pairs_of_pixels = graycomatrix(np.where(mask, grey + 1, 0), [2], [0, np.pi / 2], levels=GREY_LEVELS + 1)
        pairs_of_pixels = pairs_of_pixels[1:, 1:].astype(float)  # within the tumour only
        pairs_of_pixels /= np.maximum(pairs_of_pixels.sum((0, 1)), 1)
        found |= {f"{sequence} {name}": float(graycoprops(pairs_of_pixels, name).mean()) for name in TEXTURES}
    return {name: float(value) for name, value in found.items()}


@dataclass(frozen=True)
class Baseline:
    """A model on a table.

    Attributes:
        name: what it looks at, the column `arm` of the scores.
        model: `logistic` or `trees`, the column `backbone`.
        table: one row a patient, float, NaN where unknown.
    """

    name: str
    model: str
    table: pd.DataFrame | None

    def create(self, seed: int) -> Pipeline:
        """The untrained model; the strength of its penalty is chosen within the training patients."""
        if self.model == "trees":
            model = ExtraTreesClassifier(500, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        else:
            model = LogisticRegressionCV(
                Cs=np.logspace(-3, 1, 5),
                l1_ratios=(0,),
                cv=StratifiedKFold(5, shuffle=True, random_state=seed),
                scoring="roc_auc",
                class_weight="balanced",
                tol=1e-6,  # at the default it stops where a fold may still take another penalty
                max_iter=10000,
                use_legacy_attributes=False,
            )
        return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)


def clinical_and_image(cohort: Cohort) -> list[Baseline]:
    """The baselines of the protocol; those whose columns the cohort lacks are left out."""
    patients, features = cohort.patients, image_features(cohort.path)
    tables = {
        "institution": pd.get_dummies(patients.institution, dtype=float),
        "age": patients.reindex(columns=["age_at_initial_pathologic"]),
        "age and grade": patients.reindex(columns=["age_at_initial_pathologic", "neoplasm_histologic_grade"]),
        "volume": features[["volume"]],
        "volume and shape": features[list(SHAPE)],
        "image features": features,
    }
    found = [Baseline(name, "logistic", table) for name, table in tables.items() if table.notna().any().all()]
    return [*found, Baseline("image features", "trees", features)]


def cross_validate(
    baselines: list[Baseline], labels: pd.Series, folds: int | pd.Series, repeats: int, seed: int
) -> pd.DataFrame:
    """Out-of-fold log-odds of every baseline in the folds of the networks.

    Args:
        baselines: the models.
        labels: 0 or 1 by patient, sorted.
        folds: as for `cross_validation.cross_validate`.
        repeats: likewise.
        seed: likewise.

    Returns:
        As `cross_validation.cross_validate`; `arm` is the baseline's name, `backbone` its model.
    """
    cores = joblib.cpu_count(only_physical_cores=True)
    tables = []
    for baseline in baselines:
        model = facts.simple(baseline.name, baseline.model, split_of(folds))
        for repeat, split in enumerate(repeated_folds(labels, folds, repeats, seed)):
            scores = _out_of_fold(baseline, labels, split, seed + repeat, cores)
            columns = {"fold": split, "patient": labels.index, "y_true": labels, "score": scores}
            rows = facts.table(model, repeat=repeat, **columns)
            tables.append(rows.sort_values("fold", kind="stable"))
    return pd.concat(tables, ignore_index=True)


def permutation_aucs(baseline: Baseline, permuted: list[pd.Series], folds: int, seed: int) -> np.ndarray:
    """AUC of a baseline for each of several permutations of the labels, one repeat of its cross-validation; (P,)."""
    aucs = joblib.Parallel(joblib.cpu_count(only_physical_cores=True))(
        joblib.delayed(_auc)(baseline, labels, folds, seed) for labels in permuted
    )
    return np.array(aucs)


def _auc(baseline: Baseline, labels: pd.Series, folds: int, seed: int) -> float:
    scores = _out_of_fold(baseline, labels, assign_folds(labels, folds, seed), seed)
    return float(roc_auc_score(labels, scores))


def _out_of_fold(baseline: Baseline, labels: pd.Series, split: pd.Series, seed: int, n_jobs: int = 1) -> np.ndarray:
    """Log-odds of every patient, in the order of `labels`; `split` is each patient's fold."""
    model, table = baseline.create(seed), baseline.table.loc[labels.index]
    folds = PredefinedSplit(split)
    chance = cross_val_predict(model, table, labels, cv=folds, method="predict_proba", n_jobs=n_jobs)[:, 1]
    return logit(np.clip(chance, 1e-6, 1 - 1e-6))


def clusters(cohort: Cohort, folds: int) -> list[tuple[str, int, pd.Series]]:
    """The clusters of every clustering of data.csv that have, and leave, at least as many patients as folds.

    Args:
        cohort: with the clusterings.
        folds: of the cross-validation.

    Returns:
        Clustering, cluster, and by patient, sorted, 1 in the cluster and 0 in another one; patients without a label in
        the clustering are left out.
    """
    found = []
    for clustering in [name for name in cohort.patients.columns if name.endswith("Cluster")]:
        known = cohort.patients[clustering].dropna().sort_index()
        for cluster in sorted(known.unique()):
            labels = (known == cluster).astype(int)
            if min(labels.sum(), (1 - labels).sum()) >= folds:
                found.append((clustering, int(cluster), labels))
    return found


def clusterings(cohort: Cohort, table: pd.DataFrame, folds: int, repeats: int, seed: int) -> pd.DataFrame:
    """Every one of `clusters` against the rest, by trees on `table`.

    Args:
        cohort: with the clusterings.
        table: one row a patient, as `image_features`.
        folds: as for `cross_validate`.
        repeats: likewise.
        seed: likewise.

    Returns:
        One row a cluster: clustering, cluster, patients, positives, auc (mean over the repeats), low, high (bootstrap),
        p (one-sided Mann–Whitney test of the patients' mean scores) and holm (p adjusted for their number).
    """
    rows = []
    for clustering, cluster, labels in clusters(cohort, folds):
        found = cross_validate([Baseline("features", "trees", table)], labels, folds, repeats, seed)
        y_true, scores = score_matrix(found)
        areas = evaluation.auc_ci(y_true, scores)
        inside, rest = (scores.mean(0)[y_true == label] for label in (1, 0))
        p = stats.mannwhitneyu(inside, rest, alternative="greater").pvalue
        rows.append((clustering, cluster, len(labels), labels.sum(), *areas, p))
    columns = ["clustering", "cluster", "patients", "positives", "auc", "low", "high", "p"]
    result = pd.DataFrame(rows, columns=columns)
    return result.assign(holm=evaluation.holm(result.p))
