"""What the site is gathered from; in a browser it is tested in tests/site."""

import json
import re

import pytest

from radiogen_utils.course import authoring, precomputed, runner, site
from radiogen_utils.support import project_root


def cell(text, *tags, png=False):
    metadata = {"image/png": {"alt": png}} if isinstance(png, str) else {}
    outputs = [{"output_type": "display_data", "data": {"image/png": ""}, "metadata": metadata}] * bool(png)
    return {"cell_type": "code", "metadata": {"tags": [*tags]}, "source": text, "outputs": outputs}


def text(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def chapter(*cells, writes=(), origin="a run"):
    notebook = {"cells": [text("# 1. One"), *cells], "metadata": {"radiogen": {"writes": [*writes]}}}
    return site.Chapter(project_root() / "notebooks" / "01_one.ipynb", notebook, origin)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "predictions.csv").touch()
    return tmp_path


def test_a_figure_says_what_it_shows_and_where_it_comes_from(folder):
    code = (
        "from radiogen_utils import figures\nscores = run.scores()\n"
        'figures.finish(figures.figure1(rows), run.figures / "figure1.png")'
    )
    made = site.page(
        chapter(text("## Patches"), cell(code, png="Five patches."), writes=["figures/figure1.png"]), folder
    )
    _, _, mark, shown, source = made["cells"]
    assert mark["source"] == "(cell-figure1)="
    assert shown["metadata"]["mystnb"]["image"]["alt"] == "Five patches."
    assert "reads [predictions.csv](../figures/predictions.csv); run: a run" in source["source"]


def test_a_figure_of_images_names_no_file_of_scores(folder):
    made = site.page(chapter(cell("cohort = run.open_cohort()", png=True)), folder)
    assert "may not pass on" in made["cells"][-1]["source"]


def test_a_figure_that_says_nothing_is_named_after_its_section():
    assert site.alternative(cell("axes.plot(x)", png=True), "Patches") == "Figure of the section “Patches”"


def test_a_runs_parameters_are_left_out_and_hidden_cells_folded(folder):
    hidden = cell("import numpy")
    hidden["metadata"]["jupyter"] = {"source_hidden": True}
    made = site.page(chapter(cell("a = 1", "parameters"), cell("a = 2", "injected-parameters"), hidden), folder)
    assert [authoring.tags(c) for c in made["cells"][1:]] == [["parameters", "hide-input"], ["hide-input"]]


def test_an_exercise_that_nobody_answers_is_not_told_that_it_is_wrong(folder):
    made = site.page(chapter(cell("check.auc(...)", "exercise", png=True)), folder)
    assert made["cells"][-1]["outputs"] == []


def test_no_widgets_state_is_left_whose_scripts_would_be_fetched(folder):
    roc = chapter(cell("a = 1"))
    roc.notebook["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    assert "widgets" not in site.page(roc, folder)["metadata"]


def test_a_chapter_that_was_not_run_says_so(folder):
    assert "were not run" in site.page(chapter(cell("a = 1"), origin=""), folder)["cells"][1]["source"]
    assert "were not run" not in json.dumps(site.page(chapter(cell("a = 1")), folder))


def test_explorers_stand_below_the_figure_that_they_move(folder):
    roc = chapter(cell("widgets.threshold(y, score)", png=True), cell("widgets.threshold(y, other)", png=True))
    made = [c["source"] for c in site.page(roc, folder)["cells"]]
    assert 'data-explorer="threshold"' in made[3] and "data-explorer" not in "".join(made[4:])
    drawn = cell("table = precomputed.multiverse()\nfigure = curves.specification_curve(table)", png=True)
    assert "data-explorer" not in json.dumps(site.page(chapter(drawn), folder))
    (folder / "specifications.md").touch()
    assert 'data-explorer="specifications"' in site.page(chapter(drawn), folder)["cells"][-1]["source"]


def test_only_what_a_run_did_with_the_present_code_is_shown(tmp_path):
    path = tmp_path / "01_one.ipynb"
    run = tmp_path / "run"
    (run / "notebooks").mkdir(parents=True)
    now = {"cells": [cell("a = 1", "parameters")], "metadata": {}}
    done = {"cells": [*now["cells"], cell("a = 2", "injected-parameters")], "metadata": {}}
    path.write_text(json.dumps(now))
    assert site.executed(path, None) == {} and site.executed(path, run) == {}
    (run / "notebooks" / path.name).write_text(json.dumps(done))
    assert site.executed(path, run) == done
    failed = done | {"metadata": {"papermill": {"exception": True}}}
    (run / "notebooks" / path.name).write_text(json.dumps(failed))
    assert site.executed(path, run) == {}
    (run / "notebooks" / path.name).write_text(json.dumps({"cells": [cell("a = 0")], "metadata": {}}))
    assert site.executed(path, run) == {}


def test_links_lead_to_the_site_or_to_the_repository(folder, monkeypatch):
    words = "[here](figures/predictions.csv#x) [code](radiogen_utils/patches.py) [web](https://example.org) [below](#b)"
    kept = "[here](figures/predictions.csv#x) code [web](https://example.org) [below](#b)"
    path = site.Path("README.md")
    assert site.localise(words, path, folder) == kept
    monkeypatch.setattr(authoring, "REPOSITORY", "https://example.org/course")
    assert "[code](https://example.org/course/blob/HEAD/radiogen_utils/patches.py)" in site.localise(
        words, path, folder
    )


def test_all_pages_are_gathered(tmp_path, monkeypatch):
    executed_here = []
    monkeypatch.setattr(site, "execute", lambda path, work: executed_here.append(path.name))
    site.gather(None, tmp_path / "source")
    source = tmp_path / "source"
    names = [path.name for path in runner.notebooks().values()]
    assert [path.name for path in sorted((source / "notebooks").glob("*.ipynb"))] == names
    needing = [name for name in names if site.NEEDS_DATA.search(site.code(site.read(runner.NOTEBOOKS / name)))]
    assert needing and executed_here == [name for name in names if name not in needing]
    index = (source / "index.md").read_text()
    assert "{{" not in index and all(f"notebooks/{name[:-6]}\n" in index for name in names)
    assert (source / "specifications.md").exists() == (precomputed.FOLDER / "multiverse.csv").exists()
    assert re.match(r"window\.explorerData = {", (source / "_static" / "explorer-data.js").read_text())
    assert not list(source.rglob("*.safetensors")) and not list(source.rglob("*.tif"))


def test_citation_and_zenodo_tell_the_same():
    citation = (project_root() / "CITATION.cff").read_text()
    zenodo = json.loads((project_root() / ".zenodo.json").read_text())
    for name in ("title", "version", "license"):
        assert re.search(rf'^{name}: "?(.*?)"?$', citation, re.M)[1] == zenodo[name]
    version = re.search(r'^version = "(.*)"', (project_root() / "pyproject.toml").read_text(), re.M)[1]
    assert zenodo["version"] == version
    assert zenodo["related_identifiers"][0]["identifier"] in citation
