"""The run folder: what the notebooks share over one cohort. What is missing is made, or taken from the course."""

import importlib.metadata
import json
import shutil
import subprocess
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from .. import cross_validation, facts
from ..data.cohort import Cohort, open_cohort
from ..data.download import Unreachable, find_cohort, phantom_notice
from ..data.verification import verify
from ..lesions import LesionPatches, find_lesions, of_slices, open_lesions
from ..patches import Patches, keep_patches
from ..pretraining import find_slices, open_slices
from ..support import CourseError, project_root, write_atomically
from ..verdicts import published_task
from . import first_study, precomputed, second_study
from .settings import PROFILES, QUICK, Profile


class MissingStep(CourseError):
    """What is not in the run folder cannot be made or taken from the course, or does not belong to what is there."""


class RunFolder:
    """The folder in which the notebooks leave their files, and where they get what they need, in any order.

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
        self._cohort: Cohort | None = None
        self._handed_out = False  # whether a notebook relies on what is here now
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

    def open_cohort(self, data: str | None = None) -> Cohort:
        """The cohort of this folder; found where there is none yet, and this folder is about it from then on.

        What the phantom left here while it stood in for a real cohort is removed when the cohort is another one.

        Args:
            data: as for `choose_cohort`; `None` is the cohort that this folder has, or "auto".

        Raises:
            CohortError: none can be had.
            MissingStep: the folder has results of another cohort.
        """
        path = self.cohort_path if data is None else self.choose_cohort(data)
        if self._cohort is None or self._cohort.path != path:
            self._cohort = open_cohort(path)
        cohort = self._cohort
        known = self.results().get("cohort", {})
        if known and known["fingerprint"] != cohort.fingerprint:
            if not self._replaceable or self._handed_out:
                raise MissingStep(
                    f"{self.folder} holds results of another cohort ({known['archive']}); choose another OUT "
                    "(`out` in the notebooks) for this one, or delete that folder"
                )
            self._clear(f"those of {known['archive']}")
            known = {}
        place = str(cohort.path.resolve())
        stand_in = self.stand_in and self._source()["path"] == place
        self._write("cohort.json", {"path": place, "synthetic": cohort.synthetic, "stand_in": stand_in})
        if not known or known.get("borrowed"):
            self._record_cohort(cohort)
        self._handed_out = True
        return cohort

    @property
    def _replaceable(self) -> bool:
        """Whether the results are those of the phantom as a stand-in, or of scores that come with the course."""
        known = self.results().get("cohort", {})
        return bool(known.get("stand_in") or known.get("borrowed"))

    def _clear(self, what: str) -> None:
        print(f"the results in {self.folder} make room for others: {what} are removed", flush=True)
        self.forget_scores()
        for name in ("results.json", "results.md", "permutations.csv", "patches.npz"):
            (self.folder / name).unlink(missing_ok=True)

    def _record_cohort(self, cohort: Cohort) -> None:
        verification = verify(cohort.path)
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
        self.record("cohort", values)

    @property
    def cohort_path(self) -> Path:
        """The cohort of this folder, found where there is none yet; raises as `choose_cohort`."""
        known = self._source()
        if known and (Path(known["path"]).exists() or not known["stand_in"]):
            return Path(known["path"])
        return self.choose_cohort()

    @property
    def synthetic(self) -> bool:
        """True where what this folder shows is the phantom."""
        return self._source().get("synthetic", False) and not self.results().get("cohort", {}).get("borrowed")

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

    def patches(self, column: str | None = None, positive: int | None = None) -> Patches:
        """The patches of this folder's cohort; cut where they are not there.

        Args:
            column: clustering that labels them; `None` is that of this folder, or the article's.
            positive: the cluster that is the positive class; likewise.

        Raises:
            CohortError: as `open_cohort` and `patches.build_patches`.
            MissingStep: what is there is of another cohort than the folder now, or of another label.
        """
        file, results = self.folder / "patches.npz", self.results()
        made = results.get("patches", {})
        if column is None and file.exists() and made and not results["cohort"].get("borrowed"):
            data = Patches.load(file)
            self._check_cohort(data.cohort_fingerprint)
            if data.fingerprint != made.get("fingerprint"):
                raise MissingStep(f"{self.folder} holds patches of another label: run notebooks/02_patches.ipynb again")
            self._handed_out = True
            return data
        column, positive = column or made.get("column", "COCCluster"), positive or made.get("positive", 2)
        cohort = self.open_cohort()
        data = keep_patches(file, cohort.path, column, positive)
        values = {"column": column, "positive": positive, "fingerprint": data.fingerprint}
        self.record("patches", values | {"patches": len(data.table), "larger_than_patch": data.table.exceeds.mean()})
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

    def lesions(self, where: str = "auto") -> tuple[LesionPatches, Path | None]:
        """Glioblastoma patches with their tissues, and where they were found; without any, the phantom's and `None`.

        Args:
            where: as for `lesions.find_lesions`: `auto` looks into `data/` and beside the cohort, unless that is a
                phantom.
        """
        place = Path(self._source().get("path", "")).parent
        path = find_lesions(where, [] if self.synthetic else [project_root() / "data", place])
        if path:
            print(f"glioblastoma: {path.name}", flush=True)
            return open_lesions(path, volumes=40), path
        print("glioblastoma: none given; what is computed here uses the SYNTHETIC PHANTOM's tumours", flush=True)
        phantom = find_slices("phantom", PROFILES[QUICK].phantom_cases, self.profile.seed)
        return of_slices(open_slices(phantom)), None

    def forget_scores(self) -> None:
        """Remove the scores of an earlier run, which must never be read with the networks of this one."""
        for name in ("predictions.csv", *second_study.FILES):
            (self.folder / name).unlink(missing_ok=True)

    def second_study(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The second study on the published cohort: scores, and AUCs of its probes under permuted labels.

        They come with the course. Probes, and the primary one's permutations, are those of this folder, if it has
        trained all of profile `paper` itself.
        """
        return second_study.load(self.folder)

    def scores(self, train: bool | None = None, scheduler: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        """Out-of-fold scores and the AUCs under permuted labels: predictions.csv and permutations.csv, as tables.

        Those that notebook 4 left here; where there are none, those of the published cohort that come with the course;
        where the notebook has met the phantom already, the phantom's, trained now.

        Args:
            train: only for notebook 4, which makes them anew from the patches of this folder. False: those that come
                with the course are taken where they are of these settings, patches and pretraining; else, and with
                True, everything is trained (`first_study`). Finished fits of the same data, settings and code are kept.
            scheduler: address of a Dask scheduler whose workers do the fits; "": this machine.

        Raises:
            MissingStep: there are none here, and this folder is about another cohort or label than the published; or
                they are of another cohort, label, profile or patches than the run folder now.
        """
        if train is not None:
            self._make_scores(train, scheduler)
        elif not (self.folder / "predictions.csv").exists():
            if self._handed_out and self.synthetic:  # patches of the phantom, for which training takes two minutes
                self._make_scores(False, "")
            else:
                self._borrow_scores()
        self._handed_out = True
        predictions, permutations = (
            facts.read(self.folder / f"{name}.csv") for name in ("predictions", "permutations")
        )
        results = self.results()
        made = results["training"]
        self._check_cohort(made["cohort"])
        here = {"label": self.label, "profile": self.profile_name, "patches": results["patches"].get("fingerprint")}
        for what, now in here.items():
            # What comes with the course is of profile "paper", whatever was asked for.
            if made.get(what) != now and not (what == "profile" and made.get("borrowed")):
                raise MissingStep(
                    f"{self.folder} holds scores of another {what} ({made.get(what)!s:.30} instead of {now!s:.30}): "
                    "run notebooks/04_transfer_learning.ipynb again, or choose another `out`"
                )
        return predictions, permutations

    def _make_scores(self, train: bool, scheduler: str) -> None:
        """Leave the scores of this folder's patches, precomputed or trained, and record what they were made from."""
        data = self.patches()
        self.forget_scores()
        if not (self.folder / "compact_gbm.json").exists():
            print("glioblastoma weights: those that come with the course", flush=True)
            record = precomputed.copy_weights(self.folder)
            self.record("pretraining", {"source": "shipped weights", "records": {"compact": record}})
        record = self._read("compact_gbm.json")
        found = None if train else precomputed.matching(self.profile, data, record)
        print(found.origin if found else "trained here", flush=True)
        if found:
            predictions, permutations = found.predictions, found.permutations
        else:
            study = first_study.FirstStudy(self.profile, data, self.cohort_path, self.folder, scheduler or None)
            predictions, permutations = study.scores(), study.permutations()
            if self.profile_name == "paper" and precomputed.is_published(data):
                self._probe_second_study(data)
        self.record_scores(
            data,
            predictions,
            permutations,
            precomputed=found and found.commit,
            code=found.code if found else cross_validation.SOURCE,
            weights=first_study.network_sizes(),
        )

    def _probe_second_study(self, data: Patches) -> None:
        folder = self.folder / "features"  # the first study's, which has probed the same random weights
        primary = [facts.SECOND_STUDY.sequences]
        tables = second_study.probes(data, folder), second_study.permuted_probes(data, folder, primary)
        for table, name in zip(tables, second_study.FILES, strict=True):
            write_atomically(self.folder / name, partial(table.to_csv, index=False))

    def fold_network(self, fold: int) -> Path:
        """File of the first study's primary network of one fold, first repeat, whose scores this folder holds."""
        name = precomputed.NETWORK.format(fold)
        if self.results()["training"]["precomputed"]:
            return precomputed.FOLDER / precomputed.NETWORKS / name
        return self.require(f"fits/{name}", "04_transfer_learning")

    def _borrow_scores(self) -> None:
        """Take the scores that come with the course, and what they were made from, into this folder."""
        theirs = json.loads((precomputed.FOLDER / "results.json").read_text(encoding="utf-8"))
        here, known = self.results(), self.results().get("cohort", {})
        if known and known["fingerprint"] != theirs["cohort"]["fingerprint"]:
            if not self._replaceable or self._handed_out:
                raise MissingStep(
                    f"{self.folder} is about another cohort than the published one and holds no scores of it: run "
                    "notebooks/04_transfer_learning.ipynb first, with the same `out`"
                )
            self._clear(f"those of {known['archive']}")
            here = {}
        theirs["patches"]["fingerprint"] = theirs["training"]["patches"]
        sections = {name: here.get(name) or theirs[name] for name in ("cohort", "patches", "pretraining")}
        if not known or not here:
            sections["cohort"] = theirs["cohort"] | {"borrowed": True}
        if sections["patches"]["fingerprint"] != theirs["training"]["patches"]:
            raise MissingStep(
                f"{self.folder} holds no scores of its label ({self.label}): run notebooks/04_transfer_learning.ipynb "
                "first"
            )
        for name, values in sections.items():
            self.record(name, values)
        for name in ("predictions.csv", "permutations.csv"):
            shutil.copy(precomputed.FOLDER / name, self.folder)
        commit = theirs["run"]["commit"]
        made = {"label": self.label, "profile": self.profile_name, "precomputed": commit, "borrowed": True}
        self.record("training", theirs["training"] | made)
        print(f"scores: those of the published cohort, which come with the course (commit {commit[:7]})", flush=True)

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

    def extend(self, section: str, **found: object) -> None:
        """Add to a section of results.json; values as for `record`."""
        self.record(section, self.results().get(section, {}) | found)

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
    if value is pd.NA:
        return None
    if isinstance(value, facts.Model):
        return asdict(value)
    if isinstance(value, pd.DataFrame):
        return (value if value.index.names == [None] else value.reset_index()).to_dict("records")
    return value.to_dict() if isinstance(value, pd.Series) else value.tolist()
