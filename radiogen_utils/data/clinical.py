"""Survival and mutations of the cohort's patients, from two public tables, downloaded where they are missing."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import requests

from ..support import project_root, write_atomically
from .archive import CohortError
from .cohort import Cohort
from .download import check_reachable

TIMEOUT = (10, 30)  # seconds to connect, and between two packets


@dataclass(frozen=True)
class Source:
    """A public table.

    Attributes:
        name: of the file.
        url: of the file, or of a zip that holds it.
        sha256: of the file.
    """

    name: str
    url: str
    sha256: str


# TCGA Pan-Cancer Clinical Data Resource (Liu et al., Cell 2018), 2.8 MB, open access.
SURVIVAL = Source(
    "TCGA-CDR-SupplementalTableS1.xlsx",
    "https://api.gdc.cancer.gov/data/1b5f413e-a8d1-4d10-92eb-7c4ae739ed81",
    "f9324865e3b9e1f034a26eeebd87b7cc45e2f1a271ff5dceb5d9cde5e47f95ed",
)
# UCI Machine Learning Repository 759, Glioma Grading Clinical and Mutation Features (Tasci et al.), 90 kB, CC BY 4.0.
MUTATIONS = Source(
    "TCGA_GBM_LGG_Mutations_all.csv",
    "https://archive.ics.uci.edu/static/public/759/glioma+grading+clinical+and+mutation+features+dataset.zip",
    "c39070d22812e35281119b791ad863f78cc33b745c83d4bfcf3ca7c7c89d8627",
)


def survival(cohort: Cohort) -> pd.DataFrame:
    """Overall survival of the patients whose follow-up is known.

    Returns:
        Index "patient", in the cohort's order; columns `time_days` (float), from diagnosis to death or last contact
        (`OS.time` of the TCGA-CDR), and `event` (bool), True for a death (`OS`).

    Raises:
        CohortError: the table cannot be had, is not the public one, or knows none of the patients.
    """
    path = _locate(SURVIVAL, cohort)
    columns = ["bcr_patient_barcode", "OS", "OS.time"]
    table = pd.read_excel(path, sheet_name="TCGA-CDR", usecols=columns, index_col="bcr_patient_barcode")
    table = _of_patients(table, cohort, path).dropna()
    return pd.DataFrame({"time_days": table["OS.time"].astype(float), "event": table["OS"] == 1})


def mutations(cohort: Cohort) -> pd.DataFrame:
    """Mutated genes of all patients.

    Returns:
        Index "patient", in the cohort's order; one float column a gene (IDH1, IDH2, TP53, ATRX, …): 1 mutated, 0 not,
        NaN unknown; and `idh_mutant`, IDH1 or IDH2.

    Raises:
        CohortError: the table cannot be had, is not the public one, or knows none of the patients.
    """
    path = _locate(MUTATIONS, cohort)
    table = pd.read_csv(path, encoding="utf-8-sig", index_col="Case_ID").loc[:, "IDH1":]
    table = _of_patients(table, cohort, path).astype(float)
    return table.assign(idh_mutant=np.maximum(table.IDH1, table.IDH2))


def _of_patients(table: pd.DataFrame, cohort: Cohort, path: Path) -> pd.DataFrame:
    """The cohort's rows of a table indexed by barcode, TCGA-CS-4941 for TCGA_CS_4941; NaN where there is none."""
    table.index = table.index.str.replace("-", "_")
    patients = cohort.patients.index
    if not patients.isin(table.index).any():
        raise CohortError(f"{path}: holds no patient of {cohort.path}; put a table of theirs beside the cohort")
    return table.reindex(patients)


def _locate(source: Source, cohort: Cohort) -> Path:
    """Path of the table: in or beside the cohort, else in the project's data folder, else downloaded into that."""
    folders = [cohort.path, cohort.path.parent, project_root() / "data"]
    paths = [folder / source.name for folder in folders if (folder / source.name).is_file()]
    if cohort.synthetic:  # it comes with tables of its own
        if not paths:
            raise CohortError(f"{cohort.path}: the phantom's {source.name} is missing; delete the folder to rebuild it")
        return paths[0]
    if paths:
        # A cohort of one's own has a table of its own.
        if cohort.patients.index.str.startswith("TCGA_").any() and not _is_public(source, paths[0]):
            raise CohortError(f"{paths[0]}: not the public table (SHA-256); replace it with {source.url}, or delete it")
        return paths[0]
    path = folders[-1] / source.name
    remedy = f"get it from {source.url} and put it at {path}"
    write_atomically(path, lambda temporary: _download(source, temporary, remedy))
    return path


def _download(source: Source, path: Path, remedy: str) -> None:
    """Stream the table, or the zip that holds it, to `path`, and check it."""
    try:
        check_reachable(source.url)
        with requests.get(source.url, stream=True, timeout=TIMEOUT) as response, open(path, "wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 20):
                file.write(chunk)
        if source.url.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.split("/")[-1] == source.name)
                content = archive.read(name)  # into memory: no name in the zip decides where anything is written
            path.write_bytes(content)
    except (requests.RequestException, zipfile.BadZipFile, StopIteration) as error:
        raise CohortError(f"{source.name}: the download failed ({type(error).__name__}: {error}); {remedy}") from error
    if not _is_public(source, path):
        raise CohortError(f"{source.name}: the download is not the public table (SHA-256); {remedy}")


def _is_public(source: Source, path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
