"""`precomputed`: precomputed results are read for the settings and patches they are of, for no others."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radiogen_utils import cross_validation, evaluation, models, patches
from radiogen_utils.course import precomputed
from radiogen_utils.course.settings import PROFILES, Experiment
from radiogen_utils.cross_validation import PREDICTION_COLUMNS

PAPER = PROFILES["paper"]
PRETRAINING = {"data": "fingerprint of the slices"}


@pytest.fixture
def data(tiny_cohort):
    return patches.build_patches(tiny_cohort(n_patients=6))


@pytest.fixture
def folder(data, tmp_path):
    """Results of profile `paper`, scores at random."""
    rng, rows = np.random.default_rng(0), []
    networks = [
        (
            "-".join([initialisation, "+".join(experiment.sequences)]).removesuffix("-FLAIR"),
            experiment.backbone,
            experiment.repeats,
        )
        for experiment in PAPER.networks
        for initialisation in ("scratch", "gbm")
    ]
    others = [("image features", "trees", PAPER.repeats), ("gbm" + evaluation.LEFT_OUT, "compact", 1)]
    others += [(evaluation.FROZEN + name, backbone, repeats) for name, backbone, repeats in networks]
    for arm, backbone, repeats in [*networks, *others]:
        for repeat in range(repeats):
            rows += [(arm, backbone, repeat, 0, name, y, rng.random()) for name, y in data.labels.items()]
    target = tmp_path / "precomputed"
    target.mkdir()
    pd.DataFrame(rows, columns=PREDICTION_COLUMNS).to_csv(target / "predictions.csv", index=False)
    permutations = [("image features", "trees", i, 0.5) for i in range(PAPER.permutations)]
    permutations += [(evaluation.FROZEN + "gbm", "compact", i, 0.5) for i in range(PAPER.permutations)]
    permutations += [("gbm", "compact", i, 0.5) for i in range(PAPER.network_permutations)]
    columns = ["arm", "backbone", "permutation", "auc"]
    pd.DataFrame(permutations, columns=columns).to_csv(target / "permutations.csv", index=False)
    results = {
        "run": {"commit": "abc", "settings": asdict(PAPER)},
        "training": {"patches": data.fingerprint},
        "pretraining": {"records": {"compact": PRETRAINING}},
    }
    (target / "results.json").write_text(json.dumps(results))
    return target


def test_the_same_settings_get_everything(data, folder):
    found = precomputed.matching(PAPER, data, PRETRAINING, folder)
    pd.testing.assert_frame_equal(found.predictions, pd.read_csv(folder / "predictions.csv"))
    assert len(found.permutations) == 2 * PAPER.permutations + PAPER.network_permutations and found.commit == "abc"


def test_scores_of_other_code_are_said_to_be_and_those_that_do_not_tell_are_read(data, folder):
    results = json.loads((folder / "results.json").read_text())
    for code, said in (({}, False), ({"code": "other"}, True), ({"code": cross_validation.SOURCE}, False)):
        changed = results | {"training": results["training"] | code}
        (folder / "results.json").write_text(json.dumps(changed))
        found = precomputed.matching(PAPER, data, PRETRAINING, folder)
        assert found.origin.startswith("read: the scores of commit abc")
        assert found.origin.endswith("made by other code than today's") == said and "\n" not in found.origin


def test_asking_for_less_gives_all_repeats_too(data, folder):
    """Fewer repeats would print other numbers than README, and verdicts on a single draw."""
    two = replace(PAPER, repeats=2, networks=(Experiment("compact", ("post-contrast",), 3),), permutations=7)
    for profile in (PROFILES["standard"], two):
        found = precomputed.matching(profile, data, PRETRAINING, folder)
        pd.testing.assert_frame_equal(found.predictions, pd.read_csv(folder / "predictions.csv"))
        pd.testing.assert_frame_equal(found.permutations, pd.read_csv(folder / "permutations.csv"))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"folds": 5},
        {"compact": replace(PAPER.compact, epochs=99)},
        {"imagenet": replace(PAPER.imagenet, learning_rate=1e-3)},
        {"pretraining": replace(PAPER.pretraining, random_curves=False)},
        {"imagenet_pretraining": replace(PAPER.imagenet_pretraining, epochs=1)},
        {"patches_per_slice": PAPER.patches_per_slice + 1},
        {"repeats": PAPER.repeats + 1},
        {"permutations": PAPER.permutations + 1},
        {"network_permutations": PAPER.network_permutations + 1},
        {"networks": (Experiment("compact", ("pre-contrast",), 1),)},
        {"networks": (Experiment("compact", ("FLAIR",), 99),)},
    ],
)
def test_other_settings_get_nothing(data, folder, changes):
    assert precomputed.matching(replace(PAPER, **changes), data, PRETRAINING, folder) is None


def test_other_patches_labels_or_pretraining_get_nothing(data, folder):
    other = replace(data, images=255 - data.images)
    assert precomputed.matching(PAPER, other, PRETRAINING, folder) is None
    assert precomputed.matching(PAPER, data.permuted(0), PRETRAINING, folder) is None
    assert precomputed.matching(PAPER, data, {"data": "other slices"}, folder) is None
    assert (
        precomputed.matching(PAPER, replace(data, cohort_fingerprint="a larger archive"), PRETRAINING, folder)
        is not None
    )


def test_the_precomputed_results_match_the_profiles_that_the_course_offers():
    """Otherwise a reader trains for hours, or reads scores of other settings."""
    there = json.loads((precomputed.FOLDER / "results.json").read_text())["run"]["settings"]
    assert there == json.loads(json.dumps(asdict(PAPER))), "run profile paper anew"
    less, more = asdict(PROFILES["standard"]), asdict(PAPER)
    assert {name for name in more if less[name] != more[name]} <= {*precomputed.AT_LEAST, "networks"}


def test_nothing_there_is_no_error(data, folder, tmp_path):
    assert precomputed.matching(PAPER, data, PRETRAINING, tmp_path / "nowhere") is None
    (folder / "results.json").write_text(json.dumps({"run": {"settings": {"folds": 10}}}))
    assert precomputed.matching(PAPER, data, PRETRAINING, folder) is None


def test_the_second_study_scores_every_patient_once_a_run_in_the_folds_of_the_first():
    scores, first = precomputed.second_study(), pd.read_csv(precomputed.FOLDER / "predictions.csv")
    runs = ["arm", "sequences", "pooling", "network", "repeat"]
    assert not scores.duplicated([*runs, "patient"]).any() and scores.groupby(runs).patient.nunique().eq(110).all()
    labels = first.groupby("patient").y_true.first()
    assert (scores.y_true == scores.patient.map(labels)).all()
    folds = first[(first.arm == "gbm") & (first.backbone == "compact")].set_index(["repeat", "patient"]).fold
    here = pd.MultiIndex.from_frame(scores[["repeat", "patient"]])
    assert (folds.loc[here].to_numpy() == scores.fold.to_numpy()).all()


def test_size_taken_out_is_told_of_every_arm_of_the_second_study():
    scores, beyond = precomputed.second_study(), precomputed.second_study_beyond_size()
    arms = {tuple(row) for row in scores[["sequences", "arm", "pooling"]].drop_duplicates().to_numpy()}
    found = {(row["sequences"], row["arm"], row["pooling"]): row for row in beyond["without size"]}
    assert set(found) == arms and all(row["low"] < row["auc"] < row["high"] for row in found.values())
    assert beyond["small area alone"]["auc"] == pytest.approx(0.696, abs=0.005)  # the protocol's, measured apart


def test_networks_of_permuted_labels_are_of_the_published_patches_alone(data, monkeypatch):
    assert precomputed.permuted_networks(data) is None
    file = precomputed.FOLDER / "networks" / "permuted-gbm-compact-r0.json"
    published = json.loads(file.read_text(encoding="utf-8"))["patches"]
    assert published == json.loads((precomputed.FOLDER / "results.json").read_text())["training"]["patches"]
    labels = pd.Series([0, 1] * 10, [f"P{i:02d}" for i in range(20)])
    table = pd.DataFrame({"patient": labels.index, "label": labels.to_numpy()})
    same = SimpleNamespace(fingerprint=published, permuted=lambda seed: SimpleNamespace(labels=labels), table=table)
    split, networks = precomputed.permuted_networks(same)
    assert set(networks) == set(split) == set(range(10))
    models.create("compact", 1, 1).load_state_dict(networks[0])
