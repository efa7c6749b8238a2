"""`course.second_study`: probes of the phantom, and a run's own probes in the place of the published ones."""

from dataclasses import asdict, replace

import joblib
import pandas as pd
import pytest

from radiogen_utils import facts, scrutiny, transfer
from radiogen_utils.course import precomputed, second_study
from tests.test_transfer import cohort


@pytest.fixture
def few(monkeypatch):
    """One input, one network an initialisation, one repeat, in this process."""
    changes = {"INPUTS": {"FLAIR": ("FLAIR",)}, "SEEDS": range(1), "FOLDS": 2, "REPEATS": 1, "PERMUTATIONS": 6}
    for name, value in changes.items():
        monkeypatch.setattr(second_study, name, value)
    with joblib.parallel_config("sequential"):
        yield


def test_probes_of_every_initialisation_and_their_permutations(few, tmp_path, monkeypatch):
    data = cohort(24)
    scores = second_study.probes(data, tmp_path)
    arms = {(model.arm, model.pretraining, model.backbone) for model, _ in facts.by_model(scores)}
    assert arms == {("gbm", "dense", "compact"), ("scratch", "", "compact"), ("natural", "", "efficientnet_lite0")}
    assert scores.groupby([*facts.FACTS, "network", "repeat"]).patient.nunique().eq(24).all()
    monkeypatch.setattr(transfer, "fold_features", None)  # what the probes have left is enough
    permutations = second_study.permuted_probes(data, tmp_path, ["FLAIR"])
    row = scrutiny.chance_table(scores, permutations).iloc[0]
    assert row.permutations == 6 and row.observed > 0.9 and row.p == pytest.approx(1 / 7)


def test_without_a_run_all_is_as_published(tmp_path):
    scores, permutations = second_study.load(tmp_path)
    pd.testing.assert_frame_equal(scores, precomputed.second_study())
    pd.testing.assert_frame_equal(permutations, precomputed.second_study_permutations())


def test_what_a_run_has_computed_takes_the_place_of_the_published(tmp_path):
    published = precomputed.second_study()
    own = facts.of_model(published, facts.SECOND_STUDY).assign(score=lambda rows: rows.score + 1)
    own.sample(frac=1, random_state=0).to_csv(tmp_path / "second_study.csv", index=False)
    found, permutations = second_study.load(tmp_path)
    assert [model for model, _ in facts.by_model(found)] == [model for model, _ in facts.by_model(published)]
    for model, rows in facts.by_model(found):
        shift = 1 if model == facts.SECOND_STUDY else 0
        both = rows.merge(facts.of_model(published, model), on=["network", "repeat", "patient"])
        assert len(both) == len(rows) and (both.score_x - both.score_y - shift).abs().max() < 1e-9
    pd.testing.assert_frame_equal(permutations, precomputed.second_study_permutations())
    few = [asdict(replace(facts.SECOND_STUDY, sequences="all")) | {"permutation": 0, "auc": 0.25}]
    pd.DataFrame(few).to_csv(tmp_path / "second_study_permutations.csv", index=False)
    _, permutations = second_study.load(tmp_path)
    assert facts.select(permutations, sequences="all").auc.tolist() == [0.25]
    assert (facts.select(permutations, sequences="FLAIR").groupby("pooling").size() == 1000).all()


def test_variants_of_the_probe_are_compared_with_like_ones():
    pairs = second_study.variant_pairs()
    known = {model for model, _ in facts.by_model(precomputed.second_study())}
    assert len(pairs) == 9 and {model for pair in pairs for model in pair} <= known
    for first, second in pairs:
        assert first.arm == "gbm" != second.arm and first.sequences == second.sequences
        assert first.pooling == second.pooling and first.readout == second.readout == "probe"
    found = [model for model, _ in facts.by_model(second_study.variants(precomputed.second_study()))]
    assert len(found) == 12 and {(model.pooling, model.pixels) for model in found} == {("tumour", 80), ("patch", 224)}
