"""Markdown tables of the report, and how their numbers are written."""

from collections.abc import Callable, Iterable

from .. import verdicts
from ..facts import Model


def table(rows: Iterable[dict], columns: Iterable[str | tuple[str, str | Callable[[dict], object]]]) -> str:
    """A Markdown table; numbers with three decimals, `None` and NaN as a dash.

    Args:
        rows: one dict a row.
        columns: the key of a row, or a heading with the key or a function of the row.
    """
    pairs = [(column, column) if isinstance(column, str) else column for column in columns]
    lines = [[heading for heading, _ in pairs], ["---"] * len(pairs)]
    lines += [[_cell(row[get] if isinstance(get, str) else get(row)) for _, get in pairs] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def p_value(value: float) -> str:
    """With three decimals, or less than the least of them."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def interval(row: dict, low: str = "low", high: str = "high") -> str | None:
    """Two bounds of a row; no dash stands before a minus."""
    return None if row[low] is None else f"{row[low]:.3f}{' to ' if row[low] < 0 else '–'}{row[high]:.3f}"


def count(name: str) -> tuple[str, Callable[[dict], str]]:
    """A column of whole numbers."""
    return name, lambda row: f"{row[name]:.0f}"  # which a table may have made a float


def signed(row: dict, middle: str, decimals: int) -> str:
    """A number with its interval, all with signs."""
    number, low, high = (f"{row[name]:+.{decimals}f}" for name in (middle, "low", "high"))
    return f"{number} ({low} to {high})"


def with_interval(row: dict) -> str:
    """An AUC with its interval, marked where it is of a single repeat."""
    return marked(f"{row['auc']:.3f} ({interval(row)})", row)


def calibration_line(line: dict[str, list[float]]) -> str:
    """Intercept and slope of `scrutiny.calibration_line`, each a value with its interval."""
    rows = [{"measure": name} | dict(zip(("value", "low", "high"), line[name], strict=True)) for name in line]
    return table(rows, ("measure", "value", INTERVAL))


def pair(row: dict) -> tuple[Model, Model]:
    """The two models that a row of `repeats.compare_pairs` compares."""
    return Model(**row["first"]), Model(**row["second"])


def difference(row: dict) -> str:
    """What is subtracted from what in a row of `repeats.compare_pairs`."""
    return "{} − {}".format(*pair(row))


MODEL = ("model", lambda row: str(Model.of(row)))
INTERVAL = ("95 % interval", interval)
DELONG = ("DeLong", lambda row: interval(row, "delong_low", "delong_high"))
AUC = ("AUC", lambda row: marked(f"{row['auc']:.3f}", row))
WITHIN = ("within folds", lambda row: row.get("within_folds"))
WITHIN_FOLDS = (
    "Within folds: mean of the AUCs within a fold, whose patients one and the same model has scored; a check of the "
    "pooled AUC.\n"
)
MODELS = (MODEL, "repeats", AUC, ("SD", "sd"), ("bootstrap", interval), DELONG, WITHIN, "ensemble")
COMPARISONS = (
    ("first − second", difference),
    "repeats",
    ("difference", lambda row: marked(f"{row['difference']:.3f}", row)),
    INTERVAL,
    ("p", lambda row: p_value(row["delong_p"])),
)
SINGLE = "†"
"""Marks a value of a single repeat."""
FOOTNOTE = f"{SINGLE} A single repeat: one draw, which the next shuffle may contradict.\n"


def marked(text: str, row: dict) -> str:
    """The text of a value, with `SINGLE` where it comes from fewer repeats than a verdict needs."""
    return text + SINGLE if row["repeats"] < verdicts.MIN_REPEATS else text


def with_footnote(text: str) -> str:
    """A table, and what its marks of a single repeat mean, if it has any."""
    return f"{text}\n{FOOTNOTE}" if SINGLE in text else text
