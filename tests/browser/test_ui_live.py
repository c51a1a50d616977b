"""The page of a run at work: it follows the run without being loaded again, to whatever end that comes."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import closing, contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.conftest import OSIRIS
from tests.e2e.databases import Side
from tests.e2e.sessions import new_project
from tests.e2e.test_progress import GATE, PIPELINE, SOURCE
from tests.patience import SOON, wait_until
from tests.servers.pages import serve_pages

BROKEN = PIPELINE.replace("max(v)", "max(CASE WHEN v = 'last' THEN CAST(v AS INTEGER) ELSE 0 END)")
"""It fails at the row that waits."""


@pytest.fixture(scope="module")
def source(tmp_path_factory, postgres):
    side = Side("postgres", "source", tmp_path_factory.mktemp("source"), postgres)
    side.sql(*SOURCE)
    return side


@pytest.fixture
def project(tmp_path, source):
    folder = new_project(tmp_path / "shop")
    fields = "".join(f"      {name}: {value}\n" for name, value in source.fields.items())
    (folder / "osiris_connections.yaml").write_text(f"connections:\n  postgres:\n    source:\n{fields}")
    (folder / "pipelines" / "long.yaml").write_text(PIPELINE)
    return folder


class Run:
    """A run that waits at its last row for `finish`."""

    def __init__(self, folder, process, keeper):
        self.process, self.keeper, self.folder = process, keeper, folder

    @property
    def session(self):
        return next(iter(sorted(path.name for path in (self.folder / "logs").iterdir())))

    def finish(self):
        self.keeper.execute("SELECT pg_advisory_unlock_all()")
        return self.process.wait(SOON)


@contextmanager
def at_work(folder, source):
    """Start a run, and wait until it reads."""
    command = [OSIRIS, "run", "pipelines/long.yaml", "--new-run"]
    with closing(source.connect()) as keeper:
        keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=folder, env={**os.environ, **source.env}, **streams) as process:
            try:
                wait_until(lambda: any((folder / "logs").glob("*/events.jsonl")))
                events = next((folder / "logs").glob("*/events.jsonl"))
                wait_until(lambda: b'"step_progress"' in events.read_bytes())
                yield Run(folder, process, keeper)
            finally:
                process.kill()


def head(page):
    return " ".join(page.inner_text("#live-head").split())


def is_reading(page):
    """Whether rows of the first step are shown."""
    row = page.inner_text("tbody tr >> nth=0")
    return "running" in row and "rows" in row


def test_a_run_is_followed_to_its_end(project, source, visit):
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        loads = []
        page.on("framenavigated", lambda frame: loads.append(frame.url))
        wait_until(lambda: is_reading(page))
        assert "running" in head(page)
        page.wait_for_function("document.getElementById('live-head').innerText.includes('memory')")
        assert Axe().run(page).response["violations"] == []
        before = head(page)
        wait_until(lambda: head(page) != before)  # time passes
        assert run.finish() == 0
        page.wait_for_selector("text=Open the report")
        assert "complete" in head(page)
        assert "3 of 3 steps complete, 100,000 rows in, 10 rows out" in head(page)
        assert page.inner_text("#live-state") == "long complete"
        assert loads == []
        page.click("text=Open the report")
        assert page.inner_text("#rows-out") == "10"


@pytest.mark.long
def test_a_run_of_a_million_rows_is_followed(project, source, visit):
    source.sql(
        "CREATE VIEW million AS SELECT n % 10 AS k, 'value ' || n AS v FROM generate_series(1, 999999) AS n "
        "UNION ALL SELECT last_row(), 'last'"
    )
    (project / "pipelines" / "long.yaml").write_text(PIPELINE.replace("table: gated", "table: million"))
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        loads, shown = [], set()
        page.on("framenavigated", lambda frame: loads.append(frame.url))
        wait_until(lambda: shown.add(page.inner_text("tbody tr >> nth=0")) or len(shown) > 3)
        assert run.finish() == 0
        page.wait_for_selector("text=Open the report")
        assert "3 of 3 steps complete, 1,000,000 rows in, 10 rows out" in head(page)
        assert loads == []


def test_a_failing_run_says_why(project, source, visit):
    (project / "pipelines" / "long.yaml").write_text(BROKEN)
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(page))
        assert run.finish() == 1
        page.wait_for_selector("section.failed")
        problem = page.inner_text("section.failed")
        assert "SQL011" in problem
        assert page.locator("section.failed").bounding_box()["y"] < page.locator("table").bounding_box()["y"]
        assert "failed" in page.inner_text("tbody")
        assert Axe().run(page).response["violations"] == []


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "cancelled"), (signal.SIGKILL, "process of this run")])
def test_a_run_that_is_stopped(project, source, visit, number, word):
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(page))
        run.process.send_signal(number)
        wait_until(lambda: word in head(page))


def test_a_run_that_is_deleted_meanwhile(project, source, visit):
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(page))
        run.process.kill()
        run.process.wait(SOON)
        shutil.rmtree(project / "logs" / run.session)
        wait_until(lambda: "deleted" in head(page) or "process of this run" in head(page))
        page.reload()
        assert "RUN010" in page.inner_text("main")


def test_a_closed_browser_disturbs_nobody(project, source, visit, chromium):
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(page))
        page.context.close()
        other = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(other))
        assert run.finish() == 0
        other.wait_for_selector("text=Open the report")


def test_the_server_ends_while_a_run_is_followed(project, source, visit):
    with serve_pages(project, **source.env) as server, at_work(project, source) as run:
        page = visit(server, f"/runs/{run.session}")
        wait_until(lambda: is_reading(page))
        page.context.set_offline(offline=True)
        assert server.stop() == 0
        assert run.finish() == 0


def test_a_pipeline_is_run_and_cancelled_from_its_page(project, source, visit):
    with serve_pages(project, "--allow-run", **source.env) as server, closing(source.connect()) as keeper:
        keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])
        page = visit(server, "/pipelines/long.yaml")
        page.click("button:text-is('Run')")
        page.wait_for_url("**/runs/*")
        wait_until(lambda: is_reading(page))
        assert Axe().run(page).response["violations"] == []
        page.click("button:text-is('Cancel')")
        wait_until(lambda: "cancelled" in page.inner_text("main"))


def test_a_run_goes_on_when_the_server_ends(project, source, visit):
    with closing(source.connect()) as keeper:
        keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])
        with serve_pages(project, "--allow-run", **source.env) as server:
            page = visit(server, "/pipelines/long.yaml")
            page.click("button:text-is('Run')")
            page.wait_for_url("**/runs/*")
            wait_until(lambda: is_reading(page))
            page.context.set_offline(offline=True)
            assert server.stop() == 0
        keeper.execute("SELECT pg_advisory_unlock_all()")
        summary = next((project / "logs").glob("*/run.json"))
        wait_until(lambda: json.loads(summary.read_bytes())["status"] == "complete")


def test_a_command_is_copied(project, source, visit):
    with serve_pages(project, **source.env) as server:
        page = visit(server, "/pipelines/long.yaml")
        page.click("button:text-is('Copy') >> nth=0")
        page.wait_for_selector("button:text-matches('Copied|Selected')")
