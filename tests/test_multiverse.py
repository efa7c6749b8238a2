"""`multiverse`: what is drawn, what the choices do to patches and patients, and the comparison of initialisations."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import multiverse, phantom
from radiogen_utils.models import Initialisation
from radiogen_utils.multiverse import CHOICES
from radiogen_utils.patches import Patches, build_patches
from radiogen_utils.training import Training


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return phantom.write_cohort(tmp_path_factory.mktemp("cohort"), 20, 0)


@pytest.fixture(autouse=True)
def one_process():
    """Specifications in this process: starting others takes longer."""
    with joblib.parallel_config("sequential"):
        yield


def test_specifications_are_different_combinations_drawn_by_seed():
    drawn = multiverse.draw_specifications(200, 1)
    assert not drawn.duplicated().any() and list(drawn) == list(CHOICES)
    assert all(set(drawn[name]) == set(options) for name, options in CHOICES.items())
    assert drawn.equals(multiverse.draw_specifications(200, 1))
    assert not drawn.equals(multiverse.draw_specifications(200, 2))


def test_the_article_s_choices_give_the_patches_of_the_course(cohort):
    images, masks, table = multiverse.build_variant(cohort, "head median", "masked", "native")
    ours = build_patches(cohort)
    known = table.patient.isin(ours.table.patient).to_numpy()
    assert np.array_equal(images[known], ours.images) and np.array_equal(masks[known], ours.masks)


def test_what_the_choices_do_to_a_patch(cohort):
    native, mask, table = multiverse.build_variant(cohort, "head median", "masked", "native")
    shown, *_ = multiverse.build_variant(cohort, "head median", "shown", "native")
    assert np.array_equal(shown * mask[:, None], native) and (shown[~mask[:, None].repeat(3, 1)] > 0).any()
    _, fitted, _ = multiverse.build_variant(cohort, "z-score", "masked", "tumour fitted")
    extent = np.array([max(np.ptp(np.argwhere(one), axis=0)) for one in fitted])
    assert np.median(extent) > 50 and extent.std() < np.std([max(np.ptp(np.argwhere(one), axis=0)) for one in mask])
    for intensity in CHOICES["intensity"][1:]:
        assert not np.array_equal(multiverse.build_variant(cohort, intensity, "masked", "native")[0], native)


def test_which_slices_speak_for_a_patient():
    table = pd.DataFrame({"patient": list("aaaab"), "area": [5, 9, 9, 1, 3]})
    chosen = multiverse.slice_choices(table)
    assert chosen["largest"].tolist() == [False, True, False, False, True]
    assert chosen["three largest"].tolist() == [True, True, True, False, True] and chosen["all"].all()


def test_a_run_from_patches_to_the_table(cohort, tmp_path):
    networks = {
        name: Initialisation("scratch", "compact", names, (0, 1))
        for name, names in {
            "FLAIR": ("FLAIR",),
            "post-contrast": ("post-contrast",),
            "all": ("pre-contrast", "FLAIR", "post-contrast"),
        }.items()
    }
    others = {
        name: Initialisation("scratch", "compact", each.sequences, (2,), "other") for name, each in networks.items()
    }
    drawn = multiverse.draw_specifications(400, 0)
    drawn = drawn[
        (drawn.scale == "native") & (drawn.surroundings == "masked") & (drawn.intensity == "head median")
    ].head(6)
    drawn = drawn.assign(folds=2)
    for each in (networks, others):
        multiverse.variant_features(cohort, ("head median", "masked", "native"), list(each.values()), tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(before) == 9
    multiverse.variant_features(cohort, ("head median", "masked", "native"), list(networks.values()), tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    labels = build_patches(cohort).labels
    table, scores = multiverse.run_frozen(drawn, {"a": networks, "b": others}, tmp_path, labels)
    assert len(table) == 12 and scores.shape == (12, len(labels))
    assert table.auc[3] == pytest.approx(roc_auc_score(labels, scores[3]), abs=1e-6)
    assert set(multiverse.explained_variance(table).index) == {"initialisation", *CHOICES}
    assert len(multiverse.paired_aucs(table, "a", "b")) == 6


def test_fine_tuning_scores_every_patient_from_the_chosen_slices_at_as_many_steps(monkeypatch):
    """The brightness of the largest slice alone tells the class."""
    rng = np.random.default_rng(0)
    patient = np.repeat([f"P{i:02d}" for i in range(20)], 3)
    label, area = np.repeat(np.arange(20) % 2, 3), np.tile([10, 30, 20], 20)
    images = rng.integers(90, 110, (60, 3, 32, 32)) + 60 * (label * (area == 30))[:, None, None, None]
    table = pd.DataFrame({"patient": patient, "label": label})
    data = Patches(images.astype(np.uint8), np.ones((60, 32, 32), bool), table, "cohort")
    start = Initialisation("scratch", "compact", ("FLAIR",), (0, 1))
    training, asked = Training(epochs=3, learning_rate=3e-3, batch_size=8), []
    carry_out = multiverse.carry_out
    monkeypatch.setattr(
        multiverse, "carry_out", lambda cv, tasks, where: asked.append((cv, tasks)) or carry_out(cv, tasks, where)
    )
    specification = {"slices": "largest", "readout": "lp-ft", "folds": 5, "seed": 3}
    scores = multiverse.fine_tune(specification, start, data, area, training)
    ((cv, tasks),) = asked
    ((arm, fits),) = tasks.items()
    assert len(cv.data.table) == 20 and (cv.data.images.mean((1, 2, 3)) > 130).sum() == 10
    assert (arm.readout, arm.training.epochs, arm.initialisation.networks) == ("lp-ft", 9, (1,))
    assert fits == [(0, fold) for fold in range(5)] and scores.shape == (20,)
    assert roc_auc_score(data.labels, scores) > 0.9


def simulated(shift, n=60, rows=20, seed=0):
    """Two initialisations under the same specifications; the first separates the classes better by `shift`."""
    rng = np.random.default_rng(seed)
    labels = pd.Series(np.arange(n) % 2)
    common = rng.normal(size=n)
    scores = np.stack([common + rng.normal(size=n) + (0.5 + shift * (i % 2 == 0)) * labels for i in range(2 * rows)])
    table = pd.DataFrame({"number": np.arange(2 * rows) // 2, "initialisation": ["a", "b"] * rows})
    table["sequences"] = np.repeat([CHOICES["sequences"][i % 3] for i in range(rows)], 2)
    return table, scores, labels


def test_the_share_of_wins_and_its_null():
    share, null = multiverse.share_null(*simulated(0.0), "a", "b", 200, 0)
    assert null["any"].mean() == pytest.approx(0.5, abs=0.05)
    assert ((null["any"] - 0.5).abs() >= abs(share["any"] - 0.5)).mean() > 0.05
    share, null = multiverse.share_null(*simulated(2.0), "a", "b", 200, 0)
    assert share["any"] > 0.95 and (null["any"] < share["any"]).mean() > 0.98
    assert set(null) == {"any", *CHOICES["sequences"]}


def test_the_choice_that_matters_explains_the_variance():
    drawn = multiverse.draw_specifications(300, 0).assign(initialisation="a")
    noise = np.random.default_rng(0).normal(0, 0.01, 300)
    found = multiverse.explained_variance(drawn.assign(auc=0.6 + 0.1 * (drawn.sequences == "all") + noise))
    assert found.index[0] == "sequences" and found["sequences"] > 0.8 and found["seed"] < 0.1


def test_a_share_s_p_value_is_two_sided_and_never_zero():
    null = np.array([0.5, 0.4, 0.6, 0.3])
    assert multiverse.share_p(0.9, null) == pytest.approx(1 / 5)
    assert multiverse.share_p(0.1, null) == pytest.approx(1 / 5)
    assert multiverse.share_p(0.6, null) == pytest.approx(4 / 5)


def test_swapping_ranks_finds_no_difference_where_there_is_none_and_one_where_there_is():
    def p(shift, seed):
        share, null = multiverse.share_null(*simulated(shift, seed=seed), "a", "b", 99, seed)
        return multiverse.share_p(share["any"], null["any"])

    assert np.mean([p(0.0, seed) < 0.1 for seed in range(20)]) <= 0.3
    assert p(2.0, 0) < 0.05 and p(-2.0, 0) < 0.05


def test_significant_shares_count_both_directions():
    table, scores, labels = simulated(2.5)
    assert multiverse.significant_shares(table, scores, labels, "a", "b")[0] > 0.8
    forward, backward = multiverse.significant_shares(table, scores, labels, "b", "a")
    assert forward == 0 and backward > 0.8


def test_what_only_interacts_is_seen_all_else_equal_and_not_alone():
    drawn = multiverse.draw_specifications(4000, 0).assign(initialisation="a")
    either = (drawn.scale == "native") ^ (drawn.pooling == "patch")  # each matters, in a way that the other decides
    noise = np.random.default_rng(0).normal(0, 0.01, len(drawn))
    table = drawn.assign(auc=0.6 + 0.1 * either + 0.1 * (drawn.folds == 5) + noise)
    alone, equal = multiverse.explained_variance(table), multiverse.variance_all_else_equal(table)
    assert alone["scale"] < 0.02 and equal["scale"] == pytest.approx(0.5, abs=0.05)
    assert equal["folds"] == pytest.approx(alone["folds"], abs=0.05)
    assert alone["seed"] < 0.01 and equal["seed"] == pytest.approx(0.01**2 / table.auc.var(), rel=0.3)
    assert np.isnan(equal["initialisation"]) or equal["initialisation"] == 0
