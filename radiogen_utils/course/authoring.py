"""What `make notebooks` writes into the notebooks, and what an exercise is made of; CONTRIBUTING.md says how to use it.

A notebook is its own single source. Its author writes text, code, exercises and their solutions. What can be looked up
is filled in here, in place: links to the glossary, references, minutes, and the line that fetches the course in Colab.
Doing it again changes nothing.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..support import duration
from .runner import NOTEBOOKS, notebooks
from .settings import SECONDS

REPOSITORY = ""
"""Address of the public repository, which Colab clones; empty as long as there is none."""

_UNSET = 'print("in Colab: the course\'s address is not set yet (REPOSITORY in authoring.py)")'
_FETCH = f"""get_ipython().system("git clone -q {REPOSITORY} /content/course")
    get_ipython().system("pip install -q -e /content/course")
    __import__("sys").path.insert(0, "/content/course")"""
COLAB = f"""if "google.colab" in __import__("sys").modules:  # fetch the course
    {_FETCH if REPOSITORY else _UNSET}
"""
"""First lines of every set-up cell: no other module of the course can be imported before it is there."""

COLLAPSED = {"setup", "said", "recap", "bookkeeping"}
"""Tags of the code that no reader needs: only its output is shown."""

MINUTES_PER_EXERCISE = 5
WORDS_PER_MINUTE = 180
LINES_PER_MINUTE = 10

_DOI = re.compile(r'\[([^\]]+)\]\(https://doi\.org/([^\s)]+)(?: "[^"]*")?\)')
_TERM_LINK = re.compile(r'\[([^\]]+)\]\(glossary\.md#[^\s)]+(?: "[^"]*")?\)')
# Where no term is linked: code, formulas, links, tags, addresses, headings.
_SKIPPED = re.compile(
    r"```.*?```|`[^`\n]+`|\$\$.*?\$\$|\$[^$\n]+\$|<summary>.*?</summary>|<[^>]+>|https?://\S+"
    r'|!?\[[^\]]*\]\([^\s)]*(?: "[^"]*")?\)'
    r"|^#+ [^\n]*$|\*\*[^*\n]+\*\*",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Term:
    """An entry of the glossary.

    Attributes:
        name: its heading.
        forms: how texts call it, the name first.
        definition: its first sentence, without markup.
    """

    name: str
    forms: tuple[str, ...]
    definition: str

    @property
    def link(self) -> str:
        """Where it stands, from a notebook; GitHub's name of its heading."""
        return "glossary.md#" + re.sub(r"[^\w\- ]", "", self.name.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Exercise:
    """A cell in which readers write code, and the solution that comes with it.

    Attributes:
        starter: the cell's source; its last line is the check.
        solution: code that takes the place of all lines but the last.
    """

    starter: str
    solution: str

    @property
    def solved(self) -> str:
        """The cell with the solution in it."""
        return f"{self.solution}\n{self.starter.splitlines()[-1]}"


def source(cell: dict) -> str:
    """A cell's text."""
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell["metadata"].get("tags", [])


def exercises(notebook: dict) -> list[Exercise]:
    """The exercises of a notebook; each is followed by a text cell with its solution.

    Raises:
        ValueError: one has no solution.
    """
    found = []
    for cell, after in zip(notebook["cells"], [*notebook["cells"][1:], None], strict=True):
        if "exercise" in tags(cell):
            solution = after and re.search(
                r"<details>\s*<summary>Solution</summary>\n\n```python\n(.*?)\n```\n\n</details>",
                source(after),
                re.DOTALL,
            )
            if not solution:
                raise ValueError(f"no solution after the exercise {source(cell)[:60]!r}")
            found.append(Exercise(source(cell), solution[1]))
    return found


def glossary(folder: Path = NOTEBOOKS) -> list[Term]:
    """The terms of `glossary.md`: a heading of level 3, other forms in a comment, the definition."""
    terms = []
    for entry in re.split(r"^### ", (folder / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = entry.partition("\n")
        also = re.search(r"<!-- also: (.*?) -->", rest)
        text = " ".join(re.sub(r"<!--.*?-->|<a .*?</a>|^## .*$", "", rest, flags=re.MULTILINE).split())
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*_`]", r"\1", text).replace('"', "'")
        first = re.match(r".*?[.](?= [A-Z]|$)", plain)
        forms = (name.strip(), *(also[1].split("; ") if also else ()))
        terms.append(Term(name.strip(), forms, first[0] if first else plain))
    return terms


def bibliography(folder: Path = NOTEBOOKS) -> dict[str, dict[str, str]]:
    """`references.bib` by key; one field a line."""
    text = (folder / "references.bib").read_text(encoding="utf-8")
    found = {}
    for key, body in re.findall(r"^@\w+\{(\S+?),\n(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        fields = dict(re.findall(r"^\s*(\w+) = \{(.*)\},?$", body, re.MULTILINE))
        found[key] = {name: re.sub(r"[{}]", "", value) for name, value in fields.items()}
    return found


def reference(entry: dict[str, str]) -> str:
    """One reference in words."""
    authors = [author.partition(",")[0] for author in entry["author"].split(" and ")]
    named = ", ".join(authors) if len(authors) < 4 and "others" not in authors else f"{authors[0]} et al"
    where = entry.get("journal") or entry["booktitle"]
    volume = f";{entry['volume']}" if "volume" in entry else ""
    pages = f":{entry['pages'].replace('--', '–')}" if "pages" in entry else ""
    return f"{named}. {entry['title'].rstrip('?')}. {where} {entry['year']}{volume}{pages}."


def references_page(folder: Path = NOTEBOOKS) -> str:
    """`references.md`, made from `references.bib`."""
    rows = sorted((reference(entry), entry["doi"]) for entry in bibliography(folder).values())
    lines = [f"- {text} [doi:{doi}](https://doi.org/{doi})" for text, doi in rows]
    return "# References\n\nMade by `make notebooks` from `references.bib`.\n\n" + "\n".join(lines) + "\n"


def link_terms(texts: list[str], terms: list[Term]) -> list[str]:
    """Texts in reading order with each term linked where it is first used, and nowhere else."""
    texts = [_TERM_LINK.sub(r"\1", text) for text in texts]
    by_form = {form.lower(): term for term in terms for form in term.forms}
    forms = sorted((form for term in terms for form in term.forms), key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(_as_written, forms))})s?(?![\w-])")
    seen: set[str] = set()

    def link(match: re.Match) -> str:
        term = by_form[" ".join(match[1].lower().split())]
        if term.name in seen:
            return match[0]
        seen.add(term.name)
        return f'[{match[0]}]({term.link} "{term.definition}")'

    linked = []
    for text in texts:
        parts, end = [], 0
        for skipped in _SKIPPED.finditer(text):
            parts += [pattern.sub(link, text[end : skipped.start()]), skipped[0]]
            end = skipped.end()
        linked.append("".join([*parts, pattern.sub(link, text[end:])]))
    return linked


def _as_written(form: str) -> str:
    """Pattern of a form: what is written in small letters may begin a sentence."""
    rest = re.escape(form[1:]).replace(r"\ ", r"\s+")  # a line may end within a term
    return f"(?i:{form[0]}){rest}" if form[0].islower() else re.escape(form[0]) + rest


def finish(notebook: dict, stem: str, terms: list[Term], references: dict[str, dict[str, str]]) -> dict:
    """A notebook as it is committed: without outputs, and with all that can be looked up.

    Args:
        notebook: as JSON.
        stem: of its file.
        terms: `glossary()`.
        references: `bibliography()`.

    Raises:
        ValueError: it cites what is not in the bibliography.
    """
    notebook = json.loads(json.dumps(notebook))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    written = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    texts = link_terms([source(cell) for cell in written], terms)
    by_doi = {entry["doi"].lower(): entry for entry in references.values()}

    def cite(match: re.Match) -> str:
        if match[2].lower() not in by_doi:
            raise ValueError(f"{stem}: doi {match[2]} is not in references.bib")
        title = reference(by_doi[match[2].lower()]).replace('"', "'")
        return f'[{match[1]}](https://doi.org/{match[2]} "{title}")'

    for cell, text in zip(written, texts, strict=True):
        cell["source"] = _lines(_DOI.sub(cite, text))
    for cell in notebook["cells"]:
        if "setup" in tags(cell):
            code = re.sub(r'\Aif "google\.colab".*?\n(?=\S)', "", source(cell), flags=re.DOTALL)
            cell["source"] = _lines(COLAB + code)
        if cell["cell_type"] == "code":
            cell["metadata"].pop("jupyter", None)
            if COLLAPSED & set(tags(cell)):
                cell["metadata"]["jupyter"] = {"source_hidden": True}
    card = written[0]
    card["source"] = _lines(re.sub(r"^- \*\*Time:\*\*.*$", _time(notebook, stem), source(card), flags=re.MULTILINE))
    return notebook


def minutes(notebook: dict) -> int:
    """What a reader needs, exercises included: estimated from what there is to read, rounded up to five minutes."""
    words = lines = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            words += len(re.sub(r'\]\([^\s)]*(?: "[^"]*")?\)', "]", source(cell)).split())
        elif not cell["metadata"].get("jupyter", {}).get("source_hidden"):
            lines += len(source(cell).splitlines())
    found = words / WORDS_PER_MINUTE + lines / LINES_PER_MINUTE + MINUTES_PER_EXERCISE * len(exercises(notebook))
    return 5 * math.ceil(found / 5)


def _time(notebook: dict, stem: str) -> str:
    """The card's line on time; running was measured."""
    seconds = duration(SECONDS["read"][stem[:2]])
    return f"- **Time:** about {minutes(notebook)} minutes with the exercises; running takes {seconds}."


def readme(file: Path, finished: dict[Path, str]) -> str:
    """README.md with the minutes of every notebook, the last column of their rows.

    Args:
        file: README.md.
        finished: text of each notebook's file, as `products` writes it.
    """

    def row(found: re.Match) -> str:
        notebook = json.loads(finished[file.parent / found[2]])
        return f"{found[1]}({found[2]}){found[3]}| {minutes(notebook)} |"

    rows = r"^(\| \[[^]]*\])\((notebooks/\S+\.ipynb)\)(.*)\|[^|]*\|$"
    return re.sub(rows, row, file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def text_of(notebook: dict) -> str:
    """A notebook as the text of its file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def products(folder: Path = NOTEBOOKS, paths: Callable[[], dict[str, Path]] = notebooks) -> dict[Path, str]:
    """What `make notebooks` writes: every notebook, finished, the page of references, README's minutes."""
    terms, references = glossary(folder), bibliography(folder)
    written = {
        path: text_of(finish(json.loads(path.read_text(encoding="utf-8")), path.stem, terms, references))
        for path in paths().values()
    }
    written[folder / "references.md"] = references_page(folder)
    front = folder.parent / "README.md"
    return written | ({front: readme(front, written)} if front.exists() else {})


def main() -> None:
    """Write what has changed, and name it."""
    for path, text in products().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")


if __name__ == "__main__":
    main()
