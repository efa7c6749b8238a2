"""Finding the cohort: in data/, at Kaggle (its own client against a server on this machine), or the phantom."""

import base64
import hashlib
import io
import shutil
import socket
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
import requests

from radiogen_utils.data import download
from radiogen_utils.data.archive import CohortError
from radiogen_utils.data.cohort import open_cohort
from radiogen_utils.data.download import Unreachable, fetch_archive, find_cohort
from radiogen_utils.data.verification import verify
from radiogen_utils.support import BATCH_VARIABLE


@pytest.fixture
def empty_project(tmp_path, monkeypatch):
    """A project without data and a kagglehub without cache."""
    monkeypatch.setattr(download, "project_root", lambda: tmp_path / "project")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "no credentials"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def quick_phantom(tiny_cohort, monkeypatch):
    """Stands for the phantom, whose tests are elsewhere; the list of the folders written."""
    from radiogen_utils import phantom

    written = []

    def write_cohort(folder, n_patients, seed, null):
        written.append((n_patients, seed, null))
        return Path(shutil.move(tiny_cohort(prefix="PHANTOM", name=f"written{len(written)}"), folder))

    monkeypatch.setattr(phantom, "write_cohort", write_cohort)
    return written


@pytest.mark.parametrize("name", ["lgg-mri-segmentation.zip", "kaggle_3m", "lgg-mri-segmentation"])
def test_auto_takes_what_lies_in_the_data_folder(empty_project, tiny_cohort, zip_of, name):
    folder = tiny_cohort()
    target = empty_project / "data" / name
    target.parent.mkdir()
    shutil.move({"kaggle_3m": folder / "kaggle_3m", "lgg-mri-segmentation": folder}.get(name) or zip_of(folder), target)
    assert find_cohort() == target
    assert find_cohort(f"data/{name}") == target  # from the project's root
    assert len(open_cohort(target).patients) == 3


def test_auto_without_network_gives_up_within_20_seconds(empty_project, monkeypatch):
    let_go = threading.Event()

    def dropped(*args, **kwargs):
        let_go.wait(120)
        raise OSError("packets are dropped")

    monkeypatch.setattr(socket, "getaddrinfo", dropped)
    start = time.monotonic()
    with pytest.raises(Unreachable, match="api.kaggle.com cannot be reached"):
        find_cohort()
    elapsed = time.monotonic() - start
    let_go.set()
    assert elapsed < 20


def test_phantom_is_written_once_for_each_kind(empty_project, quick_phantom):
    first = find_cohort("phantom", 12)
    assert find_cohort("phantom", 12) == first
    assert (
        len({first, find_cohort("phantom-null", 12), find_cohort("phantom", 12, seed=1), find_cohort("phantom", 13)})
        == 4
    )
    assert quick_phantom == [(12, 0, False), (12, 0, True), (12, 1, False), (13, 0, False)]
    assert first.name.startswith("phantom-12-0-")


@pytest.mark.parametrize("module", ["anatomy", "cohort"])
def test_phantom_is_written_again_after_its_source_has_changed(
    empty_project, quick_phantom, monkeypatch, tmp_path, module
):
    first = find_cohort("phantom", 12)
    (tmp_path / "changed.py").write_text("# another program\n")
    monkeypatch.setattr(f"radiogen_utils.phantom.{module}.__file__", str(tmp_path / "changed.py"))
    assert find_cohort("phantom", 12) != first
    assert len(quick_phantom) == 2


def test_interrupted_phantom_leaves_nothing(empty_project, monkeypatch):
    from radiogen_utils import phantom

    def interrupted(folder, *arguments):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "write_cohort", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_cohort("phantom")
    assert list((empty_project / "data").iterdir()) == []


# ---- Kaggle ----

DOWNLOAD = "/v1/datasets.DatasetApiService/DownloadDataset"


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
        archive.writestr(".padding", bytes(3 << 20))  # kagglehub writes by the mebibyte
    return buffer.getvalue()


@pytest.fixture
def kaggle(empty_project, public_cohort, server, monkeypatch):
    """kagglehub's own client, pointed to a server that has the public cohort; function to let that server misbehave."""
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
    monkeypatch.setattr(download, "KAGGLE_BYTES", (1, 1))
    content = zipped(public_cohort)

    def send(handler, status=200, body=content, sent=None, **headers):
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        handler.send_response(206 if wanted else status)
        checksum = base64.b64encode(hashlib.md5(body).digest()).decode()
        for name, value in {
            "Content-Type": "application/zip",
            "Content-Length": str(len(body) - start),
            "Accept-Ranges": "bytes",
            "x-goog-hash": f"md5={checksum}",
        }.items():
            if headers.get(name, value) is not None:
                handler.send_header(name, headers.get(name, value))
        handler.end_headers()
        handler.wfile.write(body[start:sent])

    server.pages["/"] = b""
    server.pages[DOWNLOAD] = send

    def misbehave(**options):
        server.pages[DOWNLOAD] = lambda handler: send(handler, **options)

    misbehave.send, misbehave.content, misbehave.server = send, content, server
    return misbehave


def failure() -> str:
    """What the reader is told: one line, with the way to go on and the way by hand."""
    with pytest.raises(CohortError) as failed:
        find_cohort()
    message = str(failed.value)
    assert "\n" not in message and not isinstance(failed.value, Unreachable)
    if message.startswith("the download from Kaggle failed"):
        assert "Run the same command again" in message and "DATA=" in message
    return message


def test_the_download_is_announced_verified_and_kept(kaggle, capsys):
    path = find_cohort()
    said = capsys.readouterr().out
    assert "downloading the cohort from Kaggle" in said and "unpacked" in said
    assert verify(path).status == "complete"
    kaggle.server.pages.clear()
    assert find_cohort() == path  # without the server


def test_a_download_that_differs_is_refused_each_time(kaggle, public_cohort):
    image = next(public_cohort.rglob("TCGA_XX_0001*_6.tif"))
    shutil.copy(next(public_cohort.rglob("TCGA_YY_0002*_6.tif")), image)
    kaggle(body=zipped(public_cohort))
    for _ in range(2):
        assert "not the public archive (TCGA_XX_0001: " in failure()
    assert kaggle.server.asked.count(f"POST {DOWNLOAD}") == 2  # the refused copy was not taken from the cache


@pytest.mark.parametrize(
    "status, reason",
    [
        (401, "refuses the access (401)"),
        (403, "refuses the access (403)"),
        (404, "does not have this data set any more"),
        (429, "asks to wait"),
        (500, "Kaggle has a problem (500)"),
        (503, "Kaggle has a problem (503)"),
    ],
)
def test_a_refusal_is_told_and_a_later_run_succeeds(kaggle, status, reason):
    kaggle(status=status, body=b"no")
    assert reason in failure()
    kaggle()
    assert verify(find_cohort()).status == "complete"


def reset(handler, kaggle, sent):
    """Send a part, then break the connection off."""
    kaggle.send(handler, sent=sent)
    handler.wfile.flush()
    time.sleep(0.3)  # until it is read: a reset throws away what is on its way
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def test_after_a_broken_connection_the_next_run_goes_on_from_there(kaggle):
    server, half = kaggle.server, len(kaggle.content) // 2
    server.pages[DOWNLOAD] = lambda handler: reset(handler, kaggle, half)
    assert "the connection broke off" in failure()
    ranges = []

    def later(handler):
        ranges.append(handler.headers.get("Range"))
        kaggle.send(handler)

    server.pages[DOWNLOAD] = later
    assert verify(find_cohort()).status == "complete"
    assert ranges[0] is None and 0 < int(ranges[1][6:-1]) <= half


@pytest.mark.parametrize("sent", [None, 100, 2 << 20], ids=["at once", "first bytes", "half-way"])
def test_a_server_that_stalls_is_given_up(kaggle, monkeypatch, sent):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.5))
    let_go = threading.Event()

    def stall(handler):
        if sent:
            kaggle.send(handler, sent=sent)
            handler.wfile.flush()
        let_go.wait(20)

    kaggle.server.pages[DOWNLOAD] = stall
    start = time.monotonic()
    assert "stopped answering" in failure()
    assert time.monotonic() - start < 10
    let_go.set()
    kaggle()
    assert verify(find_cohort()).status == "complete"


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"x-goog-hash": "md5=AAAAAAAAAAAAAAAAAAAAAA=="}, "arrived damaged (its MD5 differs)"),
        ({"body": b"<html>sign in</html>", "Content-Type": "text/html", "x-goog-hash": None}, "login page"),
        ({"body": b"<html>", "Content-Type": "application/json"}, "JSONDecodeError"),
        ({"body": b"PK\x05\x06" + bytes(30), "x-goog-hash": None}, "what arrived is not the cohort"),
    ],
    ids=["MD5", "login page", "no JSON", "no zip"],
)
def test_what_arrived_damaged_does_not_spoil_the_next_run(kaggle, options, reason):
    kaggle(**options)
    assert reason in failure()
    kaggle()
    assert verify(find_cohort()).status == "complete"


def test_a_truncated_archive_without_checksum_does_not_spoil_the_next_run(kaggle):
    kaggle(body=kaggle.content[:-200], **{"x-goog-hash": None})
    failure()
    kaggle()
    assert verify(find_cohort()).status == "complete"


def test_the_beginning_of_a_login_page_does_not_spoil_the_next_run(kaggle):
    page = b"<html>" + bytes(3 << 20)

    def portal(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        handler.wfile.write(page[: 2 << 20])

    kaggle.server.pages[DOWNLOAD] = portal
    assert "the connection broke off" in failure()
    kaggle()
    assert verify(find_cohort()).status == "complete"


def test_files_of_a_refused_download_do_not_spoil_the_next_run(kaggle, public_cohort):
    added = next(public_cohort.rglob("TCGA_XX_0001*_6.tif")).with_name("notes.tif")
    added.write_text("added")
    kaggle(body=zipped(public_cohort))
    assert "notes.tif" in failure()
    kaggle()
    assert verify(find_cohort()).status == "complete"


def test_a_download_that_lacks_slices_is_refused(kaggle, public_cohort):
    for file in public_cohort.rglob("TCGA_XX_0001*_1*.tif"):
        if file.stem.endswith(("_1", "_1_mask")):  # without tumour: of no use to the course, but part of the archive
            file.unlink()
    kaggle(body=zipped(public_cohort))
    assert "not the public archive (partial archive: 11 of 12 slices" in failure()


def test_a_connection_that_fails_after_the_answer_is_no_phantom(kaggle, monkeypatch):
    def gone(handle):
        raise requests.ConnectionError("api.kaggle.com cannot be reached")

    monkeypatch.setattr("kagglehub.dataset_download", gone)
    assert "the connection broke off" in failure()


def test_a_full_disk_is_told(kaggle, monkeypatch):
    monkeypatch.setattr(download, "KAGGLE_BYTES", (10**18, 0))
    assert "GB are needed; set KAGGLEHUB_CACHE" in failure()
    monkeypatch.setattr(download, "KAGGLE_BYTES", (1, 1))
    import kagglehub.clients

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(kagglehub.clients, "open", lambda *arguments: Full(), raising=False)
        assert "No space left on device" in failure()
    assert verify(find_cohort()).status == "complete"


def test_a_cache_that_cannot_be_written_is_told(kaggle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "file"))
    assert "Not a directory" in failure() or "File exists" in failure()


@pytest.mark.parametrize("text", ["{", '{"username": "a"}', "[]"])
def test_malformed_credentials_are_told(kaggle, tmp_path, monkeypatch, text):
    (tmp_path / "kaggle.json").write_text(text)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    assert "correct or remove that file" in failure()


def test_missing_certificates_are_told(kaggle, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setattr("kagglesdk.kaggle_env.get_endpoint", lambda env: "https://127.0.0.1:9")
    assert "/nowhere/ca.pem" in failure()


def test_nobody_at_the_address_is_unreachable_and_not_a_failed_download(kaggle, monkeypatch):
    monkeypatch.setattr("kagglesdk.kaggle_env.get_endpoint", lambda env: "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="cannot be reached"):
        find_cohort()


# ---- a large file ----


@pytest.fixture
def task(empty_project, server):
    """A tar file on a server, and function that fetches it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("Task/imagesTr/a")
        member.size = 300_000
        archive.addfile(member, io.BytesIO(bytes(range(250)) * 1200))
    content = buffer.getvalue()
    server.pages["/task.tar"] = content

    published = hashlib.md5(content).hexdigest()

    def fetch(md5=published):
        return fetch_archive(f"{server.url}/task.tar", md5, len(content), "Task")

    fetch.server, fetch.content, fetch.data = server, content, empty_project / "data"
    return fetch


def test_an_archive_is_announced_fetched_once_and_nothing_else_is_left(task, capsys):
    folder = task()
    assert folder == task.data / "Task" and (folder / "imagesTr" / "a").stat().st_size == 300_000
    assert "GB" in capsys.readouterr().out and [file.name for file in task.data.iterdir()] == ["Task"]
    task.server.pages.clear()
    assert task() == folder


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(task, ranges):
    task.server.ranges = ranges
    (task.data).mkdir()
    (task.data / "Task.tar.part").write_bytes(task.content[:200_000])
    assert (task() / "imagesTr" / "a").exists()


def test_a_connection_that_breaks_off_leaves_what_came(task):
    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(task.content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(task.content[:150_000])

    task.server.pages["/task.tar"] = half
    with pytest.raises(CohortError, match="run the same command again, it goes on from there"):
        task()
    assert (task.data / "Task.tar.part").stat().st_size in range(100_000, 150_001)
    task.server.pages["/task.tar"] = task.content
    assert (task() / "imagesTr" / "a").exists()


def test_a_complete_file_is_not_fetched_again(task):
    task.data.mkdir()
    (task.data / "Task.tar.part").write_bytes(task.content)  # stopped before it was unpacked
    assert (task() / "imagesTr" / "a").exists()


def test_a_wrong_or_longer_file_is_removed(task):
    task.data.mkdir()
    for part in (b"", task.content + b"more", b"other" * 100_000):
        (task.data / "Task.tar.part").write_bytes(part)
        with pytest.raises(CohortError, match=r"not the file expected \(MD5\) and was removed"):
            task(**({} if part else {"md5": "0" * 32}))
        assert list(task.data.iterdir()) == []
    assert (task() / "imagesTr" / "a").exists()


def test_too_little_space_and_nobody_there_are_told(task, monkeypatch):
    with pytest.raises(CohortError, match="GB are needed; make room"):
        fetch_archive(f"{task.server.url}/task.tar", "", 10**18, "Task")
    with pytest.raises(CohortError, match="download failed .*cannot be reached"):
        fetch_archive("http://127.0.0.1:9/task.tar", "", 1, "Task")


def test_a_full_disk_is_told_and_what_came_is_kept(task, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    for part, method in (("download", "_counted"), ("unpacking", "tarfile.TarFile.extractall")):
        with monkeypatch.context() as disk:
            disk.setattr(f"radiogen_utils.data.download.{method}", full)
            with pytest.raises(CohortError, match="Task: the download failed .*No space left.* goes on from there"):
                task()
        assert [file.name for file in task.data.iterdir()] == ["Task.tar.part"], part
    task.server.asked.clear()
    assert (task() / "imagesTr" / "a").exists()


def test_a_data_folder_that_cannot_be_made_is_told(task):
    task.data.write_text("")
    with pytest.raises(CohortError, match="Task: the download failed .*File exists"):
        task()


def test_progress_is_lines_in_batch_and_a_bar_where_somebody_watches(task, monkeypatch, capsys):
    monkeypatch.setenv(BATCH_VARIABLE, "1")
    task()
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line.endswith("left")]
    assert 3 <= len(lines) <= 20 and "\r" not in said.out + said.err
    assert lines[-1].startswith("0.00 of 0.00 GB, about ")
    list(download._counted([b"x"] * 1000, 0, 1000))
    assert capsys.readouterr().out.count("left") == 20
    shutil.rmtree(task.data)
    monkeypatch.delenv(BATCH_VARIABLE)
    task()
    said = capsys.readouterr().out
    assert "100%" in said and not any(line.endswith("left") for line in said.splitlines())
