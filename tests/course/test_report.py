"""`report`: tables and verdicts that follow from the numbers."""

import copy
from dataclasses import asdict, replace

import pytest

from radiogen_utils import facts
from radiogen_utils.course import report, tables
from radiogen_utils.facts import Model

GBM, SCRATCH = facts.FIRST_STUDY, Model("scratch")
EVERYTHING = replace(GBM, sequences="all")
TREES = facts.simple("image features", "trees")
EFFICIENTNET = replace(GBM, backbone="efficientnet_lite0"), replace(SCRATCH, backbone="efficientnet_lite0")


def probe(model):
    return replace(model, readout="probe")


def row(model, auc):
    bounds = {"low": auc - 0.1, "high": auc + 0.1, "delong_low": auc - 0.09, "delong_high": auc + 0.09}
    numbers = {"networks": 5.0, "repeats": 2, "auc": auc, "sd": 0.01, "sd_networks": 0.03}
    return asdict(model) | numbers | bounds | {"within_folds": auc + 0.03, "ensemble": auc + 0.02}


def compared(first, second, difference, low, high, repeats=2):
    numbers = {"difference": difference, "low": low, "high": high, "delong_p": 0.2}
    return {"first": asdict(first), "second": asdict(second), "repeats": repeats} | numbers


def hazard(ratio, low, high, p=0.02):
    return {"ratio": ratio, "low": low, "high": high, "proportional_p": p, "patients": 110, "deaths": 32}


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
        "cohort": {
            "synthetic": False,
            "status": "complete",
            "problems": 0,
            "hazard_ratios": {"crude": hazard(4.4, 2.1, 9.0), "adjusted": hazard(2.7, 1.1, 6.7)},
        },
        "patches": {"column": "COCCluster", "positive": 2},
        "training": {"precomputed": None},
        "roc": {
            "article": {
                "gbm": [0.73, 0.605, 0.844],
                "scratch": [0.68, 0.538, 0.811],
                "natural": [0.64, 0.521, 0.763],
            },
            "main": asdict(GBM),
            "summary": [row(SCRATCH, 0.65), row(GBM, 0.66), row(EVERYTHING, 0.75), row(TREES, 0.83)],
            "comparisons": [
                compared(GBM, SCRATCH, 0.01, -0.05, 0.07),
                compared(TREES, GBM, 0.17, 0.02, 0.3),
                compared(TREES, EVERYTHING, 0.08, 0.01, 0.2),
            ],
            "probes": [row(probe(SCRATCH), 0.6), row(probe(GBM), 0.7)],
            "probe_comparisons": [compared(probe(GBM), probe(SCRATCH), 0.1, 0.02, 0.18)],
            "permutations": [
                asdict(GBM)
                | {
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
                    "model": str(GBM),
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
                asdict(GBM)
                | {
                    "random folds, mean": 0.66,
                    "institution left out": 0.6,
                    "low": 0.5,
                    "high": 0.7,
                    "within": 0.61,
                }
            ],
        },
        "heatmaps": {
            "summaries": [
                summary(question, method, network, median)
                for question in questions
                for method in ("Grad-CAM", "occlusion")
                for network, median in networks.items()
            ],
            "agreement": {"patients": 100.0, "median": 0.4, "low": 0.3, "high": 0.5, "p": 0.01},
        },
        "clusterings": {
            "features": [row(facts.simple("shape, FLAIR", "trees"), 0.64)],
            "against_networks": [compared(facts.simple("shape, FLAIR", "trees"), GBM, 0.1, -0.1, 0.3)],
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
    assert "**not reproduced**; 0.070 from the article's 0.730" in text
    assert "each value lies within the other's interval." in text


def test_trees_are_said_to_rank_better_on_the_same_sequences_alone(results):
    text = report.results_table(results)
    network = "compact, {}, glioblastoma MRI | +{} |"
    flair = network.format("FLAIR", "0.170 (+0.020 to +0.300)")
    assert f"| image features | {flair} **not tested**, the two see different sequences |" in text
    everything = network.format("three sequences", "0.080 (+0.010 to +0.200)")
    assert f"| image features | {everything} **supported** |" in text
    assert f"| shape, FLAIR | {network.format('FLAIR', '0.100 (-0.100 to +0.300)')} **undecided** |" in text


def test_values_of_a_single_repeat_are_marked(results):
    assert "0.750 (0.650–0.850)†" not in report.results_table(results)
    for name in ("summary", "comparisons"):
        for entry in results["roc"][name]:
            entry["repeats"] = 1
    text = report.report(results, "", [])
    assert text.count("0.750 (0.650–0.850)† |") == 1  # README's table
    assert "| compact, three sequences, glioblastoma MRI | 1 | 0.750† |" in text
    assert "compact, FLAIR, from scratch | 1 | 0.010† |" in text
    assert "+0.170 (+0.020 to +0.300)† | **not tested**" in text
    assert text.count("† A single repeat") == 2


def claim(results, words):
    """What was found on the one claim that has these words, and the verdict."""
    ((found, verdict),) = [(r["found"], r["verdict"]) for r in report.claims(results) if words in r["claim"]]
    return found, verdict


def verdicts(results):
    return {row["claim"]: row["verdict"] for row in report.claims(results)}


BETTER = "Glioblastoma weights are a better initialisation than random weights ({})".format
SURVIVAL = "Patients of cluster 2 have markedly shorter survival"


def test_verdicts_follow_from_the_numbers(results):
    found = verdicts(results)
    assert found[SURVIVAL] == "supported" and found["That is more than chance"] == "not tested"
    assert found[BETTER("compact")] == "undecided" and found[BETTER("compact, linear probe")] == "supported"
    assert found[f"{report.MARGIN} (occlusion)"] == "supported"
    changed = copy.deepcopy(results)
    changed["roc"]["permutations"][0] |= {"p": 0.01, "smallest_p": 0.005}
    changed["roc"]["comparisons"][0]["low"] = 0.001
    changed["cohort"]["hazard_ratios"]["adjusted"] = hazard(0.5, 0.2, 0.9)
    changed["heatmaps"]["summaries"][2]["low"] = -0.1
    found = verdicts(changed)
    assert found[SURVIVAL] == "contradicted"
    assert found["That is more than chance"] == found[BETTER("compact")] == "supported"
    assert found[f"{report.MARGIN} (Grad-CAM)"] == "undecided"
    changed["roc"]["comparisons"][0] |= {"low": -0.2, "high": -0.01}
    del changed["cohort"]["hazard_ratios"]["adjusted"]
    found = verdicts(changed)
    assert found[BETTER("compact")] == "contradicted" and SURVIVAL not in found
    words = {"supported", "contradicted", "undecided", "not tested", "reproduced", "not reproduced"}
    assert {*found.values(), *verdicts(results).values()} <= words


def test_the_hazard_ratio_is_shown_crude_and_adjusted_with_its_test(results):
    found, verdict = claim(results, SURVIVAL)
    expected = "hazard ratio against the rest 4.4 (2.1–9.0); adjusted for age and grade 2.7 (1.1–6.7)"
    assert (found, verdict) == (expected, "supported")
    assert "changes with time (p = 0.02)" in report.report(results, "", [])
    results["patches"]["positive"] = 3
    assert claim(results, SURVIVAL.replace("2", "3")) == (expected, "supported")


def test_more_than_chance_says_how_many_permutations_there_were(results):
    other = results["roc"]["permutations"][0] | asdict(TREES) | {"p": 0.5}
    results["roc"]["permutations"].append(other)  # of no concern to the claim
    found, answer = claim(results, "That is more than chance")
    assert (
        answer == "not tested"
        and found.startswith("AUC 0.660 in the first shuffle, p 0.090 from 10 permutations")
        and "none of which" in found
    )
    results["roc"]["permutations"][0]["p"] = 0.2
    assert "none of which" not in claim(results, "That is more than chance")[0]


@pytest.mark.parametrize("auc, word", [(0.7, "reproduced"), (0.66, "not reproduced")])
def test_the_reproduction_is_told_in_words(results, auc, word):
    main = next(row for row in results["roc"]["summary"] if row["arm"] == "gbm")
    main |= {"auc": auc, "low": 0.56, "high": 0.76}
    found, answer = claim(results, "reaches AUC 0.730")
    assert answer == word and found == f"{auc:.3f} (0.560–0.760)" and f"**{word}**" in report.results_table(results)


def test_no_verdict_on_one_repeat_or_other_data(results):
    main = next(row for row in results["roc"]["summary"] if row["arm"] == "gbm")
    main["repeats"] = 1
    assert claim(results, "reaches AUC 0.730") == ("0.660 (0.560–0.760)†", "not tested")
    main["repeats"] = 2
    results["cohort"]["status"] = "own"
    assert claim(results, "reaches AUC 0.730")[1] == "not tested"


def test_errata_stand_before_and_after(results):
    assert "Errata" not in report.report(results, "", [])
    roc, old = results["roc"], copy.deepcopy(results["roc"])
    roc["comparisons"].append(compared(*EFFICIENTNET, 0.061, -0.008, 0.125))
    results["training"]["code"] = "0123456789abcdef"
    old["summary"][1]["low"] = 0.55
    old["comparisons"] = [
        compared(GBM, SCRATCH, 0.01, -0.08, 0.08),
        compared(*EFFICIENTNET, 0.061, -0.038, 0.155),
    ]
    old |= {"beats_baseline": {"FLAIR": "no, the trees"}, "reproduced": False}
    old |= {"probe": old["probes"][0], "probe_difference": old["probe_comparisons"][0]}
    heatmaps = {"verdicts": {"occlusion": "shown, but not more"}, "summaries": results["heatmaps"]["summaries"]}
    results["errata"] = {
        "commit": "cbf875991232",
        "before": {"cohort": {"hazard_ratio": [4.4, 2.1, 9.0]}, "roc": old, "heatmaps": heatmaps},
        "probes": {"scratch": [0.68, 0.55, 0.8], "gbm": [0.7, 0.6, 0.8], "difference": [0.02, -0.1, 0.12]},
        "size": {"network": [0.56, 0.4, 0.7], "small area": [0.7, 0.6, 0.8]},
    }
    text = report.report(results, "", [])
    for words in (
        "results of commit cbf8759.",
        "| not shown by the permutations | not tested: so few permutations cannot give less than p = 0.09 |",
        "| 0.660 (0.550–0.760) | 0.660 (0.560–0.760) |",
        "| +0.010 (-0.080 to +0.080), p 0.200 | +0.010 (-0.050 to +0.070), p 0.200 |",
        "| +0.061 (-0.038 to +0.155), p 0.200 | +0.061 (-0.008 to +0.125), p 0.200 |",
        "FLAIR | 0.600 (0.500–0.700) | 0.680 (0.550–0.800) |",
        "| +0.100 (+0.020 to +0.180) | +0.020 (-0.100 to +0.120) |",
        "| no, the trees | not tested, the two see different sequences |",
        "| shown, but not more | supported: ",
        "| not reproduced | not reproduced: 0.070 from",
        "| 4.4 (2.1–9.0) | 4.4 (2.1–9.0), p 0.020 for proportional hazards; adjusted 2.7 (1.1–6.7) |",
        "| not recorded | code 0123456789ab, of commit abc |",
        "(a small area alone: 0.700 (0.600–0.800)) | 0.660 (0.550–0.760) | 0.560 (0.400–0.700) |",
    ):
        assert words in text


def test_without_probes_the_report_has_no_section_on_them(results):
    assert "## Linear probes" in report.report(results, "", [])
    results["roc"]["probes"] = results["roc"]["probe_comparisons"] = []
    assert "robe" not in report.report(results, "", [])


def test_claims_on_the_margin_show_what_was_learnt_beside_what_was_found(results):
    found, _ = claim(results, f"{report.MARGIN} (Grad-CAM)")
    expected = "median +0.30 (+0.20 to +0.40); beyond random weights +0.20 (+0.10 to +0.30)"
    assert found == expected


@pytest.fixture
def later(results):
    """The same run with a second study, a multiverse and stacked models, made up."""
    main, random = facts.SECOND_STUDY, replace(facts.SECOND_STUDY, arm="scratch", pretraining="")
    post = replace(main, sequences="post-contrast")
    size = asdict(main) | {"auc": 0.55, "low": 0.4, "high": 0.7, "repeats": 5, "auc with size": 0.7}
    left_out = results["roc"]["institution_left_out"][0]
    results["second_study"] = {
        "aucs": [row(main, 0.7), row(random, 0.66)],
        "readouts": [row(main, 0.7), row(random, 0.66), row(post, 0.8)],
        "paired": [compared(main, random, 0.04, 0.01, 0.07)],
        "paired_elsewhere": [compared(post, replace(random, sequences="post-contrast"), -0.1, -0.2, -0.01)],
        "permutations": [asdict(main) | {"observed": 0.7, "permutations": 999, "mean": 0.5, "sd": 0.1, "p": 0.002}],
        "calibration_line": {"intercept": [-0.1, -0.5, 0.3], "slope": [0.8, 0.4, 1.2]},
        "variants": [row(replace(main, pooling="tumour"), 0.58)],
        "variants_paired": [
            compared(replace(main, pooling="tumour"), replace(random, pooling="tumour"), -0.1, -0.2, 0.1)
        ],
        "small_area": {"auc": 0.69, "low": 0.55, "high": 0.82},
        "beyond_size": [size | {"verdict": "undecided"}],
        "beyond_mask": [compared(main, replace(random, sequences="mask"), 0.02, -0.1, 0.1)],
        "institution_left_out": [left_out | asdict(main)],
        "power": {"one network": 0.14, "means": 0.4, "order": 0.5, "patients": 1000, "patients, means": 200},
    }
    results["second_study"]["permutations"][0]["smallest_p"] = 0.001
    test = {"share": 0.6, "null_low": 0.35, "null_high": 0.65, "p": 0.1, "holm": 0.2, "verdict": "undecided"}
    results["multiverse"] = {
        "specifications": {"frozen": 1000, "fine-tuned": 60},
        "compared": [{"kind": "frozen", "initialisation": "dense", "sequences": "any", "specifications": 1000} | test],
        "explained": {kind: {"pooling": 0.1, "seed": 0.02} for kind in ("frozen", "fine-tuned")},
        "all else equal": {"pooling": 0.2, "seed": 0.4},
    }
    stacked = {"split": "folds", "arm": "images", "backbone": "", "sequences": "", "readout": "stacked", "pooling": ""}
    results["beyond"] = {
        "arms": [row(main, 0.8) | stacked | {"within_folds": 0.81}],
        "goals": [{"arm": "images", "goal": 0.87, "auc": 0.8, "verdict": "undecided", "why": "within"}],
        "chance": {"images": {"observed": 0.83, "p": 0.02, "verdict": "supported", "why": "p = 0.02"}},
        "differences": [
            {"first": "a", "second": "b", "difference": 0.1, "low": 0.01, "high": 0.2, "delong_p": 0.04}
            | {"verdict": "supported"}
        ],
        "calibration": [{"arm": "images", "measure": "slope", "value": 0.75, "low": 0.5, "high": 1.2}],
    }
    return results


def test_the_erratum_of_the_second_study_shows_what_changed_and_nothing_else(later):
    now = report.second_study_claims(later)
    then = [dict(row) for row in now]
    then[0] |= {"found": "0.750 (0.650–0.850)", "verdict": "reproduced"}
    text = "\n".join(report._probe_erratum({"commit": "fda9d34a1b2c", "claims": then}, now))
    assert "results of commit fda9d34)" in text
    found = "{found}: {verdict}".format_map
    assert f"| {now[0]['claim']} | {found(then[0])} | {found(now[0])} |" in text
    assert all(row["claim"] not in text for row in now[1:])


def test_the_second_study_answers_the_same_claims(later):
    found = {row["claim"]: (row["found"], row["verdict"]) for row in report.second_study_claims(later)}
    assert found == {
        "A network pretrained on glioblastoma reaches AUC 0.730": ("0.700 (0.600–0.800)", "reproduced"),
        "That is more than chance": (
            "AUC 0.700 in the first shuffle, p 0.002 from 999 permutations of the labels",
            "supported",
        ),
        "Glioblastoma weights are a better initialisation than random weights (FLAIR)": (
            "+0.040 (+0.010 to +0.070), DeLong p 0.20, corrected 0.40",
            "supported",
        ),
        "Glioblastoma weights are a better initialisation than random weights (post-contrast, secondary)": (
            "-0.100 (-0.200 to -0.010), DeLong p 0.20, corrected 0.40",
            "contradicted",
        ),
        "It tells something of the label that the tumour's area does not (FLAIR)": (
            "without the area 0.550 (0.400–0.700)",
            "undecided",
        ),
    }


def test_where_networks_differ_the_claim_is_about_both():
    natural = Model("natural", backbone="efficientnet_lite0", readout="probe")
    expected = "The compact network with glioblastoma weights ranks better than efficientnet_lite0 with weights from"
    assert report.better(facts.SECOND_STUDY, natural) == f"{expected} natural images"


def test_the_report_tells_both_studies_and_what_lies_beyond(later):
    text = report.report(later, "", [], "**Reproduced** in one.\n")
    assert text.index("## The answer\n\n**Reproduced** in one.") < text.index(
        "## The article's claims in the first study"
    )
    for part in (
        "## The same claims in the second study",
        "| compact, FLAIR, glioblastoma MRI (dense), linear probe | 5 | 2 | 0.700 | 0.010 | 0.030 | 0.600–0.800 | "
        "0.610–0.790 | 0.730 |",
        "| compact, FLAIR, glioblastoma MRI (dense), linear probe, over the tumour | 5 | 2 | 0.580 |",
        "| intercept | -0.100 | -0.500 to 0.300 |\n| slope | 0.800 | 0.400–1.200 |",
        "A small area alone: AUC 0.690 (0.550–0.820).",
        "| compact, FLAIR, glioblastoma MRI (dense), linear probe | 0.700 | 0.550 (0.400–0.700) | undecided |",
        "| patients for 80 %, one network an arm | 1000 |",
        "1000 frozen and 60 fine-tuned specifications",
        "| frozen | dense | any | 1000 | 0.600 | 0.350–0.650 | 0.200 | undecided |",
        "| seed | 0.020 | 0.400 |\n| pooling | 0.100 | 0.200 |",
        "| images, stacked | – | folds | 0.800 | 0.700–0.900 | 0.710–0.890 | 0.810 |",
        "| images | 0.870 | 0.800 | undecided | within |",
        "| images | 0.830 | 0.020 | supported | p = 0.02 |",
        "| a | b | +0.100 (+0.010 to +0.200) | 0.040 | supported |",
        "| images | slope | 0.750 | 0.500–1.200 |",
    ):
        assert text.count(part) == 1, part


def test_nothing_of_patients_stands_in_the_report_of_a_phantom(later):
    later["cohort"]["synthetic"] = True
    text = report.report(later, "", [])
    assert "second study" not in text and "multiverse" not in text and "Beyond the paper" not in text


@pytest.mark.parametrize(
    "as_much, as_little, word", [(0.02, 1.0, "supported"), (0.3, 0.7, "undecided"), (1.0, 0.02, "contradicted")]
)
def test_networks_of_permuted_labels_decide_by_their_rank_and_one_draw_does_not(results, as_much, as_little, word):
    heatmaps = results["heatmaps"]
    heatmaps["summaries"].append(summary("margin − core", "Grad-CAM", "trained − permuted", -0.3))
    assert claim(results, f"{report.MARGIN} (Grad-CAM)")[1] == "supported"
    row = {"question": "margin − core", "method": "Grad-CAM", "permutations": 40.0, "median": 0.1}
    heatmaps["permutations"] = [row | {"low": -0.2, "high": 0.25, "as_much": as_much, "as_little": as_little}]
    found, answer = claim(results, f"{report.MARGIN} (Grad-CAM)")
    assert found.endswith("; permuted labels -0.20 to +0.25 in 40 draws") and answer == word
    text = f"| margin − core | Grad-CAM | 40 | 0.100 | -0.200 to 0.250 | {as_much:.3f} | {as_little:.3f} |"
    assert report.report(results, "", []).count(text) == 1


def test_numbers_are_written_so_that_they_can_be_read():
    assert [tables.p_value(p) for p in (0.0009, 0.001, 0.01)] == ["<0.001", "0.001", "0.010"]
    assert tables.interval({"low": -0.1, "high": 0.2}) == "-0.100 to 0.200"  # no dash before or after a minus
    assert tables.interval({"low": 0.1, "high": 0.2}) == "0.100–0.200"
    rows = [{"a": None, "b": float("nan")}, {"a": 1, "b": 0.25}]
    assert tables.table(rows, ["a", ("y", lambda row: 2 * row["b"])]).splitlines() == [
        "| a | y |",
        "| --- | --- |",
        "| – | – |",
        "| 1 | 0.500 |",
    ]


def test_every_model_has_both_intervals(results):
    text = report.report(results, "", [])
    row = "| compact, FLAIR, glioblastoma MRI | 2 | 0.660 | 0.010 | 0.560–0.760 | 0.570–0.750 | 0.690 | 0.680 |"
    assert text.count(row) == 1


def test_the_report_holds_everything_once(results):
    method = "# X\n\n## Deviations\n\n1. Ours, [there](../x/y.json), [web](https://a.b).\n\n### Sub\n\nmore\n\n"
    method += "## Limitations\n\n- Few.\n\n## Licence\n"
    ablation = [{"input": "FLAIR", "variant": "from scratch", "auc": [0.6, 0.7], "patients": 99}]
    text = report.report(results, method, ablation)
    for part in (
        "1. Ours, [there](../x/y.json), [web](https://a.b).",
        "### Sub",
        "- Few.",
        "| FLAIR | from scratch | 0.650 | 0.600, 0.700 |",
        "| compact, FLAIR, glioblastoma MRI, linear probe | 2 | 0.700 |",
        "| compact, FLAIR, glioblastoma MRI, linear probe − compact, FLAIR, from scratch, linear probe | 2 | 0.100 |",
        "commit abc",
    ):
        assert text.count(part) == 1
    assert "## Licence" not in text and "phantom" not in text and "None" not in text and "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("| RNASeq 1")]
    assert [line.split(" | ")[3] for line in rows] == ["0.800", "0.700"]  # the best first
    widths = [len(line.split(" | ")) for line in text.splitlines() if line.startswith("| ")]
    assert min(widths) >= 2
    results["cohort"]["synthetic"], results["training"]["precomputed"] = True, "def"
    text = report.report(results, method, ablation)
    assert "Synthetic phantom" in text and "from scratch | 0.650" not in text and "precomputed, by commit def" in text
