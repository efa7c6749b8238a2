"""The form of the notebooks, their exercises, and what `make notebooks` fills in."""

import ast
import copy
import json
import re
import shutil
import statistics

import pandas as pd
import pytest

from radiogen_utils import facts
from radiogen_utils.course import authoring, runner
from radiogen_utils.course.authoring import source, tags
from radiogen_utils.course.first_study import FirstStudy
from radiogen_utils.folds import assign_folds

NOTEBOOKS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in runner.notebooks().values()}
CARD = ("You will be able to:", "You need to know:", "Time:", "Skip if:")
ENDINGS = ("What to doubt", "Recap", "Questions", "Where next")

converted = pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=NOTEBOOKS)


def in_view(notebook):
    """The code cells that a reader sees."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and not cell["metadata"].get("jupyter", {}).get("source_hidden")
    ]


def form(notebook):
    """What is wrong with a notebook's form."""
    cells, found = notebook["cells"], []
    card = source(cells[0])
    found += [f"the card lacks {point!r}" for point in CARD if f"\n- **{point}**" not in card]
    order = [
        tag for cell in cells for tag in tags(cell) if tag in ("card", "parameters", "setup", "recap", "bookkeeping")
    ]
    if order != ["card", "parameters", "setup", "recap", "bookkeeping"]:
        found.append(f"tagged cells in the order {order}")
    text = "\n\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if tuple(headings[-4:]) != ENDINGS:
        found.append(f"ends with {headings[-4:]}")
    questions = text.partition("## Questions")[2].partition("\n## ")[0]
    if questions.count("<details>") != 3 or questions.count("</details>") != 3:
        found.append("not three questions with collapsed answers")
    for number, cell in enumerate(cells[:-1]):
        if source(cell).startswith("**Predict.**") and cells[number + 1]["cell_type"] != "code":
            found.append("a prediction without a cell to run after it")
    if "**Predict.**" not in text:
        found.append("nothing to predict")
    lines = [len(source(cell).splitlines()) for cell in in_view(notebook)]
    if statistics.median(lines) > 8 or max(lines) > 20:
        found.append(f"cells of {statistics.median(lines)} lines in the median, {max(lines)} at most")
    hidden = [cell for cell in cells if {"setup", "bookkeeping"} & set(tags(cell))]
    if not all(cell["metadata"]["jupyter"]["source_hidden"] for cell in hidden):
        found.append("set-up or bookkeeping in view")
    if not 2 <= len(authoring.exercises(notebook)) <= 4:
        found.append(f"{len(authoring.exercises(notebook))} exercises")
    for cell, after in zip(cells, cells[1:], strict=False):
        if "exercise" in tags(cell) and "<summary>Hint</summary>" not in source(after):
            found.append("an exercise without a hint")
    return found


@converted
def test_converted_notebooks_have_the_form(notebook):
    assert form(notebook) == []


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda cells: cells[0].update(source="# no card"), "the card lacks 'Time:'"),
        (
            lambda cells: cells.insert(3, {**copy.deepcopy(cells[1]), "metadata": {}, "source": "a\n" * 21}),
            "21 at most",
        ),
        (lambda cells: cells[2]["metadata"].pop("tags"), "tagged cells in the order"),
        (lambda cells: cells.insert(-1, {**copy.deepcopy(cells[0]), "source": "## More"}), "ends with"),
        (
            lambda cells: [cell.update(source=source(cell).replace("<summary>Hint", "<summary>Hi")) for cell in cells],
            "without a hint",
        ),
    ],
)
def test_faults_in_the_form_are_found(damage, problem):
    notebook = copy.deepcopy(NOTEBOOKS["02_patches"])
    damage(notebook["cells"])
    assert any(problem in line for line in form(notebook))


def test_what_is_committed_is_what_make_notebooks_writes():
    changed = [path.name for path, text in authoring.products().items() if path.read_text(encoding="utf-8") != text]
    assert changed == [], "run make notebooks"


def test_minutes_in_readme_are_those_of_the_notebook_as_it_is_written(tmp_path):
    (tmp_path / "README.md").write_text("| [A](notebooks/06_heatmaps.ipynb) | heatmaps | 0 |\n", encoding="utf-8")
    shutil.copytree(authoring.NOTEBOOKS, tmp_path / "notebooks")
    path = tmp_path / "notebooks" / "06_heatmaps.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:  # as before `make notebooks` has hidden those whose code is not for reading
        cell["metadata"].pop("jupyter", None)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    written = authoring.products(path.parent, lambda: {"06": path})
    card = re.search(r"about (\d+) minutes", written[path])[1]
    assert written[tmp_path / "README.md"] == f"| [A](notebooks/06_heatmaps.ipynb) | heatmaps | {card} |\n"


def run_cell(code, names):
    """Run a cell's code; the value of its last line, as a notebook shows it."""
    tree = ast.parse(code)
    *statements, last = tree.body
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@converted
def test_every_solution_passes_its_check_and_the_starter_does_not(notebook, tmp_path, monkeypatch):
    def scores(study):  # no exercise looks at what the phantom's networks would take minutes to find
        labels = study.data.labels
        folds = {"fold": assign_folds(labels, 2, 0).to_numpy(), "patient": labels.index, "y_true": labels.to_numpy()}
        return facts.table(facts.FIRST_STUDY, 0, repeat=0, score=labels.to_numpy() - 0.5, **folds)

    monkeypatch.setattr(FirstStudy, "scores", scores)
    monkeypatch.setattr(FirstStudy, "permutations", lambda study: pd.DataFrame(columns=[*facts.FACTS, "auc"]))
    names = {}
    opening = [source(cell) for cell in notebook["cells"] if {"parameters", "setup"} & set(tags(cell))]
    exec(opening[0], names)
    names |= {name: value for name, value in {"data": "phantom", "profile": "smoke"}.items() if name in names}
    names["out"] = str(tmp_path)
    exec(opening[1], names)
    for exercise in authoring.exercises(notebook):
        starter = run_cell(exercise.starter, dict(names))
        assert not starter.passed, exercise.starter
        solved = run_cell(exercise.solved, dict(names))
        assert solved.passed, solved.message


GLOSSARY = """# Glossary
### FLAIR
<!-- also: fluid-attenuated inversion recovery -->
An MRI sequence in which "free" fluid is dark. It shows more.
### log-rank test
<!-- also: log-rank -->
Compares survival.
"""


@pytest.fixture
def terms(tmp_path):
    (tmp_path / "glossary.md").write_text(GLOSSARY, encoding="utf-8")
    return authoring.glossary(tmp_path)


def test_each_term_is_linked_where_it_is_first_used_in_running_text(terms):
    texts = [
        "# FLAIR\n\n`FLAIR`, ```\nFLAIR\n```, [a FLAIR picture](there.png), a FLAIR-like **FLAIR**",
        "Flair is none; FLAIR and FLAIR",
        "Log-rank\ntests",
    ]
    linked = authoring.link_terms(texts, terms)
    assert linked == [
        texts[0],
        "Flair is none; [FLAIR](glossary.md#flair \"An MRI sequence in which 'free' fluid is dark.\") and FLAIR",
        '[Log-rank\ntests](glossary.md#log-rank-test "Compares survival.")',
    ]
    assert authoring.link_terms(linked, terms) == linked
    moved = authoring.link_terms(["FLAIR first", *linked[1:]], terms)
    assert moved[0].startswith("[FLAIR](") and moved[1] == "Flair is none; FLAIR and FLAIR"


def test_every_term_has_a_definition_and_no_form_belongs_to_two():
    terms = authoring.glossary()
    forms = [form.lower() for term in terms for form in term.forms]
    assert len(forms) == len(set(forms)) and len(terms) > 30
    assert all(term.definition.endswith(".") for term in terms)


def test_links_to_terms_work_in_jupyterlab():
    """Which names a heading by its text, capitals included; GitHub does not."""
    text = (runner.NOTEBOOKS / "glossary.md").read_text(encoding="utf-8")
    for term in authoring.glossary():
        anchor = term.link.partition("#")[2]
        assert anchor == term.name.replace(" ", "-") or f'<a id="{anchor}"></a>' in text, term.name


@converted
def test_links_between_notebooks_stand_in_text(notebook):
    """In an output, which a cell prints, the website does not know them."""
    code = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [link for text in code for link in re.findall(r"\]\(\w+\.ipynb\)", text)]


def test_what_is_cited_stands_in_the_bibliography(terms):
    notebook = copy.deepcopy(NOTEBOOKS["01_cohort"])
    notebook["cells"][0]["source"] += ["\n[Nobody](https://doi.org/10.1/unknown)"]
    with pytest.raises(ValueError, match="10.1/unknown is not in references.bib"):
        authoring.finish(notebook, "01_cohort", terms, authoring.bibliography())
    assert all({"author", "title", "year", "doi"} <= set(entry) for entry in authoring.bibliography().values())


def test_outputs_are_removed_and_minutes_filled_in(terms):
    notebook = copy.deepcopy(NOTEBOOKS["01_cohort"])
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code |= {"outputs": [1], "execution_count": 3}
    notebook["cells"][0]["source"] = re.sub("- \\*\\*Time:.*", "- **Time:** ?", source(notebook["cells"][0]))
    done = authoring.finish(notebook, "01_cohort", terms, authoring.bibliography())
    assert all(cell.get("outputs", []) == [] for cell in done["cells"])
    assert re.search(r"- \*\*Time:\*\* about \d+ minutes", source(done["cells"][0]))


@pytest.mark.parametrize("address", ["", "https://example.org/course"])
def test_the_set_up_fetches_the_course_only_in_colab(address, monkeypatch, capsys):
    """In a Colab of our own making: a module of that name, and a shell that notes what it is told."""
    import importlib
    import sys
    from types import ModuleType, SimpleNamespace

    text = authoring.__loader__.get_source(authoring.__name__).replace('REPOSITORY = ""', f'REPOSITORY = "{address}"')
    module = ModuleType("authoring_there")
    module.__dict__.update(__name__="radiogen_utils.course.authoring_there", __package__="radiogen_utils.course")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(text, "authoring", "exec"), module.__dict__)
    told = []
    shell = {"get_ipython": lambda: SimpleNamespace(system=told.append)}
    exec(module.COLAB, shell)
    assert told == [] and capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    exec(module.COLAB, shell)
    assert [address in line for line in told[:1]] == ([True] if address else [])
    assert ("not set yet" in capsys.readouterr().out) == (not address)
    importlib.invalidate_caches()
