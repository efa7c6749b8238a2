"""The command line: run the course's notebooks with papermill, or verify a cohort."""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path

from .project import BATCH_VARIABLE, PROFILES, FolderInUse, MissingStep, Run, SchedulerError, exclusive, project_root

NOTEBOOKS = project_root() / "notebooks"
KEYWORDS = ("auto", "phantom", "phantom-null")
OWN_OPTIONS = ("data", "pretraining", "profile", "out", "scheduler", "train")
"""Parameters of the notebooks that are options of the command line."""
RESULTS_MARK = "<!-- results -->", "<!-- /results -->"
EPILOG = """\
examples:
  python -m radiogen_utils run                                   the public archive, downloaded when needed
  python -m radiogen_utils run --data lgg-mri-segmentation.zip   an archive or folder of your own
  python -m radiogen_utils run --data phantom --profile smoke    everything on synthetic data, in minutes
  python -m radiogen_utils run --only 05                         one notebook, on what a former run left
  python -m radiogen_utils verify lgg-mri-segmentation.zip       check an archive against the published cohort

A run leaves in its folder: notebooks/ (executed), figures/, predictions.csv (out-of-fold scores), results.json (every
number, with commit, settings, versions and the data's digest) and, once all notebooks are through, results.md. On the
published cohort scores and networks that come with the course are read; --train computes them, and repeated, keeps the
fits that are there.
"""


class UsageError(ValueError):
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
        from .pretraining import find_slices

        find_slices(values["pretraining"])
    if any("data" in names for names in declared.values()):
        from .data import find_cohort  # before any kernel starts, so that wrong input is told at once

        values["data"] = str(find_cohort(values["data"], out.profile.phantom_patients, out.profile.seed))
        print(f"data: {values['data']}")
    if options.scheduler:
        from .cross_validation import connect

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


def write_report(folder: Path) -> None:
    """Leave results.md, what all notebooks found, beside results.json."""
    from . import report

    ablation = project_root() / "benchmarks" / "ablation.json"
    rows = json.loads(ablation.read_text()) if ablation.exists() else []
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.md").write_text(report.report(results, (project_root() / "README.md").read_text(), rows))


def why_not_publish(out: Run, complete: bool) -> str | None:
    """Why a run must not replace the published figures; `None` if nothing speaks against it."""
    if not complete:
        return "only some notebooks were run"
    if out.profile_name != "paper":
        return "only profile paper is published"
    results = out.results()
    if results["training"]["released"]:
        return "its scores were read from there; --train computes them"
    cohort, label = results["cohort"], results["patches"]
    if cohort["synthetic"] or results["pretraining"]["source"] == "phantom":
        return "the data are a synthetic phantom"
    if cohort["status"] not in ("complete", "partial") or cohort["problems"]:
        return "the data are not the published cohort, or not all of its tumour-bearing slices"
    if (label["column"], label["positive"]) != ("COCCluster", 2):
        return "the label is not the published one"
    return None


def publish(out: Run, complete: bool) -> None:
    """Copy a whole run on real data to the published `figures/`, and newly trained weights to the package."""
    from . import report, released

    reason = why_not_publish(out, complete)
    if reason:
        print(f"figures/ left as it is: {reason}")
        return
    results = out.results()
    target = project_root() / "figures"
    target.mkdir(exist_ok=True)
    names = ("predictions.csv", "permutations.csv", "results.json", "results.md")
    for file in (
        *sorted(out.figures.glob("figure*.png")),
        out.figures / "clusterings.png",
        *map(out.folder.joinpath, names),
    ):
        shutil.copy(file, target)
    (target / released.NETWORKS).mkdir(exist_ok=True)
    for file in out.folder.glob("fits/gbm-compact-r0-f*.safetensors"):
        shutil.copy(file, target / released.NETWORKS)
    if results["pretraining"]["source"] == "slices":
        from .models import WEIGHTS

        WEIGHTS.mkdir(exist_ok=True)
        for name in ("compact_gbm.safetensors", "compact_gbm.json"):
            shutil.copy(out.folder / name, WEIGHTS)
    readme = project_root() / "README.md"
    before, _, rest = readme.read_text().partition(RESULTS_MARK[0])
    after = rest.partition(RESULTS_MARK[1])[2]
    readme.write_text(f"{before}{RESULTS_MARK[0]}\n{report.results_table(results)}{RESULTS_MARK[1]}{after}")
    print(f"published: {target} and the table of README.md")


def verify(options: argparse.Namespace) -> None:
    """Print all that is wrong with a cohort; exit status 1 if anything is."""
    from .data import verify as verify_cohort

    found = verify_cohort(Path(options.path).expanduser())
    for problem in found.problems:
        print(problem)
    print(found.summary)
    if found.problems:
        raise SystemExit(f"{len(found.problems)} problem{'s' * (len(found.problems) > 1)}")


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, int(value) if value.lstrip("-").isdigit() else value


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    main_parser = argparse.ArgumentParser(
        prog="python -m radiogen_utils",
        description="Deep radiogenomics of lower-grade gliomas: run the course, or verify its data.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="{run,verify}")
    runner = commands.add_parser(
        "run", help="execute the notebooks", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    runner.set_defaults(call=run)
    runner.add_argument(
        "--data",
        default="auto",
        metavar="auto|phantom|phantom-null|PATH",
        help="the cohort: a folder or zip; the synthetic phantom, or its variant without any effect; auto (default): an "
        "archive already downloaded, else the Kaggle download, else the phantom",
    )
    runner.add_argument(
        "--pretraining",
        default="auto",
        metavar="auto|phantom|PATH",
        help="glioblastoma slices to pretrain on: images/ and labels/ in a folder or zip, or the Decathlon's "
        "Task01_BrainTumour folder; auto (default): slices in data/, else the weights that come with the project",
    )
    runner.add_argument(
        "--profile", default="standard", choices=PROFILES, help="how much to compute (default: standard)"
    )
    runner.add_argument("--out", metavar="DIR", help="run folder (default: runs/PROFILE in the project)")
    runner.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="notebooks to run, by number (05) or name")
    runner.add_argument(
        "-p",
        "--parameter",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set another parameter of the notebooks, e.g. column=RNASeqCluster",
    )
    runner.add_argument(
        "--scheduler",
        default="",
        metavar="tcp://HOST:PORT",
        help="give the fits to the workers of this Dask scheduler (default: the cores or the GPU of this machine)",
    )
    runner.add_argument(
        "--train", action="store_true", help="train, even where scores for these settings come with the course"
    )
    runner.add_argument("--publish", action="store_true", help="refresh figures/ after a whole run on the real cohort")
    verifier = commands.add_parser("verify", help="check a cohort against the published one")
    verifier.set_defaults(call=verify)
    verifier.add_argument("path", metavar="PATH", help="folder or zip")
    return main_parser


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if importlib.util.find_spec("papermill") is None:
        raise SystemExit("the requirements are not installed here: run `make figures`, which sets the environment up")
    from .archive import CohortError

    try:
        options.call(options)
    except (CohortError, FolderInUse, MissingStep, SchedulerError, UsageError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to continue") from None


if __name__ == "__main__":
    main()
