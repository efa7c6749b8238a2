"""Pictures and links in the texts of the repository: Markdown files, and the text cells of the notebooks.

`python tests/prose.py` lists the web links, for the weekly check (.github/workflows/links.yml).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import mistune

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("*.md", "figures/*.md", "notebooks/*.ipynb")


def texts() -> list[Path]:
    """The files that readers read."""
    return sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))


def tokens(text: str) -> Iterator[dict]:
    """All Markdown tokens of a text, however deep."""

    def walk(found: list[dict]) -> Iterator[dict]:
        for token in found:
            yield token
            yield from walk(token.get("children", []))

    return walk(mistune.create_markdown(renderer=None, plugins=["table", "url"])(text))


def markdown(path: Path) -> str:
    """The text of a Markdown file, or of a notebook's text cells."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return content
    cells = json.loads(content)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links(text: str) -> list[str]:
    """Where links and pictures lead."""
    return [token["attrs"]["url"] for token in tokens(text) if token["type"] in ("link", "image")] + re.findall(
        r"""<(?:a|img)\b[^>]*?\b(?:href|src)=["']([^"']+)""", _html(text)
    )


def anchors(text: str) -> set[str]:
    """What a link may name after #: GitHub's names of the headings."""
    found = []
    for token in tokens(text):
        if token["type"] == "heading":
            name = re.sub(r"[^\w\- ]", "", _words(token).lower()).replace(" ", "-")
            found.append(name + f"-{found.count(name)}" * (name in found))
    return set(found) | set(re.findall(r"""<[^>]*?\b(?:id|name)=["']([^"']+)""", _html(text)))


def problems(path: Path) -> list[str]:
    """Pictures without alternative text, and links to nothing in the repository; web links are not looked at."""
    text = markdown(path)
    found = [
        f"picture without alternative text: {token['attrs']['url']}"
        for token in tokens(text)
        if token["type"] == "image" and not _words(token).strip()
    ]
    found += [
        f"picture without alternative text: {tag}"
        for tag in re.findall(r"<img\b[^>]*>", _html(text))
        if not re.search(r"""\balt=["'][^"']*\w""", tag)
    ]
    for link in links(text):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / unquote(name) if name else path
        if not target.exists():
            found.append(f"dead link: {link}")
        elif anchor and anchor not in anchors(markdown(target)):
            found.append(f"no such heading: {link}")
    return found


def _words(token: dict) -> str:
    """A token's text without its markup."""
    return token.get("raw", "") + "".join(map(_words, token.get("children", [])))


def _html(text: str) -> str:
    return "\n".join(token["raw"] for token in tokens(text) if token["type"] in ("block_html", "inline_html"))


if __name__ == "__main__":
    print("\n".join(sorted({link for path in texts() for link in links(markdown(path)) if link.startswith("http")})))
