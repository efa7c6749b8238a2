"""The command line: what it refuses, what it checks, what it publishes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import nbformat
import pandas as pd
import pytest

from radiogen_utils import evaluation, facts, repeats
from radiogen_utils.course import command_line, publishing, run_folder, runner
from radiogen_utils.course.first_study import FirstStudy
from radiogen_utils.course.precomputed import NETWORK
from radiogen_utils.course.run_folder import RunFolder
from radiogen_utils.facts import Model
from radiogen_utils.support import project_root


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Function that makes a course of tiny notebooks from {name: (source, promised files)}."""
    monkeypatch.setattr(runner, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()

    def make(cells: dict):
        for name, (source, writes) in cells.items():
            parameters = nbformat.v4.new_code_cell(
                'out = "nowhere"\nprofile = "smoke"\nscheduler = ""', metadata={"tags": ["parameters"]}
            )
            notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(source)])
            notebook.metadata = {
                "radiogen": {"writes": writes},
                "kernelspec": {"name": "python3", "display_name": "p", "language": "python"},
            }
            nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
        return tmp_path / "out"

    return make


def open_notebook(number: str, **parameters) -> None:
    """Carry out a notebook's first two cells of code without a kernel: parameters, and what opens the run folder."""
    cells = nbformat.read(runner.notebooks()[number], as_version=4).cells
    declared, opening = [cell.source for cell in cells if cell.cell_type == "code"][:2]
    names = {}
    exec(declared, names)
    exec(opening, names | parameters)


def error(*arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(list(map(str, arguments)))
    return str(stopped.value.code)


def test_help_is_worth_reading(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["run", "--help"])
    text = capsys.readouterr().out
    for word in ("--data", "--pretraining", "--profile", "smoke", "--only", "Decathlon", "examples"):
        assert word in text


def test_unknown_profile_notebook_and_parameter_name_the_valid_ones(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command_line.main(["run", "--profile", "quick"])
    assert "smoke" in capsys.readouterr().err
    assert "05_roc" in error("run", "--only", "99", "--out", tmp_path)
    assert "--data" in error("run", "--out", tmp_path, "-p", "data=phantom")
    message = error("run", "--only", "02", "--out", tmp_path, "-p", "colum=COCCluster")  # codespell:ignore colum
    assert "unknown parameter colum" in message and "column" in message  # codespell:ignore colum


def test_data_that_are_not_there_are_told_before_anything_runs(tmp_path):
    assert "no such file" in error("run", "--data", tmp_path / "nothing.zip", "--out", tmp_path / "out")
    assert "no such file" in error("run", "--pretraining", tmp_path / "nothing", "--out", tmp_path / "out")
    (tmp_path / "text.zip").write_text("no zip")
    assert "not a zip" in error("run", "--data", tmp_path / "text.zip", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "notebooks").exists()


def test_every_notebook_declares_the_common_parameters_and_what_it_writes():
    declared = runner.parameters_of(list(runner.notebooks().values()))
    assert len(declared) == 11
    for path, names in declared.items():
        assert {"profile", "out"} <= names
        assert nbformat.read(path, as_version=4).metadata["radiogen"]["writes"]


@pytest.mark.parametrize("path", runner.notebooks().values(), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert len(cell.source.splitlines()) <= (40 if "setup" in cell.metadata.get("tags", []) else 30)


@pytest.mark.parametrize("number", ["01", "02", "03", "04", "05", "07", "08"])
def test_a_notebook_opens_alone(number, tiny_cohort, tmp_path, monkeypatch):
    """In an empty run folder, whatever ran before; no cohort of this machine is looked for."""
    phantom = tiny_cohort(n_patients=16, prefix="PHANTOM")
    monkeypatch.setattr(run_folder, "find_cohort", lambda *_: phantom)

    def scores(study):  # what training would take minutes to find
        labels = study.data.labels
        rows = {"fold": 0, "patient": labels.index, "y_true": labels.to_numpy(), "score": 0.5}
        return facts.table(facts.FIRST_STUDY, 0, repeat=0, **rows)

    monkeypatch.setattr(FirstStudy, "scores", scores)
    monkeypatch.setattr(FirstStudy, "permutations", lambda study: pd.DataFrame(columns=[*facts.FACTS, "auc"]))
    open_notebook(number, out=str(tmp_path / "out"), profile="smoke")


def test_parameters_reach_the_notebook_and_its_prints_the_screen(course, capfd):
    out = course({"01_a": ("print('profile', profile); open(f'{out}/a.txt', 'w').close()", ["a.txt"])})
    command_line.main(["run", "--profile", "paper", "--out", str(out)])
    assert "profile paper" in capfd.readouterr().out
    assert (out / "a.txt").exists() and json.loads((out / "results.json").read_text())["seconds"]["01_a"] > 0


def test_a_notebook_that_does_not_write_what_it_promises_fails(course):
    out = course({"01_a": ("pass", ["figure.png"])})
    assert "finished without writing" in error("run", "--out", out)
    (out / "figure.png").write_text("from yesterday")
    assert "finished without writing" in error("run", "--out", out)
    os.utime(out / "figure.png", (4e9, 4e9))  # a clock that runs ahead makes no old file new
    assert "finished without writing" in error("run", "--out", out)


def test_a_file_system_whose_clock_runs_behind_is_no_failure(course):
    out = course({"01_a": ("import os; open(f'{out}/a', 'w').close(); os.utime(f'{out}/a', (1e9, 1e9))", ["a"])})
    command_line.main(["run", "--out", str(out)])


def test_odd_characters_in_paths_are_no_templates(course):
    out = course({"01_a": ("open(f'{out}/a', 'w').close()", ["a"])}) / "{profile} {0} [b] ü"
    command_line.main(["run", "--out", str(out)])
    assert (out / "notebooks" / "01_a.ipynb").exists() and (out / "a").exists()


def test_options_that_no_chosen_notebook_reads_are_refused(tmp_path):
    for option, reader in ((["--data", "phantom"], "01"), (["--train"], "04"), (["--pretraining", "phantom"], "03")):
        message = error("run", "--only", "05", "--out", tmp_path, *option)
        assert f"{option[0]} is for notebook {reader}" in message and "add it to --only" in message


def test_what_will_happen_is_said_before_and_what_is_left_meanwhile(course, capfd):
    out = course({"01_a": ("print('first')", []), "02_b": ("print('second')", [])})
    command_line.main(["run", "--out", str(out)])
    lines = capfd.readouterr().out.splitlines()
    plan, first = "\n".join(lines[: lines.index("first")]), lines.index("first")
    assert "profile    standard" in plan and str(out) in plan and "notebooks  2, about" in plan
    assert lines[first - 1] == "[1/2] 01_a …" and " left" in lines[first + 1] and lines[-1].startswith("done in")


def test_a_run_leaves_the_environment_as_it_was(course, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    before = dict(os.environ)
    out = course({"01_a": ("import os; open(f'{out}/b', 'w').write(os.environ['MPLBACKEND'])", ["b"])})
    command_line.main(["run", "--out", str(out)])
    assert "inline" in (out / "b").read_text() and dict(os.environ) == before


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device", "results.json"), KeyboardInterrupt()])
def test_no_trouble_ends_in_a_traceback(monkeypatch, trouble, tmp_path):
    def fail(*arguments):
        raise trouble

    monkeypatch.setattr(runner, "run_in", fail)
    message = error("run", "--out", tmp_path)
    assert "No space left on device: 'results.json'" in message or "run the same command again" in message


@pytest.mark.slow
def test_a_screen_of_few_letters_does_not_end_a_run(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(project_root())}
    command = [sys.executable, "-m", "radiogen_utils", "run", "--only", "05", "--out", str(tmp_path / "ü")]
    ended = subprocess.run(command, env=environment, capture_output=True, encoding="ascii", cwd=tmp_path)
    assert ended.returncode == 0 and "UnicodeEncodeError" not in ended.stderr, ended.stderr
    assert "done in" in ended.stdout and (tmp_path / "ü").is_dir()


def test_the_first_failure_stops_the_run_with_its_reason(course):
    out = course({"01_a": ("raise ValueError('slice 7 is upside down')", []), "02_b": ("open(f'{out}/b', 'w')", ["b"])})
    assert "01_a stopped with ValueError: slice 7 is upside down" in error("run", "--out", out)
    assert not (out / "b").exists()


def test_verify_lists_all_problems_and_fails(tiny_cohort, capsys):
    folder = tiny_cohort()
    for mask in sorted(folder.rglob("*_6_mask.tif"))[:2]:
        mask.unlink()
    assert error("verify", folder) == "2 problems"
    assert capsys.readouterr().out.count("image without mask") == 2
    command_line.main(["verify", str(tiny_cohort(name="sound"))])


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_says_so(course):
    from radiogen_utils.support import exclusive

    out = course({"01_a": ("pass", [])})
    with exclusive(out):
        patience = "from radiogen_utils import support; support.LOCK_TIMEOUT = 0.1\n"
        script = (
            patience + "from radiogen_utils.course.command_line import main; "
            f"main(['run', '--data', 'phantom', '--out', {str(out)!r}])"
        )
        second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert second.returncode == 1 and "in use by another run" in second.stderr and "Traceback" not in second.stderr


def test_a_scheduler_that_does_not_answer_is_told_before_anything_runs(course, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    from radiogen_utils import cross_validation

    monkeypatch.setattr(cross_validation, "SCHEDULER_TIMEOUT", 2)
    out = course({"01_a": ("pass", [])})
    assert "no Dask scheduler answers" in error("run", "--out", out, "--scheduler", "tcp://127.0.0.1:9")
    assert not (out / "notebooks").exists()


SECTIONS = {
    "cohort": {"synthetic": False, "status": "partial", "problems": 0},
    "patches": {"column": "COCCluster", "positive": 2},
    "pretraining": {"source": "shipped weights"},
    "training": {"precomputed": None},
}


@pytest.mark.parametrize(
    "changes, profile, complete, reason",
    [
        ({"cohort": {"synthetic": True}}, "paper", True, "phantom"),
        ({"pretraining": {"source": "phantom"}}, "paper", True, "phantom"),
        ({"cohort": {"status": "own"}}, "paper", True, "not the article's"),
        ({"cohort": {"problems": 1}}, "paper", True, "slices are missing"),
        ({"patches": {"positive": 3}}, "paper", True, "label"),
        ({"training": {"precomputed": "abc"}}, "paper", True, "--train"),
        ({}, "standard", True, "only a run in profile paper"),
        ({}, "paper", False, "only some"),
    ],
)
def test_only_whole_runs_on_the_article_s_cohort_replace_the_precomputed_results(
    changes, profile, complete, reason, tmp_path
):
    run = RunFolder(tmp_path, profile)
    for section, values in SECTIONS.items():
        run.record(section, values | changes.get(section, {}))
    assert reason in publishing.why_not_publish(run, complete)


def test_a_whole_run_replaces_the_precomputed_results(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "project_root", lambda: tmp_path)
    monkeypatch.setattr(publishing, "answer", lambda folder: f"answer from {folder.name}\n")
    run = RunFolder(tmp_path / "out", "paper")
    for section, values in SECTIONS.items():
        run.record(section, values)
    run.record("roc", {"auc": 1})
    (tmp_path / "README.md").write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    (run.folder / "fits").mkdir()
    networks = {f"fits/{NETWORK.format(3)}", "fits/scratch-compact-FLAIR-full-r0-f3.safetensors"}
    tables = {"predictions.csv", "permutations.csv", "results.md"}
    for name in {"figures/figure1.png", "figures/margins.png", "figures/clusterings.png"} | tables | networks:
        (run.folder / name).write_text(name)
    publishing.publish(run, complete=True)
    files = {str(file.relative_to(tmp_path / "figures")) for file in (tmp_path / "figures").rglob("*.*")}
    assert files == tables | {
        "figure1.png",
        "clusterings.png",
        "results.json",
        f"networks/{NETWORK.format(3)}",
    }
    readme = (tmp_path / "README.md").read_text()
    assert readme == "before\n<!-- results -->\nanswer from figures\n<!-- /results -->\nafter\n"


def test_readme_and_precomputed_results_agree_with_the_predictions():
    """README's answer, and the AUCs of results.json, are those of predictions.csv."""
    root = project_root()
    text = (root / "figures" / "results.json").read_text()
    assert str(root.parent) not in text  # no path of a machine
    results = json.loads(text)
    assert publishing.answer(root / "figures") in (root / "README.md").read_text(encoding="utf-8")
    predictions = facts.read(root / "figures" / "predictions.csv")
    for row in results["roc"]["auc"]:
        scores = evaluation.patient_scores(predictions, Model.of(row), row["repeat"])
        assert evaluation.auc_ci(scores.y_true, scores.score)[0] == pytest.approx(row["auc"])
        assert len(scores) == 110 and scores.y_true.sum() == 24
    for row in results["roc"]["institution_left_out"]:
        scores = evaluation.patient_scores(predictions, replace(Model.of(row), split="institution"))
        assert evaluation.auc_ci(scores.y_true, scores.score)[0] == pytest.approx(row["institution left out"])
    permutations = facts.read(root / "figures" / "permutations.csv")
    for row in results["roc"]["permutations"]:
        permuted = facts.of_model(permutations, Model.of(row)).auc
        assert len(permuted) == row["permutations"] and evaluation.permutation_p(
            row["observed"], permuted
        ) == pytest.approx(row["p"])
    for name, readout in (("summary", ("full", "")), ("probes", "probe")):
        summary = repeats.over_repeats(facts.select(predictions, split="folds", readout=readout))
        assert len(summary) == len(results["roc"][name])
        for row, again in zip(results["roc"][name], summary.to_dict("records"), strict=True):
            assert Model.of(row) == Model.of(again) and again["auc"] == pytest.approx(row["auc"])


def test_the_committed_report_is_written_from_the_committed_results_and_readme(tmp_path):
    """Otherwise: .venv/bin/python -c 'from radiogen_utils.course.publishing import *; write_report(Path("figures"))'"""
    figures = project_root() / "figures"
    for name in ("results.json", "predictions.csv"):
        shutil.copy(figures / name, tmp_path)
    publishing.write_report(tmp_path)
    assert (tmp_path / "results.md").read_text() == (figures / "results.md").read_text()
