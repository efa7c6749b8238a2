"""`publishing`: a run that must not replace the precomputed results leaves them; weights go along when they are new."""

import pytest

from radiogen_utils.course import publishing
from radiogen_utils.course.run_folder import RunFolder

SECTIONS = {
    "cohort": {"synthetic": False, "status": "complete", "problems": 0},
    "patches": {"column": "COCCluster", "positive": 2},
    "pretraining": {"source": "slices"},
    "training": {"precomputed": None},
    "roc": {},
}
README = "<!-- results -->\nold\n<!-- /results -->\n"


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Function that makes a finished run of profile `paper`; arguments: changed sections of its results."""
    monkeypatch.setattr(publishing, "project_root", lambda: tmp_path)
    monkeypatch.setattr(publishing, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(publishing, "answer", lambda folder: "new\n")
    (tmp_path / "README.md").write_text(README)

    def make(**changes):
        run = RunFolder(tmp_path / "out", "paper")
        for section, values in SECTIONS.items():
            run.record(section, values | changes.get(section, {}))
        tables = ("predictions.csv", "permutations.csv", "results.md", "figures/figure1.png", "figures/clusterings.png")
        for name in (*tables, "compact_gbm.safetensors", "compact_gbm.json"):
            (run.folder / name).write_text(name)
        return run

    return make


@pytest.mark.parametrize("status", ["complete", "partial"])
def test_nothing_speaks_against_a_whole_run_on_the_article_s_cohort(finished, status):
    assert publishing.why_not_publish(finished(cohort={"status": status}), complete=True) is None


@pytest.mark.parametrize("label", [{"column": "RPPACluster"}, {"positive": 1}])
def test_another_label_replaces_nothing(finished, label):
    assert "label" in publishing.why_not_publish(finished(patches=label), complete=True)


def test_a_run_on_the_phantom_leaves_figures_weights_and_readme_alone(finished, tmp_path, capsys):
    publishing.publish(finished(cohort={"synthetic": True}), complete=True)
    assert "left as it is: the data are a synthetic phantom" in capsys.readouterr().out
    assert not (tmp_path / "figures").exists() and not (tmp_path / "weights").exists()
    assert (tmp_path / "README.md").read_text() == README


@pytest.mark.parametrize("source, new", [("slices", True), ("shipped weights", False)])
def test_weights_are_replaced_where_the_run_has_trained_them(finished, tmp_path, source, new):
    publishing.publish(finished(pretraining={"source": source}), complete=True)
    weights = {file.name for file in tmp_path.glob("weights/*")}
    assert weights == ({"compact_gbm.safetensors", "compact_gbm.json"} if new else set())
    assert (tmp_path / "figures" / "figure1.png").exists() and "new" in (tmp_path / "README.md").read_text()
