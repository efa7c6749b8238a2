"""The browser."""

import pytest

from . import BROWSER


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER)
        yield started
        started.close()
