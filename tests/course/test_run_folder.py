"""The run folder that the notebooks share: it tells one story, of one cohort, label and profile."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from radiogen_utils import facts
from radiogen_utils.course import run_folder
from radiogen_utils.course.first_study import FirstStudy
from radiogen_utils.course.run_folder import MissingStep, RunFolder, commit
from radiogen_utils.course.settings import PROFILES, QUICK
from radiogen_utils.data.download import Unreachable
from radiogen_utils.patches import build_patches
from radiogen_utils.support import CourseError, project_root


@pytest.fixture
def nothing_real(tiny_cohort, monkeypatch):
    """No real cohort can be had; the phantom is a tiny one. The list of (patients, seed) it was asked with."""
    asked, phantom = [], tiny_cohort(prefix="PHANTOM", name="phantom")

    def find_cohort(where="auto", n_patients=None, seed=None):
        if where == "auto":
            raise Unreachable("no network")
        if where != "phantom":
            return project_root() / where
        asked.append((n_patients, seed))
        return phantom

    monkeypatch.setattr(run_folder, "find_cohort", find_cohort)
    return asked


def begin(run: RunFolder, data: str = "auto"):
    """What a notebook does that lets the reader choose the data."""
    return run.open_cohort(data)


def test_unknown_profile_names_the_valid_ones(tmp_path):
    with pytest.raises(ValueError, match="smoke, standard, paper"):
        RunFolder(tmp_path, "quick")


def test_a_missing_file_names_the_notebook_to_run_first(tmp_path):
    with pytest.raises(MissingStep, match=r"run notebooks/02_patches.ipynb first"):
        RunFolder(tmp_path, "smoke").require("patches.npz", "02_patches")


def test_the_first_notebook_that_needs_the_patches_makes_them(tmp_path, nothing_real):
    run = RunFolder(tmp_path / "out", "smoke")
    data = run.patches()
    assert run.synthetic and run.label == "COCCluster 2" and run.results()["cohort"]["status"] == "phantom"
    file = tmp_path / "out" / "patches.npz"
    before = file.stat().st_mtime_ns
    again = RunFolder(tmp_path / "out", "smoke").patches()
    assert again.fingerprint == data.fingerprint and file.stat().st_mtime_ns == before


def test_scores_need_no_data(tmp_path, nothing_real, capsys):
    run = RunFolder(tmp_path / "out", "standard")
    predictions, permutations = run.scores()
    assert predictions.patient.nunique() == 110 and len(permutations) and run.article_task and not run.synthetic
    assert "come with the course" in capsys.readouterr().out and nothing_real == []
    run.record("roc", {"auc": 1})
    assert len(RunFolder(tmp_path / "out", "paper").scores()[0]) == len(predictions)  # whatever the profile


def test_scores_of_the_course_and_the_phantom_that_stands_in_never_mix(tmp_path, nothing_real):
    """In whatever order the notebooks are opened."""
    RunFolder(tmp_path / "out", "standard").patches()
    run = RunFolder(tmp_path / "out", "standard")
    run.record("other", {"of": "the phantom"})
    run.scores()
    assert "other" not in run.results() and not run.synthetic and not (run.folder / "patches.npz").exists()
    run.record("roc", {"of": "the published cohort"})
    data = RunFolder(tmp_path / "out", "standard").patches()
    assert data.table.patient.str.startswith("PHANTOM").all() and run.synthetic
    assert "roc" not in run.results() and not (run.folder / "predictions.csv").exists()


def test_one_notebook_never_sees_both(tmp_path, nothing_real, monkeypatch):
    def scores(study):
        labels = study.data.labels
        rows = {"fold": 0, "patient": labels.index, "y_true": labels.to_numpy(), "score": 0.5}
        return facts.table(facts.FIRST_STUDY, 0, repeat=0, **rows)

    monkeypatch.setattr(FirstStudy, "scores", scores)
    monkeypatch.setattr(FirstStudy, "permutations", lambda study: pd.DataFrame(columns=[*facts.FACTS, "auc"]))
    run = RunFolder(tmp_path / "out", "standard")
    phantom = run.patches()
    assert set(run.scores()[0].patient) == set(phantom.labels.index)  # trained, for want of scores of the phantom
    run = RunFolder(tmp_path / "other", "standard")
    run.scores()
    with pytest.raises(MissingStep, match="another cohort"):
        run.open_cohort()


def test_another_cohort_gets_no_scores_of_the_course(tmp_path, nothing_real, tiny_cohort):
    run = RunFolder(tmp_path / "out", "standard")
    begin(run, str(tiny_cohort()))
    with pytest.raises(MissingStep, match="about another cohort than the published one"):
        run.scores()


def test_another_label_gets_no_scores_of_the_course(tmp_path, nothing_real):
    run = RunFolder(tmp_path / "out", "standard")
    run.scores()
    (run.folder / "predictions.csv").unlink()
    run.extend("patches", column="RPPACluster", fingerprint="0" * 64)
    with pytest.raises(MissingStep, match=r"no scores of its label \(RPPACluster 2\)"):
        run.scores()


def test_results_keep_their_sections_and_say_where_they_come_from(tmp_path):
    run = RunFolder(tmp_path, "smoke")
    run.record("a", {"value": np.float32(1.5), "list": np.arange(3)})
    run.record("b", {"value": 2})
    run.record("c", {"absent": [np.nan, np.float64("nan")]})
    assert run.results()["c"] == {"absent": [None, None]}
    run.record("a", {"value": np.int64(7)})
    results = run.results()
    assert results["a"] == {"value": 7} and results["b"] == {"value": 2}
    assert results["run"]["profile"] == "smoke" and results["run"]["settings"]["folds"] == run.profile.folds
    assert results["run"]["versions"]["torch"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "results.json").write_text('{"cohort": ')
    with pytest.raises(MissingStep, match=r"results\.json is damaged .* delete it"):
        RunFolder(tmp_path, "smoke").results()


def test_without_a_real_cohort_the_phantom_stands_in_and_the_profile_is_quick(tmp_path, nothing_real, capsys):
    run = RunFolder(tmp_path / "out", "paper")
    begin(run)
    quick = PROFILES[QUICK]
    assert (run.profile_name, run.profile, run.stand_in, run.synthetic) == (QUICK, quick, True, True)
    assert nothing_real == [(quick.phantom_patients, quick.seed)]
    said = capsys.readouterr().out
    assert "no network" in said and QUICK in said
    assert RunFolder(tmp_path / "out", "paper").profile_name == QUICK  # in every other notebook


def test_a_phantom_that_was_asked_for_keeps_its_profile(tmp_path, nothing_real):
    run = RunFolder(tmp_path / "out", "standard")
    begin(run, "phantom")
    assert run.profile_name == "standard" and not run.stand_in and run.synthetic
    assert nothing_real == [(PROFILES["standard"].phantom_patients, PROFILES["standard"].seed)]
    assert RunFolder(tmp_path / "out", "standard").choose_cohort("auto") == run.cohort_path  # not the quick stand-in


def test_auto_keeps_the_cohort_of_the_run_folder(tmp_path, nothing_real, tiny_cohort):
    real = tiny_cohort()
    begin(RunFolder(tmp_path / "out", "standard"), str(real))
    again = RunFolder(tmp_path / "out", "standard")
    assert begin(again).path == real and again.profile_name == "standard" and not again.synthetic


def test_a_real_cohort_is_never_replaced_by_the_phantom(tmp_path, nothing_real, tiny_cohort):
    real = tiny_cohort()
    begin(RunFolder(tmp_path / "out", "standard"), str(real))
    shutil.move(real, tmp_path / "elsewhere")
    with pytest.raises(MissingStep, match=f"holds results of {real}, which is gone"):
        RunFolder(tmp_path / "out", "standard").choose_cohort("auto")


def test_results_of_one_cohort_are_never_mixed_with_those_of_another(tmp_path, nothing_real, tiny_cohort):
    first, other = tiny_cohort(), tiny_cohort(n_patients=4, name="other")
    begin(RunFolder(tmp_path / "out", "standard"), str(first))
    run = RunFolder(tmp_path / "out", "standard")
    with pytest.raises(MissingStep, match="holds results of another cohort .*choose another OUT"):
        begin(run, str(other))
    assert run.cohort_path == first  # and the folder is as it was


def test_a_real_cohort_replaces_the_phantom_that_stood_in(tmp_path, nothing_real, tiny_cohort, monkeypatch, capsys):
    out = tmp_path / "out"
    begin(RunFolder(out, "standard"))
    (out / "predictions.csv").write_text("of the phantom")
    real = tiny_cohort()
    monkeypatch.setattr(run_folder, "find_cohort", lambda: real)
    run = RunFolder(out, "standard")
    begin(run)
    assert (run.cohort_path, run.profile_name, run.stand_in, run.synthetic) == (real, "standard", False, False)
    assert "removed" in capsys.readouterr().out and not (out / "predictions.csv").exists()


@pytest.fixture
def scored(tmp_path, tiny_cohort):
    """A run folder up to notebook 4, and its patches."""
    run = RunFolder(tmp_path / "out", "smoke")
    begin(run, str(tiny_cohort(n_patients=6)))
    data = build_patches(run.cohort_path)
    run.record("patches", {"column": "COCCluster", "positive": 2, "fingerprint": data.fingerprint})
    made = {"cohort": data.cohort_fingerprint, "patches": data.fingerprint, "label": run.label, "profile": "smoke"}
    run.record("training", made)
    for name in ("predictions", "permutations"):
        pd.DataFrame({"arm": ["gbm"]}).to_csv(run.folder / f"{name}.csv", index=False)
    return run, data


def test_scores_of_this_cohort_label_and_profile_are_read(scored):
    run, data = scored
    predictions, permutations = run.scores()
    assert list(predictions.arm) == list(permutations.arm) == ["gbm"]
    data.save(run.folder / "patches.npz")
    assert run.patches().fingerprint == data.fingerprint


def test_scores_and_patches_of_another_label_are_refused(scored):
    run, _ = scored
    other = build_patches(run.cohort_path, "COCCluster", 1)
    other.save(run.folder / "patches.npz")
    with pytest.raises(MissingStep, match="patches of another label: run notebooks/02_patches"):
        run.patches()
    run.record("patches", {"column": "COCCluster", "positive": 1, "fingerprint": other.fingerprint})
    with pytest.raises(MissingStep, match=r"another label \(COCCluster 2 instead of COCCluster 1\): run notebooks/04_"):
        run.scores()


@pytest.mark.parametrize(
    "section, changes, message",
    [
        ("training", {"profile": "paper"}, "another profile"),
        ("training", {"patches": "0" * 64}, "another patches"),
        ("training", {"cohort": "0" * 64}, "another cohort"),
        ("patches", {"fingerprint": None}, "another patches"),
    ],
)
def test_scores_of_something_else_are_refused(scored, section, changes, message):
    run, _ = scored
    run.record(section, run.results()[section] | changes)
    with pytest.raises(MissingStep, match=message):
        run.scores()


def test_the_folder_is_named_when_it_cannot_be_written(tmp_path):
    from radiogen_utils.support import exclusive

    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot write to .*file/out"):
        with exclusive(tmp_path / "file" / "out"):
            pass


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()


def test_the_commit_is_that_of_the_projects_own_repository(tmp_path):
    git(tmp_path, "init", "-q")
    inside = tmp_path / "unpacked"
    inside.mkdir()
    (inside / "file").write_text("a")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "of somebody else")
    assert commit(inside) is None
    assert commit(tmp_path) == git(tmp_path, "rev-parse", "HEAD")
    (inside / "file").write_text("b")
    assert commit(tmp_path).endswith("-dirty")
    assert commit(tmp_path / "nowhere") is None


def test_the_precomputed_results_are_of_one_cohort():
    """What the notebooks check in a run folder holds for the results that come with the course."""
    results = json.loads((project_root() / "figures" / "results.json").read_text(encoding="utf-8"))
    assert results["cohort"]["fingerprint"] == results["training"]["cohort"]
