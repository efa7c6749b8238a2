"""Gather the pages of the site from the course and its last run, and let Sphinx build them: `make site`.

The pages are gathered in a folder that mirrors the project, so that the links between notebooks, glossary and results
lead where they lead on GitHub. A notebook is shown as the last run executed it. One that was not run, or has changed
since, is executed here if it needs no data, and shown without outputs if it does; the page says so.
"""

import argparse
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..support import CourseError, project_root
from ..verdicts import published_task
from . import authoring, command_line, precomputed, runner, studies, tables

SOURCES = project_root() / "site"
DESTINATION = Path("runs", "site")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the site that stand in the project's root; so does the folder `docs`."""
API = ("", "data", "phantom")
"""Packages of `radiogen_utils` whose public functions have pages; the machinery in `course` has none."""
NEEDS_DATA = re.compile(r"\bopen_cohort\(|\brun\.patches\(|\bfind_slices\(|\brun\.lesions\(")
DATA_FILES = {
    "predictions.csv": r"\brun\.scores\(|\bflair_scores\(|\bpredictions\.csv\b",
    "second_study.csv.gz": r"\bsecond_study\(",
    "multiverse.csv": r"\bprecomputed\.multiverse\(",
    "beyond.csv": r"\bprecomputed\.beyond\(",
}
"""Files of scores, and how a notebook's code reads them."""


@dataclass(frozen=True)
class Chapter:
    """A notebook of the course, as the site shows it.

    Attributes:
        path: the notebook in the course.
        notebook: it, with outputs where it was executed.
        origin: where the outputs come from, in words; empty for a notebook that was not executed.
    """

    path: Path
    notebook: dict
    origin: str

    @property
    def code(self) -> str:
        """All its code."""
        return code(self.notebook)

    @property
    def figures(self) -> list[str]:
        """Names of the figures that it leaves in the run folder."""
        writes = self.notebook["metadata"].get("radiogen", {}).get("writes", ())
        return [Path(name).name for name in writes if name.startswith("figures/")]


def code(notebook: dict) -> str:
    """All code of a notebook, without the parameters of a run."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return "\n".join(authoring.source(cell) for cell in cells if "injected-parameters" not in authoring.tags(cell))


def read(path: Path) -> dict:
    """A notebook, or another JSON file; empty if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def last_run() -> Path | None:
    """The run folder that was written to last."""
    runs = [path.parent for path in (project_root() / "runs").glob("*/results.json") if path.parent.name != "site"]
    return max(runs, key=lambda folder: (folder / "results.json").stat().st_mtime, default=None)


def chapters(run: Path | None, work: Path) -> list[Chapter]:
    """All notebooks, executed if a run did it or no data are needed.

    Args:
        run: the run folder; `None` without any.
        work: folder for what is executed here.
    """
    found = {path: executed(path, run) for path in runner.notebooks().values()}
    missing = [path for path, made in found.items() if not made]
    here = [path for path in missing if not NEEDS_DATA.search(code(read(path)))]
    for path in here:
        if not (made := executed(path, work)):
            execute(path, work)
            made = executed(path, work)
        found[path] = made
    origin = dict.fromkeys(here, _precomputed_origin())
    if run:
        origin = {path: _origin(run) for path in found} | origin
    return [Chapter(path, made or read(path), origin[path] if made else "") for path, made in found.items()]


def executed(path: Path, run: Path | None) -> dict:
    """A notebook as a run left it; empty if there is none, it failed, or the notebook has changed since."""
    made = read(run / "notebooks" / path.name) if run else {}
    failed = made.get("metadata", {}).get("papermill", {}).get("exception")
    return {} if not made or failed or code(made) != code(read(path)) else made


def execute(path: Path, work: Path) -> None:
    """Run one notebook on what comes with the course; one that cannot be run so is left without outputs."""
    arguments = ["run", "--profile", "paper", "--out", str(work), "--only", path.stem]
    try:
        runner.run(command_line.parser().parse_args(arguments))
    except CourseError as error:
        print(f"{path.stem} is shown without outputs: {str(error).splitlines()[0]}", flush=True)


def _origin(run: Path) -> str:
    results = read(run / "results.json")
    what = "the synthetic phantom" if results["cohort"]["synthetic"] else f"the archive {results['cohort']['archive']}"
    return f"a run in profile {results['run']['profile']} on {what}, commit {_commit(results)}"


def _precomputed_origin() -> str:
    return f"the precomputed results, commit {_commit(read(precomputed.FOLDER / 'results.json'))}"


def _commit(results: dict) -> str:
    """The commit of a run, linked if the course has an address."""
    commit = results.get("run", {}).get("commit") or "unknown"
    short = commit[:7] + "-dirty" * commit.endswith("-dirty")
    return f"[{short}]({authoring.REPOSITORY}/commit/{commit[:40]})" if authoring.REPOSITORY else short


def page(chapter: Chapter, folder: Path) -> dict:
    """A chapter's notebook as the site shows it: alternative texts, where its figures come from, explorers.

    Args:
        chapter: the notebook.
        folder: of the gathered pages; only files that are there are linked.
    """
    notebook = json.loads(json.dumps(chapter.notebook))
    notebook["metadata"].pop("widgets", None)  # nobody can turn them here, and their scripts come from the network
    data = [
        f"[{name}](../figures/{name})"
        for name, pattern in DATA_FILES.items()
        if re.search(pattern, chapter.code) and (folder / "figures" / name).exists()
    ]
    if NEEDS_DATA.search(chapter.code):
        data.append("the cohort's images, which this site may not pass on")
    source = f"This chapter reads {' and '.join(data)}; " if data else ""
    cells, heading, targets = [], "", set()
    explored = explorers(chapter, folder)
    for cell in notebook["cells"]:
        text, tags = authoring.source(cell), authoring.tags(cell)
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^#+ (.*)$", text, re.MULTILINE) or [heading])[-1]
            cells.append(cell)
            continue
        if {"injected-parameters", "bookkeeping"} & set(tags):
            continue
        if cell["metadata"].get("jupyter", {}).get("source_hidden") or "parameters" in tags:
            tags = [*tags, "hide-input"]
        cell["metadata"] |= {"tags": tags}
        if "exercise" in tags:  # nobody has answered it here
            cell["outputs"] = []
        names = [name for name in chapter.figures if f'"{name}"' in text and name not in targets]
        cells += [_markdown(f"({target(name)})=") for name in names]
        targets |= set(names)
        cells.append(cell)
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())):
            cell["metadata"]["mystnb"] = {"image": {"alt": alternative(cell, heading)}}
            cells.append(_markdown(f"{{.provenance}}\nDrawn by the cell above. {source}run: {chapter.origin}."))
            cells += [_markdown(explored.pop(call)) for call in [*explored] if call in text]
    if not chapter.origin:
        note = "The cells below were not run, because they need the images: `make figures`, then `make site`."
        cells.insert(1, _markdown(f":::{{note}}\n{note}\n:::"))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return notebook | {"cells": cells, "nbformat": 4, "nbformat_minor": 5}


def target(figure: str) -> str:
    """Name by which other pages link the cell of a figure."""
    return "cell-" + Path(figure).stem.replace("_", "-")


def alternative(cell: dict, heading: str) -> str:
    """What a cell's figures show, in words: what is said on them (`words.say`), which the outputs' metadata keep.

    Args:
        cell: code cell.
        heading: of the section that it stands in.
    """
    told = [output.get("metadata", {}).get("image/png", {}).get("alt") for output in cell["outputs"]]
    return " ".join(filter(None, told)) or f"Figure of the section “{heading}”"


def explorers(chapter: Chapter, folder: Path) -> dict[str, str]:
    """What can be explored without a kernel in this chapter, by the call in the cell below which it stands."""
    found = {
        "widgets.threshold(": "Here the threshold can be dragged, with nothing to install:\n\n" + mount("threshold")
    }
    if (folder / "specifications.md").exists() and re.search(DATA_FILES["multiverse.csv"], chapter.code):
        found[".specification_curve("] = "Here each specification tells its choices:\n\n" + mount("specifications")
    return found


def mount(name: str) -> str:
    """The place in a page where a script of `site/_static` puts an explorer."""
    return f'<div class="explorer" data-explorer="{name}"><noscript>This part needs JavaScript.</noscript></div>'


def _markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def localise(text: str, path: Path, folder: Path) -> str:
    """A text whose links to files that are not part of the site lead to the repository, or are plain words.

    Args:
        text: Markdown.
        path: of the page, relative to the project.
        folder: of the gathered pages.
    """

    def link(match: re.Match) -> str:
        name = match[2].partition("#")[0]
        found = Path(os.path.normpath(path.parent / name))
        if re.match(r"\w+:", match[2]) or not name or (folder / found).is_file():
            return match[0]
        if authoring.REPOSITORY:
            return f"[{match[1]}]({authoring.REPOSITORY}/blob/HEAD/{found.as_posix()})"
        return match[1]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


def api(folder: Path) -> None:
    """A page for each public module."""
    names = []
    for package in API:
        package = importlib.import_module(".".join(filter(None, ["radiogen_utils", package])))
        names += [
            f"{package.__name__}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
            if not module.ispkg and not module.name.startswith("_")
        ]
    (folder / "api").mkdir()
    rows = ["# Functions\n", "What the notebooks call, a module a step, with sources and examples.\n"]
    for name in names:
        summary = importlib.import_module(name).__doc__.splitlines()[0]
        rows.append(f"- [{name.removeprefix('radiogen_utils.')}]({name}.rst): {summary}")
        title = name.removeprefix("radiogen_utils.")
        text = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {name}\n"
        (folder / "api" / f"{name}.rst").write_text(text, encoding="utf-8")
    rows.append("\n```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n")
    (folder / "api" / "index.md").write_text("\n".join(rows), encoding="utf-8")


def gather(run: Path | None, folder: Path) -> None:
    """Put all pages of the site into a folder, which is emptied before.

    Args:
        run: the run folder whose results are shown; `None`: the precomputed ones.
        folder: for the pages.
    """
    made = chapters(run, folder.parent / "executed")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCES, folder)
    root = project_root()
    shutil.copytree(precomputed.FOLDER, folder / "figures", ignore=shutil.ignore_patterns(precomputed.NETWORKS))
    for file in (*PAGES, "CITATION.cff", "LICENSE"):
        shutil.copy(root / file, folder)
    shutil.copytree(root / "docs", folder / "docs")
    (folder / "benchmarks").mkdir()
    for file in (root / "benchmarks").glob("*.json"):
        shutil.copy(file, folder / "benchmarks")
    (folder / "notebooks").mkdir()
    for file in runner.NOTEBOOKS.glob("*.md"):
        shutil.copy(file, folder / "notebooks")
    # Of a run: its own figures, numbers and report in the place of the precomputed ones.
    of_run = run and (run / "predictions.csv").exists()
    if of_run:
        for file in (*run.glob("figures/*.png"), *run.glob("*.csv"), *run.glob("results.*")):
            shutil.copy(file, folder / "figures")
    results = read(folder / "figures" / "results.json")
    first, second = studies.load(folder / "figures")
    write_data(folder, "explorer", studies.explorer(first + second))
    multiverse = folder / "figures" / "multiverse.csv"
    if multiverse.exists():
        write_data(folder, "multiverse", studies.specifications(pd.read_csv(multiverse, keep_default_na=False)))
    else:
        (folder / "specifications.md").unlink()
    for chapter in made:
        # A chapter that exists can be linked before its page is written.
        (folder / "notebooks" / chapter.path.name).touch()
    api(folder)
    values = {
        "verdict": studies.verdict_sentence(first, second, published_task(results["cohort"], results["patches"])),
        "table": tables.with_footnote(tables.table(rows := studies.comparison(first, second), rows[0])),
        "origin": _origin(run) if of_run else _precomputed_origin(),
        "threshold": mount("threshold"),
        "specifications": mount("specifications"),
        "chapters": "\n".join(f"notebooks/{chapter.path.stem}" for chapter in made),
        "docs": "\n".join(f"docs/{path.stem}" for path in sorted((folder / "docs").glob("*.md"))),
        "pages": "\n".join(sorted(path.stem for path in folder.glob("*.md") if path.stem not in ("index", "README"))),
        "synthetic": ":::{warning}\nThese are results of a synthetic phantom, not of patients.\n:::\n"
        * results["cohort"]["synthetic"],
    }
    for n in (1, 2, 3):
        drawn = _origin(run) if of_run and (run / "figures" / f"figure{n}.png").exists() else _precomputed_origin()
        values[f"figure{n}"] = _figure(n, made, drawn)
    for path in folder.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        if path.relative_to(folder).parent == Path() and (SOURCES / path.name).exists():
            text = re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match[1]], text)
        path.write_text(localise(text, path.relative_to(folder), folder), encoding="utf-8")
    for chapter in made:
        name = Path("notebooks", chapter.path.name)
        notebook = page(chapter, folder)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = localise(authoring.source(cell), name, folder)
        (folder / name).write_text(authoring.text_of(notebook), encoding="utf-8")


def _figure(number: int, made: list[Chapter], origin: str) -> str:
    """Where a figure of the start page comes from: its cell, its data, the commit."""
    name = f"figure{number}.png"
    chapter = next((chapter for chapter in made if name in chapter.figures), None)
    cell = f"[its cell](#{target(name)}), " if chapter and f'"{name}"' in chapter.code else ""
    data = (
        "[its data](figures/predictions.csv), "
        if chapter and re.search(DATA_FILES["predictions.csv"], chapter.code)
        else ""
    )
    return f"{cell}{data}{origin}"


def write_data(folder: Path, name: str, values: dict) -> None:
    """Leave what an explorer shows: a script, because browsers load no other file from a disk."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (folder / "_static" / f"{name}-data.js").write_text(f"window.{name}Data = {text};\n", encoding="utf-8")


def build(source: Path, target: Path) -> None:
    """Let Sphinx build the pages; a warning is an error.

    Raises:
        CourseError: there were warnings; Sphinx has printed them.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-q", "-j", "auto"]
    command += ["-d", str(target.parent / "doctrees"), str(source), str(target)]
    if subprocess.run(command, env=dict(os.environ, PYTHONPATH=str(project_root()))).returncode:
        raise CourseError("the site was built with warnings, see above")


def main(arguments: list[str] | None = None) -> None:
    """Build the site of a run."""
    parser = argparse.ArgumentParser(prog="python -m radiogen_utils.course.site", description=main.__doc__)
    parser.add_argument(
        "--run",
        metavar="DIR",
        help="the run folder (default: the last one; without any, the results that come with the course)",
    )
    parser.add_argument("--out", metavar="DIR", default=str(project_root() / DESTINATION))
    options = parser.parse_args(arguments)
    start = time.monotonic()
    run = Path(options.run).expanduser().resolve() if options.run else last_run()
    if run and not (run / "results.json").exists():
        raise SystemExit(f"error: {run} is no run folder: there is no results.json in it")
    out = Path(options.out).expanduser().resolve()
    print(f"results    {run or 'those that come with the course'}", flush=True)
    try:
        gather(run, out / "source")
        gathered = time.monotonic()
        build(out / "source", out / "html")
    except CourseError as error:
        raise SystemExit(f"error: {error}") from None
    now = time.monotonic()
    took = f"{now - start:.0f} s, {now - gathered:.0f} s of them Sphinx"
    print(f"built in {took}: {out / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()
