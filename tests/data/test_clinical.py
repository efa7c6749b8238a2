"""Survival and mutations: accepted by what they say, in any form that circulates; no wrong table is used or kept."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from radiogen_utils.data import clinical, verification
from radiogen_utils.data.archive import Archive, CohortError
from radiogen_utils.data.clinical import MUTATIONS, SURVIVAL, mutations, survival
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.data.scan import scan

GENES = "Grade,Case_ID,IDH1,TP53,IDH2\nLGG,TCGA-XX-0001,0,1,1\nLGG,TCGA-YY-0002,0,0,0\nLGG,TCGA-XX-0003,1,0,\n"
FOLLOW_UP = pd.DataFrame(
    [("TCGA-YY-0002", 1, 300), ("TCGA-XX-0001", 0, 1000), ("TCGA-XX-0003", None, None)],
    columns=["bcr_patient_barcode", "OS", "OS.time"],
)


def excel(table: pd.DataFrame, sheet: str = "TCGA-CDR") -> bytes:
    buffer = io.BytesIO()
    with pd.ExcelWriter(buffer) as writer:
        pd.DataFrame({"notes": ["read me"]}).to_excel(writer, sheet_name="Notes")
        table.to_excel(writer, sheet_name=sheet)
    return buffer.getvalue()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project; no proxy between the tests and their server."""
    monkeypatch.setattr(clinical, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "project"


@pytest.fixture
def cohort(tiny_cohort, tmp_path, monkeypatch):
    """Three patients that stand for the public archive, whose tables say `GENES` and `FOLLOW_UP`."""
    folder = tiny_cohort()
    scan(Archive(folder)).manifest.to_csv(tmp_path / "manifest.csv")
    monkeypatch.setattr(verification, "MANIFEST", tmp_path / "manifest.csv")
    for constant, content in (("SURVIVAL", FOLLOW_UP.to_csv().encode()), ("MUTATIONS", GENES.encode())):
        source = getattr(clinical, constant)
        fingerprint = clinical.content_fingerprint(clinical._parse(source, content, tmp_path))
        monkeypatch.setattr(clinical, constant, replace(source, fingerprint=fingerprint, url="http://127.0.0.1:9/"))
    return open_cohort(folder)


@pytest.fixture
def publish(project, server, monkeypatch):
    """Function that puts bytes under a name on a server and points a source to it."""

    def point(constant, path, content):
        server.pages[path] = content
        monkeypatch.setattr(clinical, constant, replace(getattr(clinical, constant), url=server.url + path))
        return server.asked

    return point


def zip_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.txt", "x")
        archive.writestr(name, content)
    return buffer.getvalue()


def test_survival_is_downloaded_once_and_checked(cohort, publish, project):
    asked = publish("SURVIVAL", "/cdr", excel(FOLLOW_UP))
    for _ in range(2):
        table = survival(cohort)
        assert list(table.index) == ["TCGA_XX_0001", "TCGA_YY_0002"]  # nothing is known of 0003
        assert list(table.time_days) == [1000, 300] and table.time_days.dtype == float
        assert list(table.event) == [False, True] and table.event.dtype == bool
    assert asked == ["HEAD /cdr", "GET /cdr"]
    assert [file.name for file in (project / "data").iterdir()] == [SURVIVAL.name]


def test_mutations_come_out_of_a_zip_without_unpacking_it(cohort, publish, project, tmp_path):
    publish("MUTATIONS", "/759.zip", zip_with(f"folder/{MUTATIONS.name}", ("\ufeff" + GENES).encode()))
    table = mutations(cohort)
    assert list(table.columns) == ["IDH1", "TP53", "IDH2", "idh_mutant"]
    assert table.idh_mutant["TCGA_XX_0001"] == 1 and table.idh_mutant["TCGA_YY_0002"] == 0
    assert np.isnan(table.IDH2["TCGA_XX_0003"]) and (table.dtypes == np.float64).all()
    assert [file.name for file in (project / "data").iterdir()] == [MUTATIONS.name]
    assert not list(tmp_path.rglob("evil.txt"))


WORDS = GENES.replace(",1", ",MUTATED").replace(",0", ",NOT_MUTATED")
FORMS = {
    "0 and 1": GENES.encode(),
    "words": WORDS.encode(),
    "byte-order mark": ("\ufeff" + WORDS).encode(),
    "line ends of Windows": WORDS.replace("\n", "\r\n").encode(),
    "line ends of an old Mac": WORDS.replace("\n", "\r").encode(),
    "semicolons": WORDS.replace(",", ";").encode(),
    "tabs, UTF-16": WORDS.replace(",", "\t").encode("utf-16"),
    "Latin-1": WORDS.replace("Grade", "Größe").encode("cp1252"),
    "decimals, other columns and order": pd.read_csv(io.StringIO(GENES))[::-1]
    .assign(x=1, IDH1=[1.0, 0, 0])
    .to_csv()
    .encode(),
    "Excel": excel(pd.read_csv(io.StringIO(WORDS)), "Sheet1"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_mutations_in_any_form_are_accepted_and_other_bytes_are_told(project, cohort, form, suffix, capsys):
    (cohort.path.parent / MUTATIONS.name).with_suffix(suffix).write_bytes(FORMS[form])
    table = mutations(cohort)
    assert table.idh_mutant.to_dict() == {"TCGA_XX_0001": 1, "TCGA_XX_0003": 1, "TCGA_YY_0002": 0}
    assert np.isnan(table.IDH2["TCGA_XX_0003"])
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "not byte for byte the official file; what it says is the same" in said


@pytest.mark.parametrize("unknown", ["", "[Not Available]", "#N/A", "[Discrepancy]"])
def test_survival_in_any_form_is_accepted(project, cohort, unknown):
    table = FOLLOW_UP.astype(object).fillna(unknown)
    (cohort.path / SURVIVAL.name).with_suffix(".csv").write_text(table.to_csv(sep=";"))
    assert survival(cohort).event.to_dict() == {"TCGA_XX_0001": False, "TCGA_YY_0002": True}


def test_official_bytes_are_not_commented(project, cohort, monkeypatch, capsys):
    import hashlib

    (cohort.path / MUTATIONS.name).write_text(GENES)
    known = (hashlib.sha256(GENES.encode()).hexdigest(),)
    monkeypatch.setattr(clinical, "MUTATIONS", replace(clinical.MUTATIONS, sha256=known))
    mutations(cohort)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content, message",
    [
        (GENES.replace("0002,0,0,0", "0002,0,0,1"), r"not what the public table says .*\(other values\)"),
        (GENES.replace("TCGA-XX-0003", "TCGA-XX-0009"), r"lacks 1 of its 3 patients, TCGA_XX_0003 first"),
        (GENES.replace("TCGA-XX-0003", "TCGA-XX-0001"), "TCGA_XX_0001 stands in it twice"),
        (GENES.replace("IDH2", "IDH3"), "no column .*IDH2"),
        (GENES.replace("Case_ID", "patient"), "no column Case_ID; is it another table"),
        ("", "neither an Excel .* nor a CSV file"),
        ("PK\x03\x04 truncated", "neither an Excel .* nor a CSV file"),
        ("<html>sign in</html>", "no column Case_ID"),
    ],
)
def test_a_table_that_says_something_else_is_refused(project, cohort, content, message):
    (cohort.path / MUTATIONS.name).write_text(content)
    with pytest.raises(CohortError, match=f"{MUTATIONS.name}: .*{message}") as refused:
        mutations(cohort)
    assert "http://127.0.0.1:9/" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path, content, message",
    [
        ("/759.zip", zip_with(MUTATIONS.name, GENES.replace("0,1,1", "1,1,1").encode()), "other values"),
        ("/759.zip", zip_with("other.csv", b"other"), "StopIteration"),
        ("/759.zip", b"<html>", "BadZipFile"),
        ("/759", b"other", "no column Case_ID"),
    ],
    ids=["content", "member", "no zip", "plain"],
)
def test_wrong_download_is_refused_and_leaves_no_file(cohort, publish, project, path, content, message):
    publish("MUTATIONS", path, content)
    with pytest.raises(CohortError, match=f"{message}"):
        mutations(cohort)
    assert not (project / "data").exists() or list((project / "data").iterdir()) == []


def test_missing_page_and_unreachable_server(cohort, publish, server, project, monkeypatch):
    publish("SURVIVAL", "/cdr", excel(FOLLOW_UP))
    source = clinical.SURVIVAL
    monkeypatch.setattr(clinical, "SURVIVAL", replace(source, url=source.url + "/gone"))
    with pytest.raises(CohortError, match="download failed .*404.* and put it at"):
        survival(cohort)
    monkeypatch.setattr(clinical, "SURVIVAL", replace(source, url="http://127.0.0.1:9/cdr"))
    with pytest.raises(CohortError, match="download failed .*cannot be reached.* and put it at"):
        survival(cohort)
    assert not (project / "data").exists() or list((project / "data").iterdir()) == []


@pytest.mark.parametrize("place", ["inside", "beside", "beside the zip", "data folder"])
def test_local_copy_is_found(project, cohort, zip_of, place):
    folder = cohort.path
    path = zip_of(folder) if place == "beside the zip" else folder / "kaggle_3m" if place == "beside" else folder
    where = {"inside": folder, "beside": folder, "beside the zip": folder.parent, "data folder": project / "data"}[
        place
    ]
    where.mkdir(parents=True, exist_ok=True)
    (where / MUTATIONS.name).write_text(GENES)
    assert mutations(open_cohort(path)).idh_mutant["TCGA_XX_0001"] == 1


def test_phantom_has_tables_of_its_own(project, tiny_cohort):
    folder = tiny_cohort(prefix="PHANTOM")
    cohort = open_cohort(folder)
    with pytest.raises(CohortError, match="the phantom's .* is missing; delete the folder to rebuild it"):
        mutations(cohort)
    (folder / MUTATIONS.name).write_text(GENES.replace("TCGA", "PHANTOM"))
    follow_up = pd.DataFrame([("PHANTOM-XX-0001", 1, 10)], columns=FOLLOW_UP.columns)
    (folder / SURVIVAL.name).write_bytes(excel(follow_up))
    assert mutations(cohort).idh_mutant["PHANTOM_XX_0001"] == 1
    assert survival(cohort).event.to_dict() == {"PHANTOM_XX_0001": True}


def test_a_cohort_of_ones_own_has_a_table_of_its_own(project, tiny_cohort):
    folder = tiny_cohort(prefix="OWN")
    other = pd.DataFrame([("OWN-XX-0001", 1, 500)], columns=FOLLOW_UP.columns)
    (folder / SURVIVAL.name).write_bytes(excel(other))
    assert survival(open_cohort(folder)).time_days.to_dict() == {"OWN_XX_0001": 500}


def test_table_without_the_cohorts_patients(project, tiny_cohort):
    folder = tiny_cohort(prefix="OWN")
    (folder / MUTATIONS.name).write_text(GENES)
    with pytest.raises(CohortError, match="holds no patient of"):
        mutations(open_cohort(folder))


def test_real_survival(real_cohort, capsys):
    table = survival(real_cohort)
    assert len(table) == 110 and table.event.sum() == 32
    assert (table.time_days.min(), table.time_days.max()) == (3, 4752)
    assert capsys.readouterr().out == ""  # the official bytes


def test_real_mutations(real_cohort, capsys):
    table = mutations(real_cohort)
    assert len(table) == 110 and table.idh_mutant.notna().sum() == 106
    wild_type = table.idh_mutant.eq(0).groupby(real_cohort.patients.COCCluster).sum()
    assert wild_type.to_dict() == {1: 4, 2: 19, 3: 0}
    assert np.isnan(table.idh_mutant[table.IDH1.isna()]).all()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", [SURVIVAL, MUTATIONS], ids=["survival", "mutations"])
def test_real_tables_saved_again_are_accepted(real_archive, tmp_path, source):
    """As somebody's spreadsheet would write them, and in the form in which the mutations circulate too."""
    file = real_archive.parent / source.name
    if file.suffix == ".xlsx":
        table = pd.read_excel(file, sheet_name="TCGA-CDR")
    else:
        table = pd.read_csv(file).astype(str).replace({"MUTATED": "1", "NOT_MUTATED": "0"})
    for content in (table.to_csv(index=False, lineterminator="\r\n").encode(), table.to_csv(sep=";").encode("utf-16")):
        assert clinical.content_fingerprint(clinical._parse(source, content, file)) == source.fingerprint
