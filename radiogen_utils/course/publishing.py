"""Write the report of a run, and replace the precomputed results by a whole run on the article's cohort."""

import json
import shutil
from pathlib import Path

from .. import verdicts
from ..models import WEIGHTS
from ..support import project_root
from . import precomputed, report, studies, tables
from .run_folder import RunFolder

RESULTS_MARK = "<!-- results -->", "<!-- /results -->"


def write_report(folder: Path) -> None:
    """Leave results.md, what all notebooks found, beside results.json."""
    ablation = project_root() / "benchmarks" / "ablation.json"
    rows = json.loads(ablation.read_text(encoding="utf-8")) if ablation.exists() else []
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    method = (project_root() / "docs" / "method.md").read_text(encoding="utf-8")
    published = verdicts.published_task(results["cohort"], results["patches"])
    text = report.report(results, method, rows, answer(folder) if published else "")
    (folder / "results.md").write_text(text, encoding="utf-8")


def why_not_publish(out: RunFolder, complete: bool) -> str | None:
    """Why a run must not replace the precomputed results; `None` if nothing speaks against it."""
    if not complete:
        return "only some notebooks were run"
    if out.profile_name != "paper":
        return "only a run in profile paper replaces it"
    results = out.results()
    if results["training"]["precomputed"]:
        return "the scores were read from there; --train computes them"
    if results["cohort"]["synthetic"] or results["pretraining"]["source"] == "phantom":
        return "the data are a synthetic phantom"
    return None if out.article_task else "the label or the cohort is not the article's, or slices are missing"


def publish(out: RunFolder, complete: bool) -> None:
    """Copy a whole run on real data to `figures/`, and newly trained weights to the package."""
    reason = why_not_publish(out, complete)
    if reason:
        print(f"figures/ left as it is: {reason}")
        return
    results = out.results()
    target = project_root() / "figures"
    target.mkdir(exist_ok=True)
    names = ("predictions.csv", "permutations.csv", "results.json", "results.md")
    for file in (
        *sorted(out.figures.glob("figure*.[ps][nv]g")),
        out.figures / "clusterings.png",
        *map(out.folder.joinpath, names),
    ):
        shutil.copy(file, target)
    (target / precomputed.NETWORKS).mkdir(exist_ok=True)
    for file in out.folder.glob("fits/" + precomputed.NETWORK.format("*")):
        shutil.copy(file, target / precomputed.NETWORKS)
    if results["pretraining"]["source"] == "slices":
        WEIGHTS.mkdir(exist_ok=True)
        for name in ("compact_gbm.safetensors", "compact_gbm.json"):
            shutil.copy(out.folder / name, WEIGHTS)
    write_readme(target)
    print(f"replaced: {target} and the table of README.md")


def answer(folder: Path) -> str:
    """The verdict of both studies and their table, in Markdown; `folder` holds the first one's predictions.csv."""
    first, second = studies.load(folder)
    rows = studies.comparison(first, second)
    table = tables.with_footnote(tables.table(rows, rows[0]))
    return f"{studies.verdict_sentence(first, second, True)}\n\n{table}"


def write_readme(folder: Path) -> None:
    """Put the answer into README.md; `folder` as for `answer`."""
    readme = project_root() / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(RESULTS_MARK[0])
    after = rest.partition(RESULTS_MARK[1])[2]
    readme.write_text(f"{before}{RESULTS_MARK[0]}\n{answer(folder)}{RESULTS_MARK[1]}{after}", encoding="utf-8")
