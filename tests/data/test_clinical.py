"""Survival and mutations: where the tables are looked for, and that no unchecked download is ever kept."""

import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from radiogen_utils.data import clinical
from radiogen_utils.data.archive import CohortError
from radiogen_utils.data.clinical import MUTATIONS, SURVIVAL, mutations, survival
from radiogen_utils.data.cohort import open_cohort

GENES = "Grade,Case_ID,IDH1,TP53,IDH2\nLGG,TCGA-XX-0001,0,1,1\nLGG,TCGA-YY-0002,0,0,0\nLGG,TCGA-ZZ-0009,1,0,0\n"


def excel(rows: list[tuple]) -> bytes:
    buffer = io.BytesIO()
    table = pd.DataFrame(rows, columns=["bcr_patient_barcode", "OS", "OS.time"])
    table.to_excel(buffer, sheet_name="TCGA-CDR")
    return buffer.getvalue()


FOLLOW_UP = excel([("TCGA-YY-0002", 1, 300), ("TCGA-XX-0001", 0, 1000), ("TCGA-XX-0003", None, None)])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project; no proxy between the tests and their own server."""
    monkeypatch.setattr(clinical, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "project"


@pytest.fixture
def publish(project, monkeypatch):
    """Function that puts bytes under a name on a server of its own and points a source to it."""
    files, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200 if self.path in files else 404)
            self.end_headers()

        def do_GET(self):
            asked.append(self.path)
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def point(constant, path, content, sha256):
        files[path] = content
        url = f"http://127.0.0.1:{server.server_port}{path}"
        monkeypatch.setattr(clinical, constant, replace(getattr(clinical, constant), url=url, sha256=sha256))
        return asked

    yield point
    server.shutdown()
    server.server_close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zip_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.txt", "x")
        archive.writestr(name, content)
    return buffer.getvalue()


def test_survival_is_downloaded_once_and_checked(publish, project, tiny_cohort):
    asked = publish("SURVIVAL", "/cdr", FOLLOW_UP, sha256(FOLLOW_UP))
    cohort = open_cohort(tiny_cohort())
    for _ in range(2):
        table = survival(cohort)
        assert list(table.index) == ["TCGA_XX_0001", "TCGA_YY_0002"]  # nothing is known of 0003
        assert list(table.time_days) == [1000, 300] and table.time_days.dtype == float
        assert list(table.event) == [False, True] and table.event.dtype == bool
    assert asked == ["/cdr"]
    assert [file.name for file in (project / "data").iterdir()] == [SURVIVAL.name]


def test_mutations_come_out_of_a_zip_without_unpacking_it(publish, project, tiny_cohort, tmp_path):
    content = ("\ufeff" + GENES).encode()
    publish("MUTATIONS", "/759.zip", zip_with(f"folder/{MUTATIONS.name}", content), sha256(content))
    table = mutations(open_cohort(tiny_cohort()))
    assert list(table.columns) == ["IDH1", "TP53", "IDH2", "idh_mutant"]
    assert table.idh_mutant["TCGA_XX_0001"] == 1 and table.idh_mutant["TCGA_YY_0002"] == 0
    assert table.loc["TCGA_XX_0003"].isna().all() and (table.dtypes == float).all()
    assert [file.name for file in (project / "data").iterdir()] == [MUTATIONS.name]
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize(
    "path, content, message",
    [
        ("/759.zip", zip_with(MUTATIONS.name, b"other"), r"not the public table \(SHA-256\)"),
        ("/759.zip", zip_with("other.csv", b"other"), "StopIteration"),
        ("/759.zip", b"<html>", "BadZipFile"),
        ("/759", b"other", r"not the public table \(SHA-256\)"),
    ],
    ids=["content", "member", "no zip", "plain"],
)
def test_wrong_download_is_refused_and_leaves_no_file(publish, project, tiny_cohort, path, content, message):
    publish("MUTATIONS", path, content, sha256(GENES.encode()))
    with pytest.raises(CohortError, match=f"{message}.*; get it from http.*{path} and put it at .*{MUTATIONS.name}"):
        mutations(open_cohort(tiny_cohort()))
    assert list((project / "data").iterdir()) == []


def test_missing_page_and_unreachable_server(publish, project, tiny_cohort, monkeypatch):
    publish("SURVIVAL", "/cdr", FOLLOW_UP, sha256(FOLLOW_UP))
    cohort = open_cohort(tiny_cohort())
    source = clinical.SURVIVAL
    monkeypatch.setattr(clinical, "SURVIVAL", replace(source, url=source.url + "/gone"))
    with pytest.raises(CohortError, match="download failed .*404.* and put it at"):
        survival(cohort)
    monkeypatch.setattr(clinical, "SURVIVAL", replace(source, url="http://127.0.0.1:9/cdr"))
    with pytest.raises(CohortError, match="download failed .*cannot be reached.* and put it at"):
        survival(cohort)
    assert list((project / "data").iterdir()) == []


@pytest.mark.parametrize("place", ["inside", "beside", "beside the zip", "data folder"])
def test_local_copy_is_found_and_checked(project, tiny_cohort, zip_of, monkeypatch, place):
    folder = tiny_cohort()
    path = {"inside": folder, "beside": folder / "kaggle_3m", "beside the zip": zip_of(folder), "data folder": folder}[
        place
    ]
    where = {"inside": folder, "beside": folder, "beside the zip": folder.parent, "data folder": project / "data"}[
        place
    ]
    where.mkdir(parents=True, exist_ok=True)
    (where / MUTATIONS.name).write_text(GENES)
    local = replace(MUTATIONS, url="http://127.0.0.1:9/", sha256=sha256(GENES.encode()))
    monkeypatch.setattr(clinical, "MUTATIONS", local)
    assert mutations(open_cohort(path)).idh_mutant["TCGA_XX_0001"] == 1
    (where / MUTATIONS.name).write_text(GENES + "\n")
    with pytest.raises(CohortError, match=f"{MUTATIONS.name}: not the public table .*replace it"):
        mutations(open_cohort(path))


def test_phantom_has_tables_of_its_own(project, tiny_cohort):
    folder = tiny_cohort(prefix="PHANTOM")
    cohort = open_cohort(folder)
    with pytest.raises(CohortError, match="the phantom's .* is missing; delete the folder to rebuild it"):
        mutations(cohort)
    (folder / MUTATIONS.name).write_text(GENES.replace("TCGA", "PHANTOM"))
    (folder / SURVIVAL.name).write_bytes(excel([("PHANTOM-XX-0001", 1, 10)]))
    assert mutations(cohort).idh_mutant["PHANTOM_XX_0001"] == 1
    assert survival(cohort).event.to_dict() == {"PHANTOM_XX_0001": True}


def test_a_cohort_of_ones_own_has_a_table_of_its_own(project, tiny_cohort):
    folder = tiny_cohort(prefix="OWN")
    (folder / SURVIVAL.name).write_bytes(excel([("OWN-XX-0001", 1, 500)]))
    table = survival(open_cohort(folder))
    assert table.time_days.to_dict() == {"OWN_XX_0001": 500}


def test_table_without_the_cohorts_patients(project, tiny_cohort, monkeypatch):
    content = GENES.replace("TCGA", "OTHER")
    folder = tiny_cohort()
    (folder / MUTATIONS.name).write_text(content)
    monkeypatch.setattr(clinical, "MUTATIONS", replace(MUTATIONS, sha256=sha256(content.encode())))
    with pytest.raises(CohortError, match="holds no patient of"):
        mutations(open_cohort(folder))


def test_real_survival(real_cohort):
    table = survival(real_cohort)
    assert len(table) == 110 and table.event.sum() == 32
    assert (table.time_days.min(), table.time_days.max()) == (3, 4752)


def test_real_mutations(real_cohort):
    table = mutations(real_cohort)
    assert len(table) == 110 and table.idh_mutant.notna().sum() == 106
    wild_type = table.idh_mutant.eq(0).groupby(real_cohort.patients.COCCluster).sum()
    assert wild_type.to_dict() == {1: 4, 2: 19, 3: 0}
    assert np.isnan(table.idh_mutant[table.IDH1.isna()]).all()
