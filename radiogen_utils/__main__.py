"""Starts the command line."""

import importlib.util

if importlib.util.find_spec("papermill") is None:
    raise SystemExit("the requirements are not installed here: run `make figures`, which sets the environment up")

from .course.command_line import main

if __name__ == "__main__":
    main()
