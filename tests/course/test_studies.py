"""Both studies side by side."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import article, facts
from radiogen_utils.course import precomputed, studies


@pytest.fixture(scope="module")
def both():
    return studies.load(precomputed.FOLDER)


def rows(model):
    """Scores of 30 patients, two repeats, 10 positives."""
    rng = np.random.default_rng(1)
    patients = [f"P{i:02}" for i in range(30)]
    columns = {"fold": 0, "patient": patients, "y_true": [1] * 10 + [0] * 20}
    return pd.concat([facts.table(model, repeat=k, score=rng.normal(size=30), **columns) for k in range(2)])


def test_only_trained_networks_and_simple_models_under_random_folds_are_the_first_study():
    primary = facts.FIRST_STUDY
    others = [replace(primary, readout="probe"), replace(primary, split="institution")]
    table = pd.concat([rows(model) for model in (primary, *others, facts.simple("shape", "trees"))])
    assert [arm.model for arm in studies.first_study(table)] == [primary, facts.simple("shape", "trees")]


def test_only_the_primary_readout_is_the_second_study():
    primary = facts.SECOND_STUDY
    others = [replace(primary, pooling="tumour"), replace(primary, readout="lp-ft"), replace(primary, pixels=224)]
    others.append(replace(primary, pretraining="composition"))
    table = pd.concat([rows(model) for model in (primary, *others, replace(primary, sequences="all"))])
    assert [arm.model for arm in studies.second_study(table)] == [primary, replace(primary, sequences="all")]


def test_the_sentence_says_what_each_study_found(both):
    first, second = both
    sentence = studies.verdict_sentence(first, second, published=True)
    for arm in (studies.primary(first), studies.primary(second)):
        mean = np.mean([roc_auc_score(arm.y_true, scores) for scores in arm.scores])
        assert f"{mean:.3f}" in sentence and arm.reproduction(True).word in sentence.lower()
    assert f"{article.AUC['gbm'][0]:.3f}" in sentence
    other = studies.verdict_sentence(first, second, published=False)
    assert other.startswith("**Not tested** in the first study, **not reproduced** in the second")


def test_the_table_has_the_articles_numbers_where_the_article_has_them(both):
    table = studies.comparison(*both)
    assert [row["paper"] is not None for row in table[:4]] == [True, True, True, False]
    assert table[0]["paper"].startswith("0.730 (0.605")
    assert len({row["network"] for row in table}) == len(table)


def test_the_explorer_has_whole_scores_of_the_same_patients(both):
    first, second = both
    data = studies.explorer(first + second)
    assert len(data["y"]) == len(data["patients"]) == 110 and sum(data["y"]) == 24
    for arm, shown in zip(first + second, data["arms"], strict=True):
        assert roc_auc_score(data["y"], shown["scores"]) == roc_auc_score(arm.y_true, arm.scores[0])
    others = studies.first_study(rows(facts.simple("shape", "trees")))
    assert len(studies.explorer(first[:1] + others)["arms"]) == 1


def test_specifications_are_sorted_and_keep_their_choices():
    table = pd.DataFrame(
        {
            "number": [7, 8, 9],
            "initialisation": ["gbm", "scratch", "gbm"],
            "folds": [10, 5, 10],
            "auc": [0.7, 0.6, 0.65],
        }
    ).assign(low=0.5, high=0.8)
    data = studies.specifications(table)
    assert data["number"] == [8, 9, 7] and data["auc"] == [0.6, 0.65, 0.7]
    assert list(data["choices"]) == ["initialisation", "folds"]
    choice = data["choices"]["initialisation"]
    assert [choice["levels"][k] for k in choice["at"]] == ["scratch", "gbm", "gbm"]
