"""Survival and mutations of the cohort's patients, from two public tables, downloaded where they are missing.

The tables circulate in many forms: CSV or Excel, other line ends, 0 and 1 for words, saved again by somebody's
spreadsheet. What counts is what a table says: the columns used here, for the patients of the public archive.
"""

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pooch

from ..support import fingerprint, project_root, write_atomically
from .archive import CohortError
from .cohort import Cohort
from .download import TIMEOUT, check_reachable
from .table import decode
from .verification import manifest_of_public_archive

pooch.get_logger().setLevel("ERROR")  # it would suggest to pin the checksum of whatever arrived


@dataclass(frozen=True)
class Source:
    """A public table.

    Attributes:
        name: of the file; a CSV file is looked for as an Excel one as well, and the other way round.
        url: of the file, or of a zip that holds it.
        key: column with the patients' barcodes.
        needs: columns that cannot be missing.
        read: function from the table, text by column, to the columns used here, as float.
        fingerprint: of what `read` returns for the patients of the public archive (`content_fingerprint`).
        sha256: of the official file, in each form that its publisher is known to have served.
    """

    name: str
    url: str
    key: str
    needs: tuple[str, ...]
    read: Callable[[pd.DataFrame], pd.DataFrame]
    fingerprint: str
    sha256: tuple[str, ...]


GENES = (
    "IDH1 TP53 ATRX PTEN EGFR CIC MUC16 PIK3CA NF1 PIK3R1 FUBP1 RB1 NOTCH1 BCOR CSMD3 SMARCA4 GRIN2A IDH2 FAT4 PDGFRA"
)


def _read_survival(table: pd.DataFrame) -> pd.DataFrame:
    return table[["OS", "OS.time"]].apply(pd.to_numeric, errors="coerce")


def _read_mutations(table: pd.DataFrame) -> pd.DataFrame:
    words = {"MUTATED": 1.0, "NOT_MUTATED": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    return table[[gene for gene in GENES.split() if gene in table]].apply(
        lambda column: column.str.strip().str.upper().map(words)
    )


# TCGA Pan-Cancer Clinical Data Resource (Liu et al., Cell 2018), 2.9 MB, open access.
SURVIVAL = Source(
    "TCGA-CDR-SupplementalTableS1.xlsx",
    "https://api.gdc.cancer.gov/data/1b5f413e-a8d1-4d10-92eb-7c4ae739ed81",
    "bcr_patient_barcode",
    ("OS", "OS.time"),
    _read_survival,
    "07b5083e5a0586c76b04cf3e2b942a09cd62162c62b6915f229b9e9e4092482c",
    ("ea594c0fbb6731477c7ac511fab449ca9c38b0d42d269591ed9f5c4090e75a5a",),
)
# UCI Machine Learning Repository 759, Glioma Grading Clinical and Mutation Features (Tasci et al.), CC BY 4.0.
MUTATIONS = Source(
    "TCGA_GBM_LGG_Mutations_all.csv",
    "https://archive.ics.uci.edu/static/public/759/glioma+grading+clinical+and+mutation+features+dataset.zip",
    "Case_ID",
    ("IDH1", "IDH2"),
    _read_mutations,
    "1cfe4be96c71146d2bf3a7385b3844fc44c0685d234391cc846c7aefefeed2f2",
    ("6c617f370467b99e3d9b17633ac735fb900801fd6ffc8cc865344067e84b6312",),
)


def survival(cohort: Cohort) -> pd.DataFrame:
    """Overall survival of the patients whose follow-up is known.

    Returns:
        Index "patient", in the cohort's order; columns `time_days` (float), from diagnosis to death or last contact
        (`OS.time` of the TCGA-CDR), and `event` (bool), True for a death (`OS`).

    Raises:
        CohortError: the table cannot be had, says something else than the public one, or knows none of the patients.
    """
    table = _table(SURVIVAL, cohort).dropna()
    return pd.DataFrame({"time_days": table["OS.time"], "event": table["OS"] == 1})


def mutations(cohort: Cohort) -> pd.DataFrame:
    """Mutated genes of all patients.

    Returns:
        Index "patient", in the cohort's order; one float column a gene (IDH1, IDH2, TP53, ATRX, …): 1 mutated, 0 not,
        NaN unknown; and `idh_mutant`: IDH1 or IDH2.

    Raises:
        CohortError: the table cannot be had, says something else than the public one, or knows none of the patients.
    """
    table = _table(MUTATIONS, cohort)
    idh = table[["IDH1", "IDH2"]]
    known = idh.notna().all(axis=1) | idh.eq(1).any(axis=1)  # one mutated gene is enough to know
    return table.assign(idh_mutant=idh.max(axis=1).where(known))


def _table(source: Source, cohort: Cohort) -> pd.DataFrame:
    """The cohort's rows, in the cohort's order; NaN where a patient is unknown."""
    folders = [cohort.path, cohort.path.parent, project_root() / "data"]
    names = [Path(source.name).with_suffix(suffix) for suffix in (".xlsx", ".csv")]
    path = next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)
    public = cohort.patients.index.str.startswith("TCGA_").any()  # another cohort has other tables
    if path is not None:
        content = path.read_bytes()
        table = _parse(source, content, path)
        if public:
            _check(source, table, path)
    elif cohort.synthetic:
        raise CohortError(f"{cohort.path}: the phantom's {source.name} is missing; delete the folder to rebuild it")
    else:
        path = folders[-1] / source.name
        content = _download(source, path)
        table = _parse(source, content, path)
        _check(source, table, path)
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    if public and hashlib.sha256(content).hexdigest() not in source.sha256:
        print(f"note: {path.name} is not byte for byte the official file; what it says is the same", flush=True)
    if not cohort.patients.index.isin(table.index).any():
        raise CohortError(f"{path}: holds no patient of {cohort.path}; put a table of theirs beside the cohort")
    return table.reindex(cohort.patients.index)


def _parse(source: Source, content: bytes, path: Path) -> pd.DataFrame:
    """What the table says, by patient (TCGA_CS_4941); raises `CohortError` if it cannot be read."""
    remedy = f"get it from {source.url}"
    try:
        if content.startswith(b"PK"):
            sheets = pd.read_excel(io.BytesIO(content), sheet_name=None, dtype=str)
        else:
            text = decode(content)
            separator = max(",;\t", key=text.partition("\n")[0].count)
            sheets = {"": pd.read_csv(io.StringIO(text), sep=separator, dtype=str)}
    except Exception as error:  # pandas and openpyxl raise what they find
        line = " ".join(str(error).split())
        raise CohortError(f"{path}: neither an Excel (.xlsx) nor a CSV file ({line:.100}); {remedy}") from error
    for table in sheets.values():
        table.columns = table.columns.astype(str).str.strip()
        if source.key in table:
            break
    else:
        raise CohortError(f"{path}: no column {source.key}; is it another table? {remedy}")
    table = table.dropna(subset=source.key).set_index(source.key)
    table.index = table.index.str.strip().str.replace("-", "_").rename("patient")
    if table.index.has_duplicates:
        raise CohortError(f"{path}: {table.index[table.index.duplicated()][0]} stands in it twice; {remedy}")
    missing = [column for column in source.needs if column not in table]
    if missing:
        raise CohortError(f"{path}: no column {missing[0]}; is it another table? {remedy}")
    return source.read(table)


def content_fingerprint(table: pd.DataFrame) -> str:
    """Fingerprint of what a table says of the patients of the public archive, whatever file it came in."""
    table = table.reindex(manifest_of_public_archive().index).astype(float)
    return fingerprint(table[sorted(table)].to_csv())


def _check(source: Source, table: pd.DataFrame, path: Path) -> None:
    """Raise `CohortError` unless the table says what the public one does."""
    if content_fingerprint(table) == source.fingerprint:
        return
    patients = manifest_of_public_archive().index
    missing = patients.difference(table.index)
    what = (
        f"lacks {len(missing)} of its {len(patients)} patients, {missing[0]} first" if len(missing) else "other values"
    )
    raise CohortError(
        f"{path}: not what the public table says of the course's patients ({what}); replace it with {source.url}, or "
        "delete it and let it be downloaded"
    )


def _download(source: Source, path: Path) -> bytes:
    """Content of the table; raises `CohortError` where it cannot be had."""
    remedy = f"get it from {source.url} and put it at {path}"
    try:
        check_reachable(source.url)
        with tempfile.TemporaryDirectory() as temporary:
            downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
            # What the table says is checked instead of its bytes.
            file = pooch.retrieve(source.url, known_hash=None, path=temporary, fname="table", downloader=downloader)
            content = Path(file).read_bytes()
        if not source.url.endswith(".zip"):
            return content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = next(name for name in archive.namelist() if name.split("/")[-1] == source.name)
            return archive.read(name)  # into memory: no name in the zip decides where anything is written
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CohortError(f"{source.name}: the download failed ({reason}); {remedy}") from error
