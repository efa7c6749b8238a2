"""data.csv, the clinical table of a cohort."""

import csv
import io
import unicodedata

import pandas as pd

from .files import CohortError


def read_table(content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """Table of floats, NaN where blank, indexed by patient, and its problems, one line each.

    Separated by commas, semicolons or tabs; the latter two allow for decimal commas, as a spreadsheet writes them in
    much of Europe.

    Raises:
        CohortError: there is no usable header.
    """
    text = unicodedata.normalize("NFC", decode(content))
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise CohortError(f"data.csv, line {reader.line_num}: {error}; look for a stray quote") from error
    rows = [(line, cells) for line, cells in rows if any(cells)]
    header = rows[0][1] if rows else []
    if "Patient" not in header or len({*header}) < len(header):
        raise CohortError("data.csv: its first line must name each column once, Patient among them; download it again")
    table, problems = {}, []
    for number, cells in rows[1:]:
        line = f"data.csv, line {number}"
        if len(cells) != len(header):
            problems.append(f"{line}: {len(cells)} fields under {len(header)} column names; correct the line")
        row = dict(zip(header, cells, strict=False))
        patient = row.pop("Patient", "")
        if not patient:
            problems.append(f"{line}: no patient; name the patient, or remove the line")
        if patient in table:
            problems.append(f"{line}: patient {patient} for the second time; keep one row")
        table[patient] = {}
        for column, cell in row.items():
            try:
                table[patient][column] = float((cell if separator == "," else cell.replace(",", ".")) or "nan")
            except ValueError:
                problems.append(f"{line}: {column} of patient {patient} is {cell!r}; write a number or leave it blank")
    columns = [column for column in header if column != "Patient"]
    return pd.DataFrame(table, index=columns, dtype=float).T, problems


def decode(content: bytes) -> str:
    """The text: UTF-8, UTF-16 as Excel's "Unicode text", else Latin-1, which has a letter for every byte."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
