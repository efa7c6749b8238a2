"""Find the cohort, on this machine or at Kaggle, or write the synthetic phantom. Fetch large files."""

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from tqdm import tqdm

from ..support import duration, fingerprint, is_batch, project_root
from .archive import Archive, CohortError, find_in
from .verification import verify

KAGGLE = "mateuszbuda/lgg-mri-segmentation/versions/2"
KAGGLE_PAGE = "https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation"
KAGGLE_BYTES = 740_000_000, 2_100_000_000
"""Size of the download, and of what it is unpacked to."""

TIMEOUT = (10, 60)
"""Seconds to connect, and between two packets."""


class Unreachable(CohortError):
    """No real cohort on this machine, and Kaggle cannot be reached."""


def find_cohort(where: str | Path = "auto", n_phantom_patients: int = 110, seed: int = 0) -> Path:
    """Folder or zip that holds the cohort, for `open_cohort`.

    Args:
        where: "auto": the first of a cohort in the project's `data` folder, the copy in kagglehub's cache, the Kaggle
            download. "phantom": the phantom; "phantom-null": the one whose images do not depend on the labels. Anything
            else is the path of a folder or zip; a relative one is taken from the project's root.
        n_phantom_patients: size of the phantom, which is written once and kept in `data`.
        seed: of the phantom.

    Raises:
        Unreachable: no cohort on this machine, and Kaggle cannot be reached.
        CohortError: no cohort at the path, or the download failed or is not the public archive.
    """
    if where == "auto":
        return find_in(project_root() / "data") or _kaggle()
    if where not in ("phantom", "phantom-null"):
        return Archive(project_root() / Path(where).expanduser()).path
    from .. import phantom

    null = where == "phantom-null"
    name = f"phantom-{n_phantom_patients}-{seed}{'-null' if null else ''}"
    return keep_phantom(name, lambda folder: phantom.write_cohort(folder, n_phantom_patients, seed, null))


def phantom_notice(reason: Exception, consequence: str = "") -> str:
    """The words in which a reader learns that the phantom stands in for the real cohort, and how to get that."""
    line = "*" * 100
    return f"""
{line}
NO REAL DATA: this run uses a SYNTHETIC PHANTOM. Its figures say nothing about patients. {consequence}
Why: {reason}.
For the real cohort, allow the download from Kaggle (no account needed), or download it by hand from
{KAGGLE_PAGE}
and give the zip as DATA=path/to/archive.zip, or put it into {project_root() / "data"}
{line}
"""


def check_reachable(url: str, seconds: float = 8) -> None:
    """Raise `requests.ConnectionError` unless `url` answers, with whatever status, within `seconds`.

    The request runs in a thread because no timeout of requests bounds the look-up of a name, which takes minutes where
    a firewall drops packets. kagglehub itself sets no timeout at all.

    Raises:
        requests.ConnectionError: no answer, or not within `seconds`.
        OSError: the certificates of this machine cannot be used, or do not know the server's.
    """
    outcome: list[OSError | None] = [requests.ConnectionError(f"no answer within {seconds:g} seconds")]

    def ask() -> None:
        try:
            requests.head(url, timeout=seconds)
            outcome.append(None)
        except OSError as error:  # RequestException is one, and so is a certificate file that is not there
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    error = outcome[-1]
    if isinstance(error, requests.exceptions.SSLError) or (error and not isinstance(error, requests.RequestException)):
        raise error
    if error is not None:
        cause = error if len(outcome) == 1 else type(error).__name__
        raise requests.ConnectionError(f"{url} cannot be reached ({cause})")


def _kaggle() -> Path:
    """Find kagglehub's copy of the public archive, downloaded and verified where it is missing."""
    from kagglehub import dataset_download
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle
    from kagglesdk.kaggle_env import get_endpoint, get_env

    cache, handle = Cache(), parse_dataset_handle(KAGGLE)
    cached = cache.load_from_cache(handle)
    if cached is not None:
        return Path(cached)
    folder, zipped = Path(cache.get_path(handle)), Path(cache.get_archive_path(handle))
    print("no cohort on this machine; asking Kaggle …", flush=True)
    try:
        check_reachable(get_endpoint(get_env()))
    except Exception as error:
        if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.exceptions.SSLError):
            raise Unreachable(str(error)) from error
        raise _failed(_explain(error)) from error
    try:
        _check_space(folder, sum(KAGGLE_BYTES), "set KAGGLEHUB_CACHE to a folder with more")
        print(
            f"downloading the cohort from Kaggle: {KAGGLE_BYTES[0] / 1e9:.2f} GB, {KAGGLE_BYTES[1] / 1e9:.1f} GB "
            f"unpacked, into {folder}; minutes on a fast line, once",
            flush=True,
        )
        shutil.rmtree(folder, ignore_errors=True)  # a copy that was refused: its files would stay among the new ones
        with _bounded_requests():
            folder = Path(dataset_download(KAGGLE))  # elsewhere than in the cache on Kaggle's and Google's machines
        cache.mark_as_incomplete(handle)  # until it is verified, so that no later call takes it for a good copy
    except CohortError:
        raise
    except Exception as error:  # what kagglehub raises has no class in common
        # A rerun goes on from what came, unless that is damaged, or the beginning of something else, of a login page.
        if zipped.is_file() and not (isinstance(error, OSError) and _begins_as_zip(zipped)):
            zipped.unlink()
        raise _failed(_explain(error)) from error
    try:
        found = verify(folder)
    except CohortError as error:
        raise _failed(f"what arrived is not the cohort ({error})") from error
    if found.status != "complete" or found.problems:
        reason = [*found.problems, found.summary][0]
        raise CohortError(
            f"{folder}: not the public archive ({reason}); run the same command again to replace it by a new download, "
            "or move it elsewhere and give its path as DATA to use it all the same"
        )
    cache.mark_as_complete(handle)
    return folder


def _failed(what: str) -> CohortError:
    return CohortError(
        f"the download from Kaggle failed: {what}. Run the same command again, it goes on from there; or download "
        f"{KAGGLE_PAGE} by hand and give the zip as DATA=path/to/archive.zip"
    )


def _begins_as_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"PK"


def _explain(error: Exception) -> str:
    """What went wrong with the download, in one line for a reader."""
    status = error.response.status_code if getattr(error, "response", None) is not None else None
    if status in (401, 403):
        return (
            f"Kaggle refuses the access ({status}); credentials that are wrong or expired, in KAGGLE_… variables or "
            "~/.kaggle, do harm here: none are needed"
        )
    if status in (404, 429):
        reasons = {
            404: "does not have this data set any more",
            429: "asks to wait, too many downloads from this address",
        }
        return f"Kaggle {reasons[status]} ({status})"
    if status is not None and status >= 500:
        return f"Kaggle has a problem ({status}); try again in a few minutes"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the server's certificate is not trusted; a proxy may need REQUESTS_CA_BUNDLE ({_line(error)})"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):  # the latter in the middle of the file
        return "the server stopped answering"
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return f"the connection broke off ({type(error).__name__})"
    if isinstance(error, ValueError) and "credentials" in str(error):
        return f"{_line(error)}; correct or remove that file, no account is needed"
    if type(error).__name__ == "DataCorruptionError":
        return "the file arrived damaged (its MD5 differs)"
    if isinstance(error, ValueError) and "archive type" in str(error):
        return "what arrived is no archive but perhaps a login page; is there a portal or proxy to sign in to?"
    return _line(error)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def _bounded_requests() -> Iterator[None]:
    """Give requests that ask for no timeout the one of this module: kagglehub would wait for ever."""
    adapter = requests.adapters.HTTPAdapter
    send = adapter.send

    def bounded(*request: object, timeout: float | None = None, **options: object) -> requests.Response:
        return send(*request, timeout=timeout or TIMEOUT, **options)

    adapter.send = bounded
    try:
        yield
    finally:
        adapter.send = send


def _check_space(folder: Path, needed: float, remedy: str) -> None:
    """Raise `CohortError` unless `needed` bytes are free where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CohortError(f"{folder}: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} GB are needed; {remedy}")


def fetch_archive(url: str, md5: str, size: float, name: str) -> Path:
    """Folder `name` in the project's data folder, unpacked from a tar file that is downloaded where it is missing.

    An interrupted download goes on where it stopped. Nothing half-done is ever left under that name.

    Args:
        url: of the tar file.
        md5: checksum of the tar file.
        size: about how many bytes it has.
        name: the one folder in the tar file.

    Raises:
        CohortError: too little space; the server cannot be reached, or stops; the file is not the one expected.
    """
    data = project_root() / "data"
    folder, part = data / name, data / f"{name}.tar.part"
    if folder.exists():
        return folder
    try:
        data.mkdir(exist_ok=True)
        _check_space(data, 2 * size, "make room, or put the unpacked folder there yourself")
        print(f"downloading {name}: {size / 1e9:.1f} GB, as much again to unpack it, into {data}", flush=True)
        print(f"{duration(size / 1e7)} at 10 MB/s, once; may be interrupted, a rerun goes on from there", flush=True)
        check_reachable(url)
        _resume(url, part)
        with open(part, "rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != md5:
                part.unlink()
                raise CohortError(f"{name}: the download is not the file expected (MD5) and was removed; run it again")
        print("unpacking …", flush=True)
        with tempfile.TemporaryDirectory(dir=data, prefix=".unpacking-") as temporary:
            with tarfile.open(part) as archive:
                archive.extractall(temporary, filter="data")
            os.rename(Path(temporary, name), folder)
        part.unlink()
    except (OSError, tarfile.TarError) as error:  # the server, the connection, the disk
        raise CohortError(
            f"{name}: the download failed ({_line(error)}); run the same command again, it goes on from there, or get "
            f"{url} by hand and unpack it into {data}"
        ) from error
    return folder


def _resume(url: str, part: Path) -> None:
    """Stream `url` to the end of what is in `part` already; pooch, used elsewhere, would begin again.

    A file that has changed on the server meanwhile is not noticed here but by its checksum.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
        if response.status_code == 416:  # nothing is left to send; whether it is the right file, its checksum tells
            return
        response.raise_for_status()
        have = have if response.status_code == 206 else 0  # a server may know no ranges
        total = have + int(response.headers.get("Content-Length", 0))
        with open(part, "ab" if have else "wb") as file:
            for chunk in _counted(response.iter_content(1 << 16), have, total):
                file.write(chunk)


def _counted(chunks: Iterator[bytes], have: int, total: int) -> Iterator[bytes]:
    """Yield chunks with a bar of the bytes when interactive, or a line every twentieth in batch."""
    start, begun, told = time.monotonic(), have, have
    with tqdm(total=total, initial=have, unit="B", unit_scale=True, file=sys.stdout, disable=is_batch()) as bar:
        for chunk in chunks:
            yield chunk
            have += len(chunk)
            bar.update(len(chunk))
            if is_batch() and have - told >= total / 20 > 0:
                told = have
                left = (time.monotonic() - start) / (have - begun) * max(total - have, 0)
                print(f"{have / 1e9:.2f} of {total / 1e9:.2f} GB, {duration(left)} left", flush=True)


def keep_phantom(name: str, write: Callable[[Path], object]) -> Path:
    """The folder `data/<name>-<fingerprint of the phantom's source>`; where missing, `write(folder)` fills it."""
    from ..phantom import anatomy, cohort

    data = project_root() / "data"
    source = fingerprint(*(Path(module.__file__).read_bytes() for module in (anatomy, cohort)))[:8]
    folder = data / f"{name}-{source}"
    if folder.exists():
        return folder
    print(f"writing the synthetic {name} …", flush=True)
    data.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data, prefix=".phantom-") as temporary:
        written = Path(temporary, folder.name)
        write(written)
        try:
            written.rename(folder)  # only now, so that an interrupted writing is never taken for a cohort
        except OSError:
            if not folder.exists():  # else another process has written the same phantom meanwhile
                raise
    return folder
