"""Notebooks run by others' tools, from a folder of the reader's."""

import json
import os
import subprocess
import sys

import pytest

from radiogen_utils.course import runner
from radiogen_utils.support import project_root


@pytest.mark.slow
def test_papermill_nbconvert_and_another_label_work_from_anywhere(tmp_path):
    elsewhere = tmp_path / "a folder"
    elsewhere.mkdir()

    def call(*command):
        env = os.environ | {"PYTHONPATH": str(project_root()), "IPYTHONDIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=elsewhere, env=env, capture_output=True, encoding="utf-8"
        )
        assert not done.returncode, done.stderr[-2000:]

    def papermill(name, **parameters):
        given = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
        source = str(runner.NOTEBOOKS / f"{name}.ipynb")
        call("papermill", "--no-progress-bar", source, f"{name}.ipynb", "-p", "profile", "smoke", *given)

    run = tmp_path / "run"
    papermill("01_cohort", out=run, data="phantom")
    papermill("02_patches", out=run, column="RNASeqCluster", positive=1)
    patches = json.loads((run / "results.json").read_text())["patches"]
    assert (patches["column"], patches["positive"]) == ("RNASeqCluster", 1)

    # Its parameters stand in the notebook, as a reader would write them.
    roc = json.loads((runner.NOTEBOOKS / "05_roc.ipynb").read_text(encoding="utf-8"))
    parameters = next(cell for cell in roc["cells"] if "parameters" in cell["metadata"].get("tags", ()))
    parameters["source"] = f'profile = "smoke"\nout = {str(tmp_path / "roc")!r}'
    (elsewhere / "05.ipynb").write_text(json.dumps(roc), encoding="utf-8")
    call("nbconvert", "--to", "notebook", "--execute", "05.ipynb", "--output", "executed")
    assert {path.name for path in elsewhere.glob("*.ipynb")} == {
        "01_cohort.ipynb",
        "02_patches.ipynb",
        "05.ipynb",
        "executed.ipynb",
    }
    assert (tmp_path / "roc" / "figures" / "figure2.png").exists()
