"""`precomputed`: precomputed results are read for the settings and patches they are of, for no others."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radiogen_utils import cross_validation, facts, models, patches, repeats, verdicts
from radiogen_utils.course import precomputed
from radiogen_utils.course.settings import PROFILES, Experiment
from radiogen_utils.facts import Model

PAPER = PROFILES["paper"]
TREES = facts.simple("image features", "trees")
PRETRAINING = {"data": "fingerprint of the slices"}


@pytest.fixture
def data(tiny_cohort):
    return patches.build_patches(tiny_cohort(n_patients=6))


@pytest.fixture
def folder(data, tmp_path):
    """Results of profile `paper`, scores at random."""
    rng, tables = np.random.default_rng(0), []
    networks = [
        (Model(arm, pretraining, each.backbone, sequences="+".join(each.sequences), readout=readout), each.repeats)
        for each in PAPER.networks
        for arm, pretraining in (("scratch", ""), ("gbm", "composition"))
        for readout in ("full", "probe")
    ]
    others = [(TREES, PAPER.repeats), (replace(facts.FIRST_STUDY, split="institution"), 1)]
    columns = {"fold": 0, "patient": data.labels.index, "y_true": data.labels}
    for model, n in [*networks, *others]:
        for repeat in range(n):
            tables.append(facts.table(model, repeat=repeat, **columns, score=rng.random(len(data.labels))))
    target = tmp_path / "precomputed"
    target.mkdir()
    pd.concat(tables).to_csv(target / "predictions.csv", index=False)
    counts = {TREES: PAPER.permutations, facts.FIRST_STUDY: PAPER.network_permutations}
    permutations = [asdict(model) | {"permutation": i, "auc": 0.5} for model, n in counts.items() for i in range(n)]
    pd.DataFrame(permutations).astype({"pixels": "Int64"}).to_csv(target / "permutations.csv", index=False)
    results = {
        "run": {"commit": "abc", "settings": asdict(PAPER)},
        "training": {"patches": data.fingerprint},
        "pretraining": {"records": {"compact": PRETRAINING}},
    }
    (target / "results.json").write_text(json.dumps(results))
    return target


def test_the_same_settings_get_everything(data, folder):
    found = precomputed.matching(PAPER, data, PRETRAINING, folder)
    pd.testing.assert_frame_equal(found.predictions, facts.read(folder / "predictions.csv"))
    assert len(found.permutations) == PAPER.permutations + PAPER.network_permutations and found.commit == "abc"


def test_scores_of_other_code_are_said_to_be_and_those_that_do_not_tell_are_read(data, folder):
    results = json.loads((folder / "results.json").read_text())
    for code, said in (({}, False), ({"code": "other"}, True), ({"code": cross_validation.SOURCE}, False)):
        changed = results | {"training": results["training"] | code}
        (folder / "results.json").write_text(json.dumps(changed))
        found = precomputed.matching(PAPER, data, PRETRAINING, folder)
        assert found.origin.startswith("read: the published scores, of commit abc")
        assert ("the code was edited since" in found.origin) == said and "\n" not in found.origin


def test_asking_for_less_gives_all_repeats_too(data, folder):
    """Fewer repeats would print other numbers than README, and verdicts on a single draw."""
    two = replace(PAPER, repeats=2, networks=(Experiment("compact", ("post-contrast",), 3),), permutations=7)
    for profile in (PROFILES["standard"], two):
        found = precomputed.matching(profile, data, PRETRAINING, folder)
        pd.testing.assert_frame_equal(found.predictions, facts.read(folder / "predictions.csv"))
        pd.testing.assert_frame_equal(found.permutations, facts.read(folder / "permutations.csv"))


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
    asked = json.loads(json.dumps(asdict(PAPER)))
    there = json.loads((precomputed.FOLDER / "results.json").read_text())["run"]["settings"]
    may_have_more = {name: there[name] for name in (*precomputed.AT_LEAST, "networks")}
    assert there == asked | may_have_more, "run profile paper anew"
    published = precomputed._repeats(there)
    assert all(published[networks] >= n for networks, n in precomputed._repeats(asked).items())
    assert all(there[name] >= asked[name] for name in precomputed.AT_LEAST)
    less, more = asdict(PROFILES["standard"]), asdict(PAPER)
    assert {name for name in more if less[name] != more[name]} <= {*precomputed.AT_LEAST, "networks"}


def test_nothing_there_is_no_error(data, folder, tmp_path):
    assert precomputed.matching(PAPER, data, PRETRAINING, tmp_path / "nowhere") is None
    (folder / "results.json").write_text(json.dumps({"run": {"settings": {"folds": 10}}}))
    assert precomputed.matching(PAPER, data, PRETRAINING, folder) is None


def test_the_second_study_scores_every_patient_once_a_run_in_the_folds_of_the_first():
    scores, first = precomputed.second_study(), facts.read(precomputed.FOLDER / "predictions.csv")
    assert list(scores) == list(first) == facts.COLUMNS and facts.SECOND_STUDY in dict(facts.by_model(scores))
    for _, rows in facts.by_model(scores):
        assert repeats.score_matrix(rows)[1].shape[1] == 110
    labels = first.groupby("patient").y_true.first()
    assert (scores.y_true == scores.patient.map(labels)).all()
    folds = facts.of_model(first, facts.FIRST_STUDY).set_index(["repeat", "patient"]).fold
    scores = facts.select(scores, split="folds")
    here = pd.MultiIndex.from_frame(scores[["repeat", "patient"]])
    assert (folds.loc[here].to_numpy() == scores.fold.to_numpy()).all()


def test_size_taken_out_is_told_of_every_network_of_both_studies():
    first, second = facts.read(precomputed.FOLDER / "predictions.csv"), precomputed.second_study()
    beyond = precomputed.second_study_beyond_size()
    found = {Model.of(row): row for row in beyond["without size"]}
    networks = facts.select(pd.concat([first, second]), split="folds", arm=tuple(facts.NAMES))
    assert set(found) == {model for model, _ in facts.by_model(networks)}
    assert all(row["low"] < row["auc"] < row["high"] for row in found.values())
    assert beyond["small area alone"]["auc"] == pytest.approx(0.696, abs=0.005)  # the protocol's, measured apart


def test_medians_of_permuted_labels_are_of_the_published_patches_and_as_many_patients(data, monkeypatch):
    assert precomputed.permuted_margins(data, {20, 30, 110}).empty
    monkeypatch.setattr(precomputed, "is_published", lambda data: True)
    draws = precomputed.permuted_margins(data, {110, 30})
    counts = draws.groupby(["method", "question"]).permutation.nunique()
    # At least so many, or a rank could never be rare enough for a verdict at two sides.
    assert len(counts) == 6 and (1 / (1 + counts) < verdicts.SIGNIFICANCE / 2).all()
    assert draws["median"].between(-1, 1).all() and not draws.duplicated(["permutation", "method", "question"]).any()
    assert set(precomputed.permuted_margins(data, {110, 50}).method) == {"Grad-CAM", "class activation"}


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


def test_every_choice_of_the_pretraining_has_a_result():
    choices = precomputed.pretraining_choices()
    assert len(choices) == 6 and list(choices)[-1] == "dense"
    assert all(0 < value < 1 for value in choices.values())
