"""A tiny cohort that tests write themselves, where the real data lie, if anywhere, and a Dask cluster."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: two processes of two threads each on two cores crawl
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from radiogen_utils.support import project_root

REAL_DATA = project_root() / "../shared/data"


@pytest.fixture
def arms():
    """24 positives, 86 negatives; three repeats of one arm, two of another; scores with ties."""
    rng = np.random.default_rng(1)
    y = np.r_[np.ones(24, int), np.zeros(86, int)]
    signal = rng.normal(size=110) + y
    return y, (signal + rng.normal(size=(3, 110))).round(1), (signal + 2 * rng.normal(size=(2, 110))).round(1)


@pytest.fixture
def tiny_cohort(tmp_path):
    """Function writing a cohort of 64×64 slices, deterministic: slice 1 is free of tumour, 2 to 10 step 4 bear one.

    The table gives the patients 0001, 0002, … the clusters 1, 2, 3, 1, … and leaves RPPACluster of the first blank.

    Args of the function:
        n_patients: number of patients.
        prefix: first token of their names; "PHANTOM" makes the cohort synthetic.
        name: of the folder, in `tmp_path`.

    Returns of the function:
        The folder that holds `kaggle_3m`.
    """

    def write(n_patients: int = 3, prefix: str = "TCGA", name: str = "cohort") -> Path:
        root = tmp_path / name / "kaggle_3m"
        rng = np.random.default_rng(0)
        rows = ["Patient,COCCluster,RPPACluster,age_at_initial_pathologic"]
        for i in range(n_patients):
            patient = f"{prefix}_{'XY'[i % 2] * 2}_{i + 1:04d}"
            case = f"{patient}_2000010{i % 9 + 1}"
            (root / case).mkdir(parents=True)
            rows.append(f"{patient},{i % 3 + 1},{'' if i == 0 else i % 2 + 1},{40 + i}")
            for number in (1, 2, 6, 10):
                image = rng.integers(0, 256, (64, 64, 3), np.uint8)
                mask = np.zeros((64, 64), np.uint8)
                if number > 1:
                    mask[20 : 20 + number, 30:40] = 255
                Image.fromarray(image).save(root / case / f"{case}_{number}.tif")
                Image.fromarray(mask).save(root / case / f"{case}_{number}_mask.tif")
        (root / "data.csv").write_text("\n".join(rows) + "\n")
        return root.parent

    return write


@pytest.fixture
def public_cohort(tiny_cohort, tmp_path, monkeypatch):
    """A tiny cohort that stands for the public archive: with a manifest of it."""
    from radiogen_utils.data import verification
    from radiogen_utils.data.archive import Archive
    from radiogen_utils.data.scan import scan

    folder = tiny_cohort()
    scan(Archive(folder)).manifest.to_csv(tmp_path / "manifest.csv")
    monkeypatch.setattr(verification, "MANIFEST", tmp_path / "manifest.csv")
    monkeypatch.setattr(verification, "PUBLIC_SLICES", 12)
    return folder


@pytest.fixture
def zip_of():
    """Function packing a folder's content into a zip beside it, each file under all `prefixes`; returns the zip."""

    def pack(folder: Path, prefixes=("",)) -> Path:
        path = folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                for prefix in prefixes if file.is_file() else ():
                    archive.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
        return path

    return pack


@pytest.fixture(scope="session")
def real_archive() -> Path:
    """The real archive, where this machine has it."""
    path = REAL_DATA / "lgg-mri-segmentation.zip"
    if not path.exists():
        pytest.skip("no real archive at ../shared/data/lgg-mri-segmentation.zip")
    return path


@pytest.fixture(scope="session")
def real_cohort(real_archive):
    """The real archive, opened."""
    from radiogen_utils.data.cohort import open_cohort

    return open_cohort(real_archive)


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine: `url`; `pages`, path -> bytes or function(handler) that answers; `asked`.

    It knows ranges, unless `ranges` is set to False.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = SimpleNamespace(pages={}, asked=[], ranges=True)

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            state.asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = state.pages.get(self.path)
            if callable(page):
                return page(self)
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if state.ranges else None
            start = int(wanted[1]) if wanted else 0
            beyond = page is not None and wanted and start >= len(page)
            self.send_response(404 if page is None else 416 if beyond else 206 if wanted else 200)
            body = b"" if page is None or beyond else page[start:]
            if state.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET = do_POST = answer

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    state.url = f"http://127.0.0.1:{running.server_port}"
    yield state
    running.shutdown()
    running.server_close()


@pytest.fixture
def cluster(tmp_path):
    """A real Dask scheduler: `address`, two worker processes of one thread `workers`, `start_worker()` for one more."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    address_file, processes = tmp_path / "scheduler.json", []

    def launch(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--scheduler-file", str(address_file)]
        log = open(tmp_path / f"{arguments[0]}-{len(processes)}.log", "w")
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))

    launch("scheduler", "--port", "0", "--host", "127.0.0.1")
    for _ in range(300):
        if address_file.exists() and address_file.read_text().strip().endswith("}"):
            break
        time.sleep(0.1)
    for _ in range(2):
        launch("worker", "--nthreads", "1", "--no-nanny")
    yield SimpleNamespace(
        address=json.loads(address_file.read_text())["address"],
        workers=processes[1:],
        start_worker=lambda: launch("worker", "--nthreads", "1", "--no-nanny"),
    )
    for process in reversed(processes):
        process.kill()
        process.wait()
