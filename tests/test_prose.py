"""The texts: every picture has an alternative text, and every link within the repository leads somewhere."""

import json

import pytest

from . import prose


@pytest.mark.parametrize("path", prose.texts(), ids=lambda path: path.name)
def test_pictures_have_words_and_links_lead_somewhere(path):
    assert prose.problems(path) == []


def test_all_texts_are_read():
    names = {path.name for path in prose.texts()}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results.md", "01_cohort.ipynb"} <= names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("![ ](there.png)", "picture without alternative text: there.png"),
        ("| a |\n|---|\n| ![](there.png) |", "picture without alternative text: there.png"),
        ('<img src="there.png">', 'picture without alternative text: <img src="there.png">'),
        ('<img src="there.png" alt="">', 'picture without alternative text: <img src="there.png" alt="">'),
        ("![a curve](lost.png)", "dead link: lost.png"),
        ("[text][1]\n\n[1]: lost.md", "dead link: lost.md"),
        ('so <a href="lost.md">text</a>', "dead link: lost.md"),
        ("[text](#nowhere)", "no such heading: #nowhere"),
        ("[text](other%20file.md#-two)", "no such heading: other%20file.md#-two"),
    ],
)
@pytest.mark.parametrize("suffix", ["md", "ipynb"])
def test_faults_are_found(tmp_path, text, problem, suffix):
    assert _problems(tmp_path, text, suffix) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        "![a curve](there.png) and [text](other%20file.md#one--two-1)",
        "`[no](link)` and\n\n```\n![](no.png)\n```",
        "## What *is* `it`?\n\n[text](#what-is-it) [web](https://example.org/none) [mail](mailto:a@example.org)",
        '<a id="here"></a> [text](#here) <img alt="a curve" src="there.png">',
    ],
)
def test_what_is_sound_passes(tmp_path, text):
    assert _problems(tmp_path, text, "md") == []


def test_web_links_are_listed():
    assert prose.links("[a](https://example.org/a), <https://example.org/b>, https://example.org/c.") == [
        f"https://example.org/{name}" for name in "abc"
    ]


def _problems(folder, text, suffix):
    """Problems of a file with this text, beside a picture and a file with headings."""
    (folder / "there.png").touch()
    (folder / "other file.md").write_text("# One & two\n\n# One & two\n")
    cells = [{"cell_type": "code", "source": ["![](no.png)"]}, {"cell_type": "markdown", "source": [text]}]
    path = folder / f"text.{suffix}"
    path.write_text(text if suffix == "md" else json.dumps({"cells": cells}))
    return prose.problems(path)
