"""Tests in a real browser, and what they need: `python3 install.py site browser`, and Chromium or Chrome."""

import importlib.util
import shutil

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def needs(*modules: str) -> list[pytest.MarkDecorator]:
    """Marks of slow tests that are skipped where there is no browser or one of these is not installed."""
    missing = ", ".join(name for name in modules if not importlib.util.find_spec(name))
    return [
        pytest.mark.slow,
        pytest.mark.skipif(not BROWSER, reason="there is no Chromium or Chrome"),
        pytest.mark.skipif(bool(missing), reason=f"not installed (install.py site browser): {missing}"),
    ]
