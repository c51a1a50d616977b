"""The view of a run, read from its session."""

import json

import pytest
from tests.browser.sessions import moment, plan, problem, shop, step, write_session

from osiris.history.reading import Reading
from osiris.history.record import load_run
from osiris.report.pages import MOST_PACKED, run_page
from osiris.report.run import read_report


@pytest.fixture
def session(tmp_path):
    """Write a session, add events and change its run.json; returns the run."""

    def call(manifest, events=(), change=lambda _: None, **more):
        folder = write_session(tmp_path, manifest, **more)
        summary = json.loads((folder / "run.json").read_text())
        change(summary)
        (folder / "run.json").write_text(json.dumps(summary))
        with (folder / "events.jsonl").open("a") as file:
            for number, (at, name, fields) in enumerate(events, 1000):
                line = {"ts": moment(at), "seq": number, "session": folder.name, "event": name, **fields}
                file.write(json.dumps(line) + "\n")
        return Reading(load_run(folder), None, None, None, str)

    return call


def test_a_step_tells_its_tries_and_what_was_set_aside(session):
    def change(run):
        run["steps"]["orders"] |= {"attempts": 2, "checks": 3, "quarantined": {"rows": 4, "file": "rejects.csv"}}

    retry = {"step": "orders", "attempt": 2, "wait_ms": 1500, "code": "CON015", "message": "it was out of reach"}
    run = session(shop(), [(2, "step_retry", retry)], change)
    orders = read_report(run).steps[0]
    assert orders.retries == ((2, "CON015", "it was out of reach", 1.5),)
    assert (orders.attempts, orders.checks) == (2, 3)
    html = run_page(run)
    assert "before attempt 2 (waited 1.5 s): <code>CON015</code> it was out of reach" in html
    assert "3 passed" in html
    assert "4 rows in <code>logs/" in html


def test_a_step_that_was_delivered_before_says_so(session):
    def change(run):
        run["continues"] = "20260301-110000-000-shop-0000"
        run["steps"]["report"] = {"mode": "write", "status": "skipped"}
        run["outputs"]["report"] = {"rows": 17, "digest": None, "files": []}

    event = (1, "step_skipped", {"step": "report", "reason": "delivered by an earlier session"})
    run = session(shop(), [event], change)
    report = read_report(run)
    assert report.steps[-1].reason == "delivered by an earlier session"
    html = run_page(run)
    assert "17 rows delivered by an earlier run of the same run id" in html
    assert "5 of 6 steps complete, 1 skipped" in html


def test_steps_behind_a_failed_one_are_named(session):
    run = session(shop(), failed={"joined": problem("SQL011", "no")})
    report = read_report(run)
    assert [each.id for each in report.failed] == ["joined"]
    assert report.steps[2].rows == 7
    assert "3 steps did not finish as a consequence: boxed, boxes, report" in run_page(run)


def test_a_lost_run_has_a_verdict_and_its_time(session):
    def change(run):
        run |= {"status": "lost", "duration_ms": None}
        run["diagnostics"] = [problem("RUN008", "the process is gone", file=None, line=None, column=None)]

    run = session(shop(), (), change, status="lost")
    assert read_report(run).seconds == 10
    html = run_page(run)
    assert "No, its process was lost" in html
    assert "the process is gone" in html


def test_a_lost_run_ends_at_its_last_sign_of_life_and_not_when_somebody_looked(session):
    lost = problem("RUN008", "the process is gone", file=None, line=None, column=None)

    def change(run):
        run |= {"status": "lost", "duration_ms": None, "ended_at": moment(12)}
        run["steps"]["report"] = {"mode": "write", "status": "failed"}

    looked = (3600, "step_failed", {"step": "report", "code": "RUN008", "message": "the process is gone"})
    run = session(shop(), [looked], change, status="lost", memory=[(14, 1_000_000)], diagnostics=[lost])
    report = read_report(run)
    assert (report.span, report.steps[-1].ended) == (14, 14)


def test_a_warning_of_a_complete_run_is_worth_knowing(session):
    note = problem("CMP020", "a column depends on chance", severity="warning")
    html = run_page(session(shop(), diagnostics=[note]))
    assert "Worth knowing" in html
    assert "6 of 6 steps complete, 1 warning" in html
    assert "What went wrong" not in html


def test_of_many_problems_the_first_are_shown_and_the_rest_is_counted(session):
    notes = [problem("CMP020", f"number {number}", severity="warning") for number in range(4000)]
    html = run_page(session(shop(), diagnostics=notes))
    assert "number 19<" in html
    assert "number 20<" not in html
    assert "and 3,980 more: run.json has all of them" in html


def test_of_many_columns_the_first_are_shown_and_the_rest_is_counted(session):
    wide = step("wide", "lake.extractor", columns=[(f"c{number}", "int64") for number in range(450)])
    html = run_page(session(plan(wide)))
    assert html.count('class="column"') == 200
    assert "and 250 columns more" in html


def test_a_file_that_is_too_large_stays_where_it_is(session):
    run = session(shop())
    with (run.run.folder / "metrics.jsonl").open("wb") as file:
        file.truncate(MOST_PACKED + 1)
    html = run_page(run)
    assert "<code>metrics.jsonl</code>, 64 MB, is too large to embed" in html
    assert html.count('class="packed"') == 3
