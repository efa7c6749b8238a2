"""Execute the course's notebooks with papermill into a run folder."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from ..cross_validation import connect
from ..pretraining import find_slices
from ..support import CourseError, duration, exclusive, project_root
from .environment import notebook_environment
from .publishing import publish, write_report
from .run_folder import RunFolder
from .settings import QUICK, SECONDS

NOTEBOOKS = project_root() / "notebooks"
KEYWORDS = ("auto", "phantom", "phantom-null", "download")
OPTIONS = {"data": "auto", "pretraining": "auto", "scheduler": "", "train": False}
"""Parameters of the notebooks that are options of the command line, with their defaults; so are `profile` and `out`."""


class UsageError(CourseError):
    """The command cannot be carried out as given: one line that says what is valid."""


def notebooks() -> dict[str, Path]:
    """The course's notebooks by their number, in order."""
    return {path.stem[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}


def choose(only: list[str] | None) -> list[Path]:
    """The notebooks to run: all, or those named by number or name.

    Raises:
        UsageError: no such notebook.
    """
    known = notebooks()
    if not only:
        return list(known.values())
    by_name = known | {path.stem: path for path in known.values()}
    unknown = [name for name in only if name not in by_name]
    if unknown:
        raise UsageError(f"unknown notebook {unknown[0]}; choose from {', '.join(p.stem for p in known.values())}")
    return sorted({by_name[name] for name in only})


def parameters_of(paths: list[Path]) -> dict[Path, set[str]]:
    """Names of the parameters that each notebook declares."""
    import papermill

    return {path: set(papermill.inspect_notebook(str(path))) for path in paths}


def check_parameters(options: argparse.Namespace, declared: dict[Path, set[str]]) -> None:
    """Refuse a parameter or option that no chosen notebook reads; papermill itself only warns (papermill issue #818).

    Raises:
        UsageError: such a parameter or option, or a parameter that an option sets.
    """
    read, set_by_options = set().union(*declared.values()), {*OPTIONS, "profile", "out"}
    for name in sorted(name for name, _ in options.parameter):
        if name in set_by_options:
            raise UsageError(f"parameter {name} is set by the option --{name}")
        if name not in read:
            valid = ", ".join(sorted(read - set_by_options))
            raise UsageError(f"unknown parameter {name}; the chosen notebooks have {valid}")
    for name, default in OPTIONS.items():
        if getattr(options, name) != default and name not in read:
            every = parameters_of(list(notebooks().values()))
            readers = " and ".join(path.stem[:2] for path, names in every.items() if name in names)
            where = f"--{name} is for notebook {readers}, which is not among the chosen"
            raise UsageError(f"{where}: add it to --only, or leave --{name} out")


def locate(where: str) -> str:
    """A path given on the command line, relative to the working directory, as an absolute one; keywords as they are."""
    return where if where in KEYWORDS else str(Path(where).expanduser().resolve())


def run(options: argparse.Namespace) -> None:
    """Execute notebooks one after the other; stop at the first that fails."""
    paths = choose(options.only)
    declared = parameters_of(paths)
    check_parameters(options, declared)
    folder = Path(options.out).expanduser().resolve() if options.out else project_root() / "runs" / options.profile
    with exclusive(folder):
        run_in(RunFolder(folder, options.profile), paths, declared, options)


def run_in(out: RunFolder, paths: list[Path], declared: dict[Path, set[str]], options: argparse.Namespace) -> None:
    """Execute the chosen notebooks into a folder that no other run writes to."""
    # Wrong input is refused here, before any kernel starts.
    values = {"pretraining": locate(options.pretraining), "scheduler": options.scheduler, "train": options.train}
    if values["pretraining"] == "download":
        values["pretraining"] = str(find_slices("download"))
    elif values["pretraining"] not in KEYWORDS:
        find_slices(values["pretraining"])
    if any("data" in names for names in declared.values()):
        values["data"] = str(out.choose_cohort(locate(options.data)))
    if options.scheduler:
        connect(options.scheduler).close()
    values |= {"profile": out.profile_name, "out": str(out.folder)} | dict(options.parameter)
    seconds = expected_seconds(out, paths, options)
    announce(out, values, seconds)
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as ipython,
        patch.dict(os.environ, notebook_environment(Path(ipython), batch=True), clear=True),
    ):
        for number, path in enumerate(paths):
            print(f"[{number + 1}/{len(paths)}] {path.stem} …", flush=True)
            took = execute(path, out, {name: value for name, value in values.items() if name in declared[path]})
            left = sum(seconds[number + 1 :])
            rest = f"; {duration(left)} left" if left else ""
            print(f"[{number + 1}/{len(paths)}] {path.stem}: {took:.0f} s{rest}", flush=True)
    if {"cohort", "roc", "heatmaps", "clusterings"} <= set(out.results()):
        write_report(out.folder)
    print(f"done in {(time.monotonic() - start) / 60:.1f} min: {out.folder}")
    if options.publish:
        publish(out, complete=len(paths) == len(notebooks()))


def expected_seconds(out: RunFolder, paths: list[Path], options: argparse.Namespace) -> list[int]:
    """What each notebook will take on two cores, roughly."""
    known = out.results().get("cohort", {}).get("synthetic")
    synthetic = out.stand_in or options.data in ("phantom", "phantom-null") or known
    another_label = {"column", "positive"} & {name for name, _ in options.parameter}
    trains = options.train or synthetic or options.pretraining != "auto" or another_label
    by_number = SECONDS[out.profile_name if trains or out.profile_name == QUICK else "read"]
    return [by_number.get(path.stem[:2], 30) for path in paths]


def announce(out: RunFolder, values: dict[str, object], seconds: list[int]) -> None:
    """Say what will happen, before it does."""
    print(f"cohort     {values.get('data', 'that of the run folder')}")
    print(f"profile    {out.profile_name}")
    print(f"results    {out.folder}")
    print(f"notebooks  {len(seconds)}, {duration(sum(seconds))} on two cores")
    print("           (may be interrupted: the same command goes on from there)\n", flush=True)


def execute(path: Path, out: RunFolder, parameters: dict[str, object]) -> float:
    """Run one notebook into the run folder and check that it wrote what its metadata promise; returns the seconds."""
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    executed = out.folder / "notebooks" / path.name
    executed.parent.mkdir(exist_ok=True)
    promised = [out.folder / name for name in nbformat.read(path, as_version=4).metadata["radiogen"]["writes"]]
    before = {file: _version(file) for file in promised}
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            _literally(path),
            _literally(executed),
            parameters,
            cwd=str(path.parent),
            progress_bar=False,
            stdout_file=sys.stdout,
            # What a kernel says of its connection and of its end is of no use to a reader.
            extra_arguments=["--log-level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        raise UsageError(f"{path.stem} stopped with {error.ename}: {error.evalue}\n(the whole: {executed})") from error
    except DeadKernelError as error:
        raise UsageError(f"{path.stem}: its kernel died, most often for want of memory; see {executed}") from error
    for file in promised:
        if _version(file) in (None, before[file]):
            raise UsageError(f"{path.stem} finished without writing {file}; look into {executed}")
    took = time.monotonic() - start
    out.record("seconds", out.results().get("seconds", {}) | {path.stem: round(took, 1)})
    return took


def _literally(path: Path) -> str:
    """A path for papermill, which takes braces for a template (papermill issue #392)."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _version(file: Path) -> tuple[int, int] | None:
    """Changes when a file is written or touched, by the file system's clock; `None` where there is no file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
