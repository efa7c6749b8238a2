"""`first_study`: what is trained, with what, and what is done where something is missing; nothing is trained here."""

from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from radiogen_utils import baselines, cross_validation, facts, models, patches, transfer
from radiogen_utils.course import first_study, precomputed, run_folder, second_study
from radiogen_utils.course.first_study import FirstStudy
from radiogen_utils.course.run_folder import RunFolder
from radiogen_utils.course.settings import PROFILES, Experiment
from radiogen_utils.facts import Model

SMOKE = replace(
    PROFILES["smoke"],
    folds=2,
    networks=(Experiment("compact", ("FLAIR",), 2), Experiment("compact", ("post-contrast",), 1)),
    permutations=3,
)


@pytest.fixture
def study(tiny_cohort, tmp_path, monkeypatch):
    """A study of a tiny cohort whose networks answer with the brightness, frozen ones with noise.

    `fits` are the arguments of `cross_validate`.
    """
    cohort = tiny_cohort(n_patients=36)
    data, asked = patches.build_patches(cohort), []

    def given(data, arms, folder, folds, repeats, seed, scheduler):
        asked.append((data, arms, folder, folds, repeats, scheduler))
        split = "institution" if isinstance(folds, pd.Series) else "folds"
        score = pd.Series(data.images.mean((1, 2, 3))).groupby(data.table.patient).mean()
        columns = {"fold": 0, "patient": score.index, "y_true": data.labels, "score": score}
        return pd.concat([facts.table(a.model(split), repeat=r, **columns) for a in arms for r in range(repeats)])

    def features(data, start, number, split):
        return np.random.default_rng(number).normal(size=(SMOKE.folds, len(split), 2, 3)).astype(np.float32)

    trees = baselines.ExtraTreesClassifier
    monkeypatch.setattr(baselines, "ExtraTreesClassifier", lambda n, **options: trees(n // 50, **options))
    monkeypatch.setattr(transfer, "fold_features", features)
    monkeypatch.setattr(cross_validation, "cross_validate", given)
    models.save_weights(models.create("compact", 1, 3, 0).state_dict(), tmp_path / "compact_gbm.safetensors")
    with joblib.parallel_config("sequential"):
        found = FirstStudy(SMOKE, data, cohort, tmp_path, "tcp://scheduler:1")
        object.__setattr__(found, "fits", asked)
        yield found


def test_arms_have_their_weights_and_settings(study):
    scratch, gbm = study.arms(SMOKE.networks[1])
    assert gbm.initialisation.networks == (study.folder / "compact_gbm.safetensors",)
    assert gbm.model("folds") == replace(facts.FIRST_STUDY, sequences="post-contrast")
    assert scratch.initialisation.networks == () and scratch.training == gbm.training == SMOKE.compact
    large = study.arms(Experiment("efficientnet_lite0", ("FLAIR",), 1))
    # There are no glioblastoma weights of this one.
    assert [arm.initialisation.arm for arm in large] == ["scratch", "natural"]
    assert large[0].training == SMOKE.imagenet
    assert study.main.model("folds") == facts.FIRST_STUDY


def test_scores_are_of_all_that_the_profile_asks_for(study):
    found = dict(facts.by_model(study.scores()))
    sequences = ("FLAIR", "post-contrast")
    for arm, pretraining in (("scratch", ""), ("gbm", "composition")):
        for readout, each in ((r, s) for r in ("full", "probe") for s in sequences):
            rows = found.pop(Model(arm, pretraining, sequences=each, readout=readout))
            assert rows.repeat.nunique() == (2 if each == "FLAIR" else 1)
        probes = [found.pop(Model(arm, pretraining, sequences=s, readout="probe", pooling="tumour")) for s in sequences]
        # As many random networks as repeats, but one of glioblastoma.
        assert [rows.network.nunique() for rows in probes] == ([2, 1] if arm == "scratch" else [1, 1])
        assert len(found.pop(Model(arm, pretraining, split="institution"))) == 36
    assert len(found.pop(Model("scratch", sequences="mask"))) == 36 * SMOKE.repeats
    names = {(model.arm, model.backbone, model.split) for model in found}
    assert {("volume", "logistic", "folds"), ("volume", "logistic", "institution")} < names
    assert ("institution", "logistic", "folds") in names and ("institution", "logistic", "institution") not in names
    assert not any(model.is_network for model in found)
    assert {scheduler for *_, scheduler in study.fits} == {"tcp://scheduler:1"}
    assert {folder.name for _, _, folder, *_ in study.fits} == {"fits", "institutions"}


def test_institutions_are_left_out_only_where_both_classes_remain(study, capsys):
    table = study.data.table.assign(patient=study.data.table.patient.str.replace("_YY_", "_XX_"))
    alone = replace(study, data=replace(study.data, table=table))
    assert alone._institutions_left_out() == [] and "one class only" in capsys.readouterr().out


def test_permutations_are_of_trees_of_a_probe_and_of_the_network(study):
    found = study.permutations()
    assert list(found) == [*facts.FACTS, "permutation", "auc"]
    counts = {model: rows.permutation.tolist() for model, rows in facts.by_model(found)}
    assert counts == {
        facts.simple("image features", "trees"): [0, 1, 2],
        replace(facts.FIRST_STUDY, readout="probe"): [0, 1, 2],
        facts.FIRST_STUDY: [0, 1],
    }
    assert found.auc.between(0, 1).all()
    shown = [data.labels for data, *_ in study.fits]
    assert not shown[0].equals(shown[1]) and shown[0].sum() == study.data.labels.sum()
    assert len({folder for _, _, folder, *_ in study.fits}) == 2
    none = replace(study, settings=replace(SMOKE, permutations=0, network_permutations=0)).permutations()
    assert none.empty and list(none) == list(found)


@pytest.fixture
def run(tiny_cohort, tmp_path, monkeypatch):
    """A run folder of a tiny cohort, whose scores cost nothing; `trained` are the studies that were asked for them."""
    trained = []

    class Quick(FirstStudy):
        def scores(self):
            trained.append(self)
            rows = {"fold": 0, "patient": self.data.labels.index, "y_true": self.data.labels, "score": 1.5}
            return facts.table(facts.FIRST_STUDY, 0, repeat=0, **rows)

        def permutations(self):
            return pd.DataFrame([], columns=[*facts.FACTS, "permutation", "auc"])

    monkeypatch.setattr(first_study, "FirstStudy", Quick)
    run = RunFolder(tmp_path / "out", "smoke")
    run.open_cohort(str(tiny_cohort(n_patients=6)))
    run.patches()
    run.trained = trained
    return run


def test_scores_are_trained_recorded_and_read_again(run, capsys):
    predictions, permutations = run.scores(train=False, scheduler="tcp://a:1")
    (study,) = run.trained
    assert (study.settings, study.scheduler, study.folder) == (PROFILES["smoke"], "tcp://a:1", run.folder)
    assert len(predictions) == 6 and permutations.empty
    made, data = run.results()["training"], run.patches()
    assert made["precomputed"] is None and made["code"] == cross_validation.SOURCE
    assert (made["patches"], made["cohort"]) == (data.fingerprint, data.cohort_fingerprint)
    assert made["weights"]["compact"] == sum(p.numel() for p in models.create("compact").parameters())
    assert "those that come with the course" in capsys.readouterr().out  # the weights: notebook 3 was not run
    assert run.results()["pretraining"]["source"] == "shipped weights"
    again, _ = run.scores()
    pd.testing.assert_frame_equal(again, predictions)
    assert len(run.trained) == 1


@pytest.mark.parametrize("train", [False, True])
def test_matching_scores_are_read_unless_training_is_asked_for(run, monkeypatch, train):
    theirs = facts.read(precomputed.FOLDER / "predictions.csv")
    permuted = facts.read(precomputed.FOLDER / "permutations.csv")
    found = precomputed.Precomputed(theirs, permuted, "abc", "of then")
    monkeypatch.setattr(run_folder.precomputed, "matching", lambda *_: found)
    predictions, permutations = run.scores(train=train)
    made = run.results()["training"]
    assert len(run.trained) == train
    if train:
        assert made["precomputed"] is None and len(predictions) == 6
    else:
        assert (made["precomputed"], made["code"]) == ("abc", "of then")
        pd.testing.assert_frame_equal(predictions, theirs, check_exact=True)
        pd.testing.assert_frame_equal(permutations, permuted, check_exact=True)


@pytest.mark.parametrize("profile, published", [("paper", True), ("paper", False), ("standard", True)])
def test_all_of_the_published_cohort_has_the_second_study_too(run, monkeypatch, profile, published):
    """Only where everything is trained on the cohort that it is about; and no longer once scores are read again."""
    folders = []

    def probes(data, folder):
        folders.append(folder)
        return facts.of_model(precomputed.second_study(), facts.SECOND_STUDY).assign(score=0.5)

    monkeypatch.setattr(precomputed, "is_published", lambda data: published)
    monkeypatch.setattr(second_study, "probes", probes)
    monkeypatch.setattr(second_study, "permuted_probes", lambda *_: precomputed.second_study_permutations())
    run.profile_name = profile
    run.scores(train=True)
    there = [(run.folder / name).exists() for name in second_study.FILES]
    assert there == [profile == "paper" and published] * 2
    assert folders == [run.folder / "features"] * sum(there[:1])
    if there[0]:
        assert (facts.of_model(run.second_study()[0], facts.SECOND_STUDY).score == 0.5).all()
        found = precomputed.Precomputed(*run.scores(), "abc", None)
        monkeypatch.setattr(precomputed, "matching", lambda *_: found)
        run.scores(train=False)
    pd.testing.assert_frame_equal(run.second_study()[0], precomputed.second_study())


def test_an_interrupted_training_leaves_no_scores(run, monkeypatch):
    run.scores(train=True)

    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(first_study.FirstStudy, "scores", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.scores(train=True)
    assert not (run.folder / "predictions.csv").exists()


def test_the_networks_of_the_folds_go_with_the_scores(run):
    run.scores(train=True)
    name = precomputed.NETWORK.format(3)
    with pytest.raises(run_folder.MissingStep, match="04_transfer_learning"):
        run.fold_network(3)
    (run.folder / "fits").mkdir()
    (run.folder / "fits" / name).touch()
    assert run.fold_network(3) == run.folder / "fits" / name
    run.extend("training", precomputed="abc")
    assert run.fold_network(3).exists() and run.fold_network(3).parent == precomputed.FOLDER / "networks"
    study = first_study.FirstStudy(run.profile, run.patches(), run.cohort_path, run.folder)
    assert precomputed.NETWORK.format(3) == f"{study.main.name}-r0-f3.safetensors"


def test_sizes_of_the_networks():
    assert first_study.network_sizes() == {
        name: sum(np.prod(p.shape) for p in models.create(name).parameters()) for name in models.BACKBONES
    }
