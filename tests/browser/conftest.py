"""A page of the system's Chromium that may reach nothing but files."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def barriers(page):
    """What axe-core, which needs no network, finds to be serious or critical: rule and elements."""
    found = Axe().run(page).response["violations"]
    return [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="session")
def chromium():
    """The running browser."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("Chromium is not installed (Debian: apt-get install chromium).", pytrace=False)
    with sync_playwright() as playwright:
        # Containers run as root and have no sandbox of their own to nest in.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """open_page(address, width=, scheme=, scripts=) -> page that may neither complain nor fetch."""
    contexts, complaints = [], []

    def open_one(address, *, width=1100, scheme="light", scripts=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _note(request.url))
        page.goto(address)
        return page

    def _note(url):
        if not url.startswith(("file:", "data:")):
            complaints.append(f"asked for {url}")

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
