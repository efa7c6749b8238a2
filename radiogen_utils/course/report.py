"""README's table and `figures/results.md`, written from a run's results.json."""

import re
from collections.abc import Iterable, Iterator

from .. import verdicts
from ..facts import INPUTS, NAMES, READOUTS, Model
from . import tables
from .report_beyond import better, beyond, chance_claim, claim_rows, multiverse, second_study, second_study_claims

MARGIN = "The network responds at the margin, more than networks that learnt nothing of the label"


def results_table(results: dict) -> str:
    """Paper against ours, networks on other sequences and simple models: README's table.

    AUCs are means over the repeats, with their bootstrap intervals.
    """
    roc = results["roc"]
    ours = {Model.of(row): tables.with_interval(row) for row in roc["summary"]}
    networks = {(model.sequences, model.arm, model.backbone): ours[model] for model in ours if model.is_network}
    backbones = dict.fromkeys(backbone for _, _, backbone in networks)
    rows = []
    for sequences in dict.fromkeys(sequences for sequences, _, _ in networks):
        for initialisation, paper in roc["article"].items():
            row = {f"ours, `{name}`": networks.get((sequences, initialisation, name)) for name in backbones}
            paper = "{:.3f} ({:.3f}–{:.3f})".format(*paper) if sequences == "FLAIR" else None
            if paper or any(row.values()):
                inputs = INPUTS.get(sequences, sequences)
                rows.append({"sequences": inputs, "initialisation": NAMES[initialisation], "paper": paper} | row)
    verdict = _reproduction(results)
    text = f"Glioblastoma arm of the compact network, FLAIR, against the paper: **{verdict.word}**; {verdict.why}.\n"
    parts = [tables.table(rows, rows[0]), tables.FOOTNOTE, text]
    if simple := [{"model": model, "AUC": text} for model, text in ours.items() if not model.is_network]:
        parts += ["Simple models in the same folds:\n", tables.table(simple, simple[0])]
    if trees := list(_trees(results)):
        parts.append("Do trees on image features rank the patients better than the network of the second column?\n")
        parts.append(tables.table(trees, trees[0]))
    return "\n".join(parts)


def _trees(results: dict) -> Iterator[dict]:
    """Trees against the compact network pretrained on glioblastoma; only on the same sequences is that a test."""
    rows = [(row, True) for row in results["clusterings"].get("against_networks", ())]
    for row in results["roc"]["comparisons"]:
        first, second = tables.pair(row)
        if (first.arm, first.backbone) == ("image features", "trees"):
            rows.append((row, second.sequences == "all"))
    for row, same in rows:
        first, second = tables.pair(row)
        verdict = verdicts.higher_auc(row["low"], row["high"], row["repeats"], same)
        difference = tables.marked(f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})", row)
        yield {"trees on": first.arm, "network": second, "difference": difference} | {
            "verdict": f"**{verdict.word}**" + ("" if same else f", {verdict.why}")
        }


def _main(roc: dict) -> dict:
    return next(row for row in roc["summary"] if Model.of(row) == Model(**roc["main"]))


def _reproduction(results: dict) -> verdicts.Verdict:
    main = _main(results["roc"])
    published = verdicts.published_task(results["cohort"], results["patches"])
    return verdicts.reproduction(main["auc"], main["low"], main["high"], main["repeats"], published)


def claims(results: dict) -> list[dict]:
    """The article's claims: `claim`, what was `found`, a `verdict` that follows from the numbers, and `why`."""
    roc = results["roc"]
    rows = [*_survival_claim(results["cohort"], results["patches"]["positive"])]
    claim = f"A network pretrained on glioblastoma reaches AUC {roc['article']['gbm'][0]:.3f}"
    rows.append((claim, tables.with_interval(_main(roc)), _reproduction(results)))
    rows += chance_claim(roc["permutations"], Model(**roc["main"]))
    heatmaps = results["heatmaps"]
    rows += [*_initialisation_claims(roc), *_margin_claims(heatmaps["summaries"], heatmaps.get("permutations", ()))]
    return claim_rows(rows)


def _survival_claim(cohort: dict, cluster: int):
    ratios = cohort.get("hazard_ratios") or {}
    if ratios.get("crude") and ratios.get("adjusted"):
        crude, adjusted = ratios["crude"], ratios["adjusted"]
        text = ["{ratio:.1f} ({low:.1f}–{high:.1f})".format(**own) for own in (crude, adjusted)]
        found = f"hazard ratio against the rest {text[0]}; adjusted for age and grade {text[1]}"
        intervals = [(own["low"], own["high"]) for own in (crude, adjusted)]
        verdict = verdicts.shorter_survival(*intervals, crude["proportional_p"])
        yield f"Patients of cluster {cluster} have markedly shorter survival", found, verdict


def _initialisation_claims(roc: dict):
    for other in ("scratch", "natural"):
        for row in roc["comparisons"] + roc["probe_comparisons"]:
            first, second = tables.pair(row)
            pair = (first.arm, second.arm) == ("gbm", other) and first.sequences == second.sequences == "FLAIR"
            if pair and first.readout == second.readout:
                network = ", ".join(filter(None, (first.backbone, READOUTS[first.readout])))
                claim = f"{better(first, second)} ({network})"
                found = f"{tables.signed(row, 'difference', 3)}, DeLong p {row['delong_p']:.2f}"
                verdict = verdicts.higher_auc(row["low"], row["high"], row["repeats"])
                yield claim, tables.marked(found, row), verdict


def _margin_claims(rows: list[dict], permutations: Iterable[dict] = ()):
    summaries = {(row["question"], row["method"], row["network"]): row for row in rows}
    permuted = {(row["question"], row["method"]): row for row in permutations}
    for question, text in (
        ("margin − core", MARGIN),
        ("irregularity ρ", "The response rises where the margin is irregular, more than without learning the label"),
    ):
        for method in dict.fromkeys(method for _, method, _ in summaries):
            trained = summaries[question, method, "trained"]
            less = summaries[question, method, "trained − random"]
            found = f"median {tables.signed(trained, 'median', 2)}; "
            found += f"beyond random weights {tables.signed(less, 'median', 2)}"
            ranks = None
            if row := permuted.get((question, method)):
                found += f"; permuted labels {row['low']:+.2f} to {row['high']:+.2f} in {row['permutations']:.0f} draws"
                ranks = row["as_much"], row["as_little"]
            beyond = {"random weights": (less["low"], less["high"])}
            verdict = verdicts.at_the_margin((trained["low"], trained["high"]), beyond, ranks)
            yield f"{text} ({method})", found, verdict


def report(results: dict, method: str, ablation: list[dict], answer: str = "") -> str:
    """The whole report in Markdown.

    Args:
        results: contents of results.json; what some notebooks have not left there is left out.
        method: text of docs/method.md, whose sections on deviations and limitations are repeated.
        ablation: contents of benchmarks/ablation.json.
        answer: of both studies (`publishing.answer`).
    """
    real = not results["cohort"]["synthetic"]
    heatmaps = results["heatmaps"]
    later = results.get("second_study") if real else None  # which is of the published cohort, whatever the run is of
    claimed = second_study_claims(results) if later else []
    if later and verdicts.published_task(results["cohort"], results["patches"]):
        claimed += claim_rows(_margin_claims(heatmaps.get("probes", ()), heatmaps.get("permutations", ())))
    columns = ("claim", "found", "verdict", "why")
    parts = [
        *_head(results),
        *(["## The answer\n", answer] if answer else []),
        "## The article's claims in the first study\n",
        tables.table(claims(results), columns),
        *(["## The same claims in the second study\n", tables.table(claimed, columns)] if later else []),
        *_errata(results),
        "## The first study against the paper\n",
        results_table(results),
        *_models(results),
        *_chance(results["roc"]["permutations"]),
        *_single_scores(results["roc"]),
        *_institutions(results["roc"]),
        *_margin(results["heatmaps"]),
        *_simple_models(results["clusterings"]),
        *(second_study(later) if later else []),
        *(multiverse(results.get("multiverse")) if real else []),
        *(beyond(results.get("beyond")) if real else []),
        *(_ablation(ablation) if real else []),
    ]
    parts += [section(method, name) for name in ("Deviations", "Limitations")]
    return "\n".join(parts)


def _errata(results: dict):
    """What was mended in the analysis after these scores were published: before and after."""
    if not (errata := results.get("errata")):
        return
    roc, before = results["roc"], errata["before"]
    yield "## Errata of the first study\n"
    yield (
        f"Found on review of the results of commit {errata['commit'][:7]}. The analysis was mended, the scores are the "
        "same (benchmarks/errata.py).\n"
    )
    found = {row["claim"]: f"{row['verdict']}: {row['why']}" for row in claims(results)}
    auc, compared = ("{:.3f} ({:.3f}–{:.3f})".format, "{:+.3f} ({:+.3f} to {:+.3f})".format)

    def main(roc: dict) -> str:
        return auc(*(_main(roc)[name] for name in ("auc", "low", "high")))

    def pair(rows: list[dict], models: tuple[Model, Model]) -> str:
        row = next(row for row in rows if tables.pair(row) == models)
        return f"{compared(row['difference'], row['low'], row['high'])}, p {row['delong_p']:.3f}"

    def control(heatmaps: dict) -> str:
        names = {"question": "margin − core", "method": "Grad-CAM", "network": "random weights"}
        return next(f"{row['median']:.2f}" for row in heatmaps["summaries"] if names.items() <= row.items())

    rows = [
        (
            "19 permutations cannot give p < 0.05, so more than chance was not tested",
            "not shown by the permutations",
            found["That is more than chance"],
        ),
        (
            "Means of the repeats' bounds are no interval of their mean: AUC of the network",
            main(before["roc"]),
            main(roc),
        ),
    ]
    for row in before["roc"]["comparisons"]:
        text = f"The same, and medians of p are no test: {tables.difference(row)}"
        rows.append((text, *(pair(own["comparisons"], tables.pair(row)) for own in (before["roc"], roc))))
    frozen, lead = before["roc"]["probe"], before["roc"]["probe_difference"]
    mutual = found[next(claim for claim in found if "reaches AUC" in claim)]
    trees = next(row["verdict"] for row in _trees(results) if "not tested" in row["verdict"]).replace("**", "")
    margin = (MARGIN + " ({})").format
    single = sum(row["repeats"] < verdicts.MIN_REPEATS for row in roc["summary"] + roc["probes"])
    ratios = results["cohort"]["hazard_ratios"]
    ratio = "{ratio:.1f} ({low:.1f}–{high:.1f})".format
    rows += [
        (
            "Random weights were a control with normalisation statistics 0 and 1 instead of the training patients': "
            "their linear probe, FLAIR",
            auc(frozen["auc"], frozen["low"], frozen["high"]),
            auc(*errata["probes"]["scratch"]),
        ),
        (
            "The same: glioblastoma's lead over them",
            compared(lead["difference"], lead["low"], lead["high"]),
            compared(*errata["probes"]["difference"]),
        ),
        (
            "The same in heatmaps: their Grad-CAM, margin − core",
            control(before["heatmaps"]),
            control(results["heatmaps"]),
        ),
        (
            "Nothing said whether the network measures size: its AUC with the tumour's area taken out by rank "
            f"(a small area alone: {auc(*errata['size']['small area'])})",
            main(before["roc"]),
            auc(*errata["size"]["network"]),
        ),
        (
            "Trees on three sequences were compared with a network on FLAIR",
            before["roc"]["beats_baseline"]["FLAIR"],
            trees,
        ),
        *(
            (f"An interval that spans zero decides nothing: {method}", text, found[margin(method)])
            for method, text in before["heatmaps"]["verdicts"].items()
        ),
        (
            "The margin of 0.05 says nothing about the intervals",
            "reproduced" if before["roc"]["reproduced"] else "not reproduced",
            mutual,
        ),
        (
            "Hazards are not proportional, and age and grade were not adjusted for",
            "{:.1f} ({:.1f}–{:.1f})".format(*before["cohort"]["hazard_ratio"]),
            f"{ratio(**ratios['crude'])}, p {ratios['crude']['proportional_p']:.3f} for proportional hazards; adjusted "
            f"{ratio(**ratios['adjusted'])}",
        ),
        ("AUCs of a single repeat were not marked", "none marked", f"{single} marked {tables.SINGLE}"),
        (
            "Precomputed scores were matched by patches, settings and data, not by code",
            "not recorded",
            f"code {results['training']['code'][:12]}, of commit {results['run']['commit'][:7]}",
        ),
        (
            "Labels of the Decathlon's volumes were subsampled, images averaged; the weights here are from slices that "
            "do not pass through that reader",
            "half a pixel off",
            "majority of each 2×2 block",
        ),
    ]
    columns = ("erratum", "before", "after")
    yield tables.table([dict(zip(columns, row, strict=True)) for row in rows], columns)
    if later := errata.get("second study"):
        yield from _probe_erratum(later, second_study_claims(results))


def _probe_erratum(before: dict, now: list[dict]):
    """The second study's claims before and after its probes were fitted to convergence."""
    yield "## Erratum of the second study\n"
    yield (
        "Its linear probes were first read out by scikit-learn's solver at its default tolerance (results of commit "
        f"{before['commit'][:7]}). There it has not converged, and where two penalties rank the inner folds nearly "
        "alike, it takes another one than at convergence. Those at 80 pixels are now fitted to convergence, as those "
        "of the permuted labels were all along; features, folds and networks are the same. Claims of which a number "
        "changed:\n"
    )
    text = "{found}: {verdict}".format_map
    rows = [
        {"claim": then["claim"], "before": text(then), "after": text(own)}
        for then, own in zip(before["claims"], now, strict=True)
        if (then["found"], then["verdict"]) != (own["found"], own["verdict"])
    ]
    yield tables.table(rows, ("claim", "before", "after"))


def _head(results: dict):
    yield "# Results\n"
    if results["cohort"]["synthetic"]:
        yield "**Synthetic phantom: no patient data. The numbers show that the code works, and nothing else.**\n"
    run, precomputed = results["run"], results["training"]["precomputed"]
    scores = f"precomputed, by commit {precomputed}" if precomputed else "from training in this run"
    yield (
        f"Written by a run of commit {run['commit']}, profile {run['profile']}, torch {run['versions']['torch']}. The "
        f"first study's scores are {scores}; every one is in [predictions.csv](predictions.csv). Numbers are in "
        "[results.json](results.json).\n"
    )
    if "errata" in results:
        yield "Their analysis was mended afterwards; see the errata below.\n"


def _models(results: dict):
    roc = results["roc"]
    yield "## Every model\n"
    yield (
        f"Cross-validation by patient, {results['run']['settings']['folds']} folds. SD: over the repeats. Intervals: "
        "95 %, of the mean over the repeats. Ensemble: AUC of a patient's mean score over the repeats, as if their "
        "networks were one.\n"
    )
    yield tables.table(roc["summary"], tables.MODELS)
    yield tables.FOOTNOTE
    yield tables.WITHIN_FOLDS
    yield (
        "Grade is histology, known only after the operation: models that use it are no rivals of an image. Institution "
        "alone is a check. Folds are stratified by the label, so an institution with many positives in a fold has few "
        "to train on, which by itself keeps that AUC below one half.\n"
    )
    yield "## Paired comparisons\n"
    yield (
        "Difference of the AUCs, means over the repeats, on the same patients. Interval: bootstrap, each resample of "
        "the patients applied to all repeats at once. p: DeLong's test, its placements averaged over the repeats.\n"
    )
    yield tables.table(roc["comparisons"], tables.COMPARISONS)
    if roc["probes"]:
        yield "## Linear probes of the initialisations\n"
        yield (
            "The network keeps its initial weights, and a logistic model reads the features before its last layer. "
            "Batch normalisation has the statistics of the training patients. From scratch: as many random networks "
            "as repeats.\n"
        )
        yield tables.table(roc["probes"], tables.MODELS)
        yield tables.table(roc["probe_comparisons"], tables.COMPARISONS)


def _chance(permutations: list[dict]):
    if permutations:
        yield "## More than chance?\n"
        yield "The whole pipeline on permuted labels.\n"
        columns = [
            tables.MODEL,
            ("AUC, first repeat", "observed"),
            tables.count("permutations"),
            ("mean AUC of these", "mean"),
        ]
        yield tables.table(permutations, [*columns, ("SD", "sd"), "p", ("smallest possible p", "smallest_p")])


def _single_scores(roc: dict):
    yield "## Probabilities and sensitivity\n"
    yield "First repeat.\n"
    yield tables.table(roc["operating"], ["model", "Brier score", "sensitivity at specificity 0.9", tables.INTERVAL])
    yield f"Calibration of the network ({Model(**roc['main'])}), in bins of equally many patients:\n"
    yield tables.table(roc["calibration"], ["patients", "predicted", "observed", tables.INTERVAL])
    if line := roc.get("calibration_line"):
        yield tables.calibration_line(line)


def _institutions(roc: dict):
    yield "## Institutions\n"
    yield f"AUC of {Model(**roc['main'])}, first repeat, within each; DeLong's interval where it exists.\n"
    yield tables.table(
        roc["institutions"], ["institution", "patients", ("positive", "positives"), ("AUC", "auc"), tables.INTERVAL]
    )
    if roc["institution_left_out"]:
        yield "Leave-one-institution-out, one repeat; `within` compares patients of the same institution only:\n"
        columns = [tables.MODEL, "random folds, mean", "institution left out", tables.INTERVAL, "within"]
        yield tables.table(roc["institution_left_out"], columns)


def _margin(heatmaps: dict):
    yield "## Attention at the margin\n"
    yield (
        "One number a patient; the median over the patients. Its 95 % bootstrap interval draws whole folds, whose "
        "patients share a network; Wilcoxon's p is of the folds' medians.\n"
    )
    p = ("p", lambda row: tables.p_value(row["p"]))
    columns = ["question", "method", "network", tables.count("patients"), "median", tables.INTERVAL, p]
    yield tables.table(heatmaps["summaries"], columns)
    if rows := heatmaps.get("permutations"):
        yield (
            "The same medians of networks that learnt from permuted labels, a permutation each; one-sided p values "
            "that they are as high as the trained networks', and as low:\n"
        )
        spread = ("middle 95 %", tables.interval)
        ranks = [(f"p, {name}", "as_" + key) for name, key in (("as high", "much"), ("as low", "little"))]
        yield tables.table(rows, ["question", "method", tables.count("permutations"), "median", spread, *ranks])
    if rows := heatmaps.get("probes"):
        yield "The second study's probes on FLAIR, by what in their maps speaks for the class:\n"
        yield tables.table(rows, columns)
    row = heatmaps["agreement"]
    yield (
        f"Grad-CAM and occlusion of the same network agree with a median ρ of {row['median']:.2f} "
        f"({row['low']:.2f} to {row['high']:.2f}).\n"
    )


def _simple_models(clusterings: dict):
    yield "## What the simple models rely on\n"
    yield (
        "Trees on groups of the image features. FLAIR patches show FLAIR and shape, but for volume and number of "
        "slices.\n"
    )
    yield tables.table(clusterings["features"], [("features", "arm"), ("AUC", "auc"), tables.INTERVAL])
    if against := clusterings.get("against_networks"):
        yield "The same trees against the compact network pretrained on glioblastoma, paired:\n"
        yield tables.table(against, tables.COMPARISONS)
    yield "## All clusterings\n"
    yield "Every cluster against the rest by trees on simple image features; p after Holm's correction.\n"
    cluster = ("cluster", lambda row: f"{row['clustering'].removesuffix('Cluster')} {row['cluster']}")
    columns = [cluster, "patients", ("positive", "positives"), ("AUC", "auc"), tables.INTERVAL]
    p = ("p, corrected", lambda row: tables.p_value(row["holm"]))
    yield tables.table(sorted(clusterings["rows"], key=lambda row: -row["auc"]), [*columns, p])


def _ablation(rows: list[dict]):
    if rows:
        yield "## Ablation of the pretraining\n"
        yield (
            f"Compact network, five-fold cross-validation of {rows[0]['patients']} patients, two seeds "
            "(benchmarks/ablation.py). Not nested, see the deviations.\n"
        )
        mean = ("AUC", lambda row: sum(row["auc"]) / len(row["auc"]))
        seeds = ("each seed", lambda row: ", ".join(f"{auc:.3f}" for auc in row["auc"]))
        yield tables.table(rows, [("sequence", "input"), "variant", mean, seeds])


def section(text: str, name: str) -> str:
    """The section `## name` of a Markdown text, heading included; empty if there is none."""
    found = re.search(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group().rstrip() + "\n" if found else ""
