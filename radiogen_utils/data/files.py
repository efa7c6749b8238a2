"""The files of a folder or zip, under the same names whichever system packed or copied them."""

import os
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from ..support import CourseError

_SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
_KINDS = {  # by first bytes
    b"PK": "a zip",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x89PNG": "a PNG",
    b"\xff\xd8\xff": "a JPEG",
    b"%PDF": "a PDF",
    b"<": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS",
}
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


class CohortError(CourseError, ValueError):
    """The cohort cannot be found or read: one line that names the file or patient and says what to do."""


class Files:
    r"""The files of a folder, or of a zip that stays open and is never unpacked.

    A name is relative, with `/` between folders and composed letters (ü, not u and two dots), however it is written in
    the folder or zip: `./a/b.tif`, `a//b.tif` and `a\b.tif` are `a/b.tif`. What operating systems leave beside a
    reader's files (`.DS_Store`, `__MACOSX`, `Thumbs.db`) is left out.

    Attributes:
        path: the folder or zip.
        folders: names of the folders; those of a zip only as far as it lists them.
        problems: name -> what is wrong with it and what to do, beyond the content of files.

    Raises:
        CohortError: nothing there, neither folder nor zip, or no permission to read it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.folders: set[str] = set()
        self.problems: dict[str, str] = {}
        self._zip = None if os.path.isdir(path) else open_zip(path)
        self._members = {}
        for name, member in sorted(self._walk(path) if self._zip is None else self._listed(), key=itemgetter(0)):
            if self._members.setdefault(name, member) is not member:
                self.problems[name] = "there twice, the name being written in two ways or repeated; keep one"

    def names(self) -> list[str]:
        """Name of every file, sorted."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            CohortError: it is not there or cannot be read, or its checksum in the zip is wrong.
        """
        if name not in self._members:
            raise CohortError(f"{name}: not in {self.path}; add it, or download the whole again")
        member = self._members[name]
        try:
            if self._zip is None:
                with open(member, "rb") as file:
                    return file.read()
            if member.flag_bits & 1:
                cause, remedy = "encrypted", "unpack it with its password and give the folder"
                raise CohortError(f"{name}: {cause} in {self.path}; {remedy}")
            return self._zip.read(member)
        except CohortError:
            raise
        except RuntimeError:  # NotImplementedError, or that Python was built without this method
            method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
            cause = f"packed with {method}, which this Python cannot unpack,"
            remedy = "unpack it with another program and give the folder"
        except OSError as error:
            cause, remedy = _why(error)
        except Exception as error:  # what zipfile, zlib, bz2 and lzma raise for a damaged file has no class in common
            cause, remedy = f"damaged ({error})", "download or copy it again"
        raise CohortError(f"{name}: {cause} in {self.path}; {remedy}")

    def sizes(self) -> dict[str, int]:
        """Size of every file in bytes."""
        if self._zip is not None:
            return {name: info.file_size for name, info in self._members.items()}
        return {name: _state(file)[0] for name, file in self._members.items()}

    def checksum(self, name: str) -> int:
        """CRC-32 of a file, which a zip lists."""
        return zlib.crc32(self.read(name)) if self._zip is None else self._members[name].CRC

    def state(self) -> list:
        """What changes when a file does, found without reading any: checksums or times, sizes and names."""
        if self._zip is not None:
            return [(info.filename, info.file_size, info.CRC) for info in self._zip.infolist()]
        files = [(file, *_state(file)) for file in self._members.values()]
        return [*files, *sorted(self.folders), *sorted(self.problems)]

    def _listed(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        for info in self._zip.infolist():
            name = _normal(info.filename)
            if is_hidden(name):
                continue
            if info.filename.endswith(("/", "\\")):
                self.folders.add(name)
            else:
                yield name, info

    def _walk(self, folder: str | Path, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
        """Name and path of every file; links are followed, but not back into a folder that they lie in."""
        above = (*above, os.path.realpath(folder))
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise CohortError("{}: {}; {}".format(folder, *_why(error))) from error
        for entry in entries:
            name = prefix + _normal(entry.name)
            if is_hidden(name):
                continue
            linked = entry.is_symlink()  # then os.path is asked: the entry itself raises for a link to itself
            if os.path.isdir(entry.path) if linked else entry.is_dir():
                if linked and os.path.realpath(entry.path) in above:
                    self.problems[name] = "a link to a folder that it lies in; remove it"
                    continue
                self.folders.add(name)
                yield from self._walk(entry.path, f"{name}/", above)
            elif os.path.isfile(entry.path) if linked else entry.is_file():
                yield name, entry.path
            else:
                self.problems[name] = "neither file nor folder, or a link to what is gone; restore or remove it"


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip.

    Raises:
        CohortError: with the cause: nothing there, no permission, another kind of file, or only a part of a zip.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CohortError(f"{path}: no such file or folder; check the path") from error
    except OSError as error:
        raise CohortError("{}: {}; {}".format(path, *_why(error))) from error
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # a damaged list of members raises more than BadZipFile
        kind = kind_of(head)
        cause = "not the whole of a zip" if kind == "a zip" else "not a zip" + (f" but {kind}" if kind else "")
        remedy = "unpack it and give the folder" if "archive" in kind else "download it again"
        raise CohortError(f"{path}: {cause}; {remedy}") from error


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes, as in "a PNG"; empty if that is unknown."""
    if not head.strip(b"\0"):
        return "an empty file"
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), "")


def is_hidden(name: str) -> bool:
    """True for what operating systems leave beside a reader's files, and for all that lies in a hidden folder."""
    return any((part.startswith(".") and part != "..") or part.lower() in _SYSTEM for part in name.split("/"))


def _normal(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    return unicodedata.normalize("NFC", "/".join(part for part in parts if part not in ("", ".")))


def _state(file: str) -> tuple[int, int]:
    try:
        stat = os.stat(file)
        return stat.st_size, stat.st_mtime_ns
    except OSError:
        return -1, -1  # reading it will say so


def _why(error: OSError) -> tuple[str, str]:
    """Cause and remedy."""
    if isinstance(error, PermissionError):
        return "no permission to read it", "allow it, or copy it elsewhere"
    return f"unreadable ({error.strerror or error})", "download or copy it again"
