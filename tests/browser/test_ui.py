"""`osiris ui` in a browser: its pages are for everybody, at any width, and hostile names are only names."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES
from tests.browser.sessions import plan, problem, shop, step, write_session
from tests.browser.test_hostile_texts import HOSTILE
from tests.patience import SOON
from tests.servers.pages import serve_pages

NOW = datetime.now(UTC).replace(microsecond=0)
WIDTHS = (390, 768, 1280, 2560)
FILE = """
oml_version: "0.2.0"
name: "{name}"
schedule: {{cron: "0 2 * * *"}}
steps:
  - {{id: orders, component: filesystem.csv_extractor, mode: read, config: {{path: data/orders.csv}}}}
  - {{id: report, component: filesystem.csv_writer, mode: write, config: {{path: output/report.csv}}}}
"""
LONG = "pipeline_" + 12 * "with_a_long_name_"


@pytest.fixture
def project(tmp_path):
    """Pipelines of every state: with runs, failing, never run, broken, and with a long name."""
    root = tmp_path / "shop"
    (root / "pipelines").mkdir(parents=True)
    (root / "osiris.yaml").write_text("")
    for name in ("shop", "gamma", "new", LONG):
        (root / "pipelines" / f"{name[:30]}.yaml").write_text(FILE.format(name=name))
    (root / "pipelines" / "broken.yaml").write_text('oml_version: "0.1.0"\nname: broken\nstepz: []\n')
    for hour in range(5, 1, -1):
        start = NOW - timedelta(hours=hour)
        write_session(root, shop(), start=start, seconds=hour, rows=1000 * hour, suffix=f"{20 - hour:05}")
    write_session(root, shop(name=LONG), start=NOW - timedelta(hours=3), seconds=5, suffix="00030")
    failed = {"orders": problem("DAT001", "the value 'x' of column 'amount' is no number")}
    write_session(root, shop(name="gamma"), start=NOW - timedelta(hours=2), failed=failed, suffix="00031")
    return root


def is_as_wide_as_the_window(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/last", "/runs/nothing", "/pipelines/shop.yaml", "/pipelines/broken.yaml"]
)
def test_pages_are_for_everybody(project, visit, path):
    with serve_pages(project) as server:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = visit(server, path, width, scheme)
                assert Axe().run(page).response["violations"] == []
                assert is_as_wide_as_the_window(page)


@pytest.mark.long
def test_ten_thousand_hostile_names_are_only_names(project, visit):
    """Names of 10,000 files on Home, and of 10,000 steps on the pages of runs and on Compare."""
    texts = [HOSTILE[number % len(HOSTILE)] for number in range(10_000)]
    for number, text in enumerate(texts):
        name = f"{text[:60]} {number}".replace("/", "\\").replace("\0", "").replace("\n", " ")
        file = (project / "pipelines").as_posix().encode() + b"/" + name.encode(errors="replace") + b".yaml"
        Path(os.fsdecode(file)).write_text(FILE.format(name=f"p{number}"))
    for part in range(40):
        steps = [step(f"{text} {part}", "lake.extractor") for text in texts[part * 250 : part * 250 + 250]]
        start = NOW - timedelta(hours=1, minutes=part)
        write_session(project, plan(*steps, name=f"p{part}"), start=start, suffix=f"1{part:04}")
    with serve_pages(project) as server:
        # The first answer waits until all 10,000 files are validated.
        page = visit(server, "/runs", patience=20 * SOON)
        addresses = "links => links.map(link => link.getAttribute('href'))"
        reports = page.eval_on_selector_all("a[href^='/runs/']", addresses)
        page.goto(server.base + "/")
        pages = page.eval_on_selector_all("strong > a", addresses)
        assert (len(pages), len(reports)) == (10_005, 46)
        one, two = (each.removeprefix("/runs/") for each in reports[:2])
        for path in ("/", "/runs", *pages[::1000], *reports[::8], f"/compare?a={one}&b={two}"):
            assert page.goto(server.base + path).status == 200
            assert page.evaluate("window.pwned") is None
            assert is_as_wide_as_the_window(page)
            assert page.locator("main script, main img, main iframe, main object, main embed, main style").count() == 0


def test_home_leads_to_runs(project, visit):
    with serve_pages(project) as server:
        page = visit(server)
        assert page.url == f"{server.base}/"
        rows = page.locator("tbody tr")
        assert rows.count() == 5
        assert "needs attention" in page.inner_text("h2") or "need attention" in page.inner_text("h2")
        first = rows.first
        assert "failing" in first.inner_text() or "broken" in first.inner_text()
        page.click("text=failed")
        assert "/runs/" in page.url
        assert "DAT001" in page.inner_text("main")
        page.click("nav >> text=Runs")
        page.click("nav >> text=Home")
        assert page.url == f"{server.base}/"


def test_pages_are_used_by_keyboard(project, visit):
    with serve_pages(project) as server:
        page = visit(server)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Runs"
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs")
