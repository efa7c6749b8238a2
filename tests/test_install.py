"""The installation: what `install.py` decides, and how the Makefile calls it."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import venv

import pytest

from radiogen_utils.support import project_root

SCRIPT = project_root() / "install.py"
PLAIN = "Would install 3 packages\n + nvidia-cublas==13.1\n + torch==2.13.0\n"
CPU = "Would install 2 packages\n + torch==2.13.0+cpu\n"
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tiny"
version = "1"
[project.optional-dependencies]
test = ["iniconfig"]
bench = []
[tool.setuptools]
py-modules = ["tiny"]
"""


def load(folder):
    """The install script of a project in `folder`."""
    spec = importlib.util.spec_from_file_location("install", folder / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "tiny projéct"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "constraints.txt").write_text((project_root() / "constraints.txt").read_text())
    (folder / "tiny.py").write_text("")
    return folder


def install(folder, *extras, status=0, output=""):
    """Run the script's `main` with pip and uv replaced; what it did: `created`, `installed` or nothing."""
    module, did = load(folder), []
    call = module.call

    def create():
        did.append("created")
        venv.create(module.VENV, clear=True, symlinks=os.name != "nt")

    def called(command, env=None, show=False):
        if "-c" in command:  # the interpreter is asked who it is
            return call(command)
        if command == ["uv"]:
            did.append("installed")
            return status, output
        return 0, ""

    module.create, module.call, module.plan = create, called, lambda requirements, env: (["uv"], 0, CPU)
    module.main(list(extras))
    return did


def test_a_sound_environment_is_left_alone(project, capsys):
    assert install(project) == ["created", "installed"]
    shown = capsys.readouterr()
    assert "2 packages with the CPU build of torch" in shown.err and len(shown.err.splitlines()) == 3 and not shown.out
    assert install(project) == [] and capsys.readouterr().err == ""


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_new_requirements_are_added_in_place(project, file):
    install(project)
    (project / file).write_text((project / file).read_text() + "\n# more\n")
    assert install(project) == ["installed"] and install(project) == []


def test_an_extra_is_added_and_stays(project):
    install(project)
    assert install(project, "bench") == ["installed"] and install(project) == install(project, "bench") == []


def test_a_moved_or_copied_folder_gets_an_environment_of_its_own(project):
    install(project)
    copy = project.with_name("copy")
    shutil.copytree(project, copy, symlinks=True)
    assert install(copy) == ["created", "installed"]
    assert install(project) == []
    moved = project.rename(project.with_name("moved"))
    assert install(moved) == ["created", "installed"]


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_vanished_interpreter_is_noticed(project):
    install(project)
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    assert install(project) == ["created", "installed"]


def test_another_interpreter_is_noticed(project):
    install(project)
    stamp = project / ".venv" / "installed.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"python": "['3.11.0', ...]"}))
    assert install(project) == ["created", "installed"]


@pytest.mark.parametrize("left", [None, "", "[1]", "{}", '{"python": 3'])
def test_half_an_installation_is_done_anew(project, left):
    install(project)
    stamp = project / ".venv" / "installed.json"
    stamp.unlink() if left is None else stamp.write_text(left)
    assert install(project) == ["created", "installed"]


def test_a_failed_installation_leaves_no_stamp(project):
    install(project)
    (project / "constraints.txt").write_text("")
    with pytest.raises(SystemExit, match="^error: the disk is full.*run the same command again"):
        install(project, status=2, output="error: failed to copy\n  cause: No space left on device (os error 28)\n")
    assert install(project) == ["created", "installed"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("WARNING: Retrying (Retry(total=4)) after connection broken\nERROR: No matching distribution", "network"),
        ("error: Failed to fetch\n  cause: client error (Connect)\n  cause: dns error", "network"),
        ("  cause: client error (Connect)\n  cause: invalid peer certificate: UnknownIssuer", "PIP_CERT"),
        ("ERROR: No matching distribution found for torch==2.13.0", "Python 3.11 to 3.14"),
        ("Error: [Errno 13] Permission denied: '.venv'", "Permission denied"),
        ("", "the installation failed"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(output, said):
    with pytest.raises(SystemExit) as stopped:
        load(project_root()).diagnose(output)
    assert said in stopped.value.code and "\n" not in stopped.value.code


def test_an_old_python_is_told_so(monkeypatch):
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))  # it can read as far as the message
    module = load(project_root())
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(module.platform, "python_version", lambda: "3.10.4")
    with pytest.raises(SystemExit, match="3.11 or newer is needed, this is 3.10.4 .*PYTHON="):
        module.check_python()


def test_a_missing_venv_module_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="apt install python3"):
        load(project_root()).check_python()


@pytest.fixture
def clean(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_of_the_readers_settings_only_the_package_source_counts(clean, tmp_path):
    module = load(project_root())
    module.PYTHON = sys.executable
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nuser = true\nquiet = 2\nindex-url = https://mirror/global\nconstraint = none.txt\nproxy = http://proxy:1\n"
        f"find-links =\n    {tmp_path}\n    https://links\n    /nonexistent\n"
        f"[install]\nindex-url = https://mirror/simple\n[download]\nno-index = true\n"
    )
    for name in ("PIP_USER", "PIP_NO_DEPS", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "UV_SYSTEM_PYTHON", "UV_TARGET"):
        clean.setenv(name, "1")
    clean.setenv("PYTHONPATH", str(tmp_path))
    clean.setenv("VIRTUAL_ENV", str(tmp_path))
    clean.setenv("PIP_CONFIG_FILE", str(config))
    clean.setenv("PIP_EXTRA_INDEX_URL", "https://extra file:///nonexistent/simple")
    clean.setenv("PIP_CERT", "ca.pem")
    env = module.environment(module.pip_settings())
    assert {name: value for name, value in env.items() if name.startswith(("PIP_", "UV_", "PYTHON", "VIRTUAL"))} == {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_INDEX_URL": "https://mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://extra",
        "PIP_FIND_LINKS": f"{tmp_path} https://links",
        "PIP_CERT": "ca.pem",
        "PIP_PROXY": "http://proxy:1",
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://extra",
        "UV_FIND_LINKS": f"{tmp_path},https://links",
    }
    assert env["SSL_CERT_FILE"] == "ca.pem" and env["HTTPS_PROXY"] == env["HTTP_PROXY"] == "http://proxy:1"
    assert env["PATH"] == os.environ["PATH"]


def test_what_is_set_for_uv_itself_wins(clean):
    clean.setenv("UV_INDEX_URL", "https://own")
    clean.setenv("UV_TORCH_BACKEND", "cu126")
    env = load(project_root()).environment({"index-url": "https://mirror"})
    assert env["UV_INDEX_URL"] == "https://own" and "UV_DEFAULT_INDEX" not in env and env["UV_TORCH_BACKEND"] == "cu126"


@pytest.mark.parametrize(
    ("first", "gpu", "env", "reachable", "backend"),
    [
        (PLAIN, False, {}, True, "cpu"),
        (PLAIN, True, {}, True, "auto"),
        (PLAIN, False, {}, False, None),  # the index of the CPU build cannot be reached
        (PLAIN, False, {"UV_TORCH_BACKEND": "cu126"}, True, None),
        (CPU, False, {}, True, None),  # the reader's own source has it
        (CPU, True, {}, True, None),
        ("Would install 1 package\n", False, {}, True, None),
    ],
)
def test_the_build_of_torch_fits_the_computer(monkeypatch, capsys, first, gpu, env, reachable, backend):
    module = load(project_root())
    monkeypatch.setattr(sys, "platform", "linux")

    def call(command, env=None, show=False):
        if command[0] == "nvidia-smi":
            return (0, "GPU 0: some") if gpu else (127, "not found")
        if "--torch-backend" not in command:
            return 0, first
        return (0, CPU) if reachable else (2, "error: dns error")

    module.call = call
    command, status, _ = module.plan(["-e", "."], env)
    assert status == 0
    assert (command[command.index("--torch-backend") + 1] if "--torch-backend" in command else None) == backend
    assert ("cannot be reached" in capsys.readouterr().err) == (not reachable)


def test_a_command_that_is_not_there_is_no_exception():
    assert load(project_root()).call(["/nonexistent/command"])[0] == 127


@pytest.mark.slow
def test_a_tiny_project_is_really_installed(project, tmp_path):
    env = os.environ | {
        "PIP_USER": "1",
        "PIP_TARGET": str(tmp_path / "t"),
        "PYTHONPATH": str(tmp_path),
        "UV_TARGET": "t",
    }
    command = [sys.executable, "install.py"]
    first = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    if "cannot be reached" in first.stderr:
        pytest.skip("no package source")
    assert first.returncode == 0 and "environment ready" in first.stderr and "with pip" not in first.stderr
    second = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    code = "import iniconfig, tiny; print(tiny.__file__)"
    python = load(project).PYTHON
    found = subprocess.run([python, "-I", "-c", code], capture_output=True, encoding="utf-8", check=True).stdout.strip()
    assert os.path.samefile(found, project / "tiny.py")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Call make in a folder whose environment holds a Python that only shows its arguments."""
    if os.name == "nt" or not shutil.which("make"):
        pytest.skip("no make")
    for name in ("DATA", "PRETRAINING", "PROFILE", "OUT", "TRAIN", "MAKEFLAGS", "MAKELEVEL", "PYTHON"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a folder"
    shown = folder / ".venv" / "bin" / "python"
    shown.parent.mkdir(parents=True)
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "${PYTHONPATH-none}" "$@"\n')
    shown.chmod(0o755)
    shutil.copy(project_root() / "Makefile", folder)
    (folder / "install.py").write_text("")

    def call(*arguments):
        command = ["make", "-s", "-C", str(folder), *arguments, f"PYTHON={sys.executable}"]
        return subprocess.run(command, capture_output=True, encoding="utf-8")

    call.folder = folder
    return call


@pytest.mark.parametrize("text", ["1", "yes", "Yes", "true", "TRUE", "on"])
def test_train_means_yes(make, text):
    assert "--train" in make("figures", f"TRAIN={text}").stdout.splitlines()


@pytest.mark.parametrize("text", ["0", "no", "No", "NO", "false", "False", "FALSE", "off", "OFF", ""])
def test_train_means_no(make, text):
    done = make("figures", f"TRAIN={text}")
    assert done.returncode == 0 and "--train" not in done.stdout


@pytest.mark.parametrize("text", ["maybe", "2", "1 0"])
def test_train_means_neither(make, text):
    done = make("-n", "figures", f"TRAIN={text}")
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1
    assert f"TRAIN={text} is neither yes nor no: give 1" in done.stderr


def test_odd_characters_reach_the_command_unchanged(make, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/another/checkout")
    monkeypatch.setenv("PRETRAINING", "from $HOME `id`")
    odd = "my  \"data\" 'x' $HOME $(id) `id` #1 [a] {b} ümläut.zip"
    shown = make("figures", f"DATA={odd}", "OUT=out $x", "PROFILE=paper").stdout.splitlines()
    assert shown == ["none", "-m", "radiogen_utils", "run", "--data", odd, "--pretraining", "from $HOME `id`"] + [
        *("--profile", "paper", "--out", "out $x", "--publish")
    ]
    assert make("figures").stdout.splitlines()[4:] == ["--pretraining", "from $HOME `id`", "--publish"]


def test_bare_make_lists_all_targets(make):
    shown = make().stdout
    targets = re.findall(r"^([a-z-]+):", (project_root() / "Makefile").read_text(), re.M)
    assert shown == make("help").stdout
    assert set(targets) - {"help", "environment"} == set(re.findall(r"^make ([a-z-]+)", shown, re.M))
    assert all(f"{name}=" in shown for name in ("DATA", "PRETRAINING", "PROFILE", "OUT", "TRAIN", "PYTHON"))


@pytest.mark.parametrize("target", ["test", "test-all"])
def test_tests_begin_with_lint(make, target):
    modules = re.findall(r"^-m\n(\w+)", make(target).stdout, re.M)
    assert modules[:4] == ["ruff", "ruff", "codespell_lib", "pytest"]


def test_the_site_is_of_the_run_that_is_named_or_of_the_last(make):
    assert make("site").stdout.split()[1:] == ["-m", "radiogen_utils.course.site"]
    assert make("site", "OUT=runs/odd $1").stdout.splitlines()[-2:] == ["--run", "runs/odd $1"]
    assert make("site", "PROFILE=paper").stdout.splitlines()[-2:] == ["--run", "runs/paper"]


def test_uv_is_pinned():
    assert re.search(r"^uv==[\d.]+$", (project_root() / "constraints.txt").read_text(), re.M)
