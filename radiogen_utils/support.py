"""Small helpers without a subject of their own: paths, progress, atomic writing, locks and digests."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BATCH_VARIABLE = "RADIOGEN_BATCH"
"""Environment variable that the command line sets: progress as plain lines instead of bars."""


class CourseError(Exception):
    """What a reader can cause and mend: one line that names the file or patient and says what to do.

    The command line prints it without a traceback.
    """


class FolderInUse(CourseError):
    """Another run writes into the same folder."""


def project_root() -> Path:
    """Folder of the checkout, wherever Jupyter or Python was started."""
    return Path(__file__).resolve().parent.parent


def is_batch() -> bool:
    """True under the command line, False where somebody watches a notebook."""
    return BATCH_VARIABLE in os.environ


def progress(items, total: int, unit: str, describe=None):
    """Yield `items` with a bar when interactive, or one printed line an item in batch.

    Bars flood batch logs (papermill issues #765 and #617), hence the lines.

    Args:
        items: iterable to pass through.
        total: number of items.
        unit: what one item is, e.g. "fold".
        describe: function item -> text for its line; `None` prints no line in batch.
    """
    if not is_batch():
        from tqdm.auto import tqdm  # here, so that the command line can speak before anything is installed

        yield from tqdm(items, total=total, unit=unit)
        return
    for number, item in enumerate(items, start=1):
        if describe is not None:
            print(f"{unit} {number}/{total}: {describe(item)}", flush=True)
        yield item


def write_atomically(path: Path, write) -> None:
    """Call `write(temporary_path)` and move the result to `path`, so that no half-written file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep a folder, created when missing, to this process; the system gives it back however the process ends.

    Raises:
        FolderInUse: another process has it, and still had it after some seconds: a run that was killed needs a moment.
    """
    from filelock import FileLock, Timeout  # here, so that the command line can speak before anything is installed

    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=5)
    except Timeout:
        raise FolderInUse(
            f"{folder} is in use by another run; wait for its end, or give this one another folder"
        ) from None
    with lock:
        yield


def digest(*parts) -> str:
    """SHA-256 over the parts (bytes, or anything with a stable `repr`), as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()
