"""JupyterLab on working copies of the notebooks, so that reading never changes the course itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..support import fingerprint, project_root, write_atomically
from . import runner
from .environment import notebook_environment

COPIES = Path("runs", "lab")
"""Folder of the working copies, in the project."""


def copy_notebooks(folder: Path) -> list[str]:
    """Put a copy of every notebook into a folder; one that the reader has changed, or ran, is left as it is.

    Returns:
        The notebooks that have changed in the course since the reader began to work on a copy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / ".sources.json"
    sources = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    outdated = []
    for source in (
        *runner.notebooks().values(),
        *runner.NOTEBOOKS.glob("*.md"),
    ):  # the glossary, which the notebooks link, as well
        copy, now = folder / source.name, fingerprint(source.read_bytes())
        copied = sources.get(source.name)
        if copy.exists() and fingerprint(copy.read_bytes()) not in (copied, now):
            if copied != now:
                outdated.append(source.name)
            continue
        shutil.copy(source, copy)
        sources[source.name] = now
    text = json.dumps(sources, indent=2) + "\n"
    write_atomically(record, lambda path: path.write_text(text, encoding="utf-8"))
    return outdated


def lab(options: list[str]) -> int:
    """Open JupyterLab in the project, at the copy of notebook 1; returns its exit status, where it returns.

    Args:
        options: passed on to Jupyter, e.g. `--no-browser`.
    """
    root = project_root()
    outdated = copy_notebooks(root / COPIES)
    print(f"working copies of the notebooks: {root / COPIES} (change them as you like; the course stays as it is)")
    for name in outdated:
        print(f"{name} has changed in the course since you began; delete your copy to get the new one")
    first = COPIES / next(iter(runner.notebooks().values())).name
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={root}", *options, str(root / first)]
    environment = notebook_environment(root / COPIES / ".ipython", batch=False)
    if os.name == "posix":  # in the place of this process, so that ending it ends Jupyter
        os.chdir(root)
        os.execve(command[0], command, environment)
    return subprocess.run(command, cwd=root, env=environment).returncode
