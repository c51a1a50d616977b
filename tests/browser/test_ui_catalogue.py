"""The catalogue of `osiris ui` in a browser: for everybody, at any width, without JavaScript, and with any names."""

import json
from hashlib import sha256

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES
from tests.browser.sessions import plan, step
from tests.browser.test_hostile_texts import TAGS
from tests.browser.test_ui import WIDTHS, is_as_wide_as_the_window
from tests.servers.pages import serve_pages

EXTRACTOR, WRITER = "filesystem.csv_extractor", "filesystem.csv_writer"
NAMES = [
    *TAGS,
    "right \u202eto left\u202c",
    "\x07bell\x1b[31m",
    "tab\tand\nline",
    "long_" * 1000,
    "{{ 7 * 7 }}",
    "a&b=c#d?e%00",
    "../../etc/passwd",
    "'\"`\\",
    "नाम 名前 😀",
]


def put_plan(root, manifest):
    folder = root / "build" / manifest.name / manifest.short
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest.data), encoding="utf-8")


def copying(name, source, target, columns):
    read = step("load", EXTRACTOR, columns=[(column, "utf8") for column in columns], config={"path": source})
    fingerprint = sha256(name.encode()).hexdigest()
    return plan(
        read, step("save", WRITER, inputs=["load"], config={"path": target}), name=name, fingerprint=fingerprint
    )


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    root.mkdir()
    (root / "osiris.yaml").write_text("")
    put_plan(root, copying("orders", "data/orders.csv", "output/orders.csv", ["id", "amount"]))
    put_plan(root, copying("copies", "output/orders.csv", "output/copies.csv", ["id", "amount"]))
    return root


@pytest.fixture
def hostile(project):
    """One table of 10,000 columns, and 10,000 tables, all with hostile names."""
    columns = [f"{NAMES[number % len(NAMES)]} {number}" for number in range(10_000)]
    put_plan(project, copying("wide", "data/wide.csv", "output/wide.csv", columns))
    for part in range(10):
        steps = []
        for number in range(part * 500, part * 500 + 500):
            name = f"{NAMES[number % len(NAMES)]} {number}"
            steps.append(step(f"load {name}", EXTRACTOR, columns=[("a", "utf8")], config={"path": f"in {name}"}))
            steps.append(step(f"save {name}", WRITER, inputs=[f"load {name}"], config={"path": f"out {name}"}))
        put_plan(project, plan(*steps, name=f"many{part}", fingerprint=f"{part + 1:064x}"[::-1]))
    return project


COLUMN = "/catalogue/dataset?label=output/orders.csv&column=amount"


@pytest.mark.parametrize(
    "path", ["/catalogue", "/catalogue?q=amount", "/catalogue/dataset?label=output/orders.csv", COLUMN]
)
def test_pages_are_for_everybody(project, visit, path):
    with serve_pages(project) as server:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = visit(server, path, width, scheme)
                assert Axe().run(page).response["violations"] == []
                assert is_as_wide_as_the_window(page)


def test_a_column_is_found_and_followed_by_keyboard(project, visit):
    with serve_pages(project) as server:
        page = visit(server)
        page.click("nav >> text=Catalogue")
        page.focus("input[type=search]")
        page.keyboard.type("amount")
        page.keyboard.press("Enter")
        page.wait_for_url("**/catalogue?q=amount")
        page.click("tr:has-text('output/copies.csv') >> text=amount")
        assert "amount of data/orders.csv" in page.inner_text("main")
        page.click("text=amount of data/orders.csv")
        assert "output/copies.csv" in page.inner_text("h2:has-text('Goes to') + ul")
        page.focus("svg a[href*='copies']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/catalogue/dataset?label=output%2Fcopies.csv")


def test_a_command_has_a_button_that_copies_it(project, visit):
    with serve_pages(project) as server:
        page = visit(server, COLUMN)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("text=osiris impact >> xpath=following-sibling::button")
        page.wait_for_selector("button:text('Copied')")
        assert page.evaluate("navigator.clipboard.readText()") == "osiris impact 'output/orders.csv#amount'"


def test_everything_is_there_without_javascript(project, chromium):
    with serve_pages(project) as server:
        context = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(server.address)
        page.goto(server.base + COLUMN)
        assert "amount of data/orders.csv" in page.inner_text("main")
        page.click("text=amount of data/orders.csv")
        assert "output/copies.csv" in page.inner_text("main")
        context.close()


def test_hostile_names_are_only_names(hostile, visit):
    with serve_pages(hostile) as server:
        page = visit(server, "/catalogue?q=script", 390)
        assert page.locator("tbody tr").count() == 200
        for path in ("/catalogue", "/catalogue?page=40", "/catalogue/dataset?label=data/wide.csv&page=3"):
            page.goto(server.base + path)
            assert page.locator("tbody tr").count() == 200
            assert is_as_wide_as_the_window(page)
            assert page.evaluate("window.pwned") is None
            assert page.locator("main script, main img, main iframe, main object, main embed, main style").count() == 0
        addresses = [link.get_attribute("href") for link in page.locator("tbody a").all()[: len(NAMES) : 4]]
        for address in addresses:
            page.goto(server.base + address)
            assert page.inner_text("h2 >> nth=0") == "Comes from"
            assert page.evaluate("window.pwned") is None
            assert is_as_wide_as_the_window(page)
