"""Comparing runs and plans in a browser: for everybody, at any width, and with any names."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES
from tests.browser.sessions import START, plan, problem, step, write_session
from tests.browser.test_hostile_texts import TAGS
from tests.browser.test_ui import WIDTHS, is_as_wide_as_the_window
from tests.browser.test_ui_catalogue import EXTRACTOR, NAMES, WRITER, put_plan
from tests.servers.pages import serve_pages


def named(names, path):
    """Return a plan with a reading step for each name."""
    reads = [step(name, EXTRACTOR, columns=[("a", "utf8")], config={"path": path}) for name in names]
    return plan(*reads, step("save", WRITER, inputs=names[:1], config={"path": path + ".out"}))


@pytest.fixture
def project(tmp_path):
    """Runs and plans that differ in every step, all of which have hostile names."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "osiris.yaml").write_text("")
    write_session(root, named(NAMES, "data/a.csv"), suffix="00001")
    failed = {TAGS[0]: problem("DAT001", f"the value of column '{TAGS[1]}' is no number")}
    write_session(root, named(NAMES, "data/b.csv"), start=START + timedelta(hours=1), failed=failed, suffix="00002")
    for number, path in enumerate("ab"):
        manifest = named(NAMES, path)
        manifest.data["fingerprint"] = f"{number + 1:064x}"[::-1]
        put_plan(root, manifest)
    return root


def test_two_runs_are_chosen_and_compared(project, visit):
    with serve_pages(project) as server:
        page = visit(server)
        page.click("nav >> text=Compare")
        page.click("button:text('Compare runs')")
        page.wait_for_selector("h2:has-text('They differ in')")
        assert 'status: "complete" -> "failed"' in page.inner_text("main")
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main iframe, main object, main embed, main style").count() == 0
        page.click("text=Exchange A and B")
        page.wait_for_selector('text=\'status: "failed" -> "complete"\'')


def test_pages_are_for_everybody(project, visit):
    with serve_pages(project) as server:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = visit(server, "/compare", width, scheme)
                for _ in range(2):
                    assert Axe().run(page).response["violations"] == []
                    assert is_as_wide_as_the_window(page)
                    page.click("button:text('Compare runs')")
                    page.wait_for_selector("h2:has-text('They differ in')")
