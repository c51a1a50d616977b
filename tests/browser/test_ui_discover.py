"""Discovering in a browser: for everybody, at any width, and with any names of tables and columns."""

import sqlite3
from contextlib import closing

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES
from tests.browser.test_ui import WIDTHS, is_as_wide_as_the_window
from tests.browser.test_ui_catalogue import NAMES
from tests.servers.pages import serve_pages

CONNECTIONS = "connections:\n  sqlite:\n    shed: {path: shed.db}\n"


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    root.mkdir()
    (root / "osiris.yaml").write_text("")
    (root / "osiris_connections.yaml").write_text(CONNECTIONS)
    with closing(sqlite3.connect(root / "shed.db")) as made, made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, town TEXT NOT NULL)")
        made.executemany("INSERT INTO people (town) VALUES (?)", [("Prague",), ("Brno",)])
    return root


@pytest.fixture
def hostile(project):
    """A table of 1,000 columns, and 1,000 tables, all with hostile names."""
    with closing(sqlite3.connect(project / "shed.db")) as made, made:
        columns = [f"{NAMES[number % len(NAMES)]} {number}" for number in range(1000)]
        made.execute(f"CREATE TABLE wide ({', '.join(quoted(name) + ' TEXT' for name in columns)})")
        for number in range(1000):
            made.execute(f"CREATE TABLE {quoted(f'{NAMES[number % len(NAMES)]} {number}')} (a TEXT)")
    return project


def test_pages_are_for_everybody(project, visit):
    with serve_pages(project, "--allow-run", "--show-values") as server:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = visit(server, "/discover", width, scheme)
                for button, then in (("Discover", "h2:text('1 table')"), ("Profile", "h2:text('First rows')")):
                    assert Axe().run(page).response["violations"] == []
                    assert is_as_wide_as_the_window(page)
                    page.click("li button:text-is('Discover')" if button == "Discover" else "text=people")
                    if button == "Profile":
                        page.click("button:has-text('Profile')")
                    page.wait_for_selector(then)
                assert Axe().run(page).response["violations"] == []
                assert is_as_wide_as_the_window(page)
                assert "Prague" in page.inner_text("main")


def test_hostile_names_are_only_names(hostile, visit):
    with serve_pages(hostile, "--allow-run") as server:
        page = visit(server, "/discover", 390)
        page.click("li button:text-is('Discover')")
        page.wait_for_selector("h2:text('1,002 tables')")
        links = [link.get_attribute("href") for link in page.locator("tbody a").all()[: len(NAMES) : 8]]
        page.goto(f"{server.base}/discover?target=@sqlite.shed&table=wide")
        assert "Its columns were not read" in page.inner_text("main")
        page.click("button:has-text('Profile')")
        page.wait_for_selector("h2:text('1,000 columns')")
        for path in ("/discover?target=@sqlite.shed&page=3", "/discover?target=@sqlite.shed&table=wide&page=2", *links):
            page.goto(server.base + path)
            assert page.locator("tbody tr").count() == 200 or path in links
            assert is_as_wide_as_the_window(page)
            assert page.evaluate("window.pwned") is None
            assert page.locator("main script, main img, main iframe, main object, main embed, main style").count() == 0
