"""`baselines`: features of tumours that can be worked by hand, the folds of the networks, no leak between patients."""

from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from radiogen_utils import baselines, facts, repeats
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.folds import assign_folds


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fits in this process, for starting others takes longer than the fits; a tenth of the trees."""
    trees = baselines.ExtraTreesClassifier
    monkeypatch.setattr(baselines, "ExtraTreesClassifier", lambda n, **options: trees(n // 10, **options))
    with joblib.parallel_config("sequential"):
        yield


@pytest.fixture
def disc():
    """A grey head with a disc, three times as bright in the last sequence, in two slices: of radius 20, and of 10."""
    y, x = np.mgrid[:128, :128]
    head = np.hypot(y - 64, x - 64) < 60
    masks = [np.hypot(y - 64, x - 74) < radius for radius in (20, 10)]
    images = []
    for mask in masks:
        image = np.repeat((head * 50)[..., None], 3, 2).astype(np.uint8)
        image[mask, 2] = 150
        images.append(image)
    return list(zip(images, masks, strict=True))


def test_features_of_a_disc(disc):
    found = baselines._features(disc)
    area = disc[0][1].sum()
    assert found["volume"] == area + disc[1][1].sum() and found["slices"] == 2 and found["largest area"] == area
    assert found["pieces"] == 1 and found["eccentricity"] < 0.1 and found["solidity"] > 0.95
    assert found["major axis"] == pytest.approx(40, rel=0.03) and found["compactness"] == pytest.approx(1, abs=0.15)
    assert found["off centre"] == pytest.approx(10, abs=0.8)
    assert found["post-contrast relative"] == pytest.approx(3) and found["FLAIR relative"] == pytest.approx(1)
    assert found["FLAIR mean"] == pytest.approx(1 / 2.5) and found["post-contrast spread"] < 1e-9
    assert found["FLAIR contrast"] == 0 and found["FLAIR energy"] == pytest.approx(1)  # one grey level only


def test_intensities_are_in_multiples_of_the_patient_s_head_and_of_all_pixels_of_the_tumour():
    """Two slices of other brightness: the level of reference and the tumour's pixels are those of both."""
    y, x = np.mgrid[:128, :128]
    mask = np.hypot(y - 64, x - 64) < 12
    pairs = []
    for head, tumour in ((40, 90), (60, 120)):
        image = np.full((128, 128, 3), head, np.uint8)
        image[mask] = tumour + (x % 5)[mask][:, None]
        pairs.append((image, mask))
    found = baselines._features(pairs)
    # Half of the pixels beside the tumour are at 40, so the median of both slices is 60, of one alone 40.
    inside = np.concatenate([image[..., 1][mask] for image, _ in pairs]) / (2.5 * 60)
    assert found["FLAIR mean"] == pytest.approx(inside.mean()) and found["FLAIR spread"] == pytest.approx(inside.std())
    for p in (5, 50, 95):
        assert found[f"FLAIR {p} %"] == pytest.approx(np.percentile(inside, p))
    assert found["FLAIR relative"] == pytest.approx(inside.mean() / (50 / 150))


def test_surroundings_are_ten_pixels_wide_and_end_with_the_head(disc):
    y, x = np.mgrid[:128, :128]
    for image, mask in disc:
        distance = np.hypot(y - 64, x - 74) - np.sqrt(mask.sum() / np.pi)
        image[(distance > 12) & (image > 0).all(2)] = 90  # further away
        image[(x > 64) & ~mask & (distance < 12) & (x > 64 + 0.8 * np.abs(y - 64))] = 0  # no head there
    assert baselines._features(disc)["FLAIR relative"] == pytest.approx(1)


def test_shape_of_an_ellipse_in_two_pieces():
    y, x = np.mgrid[:128, :128] - 63.5
    ellipse = np.hypot(y / 10, x / 30) < 1
    mask = ellipse & (np.abs(x) > 1)
    image = np.full((128, 128, 3), 50, np.uint8)
    image[:5] = 0
    whole, split = (baselines._features([(image, tumour)]) for tumour in (ellipse, mask))
    assert (whole["pieces"], split["pieces"]) == (1, 2)
    assert whole["major axis"] == pytest.approx(60, rel=0.03) and whole["minor axis"] == pytest.approx(20, rel=0.03)
    assert whole["eccentricity"] == pytest.approx(np.sqrt(8) / 3, rel=0.01)
    assert whole["diameter"] == pytest.approx(60, rel=0.03) and whole["off centre"] < 1e-6
    assert whole["extent"] == pytest.approx(np.pi / 4, rel=0.02) and whole["solidity"] > 0.95


def test_texture_of_stripes():
    """Stripes of two pixels: two columns on, every pixel meets the other level; two rows on, its own."""
    y, x = np.mgrid[:128, :128]
    mask, stripes = np.hypot(y - 64, x - 64) < 20, x // 2 % 2 == 0
    image = np.full((128, 128, 3), 100, np.uint8)
    image[mask] = np.where(stripes, 60, 140)[mask][:, None]
    found = baselines._features([(image, mask)])
    low, high = (np.floor(value / (2.5 * 100) * baselines.GREY_LEVELS) for value in (60, 140))
    assert found["FLAIR contrast"] == pytest.approx((high - low) ** 2 / 2)  # the mean of both directions
    assert found["FLAIR correlation"] == pytest.approx(0, abs=0.02)  # −1 and 1
    assert found["FLAIR homogeneity"] == pytest.approx((1 + 1 / (1 + (high - low) ** 2)) / 2)


def test_texture_looks_at_the_tumour_alone(disc):
    before = baselines._features(disc)
    for image, mask in disc:
        noise = np.random.default_rng(0).integers(40, 60, image.shape, np.uint8)
        image[~mask & (image[..., 0] > 0)] = noise[~mask & (image[..., 0] > 0)]
    after = baselines._features(disc)
    for name in baselines.TEXTURES:
        assert after[f"FLAIR {name}"] == pytest.approx(before[f"FLAIR {name}"])


def test_features_are_of_all_patients_in_order(tiny_cohort):
    table = baselines.image_features(tiny_cohort(n_patients=5))
    assert list(table.index) == sorted(table.index) and len(table) == 5
    assert set(baselines.SHAPE) < set(table) and np.isfinite(table).all().all()


def test_baselines_without_their_columns_are_left_out(tiny_cohort):
    cohort = open_cohort(tiny_cohort(n_patients=6))
    found = baselines.clinical_and_image(cohort)
    names = [(b.name, b.model) for b in found]
    tables = {b.name: b.table for b in found}
    assert list(tables["volume and shape"]) == list(baselines.SHAPE) and list(tables["volume"]) == ["volume"]
    columns = tables["institution"]  # a column each, for their names have no order
    assert (
        list(columns) == ["XX", "YY"]
        and columns.idxmax(axis=1).eq(columns.index.str[5:7]).all()
        and columns.sum(axis=1).eq(1).all()
    )
    assert ("age and grade", "logistic") not in names  # this table has no grade
    assert ("image features", "trees") in names and ("institution", "logistic") in names


@pytest.mark.parametrize("model", ["logistic", "trees"])
def test_out_of_fold_scores_in_the_networks_folds(model):
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(60) % 2, [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame({"signal": labels + 0.7 * rng.normal(size=60), "noise": rng.normal(size=60)}, labels.index)
    table.iloc[::7, 1] = np.nan
    found = baselines.cross_validate([baselines.Baseline("x", model, table)], labels, 5, 2, seed=3)
    assert list(found) == facts.COLUMNS and len(found) == 120
    assert [each for each, _ in facts.by_model(found)] == [facts.simple("x", model)] and found.network.isna().all()
    for repeat, group in found.groupby("repeat"):
        folds = assign_folds(labels, 5, 3 + repeat)
        assert group.set_index("patient").fold.sort_index().equals(folds.rename("fold").rename_axis("patient"))
    assert roc_auc_score(found.y_true, found.score) > 0.75
    again = baselines.cross_validate([baselines.Baseline("x", model, table)], labels, 5, 2, seed=3)
    pd.testing.assert_frame_equal(found, again, check_exact=True)


class Checking(ClassifierMixin, BaseEstimator):
    """A model whose probabilities are a column of its table, and which checks what it is fitted to and asked for."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, table, labels):
        assert table.label.eq(labels).all() and set(labels) == {0, 1}
        self.seen_, self.classes_ = set(table.index), np.array([0, 1])
        return self

    def predict_proba(self, table):
        assert not self.seen_ & set(table.index) and len(self.seen_) + len(table) == 20
        chance = table.chance**self.seed
        return np.c_[1 - chance, chance]

    def predict(self, table):
        raise NotImplementedError  # scikit-learn wants every model to have it


def test_a_model_is_fitted_to_the_other_folds_and_its_score_is_the_log_odds():
    labels = pd.Series(np.arange(20) % 2, [f"P{i:02d}" for i in range(20)])
    table = pd.DataFrame({"chance": np.linspace(0, 1, 20), "label": labels}, labels.index)

    class Checked(baselines.Baseline):
        def create(self, seed):
            return Checking(seed)

    found = baselines.cross_validate([Checked("x", "checking", table[::-1])], labels, 4, 2, seed=3)
    for repeat, scores in found.groupby("repeat"):
        chance = table.chance ** (3 + repeat)
        expected = special.logit(chance.clip(1e-6, 1 - 1e-6))  # never infinite
        np.testing.assert_allclose(scores.score, expected[scores.patient])
        assert scores.set_index("patient").fold.sort_index().equals(assign_folds(labels, 4, 3 + repeat))
        assert list(scores.fold) == sorted(scores.fold) and set(scores.backbone) == {"checking"}
    assert np.array_equal(found.y_true, labels[found.patient]) and len(found) == 40


def by_hand(table, labels, new, seed):
    """Log-odds for the rows `new`: mean for what is unknown, standard scores, weights that balance the classes, and of
    five penalties the one with the best mean AUC in five inner folds."""
    mean, deviation = table.mean(), table.fillna(table.mean()).std(ddof=0)
    x, unseen = ((rows.fillna(mean) - mean).div(deviation).to_numpy() for rows in (table, new))
    y = labels.to_numpy()
    weight = len(y) / 2 / np.where(y == 1, y.sum(), (1 - y).sum())

    def fit(strength, rows):
        model = LogisticRegression(C=strength, tol=1e-8, max_iter=10000)
        return model.fit(x[rows], y[rows], sample_weight=weight[rows])

    folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y))
    strengths = [0.001, 0.01, 0.1, 1, 10]
    areas = [
        np.mean([roc_auc_score(y[test], fit(s, train).decision_function(x[test])) for train, test in folds])
        for s in strengths
    ]
    return fit(strengths[int(np.argmax(areas))], slice(None)).decision_function(unseen), areas


def test_the_linear_model_equals_one_built_by_hand():
    rng = np.random.default_rng(5)
    labels = pd.Series((np.arange(70) % 4 == 0).astype(int), [f"P{i:02d}" for i in range(70)])
    table = pd.DataFrame(rng.normal(size=(70, 6)) * [1, 1, 1, 1, 1, 1000], labels.index).rename(columns=str)
    table["0"] += labels
    table.iloc[::9, 1] = np.nan
    found = baselines.cross_validate([baselines.Baseline("x", "logistic", table)], labels, 5, 1, seed=2)
    chosen = set()
    for _, scores in found.groupby("fold"):
        train = ~table.index.isin(scores.patient)
        expected, areas = by_hand(table[train], labels[train], table.loc[scores.patient], seed=2)
        chosen.add(int(np.argmax(areas)))
        # The solver stops at a gradient of 1e-4.
        np.testing.assert_allclose(scores.score, expected, atol=0.01)
    assert len(chosen) > 1  # the penalty is chosen anew in each fold


@pytest.mark.parametrize("model", ["logistic", "trees"])
def test_both_classes_weigh_the_same(model):
    """Without a signal the mean answer is an even chance, not the share of positives, one in six: log-odds −1.6."""
    labels = pd.Series((np.arange(60) % 6 == 0).astype(int), [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), labels.index, ["a", "b"])
    found = baselines.cross_validate([baselines.Baseline("x", model, table)], labels, 5, 1, seed=0)
    assert abs(found.score.mean()) < 0.5


def test_no_leaf_of_a_tree_is_smaller_than_three_patients():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    forest = baselines.Baseline("x", "trees", table).create(0).fit(table, np.arange(60) % 2)[-1]
    assert min(tree.tree_.n_node_samples.min() for tree in forest) == 3


def test_trees_follow_their_seed():
    table, labels = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"]), np.arange(60) % 2
    baseline = baselines.Baseline("x", "trees", table)
    first, again, other = (baseline.create(seed).fit(table, labels).predict_proba(table) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.filterwarnings("error")
def test_a_column_unknown_in_all_training_patients_is_no_obstacle():
    labels = pd.Series(np.arange(20) % 2, [f"P{i:02d}" for i in range(20)])
    table = pd.DataFrame({"a": np.linspace(0, 1, 20), "b": np.nan}, labels.index)
    assert len(baselines.cross_validate([baselines.Baseline("x", "trees", table)], labels, 4, 1, seed=0)) == 20


def test_every_cluster_with_enough_patients_is_compared(tiny_cohort):
    cohort = open_cohort(tiny_cohort(n_patients=12))
    table = pd.DataFrame({"signal": cohort.patients.COCCluster == 2}, dtype=float)
    found = baselines.clusterings(cohort, table, folds=3, repeats=1, seed=0).set_index(["clustering", "cluster"])
    assert list(found.loc["COCCluster"].index) == [1, 2, 3] and list(found.loc["RPPACluster"].index) == [1, 2]
    assert found.patients["RPPACluster", 1] == 11 and found.positives["COCCluster", 2] == 4  # one patient has a blank
    assert found.auc["COCCluster", 2] > 0.8 and (found.holm >= found.p).all()
    assert found.p["COCCluster", 2] < 0.05
    assert [(name, cluster) for name, cluster, _ in baselines.clusters(cohort, folds=3)] == list(found.index)
    rows = baselines.clusterings(cohort, table, folds=4, repeats=1, seed=0)
    assert rows.clustering.eq("COCCluster").sum() == 3  # of four patients each, just enough
    rows = baselines.clusterings(cohort, table, folds=5, repeats=1, seed=0)
    assert rows.clustering.eq("RPPACluster").all() and len(rows) == 2
    # Eleven patients of one cluster leave one for the rest.
    rare = cohort.patients.assign(COCCluster=[1] * 11 + [2])[["COCCluster"]]
    assert baselines.clusterings(replace(cohort, patients=rare), table, folds=2, repeats=1, seed=0).empty


def test_the_test_of_a_cluster_is_one_sided_on_the_mean_scores_and_corrected_for_all(tiny_cohort, monkeypatch):
    """Scores that rank every other patient by name, but cluster 2 first and cluster 1 last."""
    cohort = open_cohort(tiny_cohort(n_patients=12))
    coc = cohort.patients.COCCluster

    def given(models, labels, folds, repeats, seed):
        score = pd.Series(np.arange(len(labels)) / 100, labels.index)
        if set(coc[labels.index[labels == 1]]) in ({1}, {2}):
            score += coc[labels.index].map({2: 1, 1: -1}).fillna(0)
        # The two repeats rank the patients otherwise; the means of their scores are `score`.
        noise = np.random.default_rng(0).normal(size=len(labels))
        rows = {"fold": 0, "patient": labels.index, "y_true": labels}
        model = facts.simple("features", "trees")
        return pd.concat([facts.table(model, repeat=i, **rows, score=score + i * noise) for i in (-1, 1)])

    monkeypatch.setattr(baselines, "cross_validate", given)
    found = baselines.clusterings(cohort, None, folds=3, repeats=2, seed=0).set_index(["clustering", "cluster"])
    # Of 495 ways to rank 4 among 12 one has the 4 first; with the 4 last, all do as well.
    assert found.p["COCCluster", 2] == pytest.approx(1 / 495) and found.p["COCCluster", 1] == pytest.approx(1)
    assert len(found) == 5 and found.holm["COCCluster", 2] == pytest.approx(5 / 495)
    areas = repeats.over_repeats(given(None, (coc == 2).astype(int), 3, 2, 0)).loc[0, ["auc", "low", "high"]]
    row = found.loc[("COCCluster", 2), ["auc", "low", "high"]]
    assert row.tolist() == pytest.approx(areas.tolist()) and row.auc < 1


@pytest.mark.slow
def test_the_real_cohort(real_cohort):
    features = baselines.image_features(real_cohort.path)
    assert features.shape == (110, 42) and features.notna().all().all()
    labels = real_cohort.labels().astype(int)
    # Known of these data: larger tumours are rarer in cluster 2, whose post-contrast images are brighter.
    assert roc_auc_score(labels, -features.volume) > 0.6
    assert roc_auc_score(labels, features["post-contrast relative"]) > 0.7


def test_with_permuted_labels_aucs_lie_around_one_half():
    """And none comes near that of the true labels."""
    rng = np.random.default_rng(0)
    labels = pd.Series(np.arange(60) % 2, [f"P{i:02d}" for i in range(60)])
    table = pd.DataFrame({"signal": 1.5 * labels + rng.normal(size=60)}, labels.index)
    permuted = [pd.Series(np.random.default_rng(i).permutation(labels), labels.index) for i in range(6)]
    baseline = baselines.Baseline("x", "logistic", table)
    areas = baselines.permutation_aucs(baseline, [labels, *permuted], folds=5, seed=0)
    scores = baselines.cross_validate([baseline], labels, 5, 1, seed=0)
    assert areas[0] == pytest.approx(roc_auc_score(scores.y_true, scores.score), abs=1e-9) and areas[0] > 0.75
    # One permutation of 30 against 30 has a standard error of 0.075; three of the mean's, the bias of cross-validation
    # apart.
    assert abs(areas[1:].mean() - 0.5) < 0.1 and areas[1:].max() < areas[0]


def test_an_institution_is_held_out_as_a_fold():
    labels = pd.Series(np.arange(30) % 2, [f"TCGA_{'AABBC'[i // 6]}_{i:02d}" for i in range(30)])
    folds = labels.index.to_series().str.split("_").str[1].map({"A": 0, "B": 1, "C": 2})
    table = pd.DataFrame({"signal": labels}, dtype=float)
    found = baselines.cross_validate([baselines.Baseline("x", "logistic", table)], labels, folds, 1, seed=0)
    assert found.set_index("patient").fold.sort_index().eq(folds.sort_index()).all() and len(found) == 30
    assert (found.split == "institution").all()
