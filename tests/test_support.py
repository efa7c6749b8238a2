"""`support`, and that pip and conda users get one set of versions."""

import re
import tomllib

import pytest

from radiogen_utils import support


def test_root_does_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (support.project_root() / "pyproject.toml").exists()


def test_a_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        support.write_atomically(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_progress_prints_a_line_an_item_in_batch_and_a_bar_otherwise(monkeypatch, capsys):
    monkeypatch.setenv(support.BATCH_VARIABLE, "1")
    assert list(support.progress(iter("ab"), 2, "fold", str.upper)) == ["a", "b"]
    assert capsys.readouterr().out == "fold 1/2: A\nfold 2/2: B\n"
    monkeypatch.delenv(support.BATCH_VARIABLE)
    assert list(support.progress(iter("ab"), 2, "fold", str.upper)) == ["a", "b"]
    shown = capsys.readouterr()
    assert "2/2" in shown.out and shown.err == ""  # on the error stream a notebook would show it as a warning


def test_progress_says_what_is_left(monkeypatch, capsys):
    clock = iter([0, 60, 120, 180])
    monkeypatch.setenv(support.BATCH_VARIABLE, "1")
    monkeypatch.setattr(support.time, "monotonic", lambda: next(clock))
    assert list(support.progress("abc", 3, "fold", str.upper)) == ["a", "b", "c"]
    assert capsys.readouterr().out == "fold 1/3: A, about 2 min left\nfold 2/3: B, about 60 s left\nfold 3/3: C\n"


def test_a_fingerprint_separates_its_parts():
    assert support.fingerprint("ab", "c") != support.fingerprint("a", "bc")
    assert support.fingerprint(b"ab") == support.fingerprint(b"ab")


def name_of(requirement):
    return re.split(r"[=<>\[]", requirement.strip())[0].lower().replace("_", "-")


def test_conda_and_pip_users_get_the_same_versions():
    root = support.project_root()
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {name_of(line): line.partition("==")[2] for line in lines}
    assert all(pinned.values())
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {name_of(r) for r in declared["dependencies"] + declared["optional-dependencies"]["test"]}
    conda = re.findall(r"^ {6}- ([\w-]+)==(\S+)$", (root / "environment.yml").read_text(), re.M)
    assert {name: pinned.get(name) for name in wanted} == dict(conda)


def test_the_installed_versions_are_the_pinned_ones():
    import importlib.metadata

    text = (support.project_root() / "constraints.txt").read_text()
    for name in ("torch", "timm", "grad-cam", "numpy", "papermill"):
        version = re.search(rf"^{name}==(.*)$", text, re.M)[1]
        assert importlib.metadata.version(name).split("+")[0] == version
