"""README's table and `figures/results.md`, written from a run's results.json."""

import re

from .. import verdicts
from ..evaluation import FROZEN, split_arm
from ..figures import INPUTS, NAMES


def markdown_table(header: list[str], rows: list[list]) -> str:
    """A Markdown table; numbers with three decimals, `None` and NaN as a dash."""
    lines = [header, ["---"] * len(header), *[map(_cell, row) for row in rows]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _interval(row: dict, low: str = "low", high: str = "high") -> str:
    return f"{row[low]:.3f}{' to ' if row[low] < 0 else '–'}{row[high]:.3f}"


def results_table(results: dict) -> str:
    """Paper against ours, networks on other sequences and simple models: README's table.

    AUCs are means over the repeats, with the mean bounds of their bootstrap intervals.
    """
    roc = results["roc"]
    ours = {}
    for row in roc["summary"]:
        ours[*split_arm(row["arm"]), row["backbone"]] = f"{row['auc']:.3f} ({_interval(row)})"
    backbones = list(dict.fromkeys(backbone for _, sequences, backbone in ours if sequences))
    header = ["sequences", "initialisation", "paper", *(f"ours, `{name}`" for name in backbones)]
    rows = []
    for sequences in dict.fromkeys(sequences for _, sequences, _ in ours if sequences):
        for start, paper in roc["published"].items():
            cells = [ours.get((start, sequences, backbone)) for backbone in backbones]
            paper = "{:.3f} ({:.3f}–{:.3f})".format(*paper) if sequences == "FLAIR" else None
            if paper or any(cells):
                rows.append([INPUTS.get(sequences, sequences), NAMES[start], paper, *cells])
    verdict = f"Glioblastoma arm of the compact network, FLAIR, against the paper: **{_verdict(roc)}**.\n"
    simple = [[f"{arm}, {model}", text] for (arm, sequences, model), text in ours.items() if not sequences]
    parts = [markdown_table(header, rows), verdict]
    if simple:
        parts += ["Simple models in the same folds:\n", markdown_table(["model", "AUC"], simple)]
    if roc["clears_the_bar"]:
        parts.append("Does the compact network, from glioblastoma, clear the bar that the trees set?\n")
        parts.append("".join(f"- {INPUTS.get(own, own)}: **{text}**\n" for own, text in roc["clears_the_bar"].items()))
    return "\n".join(parts)


def _verdict(roc: dict) -> str:
    main = next(row for row in roc["summary"] if [row["arm"], row["backbone"]] == list(roc["main"]))
    if roc["reproduced"] is None and main["repeats"] < verdicts.MIN_REPEATS:
        return verdicts.ONE_REPEAT
    return {True: "reproduced", False: "not reproduced", None: "no verdict, other data"}[roc["reproduced"]]


def claims(results: dict) -> list[list[str]]:
    """The article's claims, what was found, and a verdict that follows from the numbers."""
    roc, heatmaps = results["roc"], results["heatmaps"]
    ours = next(row for row in roc["summary"] if [row["arm"], row["backbone"]] == list(roc["main"]))
    hazard = results["cohort"].get("hazard_ratio")
    rows = []
    if hazard:
        ratio, low, high = hazard
        found = f"hazard ratio against the rest {ratio:.1f} ({low:.1f}–{high:.1f}), unadjusted"
        verdict = "supported" if low > 1 else "contradicted" if high < 1 else "not shown"
        rows.append(["Patients of cluster 2 live markedly shorter", found, verdict])
    rows.append(
        [
            f"A network pretrained on glioblastoma reaches AUC {roc['published']['gbm'][0]:.3f}",
            f"{ours['auc']:.3f} ({_interval(ours)})",
            _verdict(roc),
        ]
    )
    for row in roc["permutations"]:
        if [row["arm"], row["backbone"]] == list(roc["main"]):
            found = f"p {row['p']:.3f} from {row['deals']:.0f} deals of the labels"
            if row["p"] <= row["smallest_p"]:
                found += ", none of which did as well"
            verdict = "supported" if row["p"] < 0.05 else "not shown by the permutations"
            rows.append(["That is more than chance", found, verdict])
    for other in ("scratch", "natural"):
        for frozen in ("", FROZEN):
            for row in roc["frozen_comparisons" if frozen else "comparisons"]:
                first, second = row["comparison"].split(" − ")
                if first.startswith(f"{frozen}gbm, ") and second.startswith(f"{frozen}{other}, "):
                    verdict = verdicts.better(row["low"], row["high"], row["repeats"])
                    found = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), "
                    found += f"DeLong p {row['delong_p']:.2f}"
                    network = frozen + first.removeprefix(f"{frozen}gbm, ")
                    rows.append([f"Glioblastoma is a better start than {NAMES[other]} ({network})", found, verdict])
    texts = {
        "margin − core": "The network responds at the margin",
        "irregularity ρ": "The response rises where the margin is irregular",
    }
    for question, text in texts.items():
        for method, verdict in heatmaps["verdicts"][question].items():
            own = {
                row["network"]: row
                for row in heatmaps["summaries"]
                if (row["question"], row["method"]) == (question, method)
            }
            medians = [
                f"{own[name]['median']:+.2f} ({own[name]['low']:+.2f} to {own[name]['high']:+.2f})"
                for name in ("trained", "trained − random")
            ]
            rows.append([f"{text} ({method})", f"median {medians[0]}; beyond random weights {medians[1]}", verdict])
    return rows


def report(results: dict, readme: str, ablation: list[dict]) -> str:
    """The whole report in Markdown.

    Args:
        results: contents of results.json.
        readme: text of README.md, whose sections on deviations and limitations are repeated.
        ablation: contents of benchmarks/ablation.json.
    """
    synthetic, released = results["cohort"]["synthetic"], results["training"]["released"]
    scores = f"Its scores were read: they are of commit {released}." if released else "Its scores are from training."
    run, roc, heatmaps = results["run"], results["roc"], results["heatmaps"]
    parts = [
        "# Results\n",
        *(
            ["**Synthetic phantom: no patient data. The numbers show that the code works, and nothing else.**\n"]
            * synthetic
        ),
        f"Written by a run of commit {run['commit']}, profile {run['profile']}, torch {run['versions']['torch']}. "
        f"{scores} Every number is in [results.json](results.json), "
        "every score in [predictions.csv](predictions.csv).\n",
        "## The article's claims\n",
        markdown_table(["claim", "found", "verdict"], claims(results)),
        "## Paper against ours\n",
        results_table(results),
        "## Every model\n",
        f"Cross-validation by patient, {run['settings']['folds']} folds. SD: over the repeats. "
        "Intervals: 95 %, means over the repeats' bounds. "
        "Ensemble: AUC of a patient's mean score over the repeats, as if their networks were one.\n",
        _models(roc["summary"]),
        "## Paired comparisons\n",
        "Difference of the AUCs on the same patients; means over the repeats, median of DeLong's p values.\n",
        _comparisons(roc["comparisons"]),
        "## What a start is worth by itself\n",
        "Frozen: the network stays as it starts, and a logistic model reads the features before its last layer. "
        "From scratch: random weights, drawn anew for each repeat.\n",
        _models(roc["frozen"]),
        _comparisons(roc["frozen_comparisons"]),
    ]
    if roc["permutations"]:
        parts += [
            "## More than chance?\n",
            "The whole pipeline on labels dealt out anew.\n",
            markdown_table(
                ["model", "AUC, first repeat", "deals", "their mean", "their SD", "p", "smallest possible p"],
                [
                    [_name(row["arm"], row["backbone"]), row["observed"], f"{row['deals']:.0f}"]
                    + [row[key] for key in ("mean", "sd", "p", "smallest_p")]
                    for row in roc["permutations"]
                ],
            ),
        ]
    parts += [
        "## Probabilities and sensitivity\n",
        "First repeat.\n",
        markdown_table(
            ["model", "Brier score", "sensitivity at specificity 0.9", "95 % interval"],
            [
                [_names(row["model"]), row["Brier score"], row["sensitivity at specificity 0.9"]]
                + [None if row["low"] is None else _interval(row)]
                for row in roc["operating"]
            ],
        ),
        f"Calibration of the network ({_name(*roc['main'])}), in bins of equally many patients:\n",
        markdown_table(
            ["patients", "predicted", "observed", "95 % interval"],
            [[row["patients"], row["predicted"], row["observed"], _interval(row)] for row in roc["calibration"]],
        ),
        "## Institutions\n",
        f"AUC of {_name(*roc['main'])}, first repeat, within each; DeLong's interval where it exists.\n",
        markdown_table(
            ["institution", "patients", "positive", "AUC", "95 % interval"],
            [
                [row["institution"], row["patients"], row["positives"], row["auc"]]
                + [None if row["low"] is None else _interval(row)]
                for row in roc["institutions"]
            ],
        ),
    ]
    if roc["institution_left_out"]:
        parts += [
            "Each institution left out of training in turn, one repeat; "
            "`within` compares patients of the same institution only:\n",
            markdown_table(
                ["model", "random folds, mean", "institution left out", "95 % interval", "within"],
                [
                    [_name(row["arm"], row["backbone"]), row["random folds, mean"], row["institution left out"]]
                    + [_interval(row), row["within"]]
                    for row in roc["institution_left_out"]
                ],
            ),
        ]
    agreement = heatmaps["agreement"]
    parts += [
        "## Attention at the margin\n",
        "One number a patient; the median over the patients. Its 95 % bootstrap interval draws whole folds, whose "
        "patients share a network; Wilcoxon's p is of the folds' medians.\n",
        markdown_table(
            ["question", "method", "network", "patients", "median", "95 % interval", "p"],
            [
                [row["question"], row["method"], row["network"], f"{row['patients']:.0f}", row["median"]]
                + [_interval(row), _p(row["p"])]
                for row in heatmaps["summaries"]
            ],
        ),
        f"Grad-CAM and occlusion of the same network agree with a median ρ of {agreement['median']:.2f} "
        f"({agreement['low']:.2f} to {agreement['high']:.2f}).\n",
        "## What the simple models live on\n",
        "Trees on groups of the image features. "
        "FLAIR patches show FLAIR and shape, but for volume and number of slices.\n",
        markdown_table(
            ["features", "AUC", "95 % interval"],
            [[row["arm"], row["auc"], _interval(row)] for row in results["clusterings"]["features"]],
        ),
    ]
    if against := results["clusterings"].get("against_networks"):
        parts += [
            "The same trees against the compact network from glioblastoma, paired:\n",
            markdown_table(
                ["first − second", "difference", "95 % interval", "p"],
                [[row["comparison"], row["difference"], _interval(row), _p(row["delong_p"])] for row in against],
            ),
        ]
    parts += [
        "## All clusterings\n",
        "Every cluster against the rest by trees on simple image features; p after Holm's correction.\n",
        markdown_table(
            ["cluster", "patients", "positive", "AUC", "95 % interval", "p, corrected"],
            [
                [f"{row['clustering'].removesuffix('Cluster')} {row['cluster']}", row["patients"], row["positives"]]
                + [row["auc"], _interval(row), _p(row["holm"])]
                for row in sorted(results["clusterings"]["rows"], key=lambda row: -row["auc"])
            ],
        ),
    ]
    if ablation and not synthetic:
        parts += [
            "## What each choice of pretraining brought\n",
            f"Compact network, five-fold cross-validation of {ablation[0]['patients']} patients, two seeds "
            "(benchmarks/ablation.py). Not nested, see the deviations.\n",
            markdown_table(
                ["sequence", "variant", "AUC", "each seed"],
                [
                    [row["input"], row["variant"], sum(row["auc"]) / len(row["auc"])]
                    + [", ".join(f"{area:.3f}" for area in row["auc"])]
                    for row in ablation
                ],
            ),
        ]
    # The report lies one folder deeper than README.
    parts += [re.sub(r"\]\((?!\w+:|#)", "](../", section(readme, name)) for name in ("Deviations", "Limitations")]
    return "\n".join(parts)


def _models(rows: list[dict]) -> str:
    """AUCs of `evaluation.over_repeats` as a table."""
    header = ["model", "repeats", "AUC", "SD", "bootstrap", "DeLong", "ensemble"]
    cells = [
        [_name(row["arm"], row["backbone"]), row["repeats"], row["auc"], row["sd"], _interval(row)]
        + [_interval(row, "delong_low", "delong_high"), row["ensemble"]]
        for row in rows
    ]
    return markdown_table(header, cells)


def _comparisons(rows: list[dict]) -> str:
    """Differences of `evaluation.compare_pairs` as a table."""
    header = ["first − second", "repeats", "difference", "95 % interval", "p"]
    cells = [
        [_names(row["comparison"]), row["repeats"], row["difference"], _interval(row), _p(row["delong_p"])]
        for row in rows
    ]
    return markdown_table(header, cells)


def _name(arm: str, backbone: str) -> str:
    start, sequences = split_arm(arm)
    if not sequences:
        return f"{arm}, {backbone}"
    frozen = FROZEN if arm.startswith(FROZEN) else ""
    return f"{frozen}{backbone}, {INPUTS.get(sequences, sequences)}, {NAMES[start]}"


def _names(text: str) -> str:
    """Readable names in "arm, backbone − arm, backbone", or in one of the two alone."""
    pairs = [part.rsplit(", ", 1) for part in text.split(" − ")]
    return " − ".join(_name(*pair) if len(pair) == 2 else pair[0] for pair in pairs)


def section(text: str, name: str) -> str:
    """The section `## name` of a Markdown text, heading included; empty if there is none."""
    found = re.search(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group().rstrip() + "\n" if found else ""
