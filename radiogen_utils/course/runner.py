"""Execute the course's notebooks with papermill into a run folder."""

import argparse
import os
import sys
import time
from pathlib import Path

from ..support import BATCH_VARIABLE, CourseError, exclusive, project_root
from .publishing import publish, write_report
from .run_folder import Run

NOTEBOOKS = project_root() / "notebooks"
KEYWORDS = ("auto", "phantom", "phantom-null")
OWN_OPTIONS = ("data", "pretraining", "profile", "out", "scheduler", "train")
"""Parameters of the notebooks that are options of the command line."""


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


def check_parameters(given: dict[str, str], declared: dict[Path, set[str]]) -> None:
    """Refuse parameters that no chosen notebook declares; papermill itself only warns (papermill issue #818).

    Raises:
        UsageError: an unknown parameter.
    """
    valid = set().union(*declared.values()) - set(OWN_OPTIONS)
    for name in set(given) & set(OWN_OPTIONS):
        raise UsageError(f"parameter {name} has an option of its own: --{name}")
    unknown = sorted(set(given) - valid)
    if unknown:
        raise UsageError(f"unknown parameter {unknown[0]}; the chosen notebooks have {', '.join(sorted(valid))}")


def locate(where: str) -> str:
    """A path given on the command line, relative to the working directory, as an absolute one; keywords as they are."""
    return where if where in KEYWORDS else str(Path(where).expanduser().resolve())


def run(options: argparse.Namespace) -> None:
    """Execute notebooks one after the other; stop at the first that fails."""
    paths = choose(options.only)
    declared = parameters_of(paths)
    check_parameters(dict(options.parameter), declared)
    folder = Path(options.out).expanduser().resolve() if options.out else project_root() / "runs" / options.profile
    with exclusive(folder):
        run_in(Run(folder, options.profile), paths, declared, options)


def run_in(out: Run, paths: list[Path], declared: dict[Path, set[str]], options: argparse.Namespace) -> None:
    """Execute the chosen notebooks into a folder that nobody else writes to."""
    given = dict(options.parameter)
    values = {"profile": options.profile, "out": str(out.folder), "pretraining": locate(options.pretraining)}
    values |= {"scheduler": options.scheduler, "train": options.train}
    values["data"] = locate(options.data)
    if any("pretraining" in names for names in declared.values()) and values["pretraining"] not in KEYWORDS:
        from ..pretraining import find_slices

        find_slices(values["pretraining"])
    if any("data" in names for names in declared.values()):
        from ..data.download import find_cohort  # before any kernel starts, so that wrong input is told at once

        values["data"] = str(find_cohort(values["data"], out.profile.phantom_patients, out.profile.seed))
        print(f"data: {values['data']}")
    if options.scheduler:
        from ..cross_validation import connect

        connect(options.scheduler).close()
    os.environ[BATCH_VARIABLE] = "1"
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment, not one of the same name at home
    start = time.perf_counter()
    for path in paths:
        own = {name: value for name, value in (values | given).items() if name in declared[path]}
        execute(path, out, own)
    if {"cohort", "roc", "heatmaps", "clusterings"} <= set(out.results()):
        write_report(out.folder)
    print(f"done in {(time.perf_counter() - start) / 60:.1f} min: {out.folder}")
    if options.publish:
        publish(out, complete=len(paths) == len(notebooks()))


def execute(path: Path, out: Run, parameters: dict[str, str]) -> None:
    """Run one notebook into the run folder and check that it wrote what its metadata promise."""
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    print(f"{path.stem} …", flush=True)
    executed = out.folder / "notebooks" / path.name
    executed.parent.mkdir(exist_ok=True)
    start = time.time()
    try:
        papermill.execute_notebook(
            str(path),
            str(executed),
            parameters,
            cwd=str(path.parent),
            progress_bar=False,
            stdout_file=sys.stdout,
            extra_arguments=[
                "--log-level=ERROR"
            ],  # the kernel's note on its connection is none of the reader's business
        )
    except papermill.PapermillExecutionError as error:
        raise UsageError(f"{path.stem} stopped with {error.ename}: {error.evalue}\n(the whole: {executed})") from error
    except DeadKernelError as error:
        raise UsageError(f"{path.stem}: its kernel died, most often for want of memory; see {executed}") from error
    for name in nbformat.read(path, as_version=4).metadata.get("radiogen", {}).get("writes", []):
        file = out.folder / name
        if not file.exists() or file.stat().st_mtime < start - 1:  # some file systems round times
            raise UsageError(f"{path.stem} finished without writing {file}; look into {executed}")
    seconds = time.time() - start
    out.record("seconds", out.results().get("seconds", {}) | {path.stem: round(seconds, 1)})
    print(f"{path.stem}: {seconds:.0f} s", flush=True)
