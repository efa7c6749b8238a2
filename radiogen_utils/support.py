"""Small helpers: paths, progress, atomic writing, locks and fingerprints."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

BATCH_VARIABLE = "RADIOGEN_BATCH"
"""Environment variable that the command line sets: progress as plain lines instead of bars."""

LOCK_TIMEOUT = 5
"""Seconds that a run waits for a folder: one that was killed needs a moment to release it."""


class CourseError(Exception):
    """What a reader can cause and correct: one line that names the file or patient and says what to do.

    The command line prints it without a traceback, and so does a notebook.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython prints."""
        return [f"{type(self).__name__}: {self}"]


class FolderInUse(CourseError):
    """Another run writes into the same folder."""


def project_root() -> Path:
    """Folder of the checkout, whatever the working directory."""
    return Path(__file__).resolve().parent.parent


def is_batch() -> bool:
    """True under the command line, False where somebody watches a notebook."""
    return BATCH_VARIABLE in os.environ


def progress(items: Iterable[T], total: int, unit: str, describe: Callable[[T], str] | None = None) -> Iterator[T]:
    """Yield `items` with a bar when interactive, or one printed line an item in batch.

    Bars flood batch logs (papermill issues #765 and #617), hence the lines. The bar is of text: one of widgets reopens
    as an error in a saved notebook.

    Args:
        items: iterable to pass through.
        total: number of items.
        unit: what one item is, e.g. "fold".
        describe: function item -> text for its line; `None` prints no line in batch.
    """
    if not is_batch():
        from tqdm import tqdm  # here, so that the command line can speak before anything is installed

        yield from tqdm(items, total=total, unit=unit, file=sys.stdout)
        return
    start = time.monotonic()
    for number, item in enumerate(items, start=1):
        if describe is not None:
            left = (time.monotonic() - start) / number * (total - number)
            rest = f", {duration(left)} left" if left >= 10 else ""
            print(f"{unit} {number}/{total}: {describe(item)}{rest}", flush=True)
        yield item


def duration(seconds: float) -> str:
    """About how long, in words.

    Example:
        >>> duration(42), duration(200), duration(9000)
        ('about 42 s', 'about 3 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
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
    """Keep a folder, created when missing, to this process; it is released however the process ends.

    Raises:
        FolderInUse: another process has it, and still had it after `LOCK_TIMEOUT` seconds.
        CourseError: the folder cannot be written to.
    """
    from filelock import FileLock, Timeout  # here, so that the command line can speak before anything is installed

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock").acquire(timeout=LOCK_TIMEOUT)
    except Timeout:
        raise FolderInUse(
            f"{folder} is in use by another run; wait for its end, or give this one another folder"
        ) from None
    except OSError as error:
        raise CourseError(f"cannot write to {folder} ({error.strerror}); choose another OUT") from error
    with lock:
        yield


def fingerprint(*parts: object) -> str:
    """SHA-256 over the parts (bytes, or anything with a stable `repr`), as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()
