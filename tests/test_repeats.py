"""`repeats`: tables over the repeats, by hand and from the published scores, and what is particular to folds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from radiogen_utils import evaluation, facts, repeats
from radiogen_utils.facts import Model
from radiogen_utils.support import project_root


@pytest.fixture(scope="module")
def predictions():
    return facts.read(project_root() / "figures" / "predictions.csv")


def test_rows_become_a_matrix_with_corresponding_columns():
    rows = pd.DataFrame(
        [(1, "B", 0, 5.0), (0, "A", 1, 1.0), (0, "B", 0, 2.0), (1, "A", 1, 4.0)],
        columns=["repeat", "patient", "y_true", "score"],
    ).assign(network=pd.array([None] * 4, "Int64"))
    y, scores = repeats.score_matrix(rows)
    assert y.tolist() == [1, 0] and scores.tolist() == [[1, 2], [4, 5]]
    for bad, message in (
        (rows[:3], "without a score"),
        (rows[:0], "no rows"),
        (pd.concat([rows, rows[:1]]), "twice"),
        (rows.assign(y_true=[0, 0, 0, 1]), "different labels"),
        (rows.assign(score=[1, 2, np.nan, 3]), "without a score"),
    ):
        with pytest.raises(ValueError, match=message):
            repeats.score_matrix(bad)


def test_each_network_and_repeat_is_a_row():
    kinds = [(network, repeat) for network in (0, 1) for repeat in (0, 1)]
    columns = {"fold": 0, "patient": ["B", "A"], "y_true": [0, 1]}
    rows = [
        facts.table(GBM, network, repeat=repeat, score=[10 * network + repeat, 5], **columns)
        for network, repeat in kinds[::-1]
    ]
    _, scores = repeats.score_matrix(pd.concat(rows))
    assert scores.tolist() == [[5, 0], [5, 1], [5, 10], [5, 11]]
    with pytest.raises(ValueError, match="without a score"):
        repeats.score_matrix(pd.concat(rows)[1:])


GBM, SCRATCH = Model("gbm", "dense"), Model("scratch")


def table(arms):
    """A table of scores: three repeats of one arm, two of another."""
    y, a, b = arms
    columns = {"fold": 0, "patient": [f"P{i:03d}" for i in range(110)], "y_true": y}
    return pd.concat(
        [
            facts.table(model, number, repeat=repeat, score=score, **columns)
            for model, number, scores in ((GBM, 0, a), (SCRATCH, None, b))
            for repeat, score in enumerate(scores)
        ]
    )


def test_networks_are_counted_and_repeats_too(arms):
    one = table(arms)
    both = pd.concat([one, one.assign(network=one.network + 1)[lambda rows: rows.arm == "gbm"]])
    found = repeats.over_repeats(both).set_index("arm")
    assert found.networks.to_dict() == {"gbm": 2, "scratch": 0}
    assert found.repeats.to_dict() == {"gbm": 3, "scratch": 2}
    assert found.auc["gbm"] == pytest.approx(repeats.over_repeats(one).auc[0])
    # Shared are the repeats, in each of which every network counts.
    pair = repeats.compare_pairs(both, [(GBM, SCRATCH)]).iloc[0]
    y, a, b = arms
    assert pair.repeats == 2
    assert pair.difference == pytest.approx(evaluation.auc_difference(y, np.vstack([a[:2], a[:2]]), b)[0])


def test_over_repeats_is_of_the_mean(arms):
    y, a, b = arms
    found = repeats.over_repeats(table(arms)).set_index("arm")
    for arm, scores in (("gbm", a), ("scratch", b)):
        row, single = found.loc[arm], [roc_auc_score(y, score) for score in scores]
        assert (row.repeats, row.auc, row.sd) == pytest.approx((len(scores), np.mean(single), np.std(single, ddof=1)))
        assert (row.low, row.high) == evaluation.auc_ci(y, scores)[1:]
        assert (row.delong_low, row.delong_high) == evaluation.delong_ci(y, scores)[1:]
        assert row.ensemble == pytest.approx(roc_auc_score(y, scores.sum(0)))
    assert np.isnan(repeats.over_repeats(table(arms).query("repeat == 0")).sd).all()


def test_pairs_are_compared_over_the_repeats_that_both_have(arms):
    y, a, b = arms
    found = repeats.compare_pairs(table(arms), [(GBM, SCRATCH), (GBM, Model("natural"))])
    assert list(found.index) == [(GBM, SCRATCH)] and found.index.names == ["first", "second"]
    assert repeats.compare_pairs(table(arms), []).empty
    expected = (2, *evaluation.auc_difference(y, a[:2], b), evaluation.delong_difference(y, a[:2], b)[3])
    assert tuple(found.iloc[0]) == pytest.approx(expected)


def test_arms_on_other_patients_are_not_compared(arms):
    rows = table(arms)
    renamed = rows.assign(patient=rows.patient.mask((rows.arm == "gbm") & (rows.patient == "P003"), "P999"))
    with pytest.raises(ValueError, match="same patients"):
        repeats.compare_pairs(renamed, [(GBM, SCRATCH)])


def test_pairs_of_initialisations_differ_in_nothing_else():
    kinds = [Model("gbm", "dense", readout="probe"), Model("scratch", readout="probe"), Model("natural")]
    kinds.append(facts.simple("image features", "trees"))
    rows = {"repeat": 0, "fold": 0, "patient": ["A"], "y_true": 1, "score": 0.0}
    found = repeats.initialisation_pairs(pd.concat([facts.table(kind, **rows) for kind in kinds]))
    assert found == [
        (kinds[0], kinds[1]),
        (kinds[0], Model("natural", readout="probe")),
        (Model("natural"), Model("scratch")),
    ]


@pytest.mark.parametrize(
    "backbone, bootstrap, delong, p",
    [
        ("compact", (-0.053, 0.052), (-0.050, 0.056), 0.908),
        ("efficientnet_lite0", (-0.008, 0.125), (-0.005, 0.126), 0.071),
    ],
)
def test_glioblastoma_against_scratch_in_the_first_study(predictions, backbone, bootstrap, delong, p):
    pair = Model("gbm", "composition", backbone), Model("scratch", "", backbone)
    (y, a), (_, b) = (repeats.score_matrix(facts.of_model(predictions, model)) for model in pair)
    assert evaluation.auc_difference(y, a, b)[1:] == pytest.approx(bootstrap, abs=5e-4)
    assert evaluation.delong_difference(y, a, b)[1:] == pytest.approx((*delong, p), abs=5e-4)
    row = repeats.compare_pairs(predictions, [pair]).iloc[0]
    assert (row.low, row.high, row.delong_p) == pytest.approx((*bootstrap, p), abs=5e-4)


def test_auc_within_folds_by_hand():
    y, fold = [1, 0, 0, 1, 0, 0], [7, 7, 7, 2, 2, 5]
    # Fold 7: 1 of 2 pairs; fold 2: 1 of 1; fold 5 has no positive.
    assert repeats.within_fold_auc(y, [2, 1, 3, 9, 8, 99], fold) == pytest.approx(0.75)
    assert np.isnan(repeats.within_fold_auc([1, 0], [1, 2], [0, 1]))


def test_auc_within_folds_ignores_what_shifts_a_whole_fold(arms):
    y, a, _ = arms
    fold = np.arange(110) % 10
    shifted = a[0] + 5 * fold
    assert repeats.within_fold_auc(y, shifted, fold) == pytest.approx(repeats.within_fold_auc(y, a[0], fold))
    assert repeats.within_fold_auc(y, a[0], np.zeros(110)) == pytest.approx(roc_auc_score(y, a[0]))
    assert roc_auc_score(y, shifted) < 0.65 < repeats.within_fold_auc(y, shifted, fold)


def test_permutations_keep_each_fold_s_labels_and_are_equally_likely():
    labels, fold = np.array([1, 0, 0, 1, 1, 0]), np.array([0, 1, 0, 1, 0, 1])
    rng = np.random.default_rng(0)
    drawn = [repeats.permutation_within_folds(labels, fold, rng) for _ in range(3600)]
    assert labels.tolist() == [1, 0, 0, 1, 1, 0]  # untouched
    for own in (0, 1):
        assert (np.sort(np.array(drawn)[:, fold == own]) == np.sort(labels[fold == own])).all()
    found = pd.Series([tuple(own.tolist()) for own in drawn]).value_counts()
    assert len(found) == 9 and stats.chisquare(found).pvalue > 0.001  # three ways in each of the two folds
    again = repeats.permutation_within_folds(labels, fold, np.random.default_rng(0))
    assert (again == drawn[0]).all() and again.dtype == labels.dtype
    with pytest.raises(ValueError, match="one length"):
        repeats.permutation_within_folds(labels, fold[:5], rng)
