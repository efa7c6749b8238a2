"""The environment that the notebooks rely on, whatever the reader's looks like."""

import os
from pathlib import Path

from ..support import BATCH_VARIABLE, project_root

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
