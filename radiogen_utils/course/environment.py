"""The environment that the notebooks rely on, whatever the reader's looks like."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..support import BATCH_VARIABLE, project_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAKS = ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONINSPECT")
"""Variables that bring a reader's other kernels, start-up files and switches into a notebook."""


def notebook_environment(ipython: Path, batch: bool) -> dict[str, str]:
    """Environment variables for Jupyter and its kernels.

    Args:
        ipython: folder for IPython, in the place of the reader's profile and start-up files.
        batch: progress as plain lines instead of bars.
    """
    kept = {name: value for name, value in os.environ.items() if name not in (*_LEAKS, BATCH_VARIABLE)}
    return (
        kept
        | {
            "PYTHONPATH": str(project_root()),  # this checkout's package, not one that is installed from elsewhere
            "PYTHONNOUSERSITE": "1",
            "PYTHONUTF8": "1",
            "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the same name at home
            "IPYTHONDIR": str(ipython),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MATPLOTLIBRC": str(Path(__file__).with_name("matplotlibrc")),
            # Large pages under Linux: a tenth less time for training, whose arrays come and go with every step.
            "GLIBC_TUNABLES": kept.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
        }
        | ({BATCH_VARIABLE: "1"} if batch else {})
    )


def describe(figure: "Figure") -> None:
    """Give a figure that a notebook shows an alternative text: what the function that draws it says, and its axes.

    Called by Matplotlib for every new figure (`figure.hooks` in matplotlibrc). The text goes into the output's
    metadata, where nbconvert looks for it.
    """
    text, frame = "", sys._getframe(1)
    while frame:  # outwards, as a picture may be drawn by another's function
        module = sys.modules.get(frame.f_globals.get("__name__", ""))
        function = getattr(module, frame.f_code.co_name, None)
        if "Figure" in str(getattr(function, "__annotations__", {}).get("return")) and function.__doc__:
            text = function.__doc__.splitlines()[0].rstrip(".")
        frame = frame.f_back
    if text:
        figure._repr_mimebundle_ = lambda **_: ({}, {"image/png": {"alt": _with_axes(text, figure)}})


def _with_axes(text: str, figure: "Figure") -> str:
    """An alternative text with what the figure's horizontal axes show."""
    labels = dict.fromkeys(" ".join(axes.get_xlabel().split()) for axes in figure.axes if axes.get_xlabel())
    return f"{text}. Horizontal axis: {'; '.join(labels)}" if labels else text
