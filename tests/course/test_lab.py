"""JupyterLab works on copies of the notebooks, in the environment that they rely on."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from radiogen_utils.course import command_line, lab, runner
from radiogen_utils.course.environment import notebook_environment
from radiogen_utils.support import project_root


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Two notebooks of a course."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_a", "02_b"):
        (folder / f"{name}.ipynb").write_text(name)
    monkeypatch.setattr(runner, "NOTEBOOKS", folder)
    return folder


def test_copies_are_the_readers(sources, tmp_path):
    copies = tmp_path / "lab"
    assert lab.copy_notebooks(copies) == []
    (copies / "01_a.ipynb").write_text("changed by the reader")
    (sources / "02_b.ipynb").write_text("a newer version")
    assert lab.copy_notebooks(copies) == []
    assert (copies / "01_a.ipynb").read_text() == "changed by the reader"
    assert (copies / "02_b.ipynb").read_text() == "a newer version"  # nobody had touched the copy
    assert (sources / "01_a.ipynb").read_text() == "01_a"


def test_a_changed_copy_of_an_outdated_notebook_is_kept_and_named_until_it_is_deleted(sources, tmp_path):
    copies = tmp_path / "lab"
    lab.copy_notebooks(copies)
    (copies / "01_a.ipynb").write_text("changed by the reader")
    (sources / "01_a.ipynb").write_text("a newer version")
    for _ in range(2):
        assert lab.copy_notebooks(copies) == ["01_a.ipynb"]
        assert (copies / "01_a.ipynb").read_text() == "changed by the reader"
    (copies / "01_a.ipynb").unlink()
    assert lab.copy_notebooks(copies) == []
    assert (copies / "01_a.ipynb").read_text() == "a newer version"


def test_lab_starts_jupyter_at_the_first_copy_and_ends_with_its_status(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "project_root", lambda: tmp_path)
    started = []

    def run(command, cwd, env):
        started.append((command, cwd, env))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(lab.subprocess, "run", run)
    monkeypatch.setattr(lab, "os", SimpleNamespace(name="nt"))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["lab", "--no-browser", "--port", "0"])
    [(command, cwd, env)] = started
    assert ended.value.code == 3 and command[:4] == [sys.executable, "-m", "jupyter", "lab"]
    assert command[-4:] == ["--no-browser", "--port", "0", str(tmp_path / "runs" / "lab" / "01_a.ipynb")]
    assert cwd == tmp_path and env["PYTHONPATH"] == str(project_root()) and "RADIOGEN_BATCH" not in env


@pytest.mark.skipif(os.name != "posix", reason="processes are replaced on POSIX systems only")
def test_ending_lab_ends_jupyter(sources, tmp_path, monkeypatch):
    replaced = []
    monkeypatch.setattr(lab, "project_root", lambda: tmp_path)
    monkeypatch.setattr(lab.os, "chdir", replaced.append)
    monkeypatch.setattr(lab.os, "execve", lambda *arguments: replaced.append(arguments))
    monkeypatch.setattr(lab.subprocess, "run", lambda *arguments, **options: SimpleNamespace(returncode=0))
    lab.lab([])
    assert (
        replaced[0] == tmp_path and replaced[1][0] == sys.executable and replaced[1][1][1:4] == ["-m", "jupyter", "lab"]
    )


LOOK = """
import json, locale, os, sys, matplotlib, radiogen_utils
print(json.dumps([radiogen_utils.__file__, matplotlib.get_backend(), matplotlib.rcParams["font.size"],
                  locale.getpreferredencoding(), sys.flags.utf8_mode, os.environ.get("RADIOGEN_BATCH")]))
"""


def test_the_readers_environment_does_not_leak(tmp_path, monkeypatch):
    """Another checkout, a style, a backend, a locale and start-up files of the reader's."""
    other = tmp_path / "other" / "radiogen_utils"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    (tmp_path / "matplotlibrc").write_text("font.size: 31\nbackend: no-such-backend\n")
    (tmp_path / "start.py").write_text("raise SystemExit('the reader\\'s start-up file ran')")
    for name, value in {
        "PYTHONPATH": tmp_path / "other",
        "MATPLOTLIBRC": tmp_path / "matplotlibrc",
        "MPLBACKEND": "no-such-backend",
        "JUPYTER_PATH": tmp_path,
        "PYTHONSTARTUP": tmp_path / "start.py",
        "PYTHONWARNINGS": "error",
        "LC_ALL": "de_DE.ISO-8859-1",
        "PYTHONIOENCODING": "latin-1",
    }.items():
        monkeypatch.setenv(name, str(value))
    environment = notebook_environment(tmp_path / "ipython", batch=True)
    assert "JUPYTER_PATH" not in environment and environment["IPYTHONDIR"] == str(tmp_path / "ipython")
    looked = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, cwd=tmp_path.parent, capture_output=True, check=True
    )
    file, backend, size, encoding, utf8, batch = json.loads(looked.stdout)
    assert file == str(project_root() / "radiogen_utils" / "__init__.py")
    assert "inline" in backend and size == 10 and encoding.lower() == "utf-8" and utf8 == 1 and batch == "1"
