"""`install.py` and the Makefile: what is sound is left alone, what is broken is built again, settings do not leak."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

from radiogen_utils.support import project_root

ROOT = project_root()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """install.py of a project without packages; `done` lists what it did."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "install.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    project = tmp_path / "a project"
    project.mkdir()
    for name in ("pyproject.toml", "constraints.txt", "install.py"):
        (project / name).write_text(name)
    script.done = []

    def place(folder):
        script.ROOT, script.VENV = folder, folder / ".venv"
        script.PYTHON, script.STAMP = script.VENV / "bin" / "python", script.VENV / "installed.json"

    def create():
        script.done.append("create")
        shutil.rmtree(script.VENV, ignore_errors=True)
        script.PYTHON.parent.mkdir(parents=True)
        script.PYTHON.symlink_to(sys.executable)

    place(project)
    script.place, script.really_create = place, script.create
    script.create, script.install = create, lambda: script.done.append("install")
    return script


def done(script) -> list[str]:
    """What one run of the script does."""
    script.done.clear()
    script.main()
    return list(script.done)


def test_a_sound_environment_is_left_alone_in_silence(script, capsys):
    assert done(script) == ["create", "install"]
    assert "setting up" in capsys.readouterr().out
    assert done(script) == [] and capsys.readouterr().out == ""


def test_changed_requirements_are_installed_into_it(script):
    done(script)
    (script.ROOT / "constraints.txt").write_text("changed")
    assert done(script) == ["install"] and done(script) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda script: script.PYTHON.unlink(),
        lambda script: script.STAMP.unlink(),
        lambda script: script.STAMP.write_text("{"),
        lambda script: script.STAMP.write_text("[1]"),
        lambda script: script.STAMP.write_text(script.STAMP.read_text().replace("a project", "another")),
        lambda script: script.STAMP.write_text(json.dumps(json.loads(script.STAMP.read_text()) | {"python": "/ 3 9"})),
        lambda script: (script.PYTHON.unlink(), script.PYTHON.write_text("no interpreter")),
    ],
    ids=["interpreter gone", "half done", "stamp damaged", "no stamp", "copied", "upgraded", "interpreter damaged"],
)
def test_what_is_broken_is_built_again(script, spoil):
    done(script)
    spoil(script)
    assert done(script) == ["create", "install"] and done(script) == []


def test_a_moved_or_copied_project_gets_an_environment_of_its_own(script, tmp_path):
    done(script)
    shutil.copytree(script.ROOT, tmp_path / "copy", symlinks=True)
    script.place(tmp_path / "copy")
    assert done(script) == ["create", "install"]


def test_an_installation_that_fails_is_done_again(script):
    def fail():
        script.stop("no network")

    installs, script.install = script.install, fail
    with pytest.raises(SystemExit, match="error: no network"):
        script.main()
    assert not script.STAMP.exists()
    script.install = installs
    assert done(script) == ["create", "install"]


def test_a_real_environment_is_made_in_an_odd_folder(script, tmp_path):
    (tmp_path / "b ü").mkdir()
    script.place(tmp_path / "b ü")
    script.really_create()
    assert script.state_of_environment()["folder"] == str(tmp_path / "b ü")


def test_an_old_python_is_told_what_to_do(script, monkeypatch):
    monkeypatch.setattr(script.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3.11 or newer is needed, this is 3.9.2; .*PYTHON="):
        script.main()


def test_the_readers_settings_do_not_reach_the_installation(script, monkeypatch):
    names = ("PIP_USER", "PIP_TARGET", "PIP_NO_DEPS", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")
    for name in names:
        monkeypatch.setenv(name, "1")
    look = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(script.run([sys.executable, "-c", look], {"PIP_CERT": "c"}, quiet=True).stdout)
    assert not set(names) & set(seen) and seen["PIP_CERT"] == "c" and seen["PATH"] == os.environ["PATH"]


def test_packages_come_from_where_pip_would_take_them(script, tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\nuser = true\ntrusted-host = mirror.example\n"
        f"extra-index-url = https://other.example/simple\n    file://{tmp_path}/nowhere\n[install]\nno-deps = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://first.example/simple")
    monkeypatch.setattr(script, "PYTHON", sys.executable)
    found = script.pip_sources()
    assert found["index-url"] == "https://first.example/simple"  # a variable wins over a file
    assert found["extra-index-url"].split()[0] == "https://other.example/simple"
    assert "nowhere" not in found["extra-index-url"] and found["trusted-host"] == "mirror.example"
    assert not {"user", "no-deps"} & set(found)


def make(*arguments: str, folder=ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, encoding="utf-8")


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


@needs_make
@pytest.mark.parametrize("no, yes", [("", "1"), ("0", "Yes"), ("No", "TRUE"), ("FALSE", "on"), ("off", "y")])
def test_no_means_no_and_yes_yes(no, yes):
    assert "--train" not in make("-n", "figures", f"TRAIN={no}").stdout
    assert "--train" in make("-n", "figures", f"TRAIN={yes}").stdout


@needs_make
def test_an_unclear_answer_is_refused():
    refused = make("-n", "figures", "TRAIN=perhaps")
    assert refused.returncode and "TRAIN=perhaps is neither yes nor no" in refused.stderr


@needs_make
def test_bare_make_lists_what_there_is():
    said = make().stdout
    assert said == make("help").stdout
    for word in ("make figures", "make lab", "make test-all", "DATA=", "PRETRAINING=", "PROFILE=", "TRAIN=", "PYTHON="):
        assert word in said


@needs_make
def test_odd_paths_reach_the_command_line_whole(tmp_path):
    """The recipe with an interpreter that prints what it was given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "install.py").write_text("")
    echo = tmp_path / ".venv" / "bin" / "python"
    echo.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    echo.chmod(0o755)
    data = "a b/{c} [d] 'e' \"f\" ü.zip"
    words = make("figures", f"DATA={data}", "OUT=x y", folder=tmp_path).stdout.splitlines()
    assert words[words.index("--data") + 1] == data and words[words.index("--out") + 1] == "x y"


@needs_make
def test_pages_before_any_run_say_what_to_run_first(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "install.py").write_text("")
    told = make("report", folder=tmp_path)
    assert told.returncode and "no notebooks in runs/standard: run make figures first" in told.stdout
