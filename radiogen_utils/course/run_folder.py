"""The run folder: what one pass through the notebooks leaves, and what they share."""

import importlib.metadata
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from ..support import CourseError, project_root, write_atomically
from .settings import PROFILES


class MissingStep(CourseError):
    """A file that an earlier notebook writes is not in the run folder."""


class Run:
    """The folder in which one pass through the notebooks leaves its files.

    Args:
        out: the folder, created when missing. A relative path is taken from the project's root, so that a
            notebook finds the same folder wherever Jupyter was started (papermill issue #316).
        profile: name of one of `PROFILES`.
    """

    def __init__(self, out: str | Path, profile: str):
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
        self.folder = project_root() / out
        self.profile_name = profile
        self.profile = PROFILES[profile]
        self.figures = self.folder / "figures"
        self.figures.mkdir(parents=True, exist_ok=True)

    def require(self, name: str, notebook: str) -> Path:
        """Path of a file that an earlier notebook wrote.

        Raises:
            MissingStep: it is not there; the message names the notebook to run first.
        """
        path = self.folder / name
        if not path.exists():
            raise MissingStep(f"{path} is missing: run notebooks/{notebook}.ipynb first, with the same `out`")
        return path

    def check_cohort(self, digest: str) -> None:
        """Refuse a file made from another cohort than the one that notebook 1 looked at last.

        Raises:
            MissingStep: the digests differ.
        """
        if digest != self.results()["cohort"]["digest"]:
            raise MissingStep(
                f"{self.folder} holds files of another cohort than notebook 1 found last: run the notebooks from "
                "notebooks/02_patches.ipynb on, or choose another `out`"
            )

    def results(self) -> dict:
        """Contents of results.json, empty before the first `record`."""
        path = self.folder / "results.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def record(self, section: str, values: dict) -> None:
        """Replace one section of results.json; `values` are plain numbers, texts, lists and dicts."""
        # JSON has no NaN; an absent number is null.
        values = json.loads(json.dumps(values, default=_plain), parse_constant=lambda _: None)
        results = self.results() | {"run": self._provenance(), section: values}
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        write_atomically(self.folder / "results.json", lambda path: path.write_text(text))

    def _provenance(self) -> dict:
        packages = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "grad-cam")
        return {
            "commit": _commit(),
            "profile": self.profile_name,
            "settings": asdict(self.profile),
            "versions": {name: importlib.metadata.version(name) for name in packages},
        }


def _commit() -> str | None:
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # a downloaded archive of the project has no history


def _plain(value):
    """NumPy scalars and arrays as JSON values."""
    return value.tolist()
