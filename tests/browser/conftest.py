"""A real Chromium, and windows that detect what no page of ours may do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.patience import SOON

WIDTHS, SCHEMES = (390, 1600), ("light", "dark")
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium():
    """A browser for one file: while it is open, this thread has an event loop, which would disturb other tests."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "tests look at pages in Chromium: 'make browser' installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """Open a file in a new window; at the end, it must have made no request and logged no error."""
    opened = []

    def call(path: Path, width=1600, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(1000 * SOON)
        page = context.new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.goto(path.absolute().as_uri())
        opened.append((context, path, asked, said))
        return page

    yield call
    for context, path, asked, said in opened:
        context.close()
        assert [url for url in asked if not url.startswith("blob:")] == [path.absolute().as_uri()]
        assert said == []


@pytest.fixture
def page_of():
    """Write the page of a session into its folder, as `osiris logs html` does."""
    from osiris.history.reading import read_run
    from osiris.project import Project
    from osiris.report.pages import run_page

    def call(folder):
        reading = read_run(Project(folder.parents[1]), folder.name)
        path = folder / "report.html"
        path.write_text(run_page(reading, reading.base, {"all runs": "../index.html"}), encoding="utf-8")
        return path

    return call


@pytest.fixture
def visit(chromium):
    """Open a page of `osiris ui` in a new window; at the end, it must have asked nobody else and logged no error.

    The first window enters with the printed address, which works once; the others have its cookie.
    """
    opened, entered = [], {}

    def call(server, path="/", width=1280, scheme="light", patience=SOON):
        more = {"storage_state": entered[server]} if server in entered else {}
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        context.set_default_timeout(1000 * patience)
        page, asked, said = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        opened.append((context, server, asked, said))
        server.clients.append(context)
        if server not in entered:
            page.goto(server.address)
            entered[server] = context.storage_state()
        page.goto(server.base + path)
        return page

    yield call
    for context, server, asked, said in opened:
        context.close()
        assert [url for url in asked if not url.startswith((server.base, "blob:"))] == []
        assert [text for text in said if "status of 404" not in text] == []
