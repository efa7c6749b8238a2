"""The whole course through papermill on the phantom, in profile smoke; these tests share one run."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from radiogen_utils import facts, models, repeats
from radiogen_utils.course import command_line
from radiogen_utils.course.run_folder import MissingStep, RunFolder
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.facts import Model
from radiogen_utils.pretraining import find_slices

from .test_command_line import open_notebook


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder of `run --data phantom --profile smoke`."""
    out = tmp_path_factory.mktemp("smoke")
    command_line.main(["run", "--data", "phantom", "--profile", "smoke", "--out", str(out), "--publish"])
    return out


def test_everything_promised_is_there(run):
    for name in ("figure1", "figure2", "figure3"):
        image = np.asarray(Image.open(run / "figures" / f"{name}.png").convert("L"))
        assert min(image.shape) > 400 and image.std() > 20
    assert len(list((run / "notebooks").glob("*.ipynb"))) == 11
    results = json.loads((run / "results.json").read_text())
    assert {"run", "cohort", "patches", "pretraining", "training", "roc", "heatmaps", "clusterings", "seconds"} <= set(
        results
    )
    assert results["cohort"]["synthetic"] and results["run"]["profile"] == "smoke"


def test_the_report_is_of_this_run(run):
    text = (run / "results.md").read_text()
    gbm = facts.of_model(facts.read(run / "predictions.csv"), facts.FIRST_STUDY)
    assert "Synthetic phantom" in text and f"{roc_auc_score(gbm.y_true, gbm.score):.3f}" in text


def test_executed_notebooks_have_no_warning_or_error(run):
    for path in sorted((run / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                text = "".join(output.get("text", []))
                assert output.get("name") != "stderr" and "Warning" not in text, f"{path.stem}: {text}"


def test_every_figure_says_what_it_shows(run):
    for path in sorted((run / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    text = output["metadata"]["image/png"]["alt"]
                    assert 60 < len(text) < 1500, f"{path.stem}: {text}"


def test_predictions_are_complete(run):
    table, profile = facts.read(run / "predictions.csv"), PROFILES["smoke"]
    assert list(table) == facts.COLUMNS and np.isfinite(table.score).all()
    for _, rows in facts.by_model(table):
        assert repeats.score_matrix(rows)[1].shape == (1, profile.phantom_patients)
    arms = {
        kind: [model for model, _ in facts.by_model(facts.select(table, **chosen))]
        for kind, chosen in {
            "networks": {"readout": "full", "split": "folds"},
            "probes": {"readout": "probe", "split": "folds"},
            "simple": {"readout": "", "split": "folds"},
            "left out": {"split": "institution"},
        }.items()
    }
    mask = Model("scratch", sequences="mask")
    assert {
        facts.FIRST_STUDY,
        replace(facts.FIRST_STUDY, sequences="post-contrast"),
        Model("natural", "", "efficientnet_lite0"),
        mask,
    } < set(arms["networks"])
    probed = {replace(model, readout="full") for model in arms["probes"] if model.pooling == "patch"}
    assert probed == set(arms["networks"]) - {mask}
    assert {facts.simple(name, "logistic") for name in ("age", "volume")} < set(arms["simple"])
    assert [len(group) for group in arms.values()] == [8, 14, 7, 8]
    assert table[table.split == "folds"].groupby(["repeat", "patient"]).fold.nunique().eq(1).all()  # shared by all
    left_out = facts.select(table, split="institution")
    assert left_out.groupby(left_out.patient.str.split("_").str[1]).fold.nunique().eq(1).all()
    permuted = {model: len(rows) for model, rows in facts.by_model(facts.read(run / "permutations.csv"))}
    assert permuted == {
        facts.simple("image features", "trees"): profile.permutations,
        replace(facts.FIRST_STUDY, readout="probe"): profile.permutations,
        facts.FIRST_STUDY: profile.network_permutations,
    }


def test_smoke_auc_is_well_above_chance_and_results_match_predictions(run):
    table = facts.read(run / "predictions.csv")
    results = json.loads((run / "results.json").read_text())
    areas = {
        model: roc_auc_score(rows.y_true, rows.score)
        for model, rows in facts.by_model(table)
        if model in (facts.FIRST_STUDY, Model("scratch"))
    }
    # At chance the mean of the two would lie below 0.68 in 95 of 100 runs: the standard error is 0.11 at this size.
    assert np.mean(list(areas.values())) > 0.68
    for row in results["roc"]["auc"]:
        if Model.of(row) in areas:
            assert row["auc"] == pytest.approx(areas[Model.of(row)])


@pytest.mark.slow
def test_a_repeated_run_keeps_the_fits(run):
    fits = {file: file.stat().st_mtime_ns for file in (run / "fits").iterdir() if file.name != ".lock"}
    before = (run / "predictions.csv").read_bytes()
    command_line.main(["run", "--only", "04", "--profile", "smoke", "--out", str(run)])
    assert {file: file.stat().st_mtime_ns for file in (run / "fits").iterdir() if file.name != ".lock"} == fits
    assert (run / "predictions.csv").read_bytes() == before


@pytest.mark.slow
def test_a_killed_run_continues_on_a_cluster_to_the_same_predictions(run, cluster, tmp_path):
    """The command line dies at once; its kernel a moment later, when it finds itself alone."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("fits", "predictions.csv", ".lock"))
    arguments = ["run", "--only", "04", "--profile", "smoke", "--out", str(copy)]
    process = subprocess.Popen([sys.executable, "-m", "radiogen_utils", *arguments], stdout=subprocess.DEVNULL)
    while len(list(copy.glob("fits/*.npz"))) < 3:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert len(list(copy.glob("fits/*.npz"))) < 32 and not (copy / "predictions.csv").exists()
    command_line.main([*arguments, "--scheduler", cluster.address])
    assert (copy / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(find_slices("auto") is not None, reason="glioblastoma slices lie in data/ and would be used")
def test_without_slices_the_shipped_weights_are_used(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("fits"))
    (tmp_path / "run" / "cohort.json").write_text(json.dumps({"path": "", "synthetic": False}))
    command_line.main(["run", "--only", "03", "--profile", "smoke", "--out", str(tmp_path / "run")])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["pretraining"]["source"] == "shipped weights"
    shipped = (models.WEIGHTS / "compact_gbm.safetensors").read_bytes()
    assert (tmp_path / "run" / "compact_gbm.safetensors").read_bytes() == shipped


@pytest.mark.slow
def test_neither_permutations_nor_institutions_are_needed(run, tmp_path):
    """As in profile `standard`, which permutes no labels, and in a cohort of a single institution."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("fits", "institutions", "permutations"))
    for name in ("predictions", "permutations"):
        table = facts.read(run / f"{name}.csv")
        kept = facts.select(table, split="folds") if name == "predictions" else table[:0]
        kept.to_csv(tmp_path / "run" / f"{name}.csv", index=False)
    command_line.main(["run", "--only", "07", "--profile", "smoke", "--out", str(tmp_path / "run")])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["roc"]["permutations"] == results["roc"]["institution_left_out"] == []
    assert "## More than chance?" in (run / "results.md").read_text()
    assert "## More than chance?" not in (tmp_path / "run" / "results.md").read_text()


def test_files_of_another_cohort_are_not_mixed(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("fits"))
    other = RunFolder(tmp_path / "run", "smoke")
    other.record("cohort", other.results()["cohort"] | {"fingerprint": "of another cohort"})
    for number in ("02", "04", "05", "06", "07", "08"):
        with pytest.raises(MissingStep, match="(files|results) of another cohort"):
            open_notebook(number, out=str(other.folder), profile="smoke")


@pytest.mark.slow
def test_another_label_in_notebook_2_is_noticed_by_the_others(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("fits"))
    arguments = ["--profile", "smoke", "--out", str(out), "-p", "column=RPPACluster", "-p", "positive=3"]
    command_line.main(["run", "--only", "01", "02", *arguments])
    assert "of them in cluster 3 and" in (out / "notebooks" / "01_cohort.ipynb").read_text(encoding="utf-8")
    for number in ("05", "06"):
        with pytest.raises(MissingStep, match=r"COCCluster 2 instead of RPPACluster 3\): run notebooks/04_"):
            open_notebook(number, out=str(out), profile="smoke")
    open_notebook("04", out=str(out), profile="smoke")  # which would train for the new label
