"""Find the cohort: on this machine, at Kaggle, or, where neither has it, the synthetic phantom."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import requests

from ..support import digest, project_root
from .archive import Archive, CohortError, find_in
from .verification import verify

KAGGLE = "mateuszbuda/lgg-mri-segmentation/versions/2"
KAGGLE_API = "https://api.kaggle.com"

_NOTICE = """
{line}
NO REAL DATA: this run uses a SYNTHETIC PHANTOM. Its figures say nothing about patients.
Why: {reason}.
For the real cohort, allow the download from Kaggle, or put lgg-mri-segmentation.zip into
{folder}
{line}
"""


def find_cohort(where: str | Path = "auto", n_phantom_patients: int = 110, seed: int = 0) -> Path:
    """Folder or zip that holds the cohort, for `open_cohort`.

    Args:
        where: "auto" takes the first of: an archive in the project's `data` folder; the copy in kagglehub's cache; the
            Kaggle download, which needs no account; the phantom, with a printed notice. "phantom" takes the phantom,
            "phantom-null" the one whose images do not depend on the labels. Anything else is the path of a folder or
            zip; a relative one is taken from the project's root.
        n_phantom_patients, seed: size and seed of the phantom, which is written once and kept in `data`.

    Raises:
        CohortError: no cohort at the path, or the download is not the public archive.
    """
    if where in ("phantom", "phantom-null"):
        return _phantom(n_phantom_patients, seed, null=where == "phantom-null")
    if where != "auto":
        return Archive(project_root() / Path(where).expanduser()).path
    folder = project_root() / "data"
    found = find_in(folder)
    if found is not None:
        return found
    try:
        return _kaggle()
    except requests.RequestException as error:
        print(_NOTICE.format(line="*" * 100, reason=f"{type(error).__name__}: {error}", folder=folder), flush=True)
    return _phantom(n_phantom_patients, seed, null=False)


def check_reachable(url: str, seconds: float = 8) -> None:
    """Raise `requests.ConnectionError` unless `url` answers, with whatever status, within `seconds`.

    The request has a thread of its own because no timeout of requests bounds the look-up of a name, which takes minutes
    where a firewall drops packets. kagglehub itself sets no timeout at all.
    """
    outcome = [f"no answer within {seconds:g} seconds"]

    def ask():
        try:
            requests.head(url, timeout=seconds)
            outcome.append(None)
        except requests.RequestException as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome[-1] is not None:
        raise requests.ConnectionError(f"{url} cannot be reached ({outcome[-1]})")


def _kaggle() -> Path:
    """kagglehub's copy of the public archive, downloaded and verified where it is missing."""
    from kagglehub import dataset_download
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    cache, handle = Cache(), parse_dataset_handle(KAGGLE)
    cached = cache.load_from_cache(handle)
    if cached is not None:
        return Path(cached)
    check_reachable(KAGGLE_API)
    folder = Path(dataset_download(KAGGLE))
    cache.mark_as_incomplete(handle)  # until it is verified, so that no later call takes it for a good copy
    found = verify(folder)
    if found.status != "complete" or found.problems:
        reason = [*found.problems, found.summary][0]
        raise CohortError(f"{folder}: not the public archive ({reason}); delete this folder and download it again")
    cache.mark_as_complete(handle)
    return folder


def _phantom(n_patients: int, seed: int, null: bool) -> Path:
    """The project's copy of the phantom cohort, written where it is missing."""
    from .. import phantom

    name = f"phantom-{n_patients}-{seed}{'-null' if null else ''}"
    return keep_phantom(name, lambda folder: phantom.write_cohort(folder, n_patients, seed, null))


def keep_phantom(name: str, write: Callable[[Path], object]) -> Path:
    """The folder `name` with a digest of the phantom's source in `data`, filled by `write(folder)` where it is missing."""
    from ..phantom import anatomy, cohort

    data = project_root() / "data"
    source = digest(*(Path(module.__file__).read_bytes() for module in (anatomy, cohort)))[:8]
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
