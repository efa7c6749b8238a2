"""`report`: tables and verdicts that follow from the numbers."""

import copy

import pytest

from radiogen_utils.course import report


def row(arm, backbone, auc):
    bounds = {"low": auc - 0.1, "high": auc + 0.1, "delong_low": auc - 0.09, "delong_high": auc + 0.09}
    return {"arm": arm, "backbone": backbone, "repeats": 2, "auc": auc, "sd": 0.01, **bounds, "ensemble": auc + 0.02}


def summary(question, method, network, median):
    numbers = {"patients": 100.0, "median": median, "low": median - 0.1, "high": median + 0.1, "p": 0.01}
    return {"question": question, "method": method, "network": network, **numbers}


@pytest.fixture
def results():
    """A small run, made up."""
    questions = ("margin − core", "irregularity ρ")
    networks = {"trained": 0.3, "random weights": 0.1, "trained − random": 0.2}
    cluster = {"clustering": "RNASeqCluster", "cluster": 1, "patients": 90, "positives": 20, "p": 0.001, "holm": 0.02}
    return {
        "run": {"commit": "abc", "profile": "paper", "versions": {"torch": "2"}, "settings": {"folds": 10}},
        "cohort": {"synthetic": False, "hazard_ratio": [5.0, 2.0, 9.0]},
        "training": {"precomputed": None},
        "roc": {
            "article": {
                "gbm": [0.73, 0.605, 0.844],
                "scratch": [0.68, 0.538, 0.811],
                "natural": [0.64, 0.521, 0.763],
            },
            "main": ["gbm", "compact"],
            "reproduced": False,
            "beats_baseline": {"FLAIR": "no, the trees rank the patients better"},
            "summary": [
                row("scratch", "compact", 0.65),
                row("gbm", "compact", 0.66),
                row("gbm-pre-contrast+FLAIR+post-contrast", "compact", 0.75),
                row("image features", "trees", 0.83),
            ],
            "comparisons": [
                {
                    "comparison": "gbm, compact − scratch, compact",
                    "repeats": 2,
                    "difference": 0.01,
                    "low": -0.05,
                    "high": 0.07,
                    "delong_p": 0.7,
                }
            ],
            "frozen": [row("frozen scratch", "compact", 0.6), row("frozen gbm", "compact", 0.7)],
            "frozen_comparisons": [
                {
                    "comparison": "frozen gbm, compact − frozen scratch, compact",
                    "repeats": 2,
                    "difference": 0.1,
                    "low": 0.02,
                    "high": 0.18,
                    "delong_p": 0.03,
                }
            ],
            "permutations": [
                {
                    "arm": "gbm",
                    "backbone": "compact",
                    "observed": 0.66,
                    "permutations": 10.0,
                    "mean": 0.5,
                    "sd": 0.07,
                    "p": 0.09,
                    "smallest_p": 0.09,
                }
            ],
            "operating": [
                {
                    "model": "gbm, compact",
                    "Brier score": 0.17,
                    "sensitivity at specificity 0.9": 0.3,
                    "low": 0.1,
                    "high": 0.5,
                },
                {
                    "model": "always the share",
                    "Brier score": 0.17,
                    "sensitivity at specificity 0.9": None,
                    "low": None,
                    "high": None,
                },
            ],
            "calibration": [{"patients": 22, "predicted": 0.1, "observed": 0.2, "low": 0.1, "high": 0.4}],
            "institutions": [
                {"institution": "CS", "patients": 9, "positives": 1, "auc": None, "low": None, "high": None}
            ],
            "institution_left_out": [
                {
                    "arm": "gbm",
                    "backbone": "compact",
                    "random folds, mean": 0.66,
                    "institution left out": 0.6,
                    "low": 0.5,
                    "high": 0.7,
                    "within": 0.61,
                }
            ],
        },
        "heatmaps": {
            "verdicts": {question: {"Grad-CAM": "supported", "occlusion": "not supported"} for question in questions},
            "summaries": [
                summary(question, method, network, median)
                for question in questions
                for method in ("Grad-CAM", "occlusion")
                for network, median in networks.items()
            ],
            "agreement": {"patients": 100.0, "median": 0.4, "low": 0.3, "high": 0.5, "p": 0.01},
        },
        "clusterings": {
            "features": [row("shape, FLAIR", "trees", 0.64)],
            "against_networks": [
                {"comparison": "trees on shape − network", "difference": 0.1, "low": -0.1, "high": 0.3, "delong_p": 0.2}
            ],
            "rows": [cluster | {"auc": 0.7, "low": 0.6, "high": 0.8}, cluster | {"auc": 0.8, "low": 0.7, "high": 0.9}],
        },
    }


def test_paper_against_ours(results):
    text = report.results_table(results)
    assert "| FLAIR | glioblastoma MRI | 0.730 (0.605–0.844) | 0.660 (0.560–0.760) |" in text
    assert "| FLAIR | natural images | 0.640 (0.521–0.763) | – |" in text
    assert "| three sequences | glioblastoma MRI | – | 0.750 (0.650–0.850) |" in text
    assert "| three sequences | natural images" not in text
    assert "| image features, trees | 0.830 (0.730–0.930) |" in text
    assert "**not reproduced**" in text and "- FLAIR: **no, the trees rank the patients better**" in text


def claim(results, words):
    """What was found on the one claim that has these words, and the verdict."""
    ((found, verdict),) = [(r["found"], r["verdict"]) for r in report.claims(results) if words in r["claim"]]
    return found, verdict


def verdicts(results):
    return {row["claim"]: row["verdict"] for row in report.claims(results)}


def test_verdicts_follow_from_the_numbers(results):
    found = verdicts(results)
    better = "Glioblastoma weights are a better initialisation than random weights (compact)"
    assert found["Patients of cluster 2 have markedly shorter survival"] == "supported"
    assert found["That is more than chance"] == "not shown by the permutations" and found[better] == "not decided"
    assert found["The network responds at the margin (occlusion)"] == "not supported"
    assert found["Glioblastoma weights are a better initialisation than random weights (frozen compact)"] == "supported"
    changed = copy.deepcopy(results)
    changed["roc"]["permutations"][0]["p"] = 0.01
    changed["roc"]["comparisons"][0]["low"] = 0.001
    changed["cohort"]["hazard_ratio"] = [0.5, 0.2, 0.9]
    found = verdicts(changed)
    assert found["Patients of cluster 2 have markedly shorter survival"] == "contradicted"
    assert found["That is more than chance"] == found[better] == "supported"
    changed["roc"]["comparisons"][0] |= {"low": -0.2, "high": -0.01}
    del changed["cohort"]["hazard_ratio"]
    found = verdicts(changed)
    assert found[better] == "contradicted" and "Patients of cluster 2 have markedly shorter survival" not in found


@pytest.mark.parametrize(
    "interval, verdict",
    [
        ([1.01, 3], "supported"),
        ([1, 3], "not shown"),
        ([0.9, 3], "not shown"),
        ([0.2, 1], "not shown"),
        ([0.2, 0.99], "contradicted"),
    ],
)
def test_the_hazard_ratio_decides_by_its_whole_interval(results, interval, verdict):
    results["cohort"]["hazard_ratio"] = [1.5, *interval]
    assert verdicts(results)["Patients of cluster 2 have markedly shorter survival"] == verdict


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (0.001, 0.1, "supported"),
        (0, 0.1, "not decided"),
        (-0.1, 0.2, "not decided"),
        (-0.1, 0, "not decided"),
        (-0.1, -0.001, "contradicted"),
    ],
)
def test_a_better_initialisation_is_decided_by_the_whole_interval(results, low, high, verdict):
    for comparisons in ("comparisons", "frozen_comparisons"):
        results["roc"][comparisons][0] |= {"low": low, "high": high}
    natural = {"comparison": "gbm, compact − natural, compact", "low": -0.1, "high": 0.1}
    results["roc"]["comparisons"].append(results["roc"]["comparisons"][0] | natural)
    assert (
        verdicts(results)["Glioblastoma weights are a better initialisation than weights from natural images (compact)"]
        == "not decided"
    )
    for network in ("compact", "frozen compact"):
        assert (
            verdicts(results)[f"Glioblastoma weights are a better initialisation than random weights ({network})"]
            == verdict
        )


@pytest.mark.parametrize(
    "p, smallest, verdict, addition",
    [
        (0.049, 0.01, "supported", False),
        (0.05, 0.01, "not shown by the permutations", False),
        (0.05, 0.05, "not shown by the permutations", True),
        (0.01, 0.01, "supported", True),
    ],
)
def test_more_than_chance_is_below_one_in_twenty(results, p, smallest, verdict, addition):
    results["roc"]["permutations"][0] |= {"p": p, "smallest_p": smallest}
    other = results["roc"]["permutations"][0] | {"arm": "image features", "backbone": "trees", "p": 0.5}
    results["roc"]["permutations"].append(other)  # of no concern to the claim
    found, answer = claim(results, "That is more than chance")
    assert answer == verdict and ("none of which" in found) == addition and f"p {p:.3f} from 10 permutations" in found


@pytest.mark.parametrize(
    "reproduced, words", [(True, "reproduced"), (False, "not reproduced"), (None, "no verdict, other data")]
)
def test_the_reproduction_is_told_in_words(results, reproduced, words):
    results["roc"]["reproduced"] = reproduced
    found, answer = claim(results, "reaches AUC 0.730")
    assert answer == words and found == "0.660 (0.560–0.760)" and f"**{words}**" in report.results_table(results)


def test_one_repeat_gets_no_verdict_on_the_reproduction(results):
    next(row for row in results["roc"]["summary"] if row["arm"] == "gbm")["repeats"] = 1
    results["roc"]["reproduced"] = None
    _, answer = claim(results, "reaches AUC 0.730")
    assert answer == "no verdict on one repeat"


def test_claims_on_the_margin_show_what_was_learnt_beside_what_was_found(results):
    found, _ = claim(results, "The network responds at the margin (Grad-CAM)")
    expected = "median +0.30 (+0.20 to +0.40); beyond random weights +0.20 (+0.10 to +0.30)"
    assert found == expected


def test_numbers_are_written_so_that_they_can_be_read():
    assert [report._p(p) for p in (0.0009, 0.001, 0.01)] == ["<0.001", "0.001", "0.010"]
    assert report._interval({"low": -0.1, "high": 0.2}) == "-0.100 to 0.200"  # no dash before or after a minus
    assert report._interval({"low": 0.1, "high": 0.2}) == "0.100–0.200"
    rows = [{"a": None, "b": float("nan")}, {"a": 1, "b": 0.25}]
    assert report.table(rows, ["a", ("y", lambda row: 2 * row["b"])]).splitlines() == [
        "| a | y |",
        "| --- | --- |",
        "| – | – |",
        "| 1 | 0.500 |",
    ]


def test_every_model_has_both_intervals(results):
    text = report.report(results, "", [])
    row = "| compact, FLAIR, glioblastoma MRI | 2 | 0.660 | 0.010 | 0.560–0.760 | 0.570–0.750 | 0.680 |"
    assert text.count(row) == 1


def test_the_report_holds_everything_once(results):
    readme = "# X\n\n## Deviations\n\n1. Ours, [there](x/y.json), [web](https://a.b).\n\n### Sub\n\nmore\n\n"
    readme += "## Limitations\n\n- Few.\n\n## Licence\n"
    ablation = [{"input": "FLAIR", "variant": "from scratch", "auc": [0.6, 0.7], "patients": 99}]
    text = report.report(results, readme, ablation)
    for part in (
        "1. Ours, [there](../x/y.json), [web](https://a.b).",
        "### Sub",
        "- Few.",
        "| FLAIR | from scratch | 0.650 | 0.600, 0.700 |",
        "| frozen compact, FLAIR, glioblastoma MRI | 2 | 0.700 |",
        "| frozen compact, FLAIR, glioblastoma MRI − frozen compact, FLAIR, from scratch | 2 | 0.100 |",
        "commit abc",
    ):
        assert text.count(part) == 1
    assert "## Licence" not in text and "phantom" not in text and "None" not in text and "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("| RNASeq 1")]
    assert [line.split(" | ")[3] for line in rows] == ["0.800", "0.700"]  # the best first
    widths = [len(line.split(" | ")) for line in text.splitlines() if line.startswith("| ")]
    assert min(widths) >= 2
    results["cohort"]["synthetic"], results["training"]["precomputed"] = True, "def"
    text = report.report(results, readme, ablation)
    assert "Synthetic phantom" in text and "from scratch | 0.650" not in text and "precomputed, by commit def" in text
