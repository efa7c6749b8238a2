"""`curves`: what the plots of many analyses show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from radiogen_utils import curves, decisions, figures, multiverse, words


@pytest.fixture(scope="module")
def table():
    """Specifications whose AUC depends on the sequences alone."""
    rng = np.random.default_rng(0)
    drawn = multiverse.draw_specifications(60)
    rows = pd.concat([drawn.assign(number=drawn.index, initialisation=start) for start in curves.STARTS])
    auc = 0.6 + 0.1 * (rows.sequences == "all") + rng.normal(0, 0.01, len(rows))
    return rows.assign(auc=auc, low=auc - 0.1, high=auc + 0.1).reset_index(drop=True)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_the_specification_curve_shows_every_auc_and_where_each_option_lies(table):
    figure = curves.specification_curve(table, {"a study": 0.65})
    assert "240 AUCs" in figure.alt and "a study 0.650" in figure.alt and " to all 0." in figure.alt
    top, strips = figure.axes
    assert np.allclose(top.lines[0].get_ydata(), np.sort(table.auc))
    labels = [tick.get_text() for tick in strips.get_yticklabels()]
    assert len(labels) == len(curves.STARTS) + sum(map(len, multiverse.CHOICES.values()))
    density = [mesh.get_array().ravel() for mesh in strips.collections]
    where = labels.index("FLAIR")
    thirds = density[where][:20].sum(), density[where][-20:].sum()
    assert thirds[0] > 3 * thirds[1]
    start = density[0]
    assert start[:30].sum() == pytest.approx(start[30:].sum(), rel=0.25)
    assert "a study" in [text.get_text() for text in top.texts]


def test_shares_and_explained_variance_are_named_and_placed():
    rows = pd.DataFrame(
        {"initialisation": ["dense", "natural"], "sequences": ["any", "all"], "share": [0.9, 0.4]}
        | {"null_low": 0.3, "null_high": 0.7}
    )
    figure = curves.shares_against_null(rows)
    assert "dense; any sequence, 90% (by chance 30% to 70%). natural images" in figure.alt
    axes = figure.axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["natural images; three sequences", "glioblastoma, dense; any sequence"]
    assert [text.get_text() for text in axes.texts] == ["40%", "90%"]
    alone, equal = {"seed": 0.01, "initialisation": 0.2}, {"seed": 0.3, "initialisation": 0.25}
    figure = curves.explained(alone, equal)
    assert "seed 1%, 30%; initialisation 20%, 25%." in figure.alt
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.01]
    assert axes.collections[0].get_offsets()[:, 0].tolist() == [0.25, 0.3]


def test_decision_curves_are_drawn_with_their_names():
    rng = np.random.default_rng(0)
    y_true, chance = rng.random(60) < 0.3, rng.random(60)
    thresholds = np.linspace(0.05, 0.5, 10)
    found = decisions.decision_curve(y_true, chance, thresholds, n_resamples=20)
    figure = curves.decision_curves({"images": found})
    assert figure.alt.count("everybody") >= 4 and f"at 5%: images {words.number(found.model.iloc[0])}" in figure.alt
    axes = figure.axes[0]
    assert np.array_equal(axes.lines[0].get_ydata(), found.model)
    assert {" images", " nobody", "everybody"} <= {text.get_text() for text in axes.texts}


def test_arms_have_readable_names():
    blank = {"arm": "images", "backbone": "", "sequences": "", "readout": "stacked", "pooling": ""}
    rows = [
        blank,
        blank | {"arm": "age and grade"},
        blank | {"arm": "image features", "backbone": "trees", "readout": "alone"},
        blank | {"arm": "gbm", "sequences": "all", "readout": "discriminant", "pooling": "tumour"},
    ]
    names = [curves.arm_name(row) for row in pd.DataFrame(rows).itertuples()]
    assert names == [
        "images, stacked",
        "age and grade",
        "image features, trees",
        "discriminant, three sequences, tumour",
    ]


def test_arms_stand_below_headings_and_rivals_beside_each_other():
    blank = {"backbone": "", "sequences": "", "pooling": "", "auc": 0.7, "low": 0.6, "high": 0.8}
    arms = [("age", "stacked"), ("images", "stacked"), ("probes", "alone"), ("images and age", "stacked")]
    arms += [("images", "equal weights"), ("images", "not nested")]
    table = pd.DataFrame([blank | {"arm": arm, "readout": readout} for arm, readout in arms])
    rows = curves.arm_rows(table)
    found = [row if isinstance(row, str) else row.label for row in rows]
    assert found == ["ingredients", "probes, ", "images together", "images, stacked", "images, equal weights"] + [
        "with age", "age", "images and age, stacked", "with grade"
    ]  # fmt: skip
    assert [row.label for row in rows if getattr(row, "colour", "") == figures.FOCUS] == ["images, stacked"]


def test_comparisons_are_put_in_words():
    compared = pd.DataFrame({"initialisation": ["dense"], "sequences": ["any"], "share": [0.6351], "p": [0.1]})
    found = curves.in_words(compared, {"share": "won"})
    assert found.to_dict() == {"won": {("glioblastoma, dense", "any sequence"): 0.635}}
