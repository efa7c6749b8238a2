"""What the report says of the second study, the multiverse, and the models beyond the paper."""

from collections.abc import Iterable, Iterator

from .. import evaluation, verdicts
from ..article import AUC
from ..facts import INPUTS, SECOND_STUDY, Model
from . import tables

Claim = tuple[str, str, verdicts.Verdict]
"""A claim, what was found, and the verdict."""
WEIGHTS = {"scratch": "random weights", "natural": "weights from natural images"}


def better(first: Model, second: Model) -> str:
    """The claim that glioblastoma weights are worth more; where the networks differ, it is about both."""
    other = WEIGHTS[second.arm]
    if first.backbone == second.backbone:
        return f"Glioblastoma weights are a better initialisation than {other}"
    return f"The {first.backbone} network with glioblastoma weights ranks better than {second.backbone} with {other}"


def claim_rows(claims: Iterable[Claim]) -> list[dict]:
    """Rows of a table of claims: claim, found, verdict, why."""
    return [{"claim": claim, "found": found, "verdict": word, "why": why} for claim, found, (word, why) in claims]


def chance_claim(permutations: Iterable[dict], model: Model) -> Iterator[Claim]:
    """That the model ranks better than chance, where its labels were permuted.

    Args:
        permutations: rows of `scrutiny.chance_table`.
        model: which of them.
    """
    for row in permutations:
        if Model.of(row) == model:
            none = ", none of which did as well" if row["p"] <= row["smallest_p"] else ""
            found = f"AUC {row['observed']:.3f} in the first shuffle, p {tables.p_value(row['p'])} from "
            found += f"{row['permutations']:.0f} permutations of the labels{none}"
            yield "That is more than chance", found, verdicts.more_than_chance(row["p"], row["smallest_p"])


def second_study_claims(results: dict) -> list[dict]:
    """The article's claims by the second study's primary readout; rows as of `claim_rows`."""
    study, primary = results["second_study"], SECOND_STUDY
    main = next(row for row in study["aucs"] if Model.of(row) == primary)
    reproduced = verdicts.reproduction(main["auc"], main["low"], main["high"], main["repeats"], True)
    claim = f"A network pretrained on glioblastoma reaches AUC {AUC['gbm'][0]:.3f}"
    rows = [(claim, tables.with_interval(main), reproduced), *chance_claim(study.get("permutations", ()), primary)]
    for row in _paired(study):
        first, second = tables.pair(row)
        verdict = verdicts.higher_auc(row["low"], row["high"], row["repeats"])
        found = f"{tables.signed(row, 'difference', 3)}, DeLong p {row['delong_p']:.2f}, corrected {row['holm']:.2f}"
        inputs = _inputs(first) + ("" if first == primary else ", secondary")
        rows.append((f"{better(first, second)} ({inputs})", found, verdict))
    for row in study.get("beyond_size", ()):
        model = Model.of(row)
        if (model.arm, model.readout) == (primary.arm, primary.readout) and model.pretraining == primary.pretraining:
            claim = f"It tells something of the label that the tumour's area does not ({_inputs(model)})"
            found = f"without the area {tables.with_interval(row)}"
            rows.append((claim, found, verdicts.beyond_size(row["low"], row["high"])))
    return claim_rows(rows)


def _paired(study: dict) -> list[dict]:
    """Its paired comparisons, with p after Holm's correction for their number."""
    rows = [*study["paired"], *study.get("paired_elsewhere", ())]
    return [row | {"holm": p} for row, p in zip(rows, evaluation.holm([row["delong_p"] for row in rows]), strict=True)]


def _inputs(model: Model) -> str:
    return INPUTS.get(model.sequences, model.sequences)


def second_study(study: dict) -> Iterator[str]:
    """Its tables.

    Args:
        study: section `second_study` of results.json.
    """
    yield "## The second study\n"
    yield (
        "Networks pretrained on the sequence that is tested (dense), beside those of the first study, pretrained on "
        "T1-Gd; features of the frozen network read by a linear probe, or fine-tuned. AUCs are means over networks and "
        "repeats. SD: over all pairs of network and repeat; SD of networks: over their means. Intervals take the "
        "networks as given. Where the first study's arms were given more repeats later, all count here. Every score is "
        "in [second_study.csv.gz](second_study.csv.gz).\n"
    )
    networks = ("networks", lambda row: f"{row['networks']:.0f}" if row["networks"] else "new in each fit")
    columns = (tables.MODEL, networks, "repeats", tables.AUC, ("SD", "sd"))
    columns += (
        ("SD of networks", lambda row: row.get("sd_networks")),
        ("bootstrap", tables.interval),
        tables.DELONG,
        tables.WITHIN,
    )
    yield tables.table(study["readouts"], columns)
    yield tables.FOOTNOTE
    yield tables.WITHIN_FOLDS
    yield "### Paired comparisons\n"
    yield "FLAIR is the primary analysis, the other inputs are secondary; p corrected by Holm for all of them.\n"
    corrected = ("p, corrected", lambda row: tables.p_value(row["holm"]))
    yield tables.table(_paired(study), (*tables.COMPARISONS, corrected))
    if rows := study.get("variants"):
        yield "### Variants of the linear probe\n"
        yield (
            "Both fixed beforehand: features averaged over the tumour alone, which leaves its size out, and natural "
            "images at 224 pixels, the size that their network was trained on.\n"
        )
        yield tables.table(rows, columns)
        yield tables.table(study["variants_paired"], tables.COMPARISONS)
    if rows := study.get("permutations"):
        yield "### Permuted labels\n"
        yield "Linear probes of the first shuffle, mean over the networks, labels permuted within the folds.\n"
        columns = (
            tables.MODEL,
            ("AUC, first shuffle", "observed"),
            tables.count("permutations"),
            ("mean AUC of these", "mean"),
        )
        yield tables.table(rows, (*columns, ("SD", "sd"), ("p", lambda row: tables.p_value(row["p"]))))
    if rows := study.get("beyond_size"):
        yield "### Is it only size?\n"
        yield (
            "AUC as it is, and with the tumour's mean area taken out by rank. *Supported*: the network tells something "
            "of the label that the area does not; it may still rank the patients no better than the area does.\n"
        )
        if alone := study.get("small_area"):
            yield f"A small area alone: AUC {alone['auc']:.3f} ({tables.interval(alone)}).\n"
        without = ("without the area", tables.with_interval)
        yield tables.table(rows, (tables.MODEL, ("AUC", "auc with size"), without, "verdict"))
        yield "The same networks against one that sees the mask alone, on the same patients:\n"
        yield tables.table(study["beyond_mask"], tables.COMPARISONS)
    if rows := study.get("institution_left_out"):
        yield "### Institutions left out\n"
        columns = (tables.MODEL, "random folds, mean", "institution left out", tables.INTERVAL, "within")
        yield tables.table(rows, columns)
    if line := study.get("calibration_line"):
        yield "### Calibration\n"
        yield f"{SECOND_STUDY}, first shuffle, mean score over the networks:\n"
        yield tables.calibration_line(line)
    yield from _power(study["power"])


def _power(power: dict) -> Iterator[str]:
    yield "### Power\n"
    yield (
        "By simulation, with the correlation between arms seen here, a paired two-sided test at 5 %, and a true "
        "difference of 0.05:\n"
    )
    yield tables.table(
        [
            {"question": "how often 24 and 86 patients show it, one network an arm", "": f"{power['one network']:.0%}"},
            {"question": "the same, means over networks and repeats", "": f"{power['means']:.0%}"},
            {"question": "how often the sample's order of the three arms is the true one", "": f"{power['order']:.0%}"},
            {"question": "patients for 80 %, one network an arm", "": power["patients"]},
            {"question": "patients for 80 %, means", "": power["patients, means"]},
        ],
        ("question", ""),
    )


def multiverse(found: dict | None) -> Iterator[str]:
    """How often glioblastoma beats random weights under other reasonable choices, and what the choices explain.

    Args:
        found: section `multiverse` of results.json, or nothing.
    """
    if not found:
        return
    counts = " and ".join(f"{n} {kind}" for kind, n in found["specifications"].items())
    yield "## The multiverse\n"
    yield (
        f"{counts} specifications, each with every initialisation that it can have. Share: of the specifications in "
        "which the initialisation has a higher AUC than random weights, all else equal; null: what exchanging the two "
        "within patients gives; p after Holm's correction. Natural images are those of another network, "
        "EfficientNet-Lite0; the others are compact.\n"
    )
    null = ("null, 95 %", lambda row: f"{row['null_low']:.3f}–{row['null_high']:.3f}")
    p = ("p, corrected", lambda row: tables.p_value(row["holm"]))
    columns = ("kind", "initialisation", "sequences", "specifications", "share", null, p, "verdict")
    yield tables.table(found["compared"], columns)
    yield (
        "Share of the variance of the frozen specifications' AUCs that each choice explains alone, and that lies "
        "between specifications which differ in this choice alone. What choices do together counts for each of them, "
        "so the second column adds up to more than one.\n"
    )
    alone, equal = found["explained"]["frozen"], found.get("all else equal", {})
    rows = [
        {"choice": name, "alone": alone[name], "all else equal": equal.get(name)}
        for name in sorted(alone, key=lambda name: -(equal.get(name) or alone[name]))
    ]
    yield tables.table(rows, rows[0])


def beyond(found: dict | None) -> Iterator[str]:
    """The stacked models: AUCs, goals, permuted labels.

    Args:
        found: section `beyond` of results.json, or nothing.
    """
    if not found:
        return
    yield "## Beyond the paper\n"
    yield (
        "Everything nested: all models and the stack's weights come from the training patients of each fold. The one "
        "exception, `not nested`, fits the weights to scores of the patients whom the models were trained on, to show "
        "what that does. The networks' features are read by a discriminant, not by the probes above.\n"
    )
    name = (
        "model",
        lambda row: ", ".join(filter(None, (row["arm"], row["backbone"], row["sequences"], row["readout"]))),
    )
    pooling = ("features over", lambda row: row["pooling"] or None)
    split = ("split", lambda row: "institutions" if row["split"] == "institution" else row["split"])
    columns = (name, pooling, split, ("AUC", "auc"), ("bootstrap", tables.interval), tables.DELONG)
    yield tables.table(found["arms"], (*columns, ("within folds", "within_folds")))
    yield "The goals, set beforehand:\n"
    yield tables.table(found["goals"], ("arm", "goal", ("AUC", "auc"), "verdict", "why"))
    yield "Permuted labels, everything fitted anew, in the first shuffle:\n"
    rows = [{"arm": arm} | chance for arm, chance in found["chance"].items()]
    p = ("p", lambda row: tables.p_value(row["p"]))
    yield tables.table(rows, ("arm", ("AUC, first shuffle", "observed"), p, "verdict", "why"))
    if rows := found.get("differences"):
        yield "Paired comparisons:\n"
        difference = ("difference", lambda row: tables.signed(row, "difference", 3))
        p = ("p", lambda row: tables.p_value(row["delong_p"]))
        yield tables.table(rows, ("first", "second", difference, p, "verdict"))
    if rows := found.get("calibration"):
        yield "Calibration; the intercept is that with the slope held at 1:\n"
        yield tables.table(rows, ("arm", "measure", "value", tables.INTERVAL))
