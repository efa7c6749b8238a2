"""Starts the command line."""

import importlib.util
import os

if importlib.util.find_spec("papermill") is None:
    raise SystemExit(
        "the requirements are not installed here: run `make figures`, or `python install.py`, and use .venv"
    )

os.environ["MPLBACKEND"] = "agg"  # before Matplotlib, which stops at a name that it does not know

from .course.command_line import main

if __name__ == "__main__":
    main()
