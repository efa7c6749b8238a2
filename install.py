"""Set up the course's environment in .venv. Needs nothing but Python 3.11 or newer; `make` calls it.

    python3 install.py        (Windows: py install.py)

What is sound and up to date is left alone, without network. What is broken, moved or half-done is built again. Packages
come from where pip's settings say; nothing else of them, nor of the reader's environment, has a say. Exact versions:
constraints.txt. uv does the work, since it chooses the build of torch by the hardware: where no NVIDIA GPU is visible,
that of the CPU, a third of the size.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed.json"
REQUIREMENTS = ["-c", "constraints.txt", "-e", ".[test]"]
UV = "uv==0.13.9"
SOURCES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""pip's settings that say where packages come from, and what uv calls them."""


def main() -> None:
    if sys.version_info < (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        stop(f"Python 3.11 or newer is needed, this is {found}; give another one, e.g. make PYTHON=python3.12")
    before, state = stamp(), state_of_environment()
    wanted = {"requirements": requirements()}
    if state is not None and before == state | wanted:
        return
    start = time.monotonic()
    print("setting up .venv: 2 GB of packages (5 GB for a GPU), a minute or two on a fast line, once", flush=True)
    STAMP.unlink(missing_ok=True)  # until the installation is complete
    if state is None or any(before.get(name) != value for name, value in state.items()):
        # Its interpreter is gone, it was moved, or never finished: not worth mending.
        create()
    install()
    STAMP.write_text(json.dumps(state_of_environment() | wanted), encoding="utf-8")
    size = sum(file.lstat().st_size for file in VENV.rglob("*") if not file.is_dir()) / 1e9
    print(f"the environment is ready: {time.monotonic() - start:.0f} s, {size:.1f} GB", flush=True)


def stop(reason: str) -> None:
    """End with one line."""
    raise SystemExit(f"error: {reason}")


def requirements() -> str:
    """Digest of what decides which packages are installed."""
    files = ("pyproject.toml", "constraints.txt", "install.py")
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in files)).hexdigest()


def state_of_environment() -> dict | None:
    """Where the environment lies and which Python it runs; `None` where its interpreter is gone or does not start."""
    look = "import sys; print(sys.base_prefix, *sys.version_info[:2], sep='\\n')"
    try:
        found = subprocess.run(
            [str(PYTHON), "-I", "-c", look], capture_output=True, encoding="utf-8", check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"folder": str(ROOT), "python": " ".join(found.stdout.split("\n")).strip()}


def stamp() -> dict:
    """What the last complete installation left; empty if there was none."""
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def create() -> None:
    """Make an empty environment."""
    if VENV.is_symlink():
        VENV.unlink()
    shutil.rmtree(VENV, ignore_errors=True)
    made = run([sys.executable, "-m", "venv", str(VENV)], quiet=True)
    if made.returncode:
        detail = " ".join(made.stdout.split())
        if "ensurepip" in detail:
            detail = "this Python lacks venv and pip; on Debian or Ubuntu: apt install python3-venv"
        shutil.rmtree(VENV, ignore_errors=True)
        stop(f"no environment could be made in {VENV}: {detail}")


def install() -> None:
    """Install the requirements with uv, or, where there is no uv for this machine, with pip."""
    sources = pip_sources()
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    for_pip = {f"PIP_{name.replace('-', '_').upper()}": value for name, value in sources.items()}
    for_pip["PIP_CONFIG_FILE"] = os.devnull
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON)]
    for_uv = {SOURCES[name]: value for name, value in sources.items()}
    if "find-links" in sources:
        for_uv["UV_FIND_LINKS"] = sources["find-links"].replace(" ", ",")
    for_uv |= {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_HTTP_TIMEOUT": "30"}  # the best of all sources, as pip
    if run([*pip, UV], for_pip, quiet=True).returncode == 0:
        backend = ["--torch-backend=auto"]
        # The servers with the builds for each hardware are not the package index, and may be out of reach.
        if run([*uv, "--dry-run", *backend, *REQUIREMENTS], for_uv | {"UV_HTTP_RETRIES": "1"}, quiet=True).returncode:
            print("taking the build of torch that the package index has: on Linux one for GPUs, larger", flush=True)
            backend = []
        quietly = [] if sys.stderr.isatty() else ["--quiet"]
        if run([*uv, *quietly, *backend, *REQUIREMENTS], for_uv).returncode == 0:
            return
    else:
        print("uv is not to be had here; pip installs, which takes longer …", flush=True)
        if run([*pip, *REQUIREMENTS], for_pip).returncode == 0:
            return
    stop("the installation failed, see above; is there a network, and room on the disk? Run the same command again")


def pip_sources() -> dict[str, str]:
    """The settings of `SOURCES` as pip has them, from its files and, before them, PIP_ variables; lists with spaces."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    settings["PIP_USER"] = "0"  # "user = true" would hide all files but the reader's own
    listed = run([str(PYTHON), "-m", "pip", "config", "list"], settings, quiet=True).stdout
    found = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):  # global.index-url='https://…'
        name, _, value = line.partition("=")
        values = ast.literal_eval(value).split() if value.startswith(("'", '"')) else []
        # A folder that is not there stops uv; pip passes over it.
        values = [
            url for url in values if not url.startswith("file:") or Path(url2pathname(urlparse(url).path)).exists()
        ]
        if name.rpartition(".")[2] in SOURCES and values:
            found[name.rpartition(".")[2]] = " ".join(values)
    return found


def folder_of(url: str) -> Path:
    """Path of a file:// address."""
    return Path(url2pathname(urlparse(url).path))


def run(command: list[str], extra: dict[str, str] | None = None, quiet: bool = False) -> subprocess.CompletedProcess:
    """Run a command free of the reader's settings for Python, pip and environments; `extra` are variables for it."""
    spoils = ("PIP_", "PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(spoils)}
    variables = {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"} | (extra or {})
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"} if quiet else {}
    return subprocess.run(command, cwd=ROOT, env=kept | variables, **pipe)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted; run the same command again to continue")
    except OSError as error:
        stop(str(error))
