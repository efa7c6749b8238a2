"""The course as a reader meets it: `make lab`'s JupyterLab in a real browser, on a copy of the course.

Nothing waits for a time, only for what is to appear. The phantom
lies in the copy's `data/`, as a reader's cohort would.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from radiogen_utils.course import authoring, runner
from radiogen_utils.data.download import find_cohort
from radiogen_utils.support import project_root

from . import needs

pytestmark = needs("playwright", "jupyterlab")
PATIENCE = 300_000
"""Milliseconds after which something that has not appeared will not."""


@pytest.fixture
def lab(browser, tmp_path):
    """The address of JupyterLab, ending in its token, and its process: the command behind `make lab`."""
    course = tmp_path / "course"
    for name in ("radiogen_utils", "notebooks", "figures"):
        shutil.copytree(project_root() / name, course / name)
    (course / "data").mkdir()
    (course / "data" / "cohort").symlink_to(find_cohort("phantom", 40), target_is_directory=True)
    own = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    command = [sys.executable, "-m", "radiogen_utils", "lab", "--no-browser", "--allow-root", "--port", "0"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(
            command, cwd=course, env=os.environ | own | {"PYTHONPATH": str(course)}, stdout=log, stderr=log
        )
    # Jupyter takes the process's place, and then says where it listens.
    told = Path(own["JUPYTER_RUNTIME_DIR"], f"jpserver-{server.pid}.json")
    while not told.exists():
        assert server.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    values = json.loads(told.read_text())
    process = psutil.Process(server.pid)
    yield f"{values['url']}lab/tree/runs/lab/{{}}.ipynb?token={values['token']}", process
    for context in browser.contexts:
        context.close()
    for running in (*process.children(recursive=True), server):
        running.kill()
    server.wait()


class Notebook:
    """A notebook in a browser of its own."""

    def __init__(self, browser, address, name):
        self.source = json.loads((runner.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
        self.tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.tab.goto(address.format(name))
        self.await_idle()

    def await_idle(self):
        self.tab.get_by_text(re.compile(r"\| Idle$")).wait_for()

    def menu(self, menu, item):
        self.tab.get_by_role("menuitem", name=menu, exact=True).click()
        self.tab.get_by_role("menuitem", name=item).click()

    def run_all(self):
        self.menu("Run", re.compile("^Run All Cells$"))
        self.await_run()

    def await_run(self):
        """Wait until all cells have run, or one has failed; none may. A folded cell does not show its number."""
        code = [cell for cell in self.source["cells"] if cell["cell_type"] == "code"]
        unfolded = sum(not cell["metadata"].get("jupyter", {}).get("source_hidden") for cell in code)
        failed = '.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]'
        self.tab.wait_for_function(
            f"""() => document.querySelector('{failed}') ||
            [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                .filter(prompt => /\\d/.test(prompt.textContent)).length === {unfolded}"""
        )
        self.await_idle()
        assert not self.tab.locator(failed).count(), self.tab.locator(failed).first.inner_text()

    def cell(self, text):
        """The code cell with this text."""
        found = self.tab.locator(".jp-CodeCell", has=self.tab.locator(".jp-InputArea-editor", has_text=text)).first
        found.scroll_into_view_if_needed()
        return found

    def answer(self, exercise, code):
        """Replace an exercise's code, but for its check, and run it; returns what the check says."""
        cell = self.cell(exercise)
        before = cell.locator(".jp-InputPrompt").inner_text()
        cell.locator(".cm-content").click()
        self.tab.keyboard.press("ControlOrMeta+a")
        self.tab.keyboard.insert_text(f"{code}\n\n{exercise}")
        self.tab.keyboard.press("Shift+Enter")
        self.tab.wait_for_function(
            "([prompt, before]) => /\\d/.test(prompt.textContent) && prompt.textContent !== before",
            arg=[cell.locator(".jp-InputPrompt").element_handle(), before],
        )
        return cell.locator(".jp-OutputArea").inner_text()

    def solution(self, exercise):
        """The solution of an exercise, as the notebook has it."""
        texts = [authoring.source(cell) for cell in self.source["cells"]]
        where = next(number for number, text in enumerate(texts) if exercise in text)
        return re.search(r"```python\n(.*?)\n```", texts[where + 1], re.S)[1]

    def pictures(self):
        """How many pictures are there; all of them have loaded."""
        self.tab.wait_for_function("[...document.querySelectorAll('.jp-OutputArea img')].every(i => i.naturalWidth)")
        return self.tab.locator(".jp-OutputArea img").count()


def test_a_notebook_without_data_runs_answers_and_corrects(browser, lab):
    address, _ = lab
    roc = Notebook(browser, address, "05_roc")
    roc.run_all()
    figures = [name for name in roc.source["metadata"]["radiogen"]["writes"] if name.endswith(".png")]
    assert roc.pictures() == len(figures) + 1  # and the widget's

    widget = roc.cell("widgets.threshold(")
    picture, handle = widget.locator("img"), widget.get_by_role("slider")
    for move in (lambda: handle.press("Home"), lambda: handle.press("ArrowRight"), lambda: drag(roc.tab, handle, 150)):
        before = picture.get_attribute("src")
        move()
        roc.tab.wait_for_function(
            "([picture, before]) => picture.src !== before && picture.complete && picture.naturalWidth",
            arg=[picture.element_handle(), before],
        )

    exercise = "check.auc(my_auc)"
    assert "nothing to check yet" in roc.cell(exercise).locator(".jp-OutputArea").inner_text()
    right = roc.solution(exercise)
    assert "equal scores are counted as lost" in roc.answer(exercise, right.replace("0.5", "0"))
    assert "with AttributeError" in roc.answer(exercise, right.replace("mean", "average"))
    assert "✔ right" in roc.answer(exercise, right)


def drag(tab, handle, right):
    box = handle.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + right, box["y"] + box["height"] / 2, steps=3)
    tab.mouse.up()


def test_a_notebook_on_the_cohort_survives_a_second_browser_and_a_killed_kernel(browser, lab):
    address, server = lab
    patches = Notebook(browser, address, "02_patches")
    patches.run_all()
    shown = patches.pictures()
    assert shown >= 3 and patches.tab.get_by_text(re.compile("PHANTOM_")).count()
    patches.tab.keyboard.press("ControlOrMeta+s")
    patches.tab.get_by_text("Saving completed").wait_for()

    second = Notebook(browser, address, "02_patches")
    exercise = "check.tumor_patch(my_patch)"
    assert "✔ right" in second.answer(exercise, second.solution(exercise))  # in the kernel of the first
    assert second.pictures() == shown

    [kernel] = [process for process in server.children(recursive=True) if "ipykernel_launcher" in process.cmdline()]
    kernel.kill()
    for reader in (patches, second):
        reader.tab.get_by_role("dialog").get_by_text("appears to have died").wait_for()
        reader.tab.get_by_role("dialog").get_by_role("button", name="Ok").click()
    patches.await_idle()
    patches.menu("Kernel", re.compile("^Restart Kernel and Run All Cells"))
    patches.tab.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    patches.tab.locator(".jp-InputPrompt", has_text="[*]").first.wait_for()
    patches.await_run()
    assert patches.pictures() == shown
