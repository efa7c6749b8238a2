"""`facts`: tables keep their facts through a file, rows are chosen by them, and words come from them alone."""

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest

from radiogen_utils import facts
from radiogen_utils.facts import Model
from radiogen_utils.support import project_root

TREES = facts.simple("image features", "trees", "institution")
PROBE = Model("gbm", "dense", sequences="all", readout="probe", pooling="tumour")


@pytest.fixture
def rows():
    """Two networks of one model, one of another, and a simple model."""
    columns = {"repeat": 0, "fold": [1, 2], "patient": ["A", "NA"], "y_true": [0, 1]}
    tables = [facts.table(PROBE, n, **columns, score=[n + 0.1, n + 1 / 3]) for n in (0, 1)]
    tables += [facts.table(Model("scratch"), **columns, score=[5, 6]), facts.table(TREES, **columns, score=[7, 8])]
    return pd.concat(tables, ignore_index=True)


def test_a_file_keeps_everything_and_texts_are_never_missing(rows, tmp_path):
    rows.to_csv(tmp_path / "scores.csv", index=False)
    again = facts.read(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(again, rows, check_exact=True)
    assert list(again) == facts.COLUMNS and list(again.patient[:2]) == ["A", "NA"]
    texts = again.select_dtypes(object)
    assert not texts.isna().any(axis=None) and (texts.pretraining[4:] == "").all()
    assert again.network.isna().tolist() == [False] * 4 + [True] * 4
    assert again.pixels.isna().tolist() == [False] * 6 + [True] * 2


def test_models_come_with_their_rows_in_order(rows):
    found = dict(facts.by_model(rows))
    assert list(found) == [PROBE, Model("scratch"), TREES]
    assert [len(own) for own in found.values()] == [4, 2, 2]
    for model, own in found.items():
        assert Model.of(own.iloc[0]) == model
        pd.testing.assert_frame_equal(facts.of_model(rows, model), own)


def test_rows_are_chosen_by_facts(rows):
    assert facts.select(rows, arm="gbm", network=1).index.tolist() == [2, 3]
    assert facts.select(rows, network=None).index.tolist() == [4, 5, 6, 7]
    assert facts.select(rows, readout=("full", "")).index.tolist() == [4, 5, 6, 7]
    assert facts.select(rows, arm="natural").empty
    with pytest.raises(KeyError, match="colour"):
        facts.select(rows, colour="red")


def test_a_fit_that_two_tables_have_counts_once(rows):
    later = pd.concat([rows.assign(score=0.0), rows.assign(repeat=1)], ignore_index=True)
    both = facts.join([rows, later])
    pd.testing.assert_frame_equal(both[:8], rows)
    assert both[8:].repeat.eq(1).all() and len(both) == 16


@pytest.mark.parametrize("fact, value", [("pretraining", "composition"), ("pixels", 224), ("split", "institution")])
def test_one_other_fact_is_another_model(rows, fact, value):
    assert facts.of_model(rows, replace(PROBE, **{fact: value})).empty


def test_words_come_from_facts():
    labels = {
        facts.FIRST_STUDY: "compact, FLAIR, glioblastoma MRI",
        PROBE: "compact, three sequences, glioblastoma MRI (dense), linear probe, over the tumour",
        Model("scratch", sequences="mask"): "compact, mask alone, from scratch",
        Model("natural", "", "efficientnet_lite0", 224, readout="lp-ft"): (
            "efficientnet_lite0, FLAIR, natural images, LP-FT, 224 pixels"
        ),
        TREES: "image features, trees, institution left out",
    }
    assert {model: str(model) for model in labels} == labels
    table = pd.DataFrame([astuple(model) for model in labels], columns=facts.FACTS).assign(auc=0.5)
    shown = facts.labelled(table)
    assert list(shown.index) == list(labels.values()) and list(shown) == ["auc"] and shown.index.name == "model"


def test_the_committed_scores_have_other_labels_for_other_models():
    for name in ("predictions.csv", "second_study.csv.gz"):
        models = [model for model, _ in facts.by_model(facts.read(project_root() / "figures" / name))]
        assert len(set(map(str, models))) == len(models) > 5
        for model in models:
            assert model.pretraining in (("dense", "composition") if model.arm == "gbm" else ("",))
            assert model.is_network == (model.pixels is not None) == bool(model.readout) == bool(model.sequences)


def test_a_table_takes_arrays_and_labelled_series():
    labels = pd.Series([1, 0], ["P1", "P0"])
    columns = {"fold": labels * 0, "patient": labels.index, "y_true": labels}
    table = facts.table(PROBE, 2, repeat=3, **columns, score=np.array([0.5, -0.5]))
    assert table[["patient", "y_true", "score"]].to_numpy().tolist() == [["P1", 1, 0.5], ["P0", 0, -0.5]]
    assert (table.network == 2).all() and (table.repeat == 3).all() and list(table.index) == [0, 1]
