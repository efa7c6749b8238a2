"""The run folder: what one pass through the notebooks over one cohort leaves, and what they share."""

import importlib.metadata
import json
import subprocess
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from ..data.cohort import Cohort, open_cohort
from ..data.download import Unreachable, find_cohort, phantom_notice
from ..data.verification import Verification
from ..patches import Patches
from ..pretraining import find_slices
from ..support import CourseError, project_root, write_atomically
from ..verdicts import published_task
from .settings import PROFILES, QUICK, Profile


class MissingStep(CourseError):
    """A file that an earlier notebook writes is not in the run folder, or does not belong to what is there now."""


class RunFolder:
    """The folder in which one pass through the notebooks leaves its files.

    Where no real cohort can be had and the phantom stands in, the profile is the quick one: nobody needs an hour of
    training on synthetic data.

    Args:
        out: the folder, created when missing. A relative path is taken from the project's root, so that a
            notebook finds the same folder whatever its working directory (papermill issue #316).
        profile: name of one of `PROFILES`.

    Attributes:
        folder, figures: the run folder, and the folder of the figures in it.
        profile_name: of the profile that counts.
    """

    def __init__(self, out: str | Path, profile: str):
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
        self.folder = project_root() / out
        self.figures = self.folder / "figures"
        self.figures.mkdir(parents=True, exist_ok=True)
        self._asked = profile
        self.profile_name = QUICK if self.stand_in else profile

    @property
    def profile(self) -> Profile:
        """The settings."""
        return PROFILES[self.profile_name]

    @property
    def stand_in(self) -> bool:
        """True where the phantom stands in for a real cohort that could not be had."""
        return self._source().get("stand_in", False)

    def choose_cohort(self, data: str = "auto") -> Path:
        """The cohort of this run, as folder or zip.

        Args:
            data: as for `download.find_cohort`; but "auto" takes the cohort that this folder already has first and,
                where there is no real one, with a printed notice, the phantom, which makes the profile quick.

        Raises:
            CohortError: it cannot be found; or the real cohort that this folder has results of is gone.
        """
        before = self._source()
        if data != "auto":
            path = find_cohort(data, PROFILES[self._asked].phantom_patients, PROFILES[self._asked].seed)
            if before.get("path") != str(path.resolve()):
                self.profile_name = self._asked
            return path
        if before and not before["stand_in"]:
            path = Path(before["path"])
            if not path.exists():
                raise MissingStep(
                    f"{self.folder} holds results of {path}, which is gone; give the cohort's path as DATA (`data` in "
                    "notebook 1), or choose another OUT"
                )
            return path
        try:
            path = find_cohort()
            self.profile_name = self._asked
            return path
        except Unreachable as reason:
            self.profile_name = QUICK
            print(phantom_notice(reason, f"It runs in profile {QUICK}: minutes instead of hours."), flush=True)
            path = find_cohort("phantom", self.profile.phantom_patients, self.profile.seed)
            self._write("cohort.json", {"path": str(path.resolve()), "synthetic": True, "stand_in": True})
            return path

    def begin(self, cohort: Cohort) -> None:
        """Make an opened cohort the one that this folder is about.

        What the phantom left here while it stood in for a real cohort is removed.

        Raises:
            MissingStep: the folder has results of another cohort.
        """
        known = self.results().get("cohort")
        if known and known["fingerprint"] != cohort.fingerprint:
            if not known.get("stand_in"):
                raise MissingStep(
                    f"{self.folder} holds results of another cohort ({known['archive']}); choose another OUT "
                    "(`out` in the notebooks) for this one, or delete that folder"
                )
            print(f"the phantom stood in until now; its results in {self.folder} are removed", flush=True)
            for name in ("results.json", "results.md", "predictions.csv", "permutations.csv", "patches.npz"):
                (self.folder / name).unlink(missing_ok=True)
        path = str(cohort.path.resolve())
        stand_in = self.stand_in and self._source()["path"] == path
        self._write("cohort.json", {"path": path, "synthetic": cohort.synthetic, "stand_in": stand_in})

    @property
    def cohort_path(self) -> Path:
        """The cohort that notebook 1 opened.

        Raises:
            MissingStep: notebook 1 did not run.
        """
        self.require("cohort.json", "01_cohort")
        return Path(self._source()["path"])

    @property
    def synthetic(self) -> bool:
        """True where the cohort is the phantom; raises as `cohort_path`."""
        self.require("cohort.json", "01_cohort")
        return self._source()["synthetic"]

    def require(self, name: str, notebook: str) -> Path:
        """Path of a file that an earlier notebook wrote.

        Raises:
            MissingStep: it is not there; the message names the notebook to run first.
        """
        path = self.folder / name
        if not path.exists():
            raise MissingStep(f"{path} is missing: run notebooks/{notebook}.ipynb first, with the same `out`")
        return path

    @property
    def label(self) -> str:
        """What the patches are labelled by: the column of data.csv and the cluster that is the positive class."""
        patches = self.results()["patches"]
        return f"{patches['column']} {patches['positive']}"

    def open_cohort(self) -> Cohort:
        """The cohort that notebook 1 opened.

        Raises:
            MissingStep: notebook 1 did not run, or on another cohort.
        """
        cohort = open_cohort(self.cohort_path)
        self._check_cohort(cohort.fingerprint)
        return cohort

    def patches(self) -> Patches:
        """The patches that notebook 2 left.

        Raises:
            MissingStep: they are not there, or of another cohort or label than the run folder's.
        """
        data = Patches.load(self.require("patches.npz", "02_patches"))
        self._check_cohort(data.cohort_fingerprint)
        if data.fingerprint != self.results()["patches"].get("fingerprint"):
            raise MissingStep(f"{self.folder} holds patches of another label: run notebooks/02_patches.ipynb again")
        return data

    def _check_cohort(self, fingerprint: str) -> None:
        if fingerprint != self.results()["cohort"]["fingerprint"]:
            raise MissingStep(
                f"{self.folder} holds files of another cohort than notebook 1 found last: run the notebooks from "
                "notebooks/02_patches.ipynb on, or choose another `out`"
            )

    def find_slices(self, where: str) -> tuple[Path | None, str]:
        """Path of the glioblastoma slices and their source: "phantom", "slices", or, without any, "shipped weights".

        As `pretraining.find_slices`, but with `auto` a phantom cohort goes with phantom slices.
        """
        if where == "phantom" or (where == "auto" and self.synthetic):
            return find_slices("phantom", self.profile.phantom_cases, self.profile.seed), "phantom"
        path = find_slices(where)
        return path, "slices" if path else "shipped weights"

    def forget_scores(self) -> None:
        """Remove the scores of an earlier run, which must never be read with the networks of this one."""
        (self.folder / "predictions.csv").unlink(missing_ok=True)

    def scores(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What notebook 4 left: predictions.csv and permutations.csv, as tables.

        Raises:
            MissingStep: they are not there, or of another cohort, label, profile or patches than the run folder now.
        """
        names = ("predictions", "permutations")
        predictions, permutations = (pd.read_csv(self.require(f"{name}.csv", "04_transfer_learning")) for name in names)
        results = self.results()
        made = results["training"]
        self._check_cohort(made["cohort"])
        here = {"label": self.label, "profile": self.profile_name, "patches": results["patches"].get("fingerprint")}
        for what, now in here.items():
            if made.get(what) != now:
                raise MissingStep(
                    f"{self.folder} holds scores of another {what} ({made.get(what)!s:.30} instead of {now!s:.30}): "
                    "run notebooks/04_transfer_learning.ipynb again, or choose another `out`"
                )
        return predictions, permutations

    def results(self) -> dict:
        """Contents of results.json, empty before the first `record`."""
        return self._read("results.json")

    @property
    def article_task(self) -> bool:
        """Whether this run predicts the article's label in the article's cohort."""
        results = self.results()
        return published_task(results["cohort"], results["patches"])

    def record(self, section: str, values: dict) -> None:
        """Replace one section of results.json.

        Args:
            section: its name.
            values: numbers, texts, lists, dicts, arrays, Series (as dicts) and tables (as lists of rows, a named index
                being a column).
        """
        # JSON has no NaN; an absent number is null.
        values = json.loads(json.dumps(values, default=_plain), parse_constant=lambda _: None)
        self._write("results.json", self.results() | {"run": self._provenance(), section: values})

    def record_cohort(self, cohort: Cohort, verification: Verification, **found: object) -> None:
        """Record what notebook 1 found: what the cohort is, and `found`."""
        values = {
            "archive": cohort.path.name,
            "status": verification.status,
            "problems": len(verification.problems),
            "synthetic": cohort.synthetic,
            "stand_in": self.stand_in,
            "fingerprint": cohort.fingerprint,
            "patients": len(cohort.patients),
            "tumour_slices": int((cohort.slices.tumour_pixels > 0).sum()),
        }
        self.record("cohort", values | found)

    def record_scores(
        self, data: Patches, predictions: pd.DataFrame, permutations: pd.DataFrame, **found: object
    ) -> None:
        """Leave predictions.csv and permutations.csv, and record what they were made from, and `found`."""
        for name, table in (("predictions", predictions), ("permutations", permutations)):
            write_atomically(self.folder / f"{name}.csv", partial(table.to_csv, index=False))
        made_from = {"cohort": data.cohort_fingerprint, "patches": data.fingerprint, "label": self.label}
        self.record("training", made_from | {"profile": self.profile_name} | found)

    def _source(self) -> dict:
        """Contents of cohort.json: path, synthetic, and whether it stands in for a cohort that could not be had."""
        return self._read("cohort.json")

    def _read(self, name: str) -> dict:
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError as error:
            raise MissingStep(f"{path} is damaged ({error}); delete it and run notebooks/01_cohort.ipynb") from error

    def _write(self, name: str, values: dict) -> None:
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        write_atomically(self.folder / name, lambda path: path.write_text(text, encoding="utf-8"))

    def _provenance(self) -> dict:
        packages = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "grad-cam")
        return {
            "commit": commit(project_root()),
            "profile": self.profile_name,
            "settings": asdict(self.profile),
            "versions": {name: importlib.metadata.version(name) for name in packages},
        }


def commit(folder: Path) -> str | None:
    """Commit of the checkout in `folder`, with "-dirty" after local changes; `None` where it is no checkout.

    A copy of the project without history may lie inside another repository, whose commit would say nothing.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40")
    except (OSError, subprocess.CalledProcessError):
        return None


def _plain(value: object) -> object:
    """What JSON lacks as what it has."""
    if isinstance(value, pd.DataFrame):
        return (value if value.index.names == [None] else value.reset_index()).to_dict("records")
    return value.to_dict() if isinstance(value, pd.Series) else value.tolist()
