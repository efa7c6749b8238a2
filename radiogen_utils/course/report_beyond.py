"""What the report says of the second study, the multiverse, and the models beyond the paper."""

from collections.abc import Iterable, Iterator

from .. import verdicts
from ..article import AUC
from ..facts import INPUTS, SECOND_STUDY, Model
from . import tables

Claim = tuple[str, str, verdicts.Verdict]
"""A claim, what was found, and the verdict."""
BETTER = "Glioblastoma weights are a better initialisation than {}".format
WEIGHTS = {"scratch": "random weights", "natural": "weights from natural images"}


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
            found = f"p {tables.p_value(row['p'])} from {row['permutations']:.0f} permutations of the labels{none}"
            yield "That is more than chance", found, verdicts.more_than_chance(row["p"], row["smallest_p"])


def second_study_claims(results: dict) -> list[dict]:
    """The article's claims by the second study's primary readout; rows as of `claim_rows`."""
    study, primary = results["second_study"], SECOND_STUDY
    main = next(row for row in study["aucs"] if Model.of(row) == primary)
    reproduced = verdicts.reproduction(main["auc"], main["low"], main["high"], main["repeats"], True)
    claim = f"A network pretrained on glioblastoma reaches AUC {AUC['gbm'][0]:.3f}"
    rows = [(claim, tables.with_interval(main), reproduced), *chance_claim(study.get("permutations", ()), primary)]
    for row in (*study["paired"], *study.get("paired_elsewhere", ())):
        first, second = tables.pair(row)
        verdict = verdicts.higher_auc(row["low"], row["high"], row["repeats"])
        found = f"{tables.signed(row, 'difference', 3)}, DeLong p {row['delong_p']:.2f}"
        rows.append((f"{BETTER(WEIGHTS[second.arm])} ({_inputs(first)})", found, verdict))
    for row in study.get("beyond_size", ()):
        model = Model.of(row)
        if (model.arm, model.readout) == (primary.arm, primary.readout) and model.pretraining == primary.pretraining:
            claim = f"It tells more of the label than the tumour's area does ({_inputs(model)})"
            found = f"without the area {tables.with_interval(row)}"
            rows.append((claim, found, verdicts.beyond_size(row["low"], row["high"])))
    return claim_rows(rows)


def _inputs(model: Model) -> str:
    return INPUTS.get(model.sequences, model.sequences)


def second_study(study: dict) -> Iterator[str]:
    """Its tables.

    Args:
        study: section `second_study` of results.json.
    """
    yield "## The second study\n"
    yield (
        "Networks pretrained on the sequence that is tested; features of the frozen network read by a linear probe, or "
        "fine-tuned. AUCs are means over networks and repeats; columns as above. Every score is in "
        "[second_study.csv.gz](second_study.csv.gz).\n"
    )
    columns = (tables.MODEL, "repeats", tables.AUC, ("SD", "sd"), ("bootstrap", tables.interval), tables.DELONG)
    yield tables.table(study["readouts"], columns)
    yield tables.FOOTNOTE
    yield "### Paired comparisons\n"
    yield tables.table([*study["paired"], *study.get("paired_elsewhere", ())], tables.COMPARISONS)
    if rows := study.get("permutations"):
        yield "### Permuted labels\n"
        yield "Linear probes of the first shuffle, mean over the networks, labels permuted within the folds.\n"
        columns = (tables.MODEL, ("AUC", "observed"), tables.count("permutations"), ("mean AUC of these", "mean"))
        yield tables.table(rows, (*columns, ("SD", "sd"), ("p", lambda row: tables.p_value(row["p"]))))
    if rows := study.get("beyond_size"):
        yield "### Is it only size?\n"
        yield "AUC as it is, and with the tumour's mean area taken out by rank.\n"
        without = ("without the area", tables.with_interval)
        yield tables.table(rows, (tables.MODEL, ("AUC", "auc with size"), without, "verdict"))
        yield "The same networks against one that sees the mask alone, on the same patients:\n"
        yield tables.table(study["beyond_mask"], tables.COMPARISONS)
    if rows := study.get("institution_left_out"):
        yield "### Institutions left out\n"
        columns = (tables.MODEL, "random folds, mean", "institution left out", tables.INTERVAL, "within")
        yield tables.table(rows, columns)
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
        "within patients gives; p after Holm's correction.\n"
    )
    null = ("null, 95 %", lambda row: f"{row['null_low']:.3f}–{row['null_high']:.3f}")
    p = ("p, corrected", lambda row: tables.p_value(row["holm"]))
    columns = ("kind", "initialisation", "sequences", "specifications", "share", null, p, "verdict")
    yield tables.table(found["compared"], columns)
    yield "Share of the variance of the AUC that each choice explains alone:\n"
    kinds = list(found["explained"])
    choices = sorted(found["explained"][kinds[0]], key=lambda name: -found["explained"][kinds[0]][name])
    rows = [{"choice": name} | {kind: found["explained"][kind][name] for kind in kinds} for name in choices]
    yield tables.table(rows, ("choice", *kinds))


def beyond(found: dict | None) -> Iterator[str]:
    """The stacked models: AUCs, goals, permuted labels.

    Args:
        found: section `beyond` of results.json, or nothing.
    """
    if not found:
        return
    yield "## Beyond the paper\n"
    yield "Everything nested: penalties, probes and the stack's weights come from the training patients of each fold.\n"
    name = (
        "model",
        lambda row: ", ".join(filter(None, (row["arm"], row["backbone"], row["sequences"], row["readout"]))),
    )
    pooling = ("features over", lambda row: row["pooling"] or None)
    split = ("split", lambda row: "institutions" if row["split"] == "institution" else row["split"])
    columns = (name, pooling, split, ("AUC", "auc"), ("bootstrap", tables.interval), tables.DELONG)
    yield tables.table(found["arms"], (*columns, ("within folds", "within_folds")))
    yield "The goals, set beforehand:\n"
    p = ("p, permuted labels", lambda row: tables.p_value(found["chance"][row["arm"]]["p"]))
    yield tables.table(found["goals"], ("arm", "goal", ("AUC", "auc"), p, "verdict", "why"))
