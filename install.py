"""Set up the course's environment in .venv; where it is sound and up to date, do nothing.

    python3 install.py           (make does this by itself; on Windows: py install.py)
    python3 install.py bench     (with another extra of pyproject.toml)

Any Python from 3.11 on will do. pip fetches uv into .venv, and uv installs the rest: it is fast, and where no NVIDIA
GPU is visible it can take the CPU build of torch, on Linux several gigabytes smaller than the registry's.

Where packages come from (index, find-links, proxy, certificate) is the reader's choice and is read from pip's
configuration. What else stands there (user, target, constraint, ...) is meant for other projects and is left out.
"""

import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit
from urllib.request import url2pathname

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN, SUFFIX = (VENV / "Scripts", ".exe") if os.name == "nt" else (VENV / "bin", "")
PYTHON, UV = str(BIN / ("python" + SUFFIX)), str(BIN / ("uv" + SUFFIX))
STAMP = VENV / "installed.json"
SIZES = {
    "CPU": "0.5 GB to download, 2 GB on disk, a minute or two",
    "GPU": "3 GB to download, 6 GB on disk, some minutes",
}
FROM_PIP = {  # where packages come from: pip's settings, and the variables that tell uv the same
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "no-index": ("UV_NO_INDEX",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
}
LEAKS = re.compile("PIP_|UV_|PYTHON|VIRTUAL_ENV$|CONDA_PREFIX$")
SOURCES = re.compile("UV_(.*INDEX|FIND_LINKS|INSECURE|KEYRING|HTTP|SYSTEM_CERTS|OFFLINE|CACHE_DIR|TORCH_BACKEND)")
OFFLINE = "Retrying|dns error|client error|timed out"
CAUSES = {  # what pip and uv say when they stop, and what the reader can do about it
    "No space left|os error 28|[Qq]uota": "the disk is full: make room",
    "certificate|CERTIFICATE": "the package source's certificate is not trusted: name your organisation's in PIP_CERT",
    OFFLINE: "the package source cannot be reached: look at network and proxy",
    "No matching distribution|No solution": "a package is not built for {}: take Python 3.11 to 3.14 on Linux, Windows "
    "or, from macOS 14 on, a Mac with Apple silicon",
}


def say(line: str) -> None:
    """Print a line beside what pip and uv print."""
    print(line, file=sys.stderr, flush=True)


def stop(what: str, said: str = "") -> NoReturn:
    """End with one line: what is wrong, what to do, and how pip or uv put it."""
    sys.exit(f"error: {what}, then run the same command again" + (f" ({said[:250]})" if said else ""))


def diagnose(output: str) -> NoReturn:
    """Find the cause in what pip or uv printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern, what in CAUSES.items():
        for line in lines:
            if re.search(pattern, line):
                stop(what.format(f"Python {platform.python_version()} on {platform.platform()}"), line)
    stop("the installation failed: see to the cause", lines[-1] if lines else "")


def call(command: list, env: dict = None, show: bool = False) -> tuple:
    """Exit status and output of a command; of its downloads, those of 10 MB and more are shown."""
    lines = []
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": str(ROOT)}
    try:
        with subprocess.Popen(command, env=env, encoding="utf-8", errors="replace", **options) as process:
            for line in process.stdout:
                lines.append(line)
                if show and re.match(r"\s*Downloading .*\((\d\d+\.?\d* ?M|.*G)", line):
                    say("  " + line.strip())
    except OSError as error:
        return 127, str(error)
    return process.returncode, "".join(lines)


def identity() -> str:
    """The interpreter of .venv and the folder it stands in, as it tells them; empty if it does not start."""
    code = "import os, sys; r = os.path.realpath; print(ascii([sys.version, r(sys.prefix), r(sys._base_executable)]))"
    status, output = call([PYTHON, "-I", "-c", code])
    return "" if status else output.strip()


def digest() -> str:
    """Checksum of what is asked for."""
    return hashlib.sha256(b"".join((ROOT / f).read_bytes() for f in ("pyproject.toml", "constraints.txt"))).hexdigest()


def stamp() -> dict:
    """What a finished installation left: its interpreter and folder, its requirements, its extras."""
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def pip_settings() -> dict:
    """The reader's pip configuration, from files and variables."""
    env = dict(os.environ, PIP_USER="0", PIP_QUIET="0")  # `user = true` would make pip list one file only, `quiet` none
    lines = call([PYTHON, "-I", "-X", "utf8", "-m", "pip", "config", "list"], env)[1].splitlines()
    ranks = ["global", "install", ":env:"]  # the later win, as in pip
    found = [re.fullmatch(r"(.+)\.([\w-]+)=('.*'|\".*\")", line) for line in lines]
    found = [(ranks.index(m[1]), m[2].replace("_", "-"), ast.literal_eval(m[3])) for m in found if m and m[1] in ranks]
    return {name: value for _, name, value in sorted(found)}


def present(source: str) -> bool:
    """False for a folder that is not there: pip skips it, uv would stop."""
    url = urlsplit(source)
    local = url2pathname(url.path) if url.scheme == "file" else source
    return url.scheme.startswith("http") or Path(local).expanduser().exists()


def environment(settings: dict) -> dict:
    """Variables for pip and uv: the reader's, but of those that steer an installation only where packages come from."""
    env = {name: value for name, value in os.environ.items() if not LEAKS.match(name) or SOURCES.match(name)}
    env.update(PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    for name, variables in FROM_PIP.items():
        value = settings.get(name) or (os.environ.get("REQUESTS_CA_BUNDLE", "") if name == "cert" else "")
        if name in ("find-links", "extra-index-url"):
            value = " ".join(filter(present, value.split()))
        if not value:
            continue
        env["PIP_" + name.upper().replace("-", "_")] = value
        if variables[0].startswith("UV_"):
            if not env.keys() & set(variables):  # what was set for uv itself stays
                env[variables[0]] = value.replace(" ", ",") if name == "find-links" else value
        else:
            env.update(dict.fromkeys(variables, value))
    return env


def plan(requirements: list, env: dict) -> tuple:
    """The command with which uv installs, and what it would do.

    The reader's sources are asked first. If they answer with the registry's torch, the build that fits this computer
    is asked for. uv's `auto` is left to NVIDIA GPUs: it would give an Intel laptop the build for Intel GPUs.
    """
    command = [UV, "pip", "install", "--python", PYTHON, "--color", "never", "--index-strategy", "unsafe-best-match"]
    command += requirements  # all sources are searched for the best match, as by pip
    status, output = call([*command, "--dry-run"], env)
    torch = re.search(r"\+ torch==([\d.]+)$", output, re.M)  # one like 2.13.0+cu126 was chosen by the reader
    if status or not torch or sys.platform == "darwin" or "UV_TORCH_BACKEND" in env:
        return command, status, output
    gpu = "GPU 0" in call(["nvidia-smi", "-L"])[1]
    if gpu or "+ nvidia-" in output:
        fitting = [*command, "--torch-backend", "auto" if gpu else "cpu"]
        brief = dict(env, UV_HTTP_RETRIES="1", UV_HTTP_CONNECT_TIMEOUT="5", UV_HTTP_TIMEOUT="20")
        status, better = call([*fitting, "--dry-run"], brief)
        if status == 0:
            return fitting, status, better
        missing = "the build of torch for this GPU's driver" if gpu else "the CPU build of torch"
        say(f"{missing} cannot be reached: taking the registry's, which on Linux is the one for recent NVIDIA drivers")
    return command, 0, output


def check_python() -> None:
    """Stop if no environment can be made from this Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 (any Python may start this script)
        found = f"this is {platform.python_version()} ({sys.executable})"
        stop(f"Python 3.11 or newer is needed, {found}: install one and name it (make PYTHON=python3.12 ...)")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        stop("Python's venv module is missing: `sudo apt install python{}.{}-venv`".format(*sys.version_info))


def create() -> None:
    """An empty environment in .venv, whatever was there."""
    base = getattr(sys, "_base_executable", sys.executable)  # sys.executable may be the one in .venv
    status, output = call([base, "-I", "-m", "venv", "--clear", str(VENV)])
    if status:
        diagnose(output)


def main(extras: list) -> None:
    """Set up, update or leave the environment, with these extras of pyproject.toml and those it has."""
    if extras and extras[0].startswith("-"):
        sys.exit(__doc__)
    old, here = stamp(), identity()
    sound = here and old.get("python") == here  # else moved, copied, upgraded, or never finished
    wanted = sorted({"test", *extras, *(old["extras"] if sound else [])})
    if sound and old["digest"] == digest() and old["extras"] == wanted:
        return
    start = time.time()
    if sound:
        say("updating the environment in .venv")
    else:
        check_python()
        say(f"setting up the environment in .venv with Python {platform.python_version()}")
        create()
    env = environment(pip_settings())
    requirements = ["--constraint", "constraints.txt", "--editable", f".[{','.join(wanted)}]"]
    pip = [PYTHON, "-I", "-m", "pip", "install", "--progress-bar", "off"]
    status, output = call([*pip, "--only-binary=:all:", *requirements[:2], "uv"], env)
    if status and re.search("|".join([*CAUSES][:-1]), output):  # pip itself would stop as well
        diagnose(output)
    if status == 0:
        command, status, output = plan(requirements, env)
        if status and re.search(OFFLINE, output) and "certificate" not in output:
            diagnose(output)
    if status:
        reason = "".join(output.strip().splitlines()[:1])
        say(f"installing with pip, which takes longer and, on Linux, up to 6 GB; uv cannot be used here: {reason}")
        command = [*pip, *requirements]
    else:
        count = re.search(r"Would install (\d+ packages?)", output)
        kind = "GPU" if re.search(r"\+ nvidia-|torch==\S+\+cu", output) else "CPU"
        size = f" with the {kind} build of torch: about {SIZES[kind]}" if "+ torch==" in output else ""
        say(f"installing {count[1] if count else 'nothing new'}{size}")
    STAMP.unlink(missing_ok=True)
    status, output = call(command, env, show=True)
    if status:
        diagnose(output)
    STAMP.write_text(json.dumps({"python": identity(), "digest": digest(), "extras": wanted}), encoding="utf-8")
    size = sum(path.lstat().st_size for path in VENV.rglob("*")) / 1e9
    say(f"environment ready after {time.time() - start:.0f} s: {size:.1f} GB in .venv")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again")
    except OSError as error:
        sys.exit(f"error: {error}")
