"""`osiris logs html`: which files it writes, when it shows them, and the page over all runs."""

import json
import os
import sys
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES, WIDTHS
from tests.browser.sessions import START, long_run, plan, problem, shop, step, write_session

SLOW = """
oml_version: "0.1.0"
name: slow
steps:
  - {id: ids, component: filesystem.csv_extractor, mode: read, config: {path: data/ids.csv}}
  - id: triples
    component: duckdb.processor
    mode: transform
    inputs: {df: "@ids"}
    config:
      query: SELECT count(*) AS n FROM df AS x, df AS y, df AS z WHERE x.id * y.id + z.id = 7
  - {id: out, component: filesystem.csv_writer, mode: write, inputs: {df: "@triples"}, config: {path: n.csv}}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    return tmp_path


def several(root):
    """Write three runs of two pipelines; return their folders, the oldest first."""
    at = [START + timedelta(hours=hour) for hour in range(3)]
    other = plan(step("only", "lake.extractor"), name="other")
    return [
        write_session(root, shop(), start=at[0], seconds=5),
        write_session(root, other, start=at[1], seconds=70, adapter="e2b"),
        write_session(root, shop(), start=at[2], failed={"orders": problem("DAT001", "no")}),
    ]


def answer(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_run_gets_its_page_and_one_leads_to_them(project, osiris, look):
    folders = several(project)
    data = answer(osiris("logs", "html", "--json", cwd=project))["data"]
    assert data["session"] == folders[2].name
    assert data["index"] == str(project / "logs/index.html")
    assert len(data["others"]) == 2
    page = look(project / "logs/index.html")
    assert page.locator("tbody tr").count() == 3
    assert [cell.inner_text() for cell in page.locator("tbody .state").all()] == ["failed", "complete", "complete"]
    assert "3 runs of 2 pipelines" in page.inner_text("header")
    for folder in folders:
        href = page.get_attribute(f"a:text-is('{folder.name}')", "href")
        assert (project / "logs" / href).is_file()
    page.select_option("#status", "failed")
    assert page.inner_text("#found") == "1 of 3 runs"
    page.select_option("#status", "")
    page.select_option("#pipeline", label="other")
    assert page.locator("tbody tr:visible").count() == 1
    assert "E2B" in page.locator("tbody tr:visible").inner_text()
    page.select_option("#pipeline", "")
    page.fill("#find", "dat001")
    assert page.locator("tbody tr:visible").count() == 1


def test_the_index_is_for_everybody(project, osiris, look):
    several(project)
    osiris("logs", "html", cwd=project)
    for width in WIDTHS:
        for scheme in SCHEMES:
            page = look(project / "logs/index.html", width, scheme)
            assert Axe().run(page).response["violations"] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pages_that_are_there_are_left_alone(project, osiris):
    folders = several(project)
    assert answer(osiris("logs", "html", "--json", "--sessions", "0", cwd=project))["data"]["others"] == []
    (folders[0] / "report.html").write_text("mine")
    answer(osiris("logs", "html", "--json", cwd=project))
    assert (folders[0] / "report.html").read_text() == "mine"
    answer(osiris("logs", "html", folders[0].name, "--json", cwd=project))
    assert (folders[0] / "report.html").read_text() != "mine"


def test_output_names_a_folder_or_a_file(project, osiris):
    folders = several(project)
    data = answer(osiris("logs", "html", "--output", "dist/pages", "--json", cwd=project))["data"]
    assert data["report"] == f"dist/pages/{folders[2].name}/report.html"
    assert (project / "dist/pages/index.html").is_file()
    assert not (folders[2] / "report.html").exists()
    said = osiris("logs", "html", "previous", "--output", "one.html", cwd=project)
    assert said.stdout == "report one.html\n"
    assert folders[0].name in (project / "one.html").read_text(encoding="utf-8")


def test_what_cannot_be_written_is_named(project, osiris):
    several(project)
    (project / "taken").write_text("")
    done = osiris("logs", "html", "--output", "taken/pages", cwd=project)
    assert done.returncode == 2
    assert "taken/pages" in done.stderr
    assert osiris("logs", "html", "no-such", cwd=project).stderr.startswith("RUN010")


@pytest.fixture
def browser_stub(tmp_path):
    """A browser that only records what it is asked to show."""
    program, shown = tmp_path / "browse", tmp_path / "shown"
    program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(shown)!r}, 'a').write(sys.argv[1])\n")
    program.chmod(0o755)
    return {"BROWSER": f"{program} %s"}, shown


def test_a_browser_is_started_only_when_asked(project, osiris, browser_stub):
    environ, shown = browser_stub
    folders = several(project)
    osiris("logs", "html", cwd=project, env=environ)
    assert not shown.exists()
    assert osiris("logs", "html", "--open", cwd=project, env=environ).returncode == 0
    assert shown.read_text() == (folders[2] / "report.html").as_uri()


def test_where_there_is_no_browser_that_is_said(project, osiris):
    several(project)
    done = osiris("logs", "html", "--open", cwd=project, env={"PATH": os.devnull})
    assert done.returncode == 0
    assert "AIO020 no browser could be opened for logs/" in done.stderr


def test_a_run_of_some_seconds_keeps_its_memory(project, osiris):
    """The running worker reports its memory use once a second."""
    (project / "data").mkdir()
    (project / "data/ids.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(1000)))
    (project / "slow.yaml").write_text(SLOW)
    done = osiris("run", "slow.yaml", "--json", cwd=project)
    session = answer(done)["data"]["session"]
    lines = (project / "logs" / session / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    memory = [each for each in told if each["metric"] == "memory_bytes"]
    (peak,) = (each["value"] for each in told if each["metric"] == "peak_memory_bytes")
    assert memory
    assert all(each["unit"] == "bytes" and 1_000_000 < each["value"] <= peak for each in memory)


@pytest.mark.long
def test_the_largest_run_has_a_page_of_bounded_size(project, osiris, look):
    folder = long_run(project)
    osiris("logs", "html", cwd=project)
    path = folder / "report.html"
    assert path.stat().st_size < 5_000_000
    page = look(path)
    assert page.locator(".step-card").count() == 300
    events = page.locator("section:has(#events)")
    lines = (folder / "events.jsonl").read_text().count("\n")
    assert lines > 100_000
    assert f"{lines:,} events, of which the first 100 and the last 100 are shown" in events.inner_text()
    assert f"{lines - 200:,} events more" in events.text_content()
    assert events.locator("tbody tr").count() == 201
    with page.expect_download() as waiting:
        page.click("text=events.jsonl")
    assert waiting.value.path().read_bytes() == (folder / "events.jsonl").read_bytes()
