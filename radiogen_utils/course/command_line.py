"""The command line: run the course's notebooks, or verify a cohort."""

import argparse
import io
import sys
from pathlib import Path

from ..data.verification import verify as verify_cohort
from ..support import CourseError
from .lab import lab
from .runner import run
from .settings import PROFILES

EPILOG = """\
examples:
  python -m radiogen_utils run                                   the public archive, downloaded when needed
  python -m radiogen_utils run --data lgg-mri-segmentation.zip   your archive or folder
  python -m radiogen_utils run --data phantom --profile smoke    everything on synthetic data, in minutes
  python -m radiogen_utils run --only 05                         one notebook, on what a former run left
  python -m radiogen_utils verify lgg-mri-segmentation.zip       check an archive against the public one

A run leaves in its folder: notebooks/ (executed), figures/, predictions.csv (out-of-fold scores), results.json (every
number, with commit, settings, versions and the cohort's fingerprint) and, once all notebooks are through, results.md.
On the article's cohort precomputed scores and networks are read; --train computes them anew. A repeated run keeps the
fits that are there.
"""


def verify(options: argparse.Namespace) -> None:
    """Print all that is wrong with a cohort; exit status 1 if anything is."""
    found = verify_cohort(Path(options.path).expanduser())
    for problem in found.problems:
        print(problem)
    print(found.summary)
    if found.problems:
        raise SystemExit(f"{len(found.problems)} problem{'s' * (len(found.problems) > 1)}")


def open_lab(options: argparse.Namespace) -> None:
    """Open JupyterLab, and end as it ends."""
    raise SystemExit(lab(options.jupyter))


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, int(value) if value.lstrip("-").isdigit() else value


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    raw = {"epilog": EPILOG, "formatter_class": argparse.RawDescriptionHelpFormatter}
    description = "Deep radiogenomics of lower-grade gliomas: run the course, or verify its data."
    main_parser = argparse.ArgumentParser(prog="python -m radiogen_utils", description=description, **raw)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="{run,lab,verify}")
    _add_run_options(commands.add_parser("run", help="execute the notebooks", **raw))
    lab_help = "open JupyterLab on working copies of the notebooks; options go to Jupyter"
    commands.add_parser("lab", help=lab_help).set_defaults(call=open_lab)
    verifier = commands.add_parser("verify", help="check a cohort against the public archive")
    verifier.set_defaults(call=verify)
    verifier.add_argument("path", metavar="PATH", help="folder or zip")
    return main_parser


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=run)
    command.add_argument(
        "--data",
        default="auto",
        metavar="auto|phantom|phantom-null|PATH",
        help="the cohort: a folder or zip; the synthetic phantom, or its variant without any effect; auto (default): "
        "an archive already downloaded, else the Kaggle download, else the phantom",
    )
    command.add_argument(
        "--pretraining",
        default="auto",
        metavar="auto|download|phantom|PATH",
        help="glioblastoma slices to pretrain on: images/ and labels/ in a folder or zip, or the Decathlon's "
        "Task01_BrainTumour folder; download: fetch that (7.1 GB); auto (default): slices in data/, else the weights "
        "that come with the project",
    )
    command.add_argument(
        "--profile", default="standard", choices=PROFILES, help="how much to compute (default: standard)"
    )
    command.add_argument("--out", metavar="DIR", help="run folder (default: runs/PROFILE in the project)")
    command.add_argument("--only", nargs="+", metavar="NOTEBOOK", help="notebooks to run, by number (05) or name")
    command.add_argument(
        "-p",
        "--parameter",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set another parameter of the notebooks, e.g. column=RNASeqCluster",
    )
    command.add_argument(
        "--scheduler",
        default="",
        metavar="tcp://HOST:PORT",
        help="give the fits to the workers of this Dask scheduler (default: the cores or the GPU of this machine)",
    )
    command.add_argument("--train", action="store_true", help="train, even where precomputed scores match the settings")
    command.add_argument(
        "--publish", action="store_true", help="replace figures/ after a whole run in profile paper on the real cohort"
    )


def main(arguments: list[str] | None = None) -> None:
    """Carry out a command line, that of the process by default; errors end it with one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale of few letters must not end a run over a dash
            stream.reconfigure(errors="replace")
    grammar = parser()
    options, options.jupyter = grammar.parse_known_args(arguments)
    if options.jupyter and options.command != "lab":
        grammar.error(f"unknown arguments: {' '.join(options.jupyter)}")
    try:
        options.call(options)
    except (CourseError, OSError) as error:  # an OSError names its file: a full disk, a folder without permission
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to continue") from None
