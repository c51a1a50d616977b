"""A run without faults: spools, skips, casts, digests, run values, and which process imports what."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest
from tests.patience import SOON

from osiris.errors import OsirisError
from osiris.runner.protocol import Secrets


def lines(path):
    return path.read_text().splitlines()


@pytest.fixture
def describe(desk):
    def call(steps):
        events = []
        with desk.worker() as link:
            end = link.ask(desk.job("describe", steps), Secrets(), events.append)
        return end, {event["step"]: event for event in events}

    return call


def test_spool_gives_every_reader_everything(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=2500),
        make_step("b", "passing", "transform", ["a"]),
        make_step("c", "passing", "transform", ["a"]),
        make_step("d", "passing", "transform", ["b", "c"]),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
        make_step("w", "file_writer", "write", ["d"], path="w.txt"),
    ]
    result = desk.run(desk.plan(steps))
    assert result.status == "complete"
    once = lines(desk.project.root / "v.txt")
    assert len(once) == 2500
    assert lines(desk.project.root / "w.txt") == once + once
    assert {name: (s["rows_in"], s["rows_out"]) for name, s in result.steps.items()} == {
        "a": (2500, 2500),
        "b": (2500, 2500),
        "c": (2500, 2500),
        "d": (5000, 5000),
        "v": (2500, 2500),
        "w": (5000, 5000),
    }
    summary = desk.summary(result)
    assert (summary["rows_in"], summary["rows_out"]) == (2500, 7500)
    assert desk.left_over() == []


def test_long_chain_runs(desk, make_step):
    steps = [make_step("s00", "numbers", rows=10)]
    steps += [make_step(f"s{n:02}", "passing", "transform", [f"s{n - 1:02}"]) for n in range(1, 80)]
    steps.append(make_step("w", "file_writer", "write", ["s79"], path="w.txt"))
    assert desk.run(desk.plan(steps)).status == "complete"
    assert len(lines(desk.project.root / "w.txt")) == 10


def test_reader_that_does_not_read_to_the_end(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=9000),
        make_step("b", "passing", "transform", ["a"], limit=2),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    result = desk.run(desk.plan(steps))
    told = {e["step"]: e for e in desk.events(result) if e["event"] == "step_complete"}
    assert result.status == "complete"
    assert len(lines(desk.project.root / "w.txt")) == 2000
    assert [told[name]["read_to_end"] for name in "abw"] == [False, True, True]


def test_step_waits_for_what_it_only_needs(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=10),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
        make_step("b", "filesystem.csv_extractor", needs=["v"], path="v.txt", header=False, delimiter="\t"),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    (desk.project.root / "v.txt").write_text("0\tn0\n")
    result = desk.run(desk.plan(steps))
    assert result.status == "complete", result.diagnostics
    assert lines(desk.project.root / "w.txt") == lines(desk.project.root / "v.txt")
    order = [(e["event"], e["step"]) for e in desk.events(result) if "step" in e]
    assert order.index(("step_complete", "v")) < order.index(("step_start", "b"))


def test_continued_run_skips_what_is_delivered(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=100),
        make_step("v", "file_writer", "write", ["a"], path="v-${run.id}.txt"),
        make_step("b", "misbehaving", needs=["v"], deed="raise"),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    plan = desk.plan(steps)
    first = desk.run(plan)
    assert (first.status, first.steps["v"]["status"]) == ("failed", "complete")
    delivered = desk.project.root / f"v-{first.run_key}.txt"
    before = delivered.stat()
    second = desk.run(plan)
    assert (second.status, second.run_key) == ("failed", first.run_key)
    assert [d.code for d in second.diagnostics] == ["RUN011", "DRV000"]
    assert {name: step["status"] for name, step in second.steps.items()} == {
        "a": "skipped",
        "b": "failed",
        "v": "skipped",
        "w": "not_run",
    }
    assert delivered.stat().st_mtime_ns == before.st_mtime_ns
    assert desk.summary(second)["outputs"] == desk.summary(first)["outputs"]
    assert desk.summary(second)["run_started_at"] == desk.summary(first)["run_started_at"]
    delivered.write_text("not what it was")
    third = desk.run(plan)
    assert third.steps["v"]["status"] == "complete"
    assert len(lines(delivered)) == 100
    fourth = desk.run(plan, new_run=True)
    assert fourth.run_key == fourth.session_id


def test_finished_run_id_is_skipped(desk, make_step):
    plan = desk.plan([make_step("a", "numbers", rows=1), make_step("w", "file_writer", "write", ["a"], path="w.txt")])
    first = desk.run(plan, run_id="night-1")
    again = desk.run(plan, run_id="night-1")
    assert (again.session_id, again.exit_code) == (first.session_id, 0)
    assert [d.code for d in again.diagnostics] == ["RUN009"]
    assert len(list(desk.project.logs.iterdir())) == 1
    other = desk.run(plan, run_id="night-2")
    assert (other.run_key, other.diagnostics) == ("night-2", ())


def test_casts_are_planned_and_done(desk, make_step, describe):
    steps = [
        make_step("a", "numbers", rows=3, cast={"id": "decimal(5,1)"}),
        make_step("b", "passing", "transform", ["a"], cast={"text": "binary"}),
        make_step("w", "file_writer", "write", ["b"], path="w.txt", cast={"id": "utf8", "text": "utf8"}),
    ]
    plan = desk.plan(steps)
    planned = [[(c["name"], c["type"]) for c in step["schema"] or []] for step in plan.steps]
    assert planned[:2] == [[("id", "decimal(5,1)"), ("text", "utf8")], [("id", "decimal(5,1)"), ("text", "binary")]]
    result = desk.run(plan)
    assert result.status == "complete", result.diagnostics
    assert lines(desk.project.root / "w.txt") == ["0.0\tn0", "1.0\tn1", "2.0\tn4"]


def test_cast_that_does_not_fit_fails_its_step(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=300, cast={"id": "int8"}),
        make_step("w", "file_writer", "write", ["a"], path="w.txt"),
    ]
    result = desk.run(desk.plan(steps))
    assert [d.code for d in result.diagnostics] == ["DAT014"]
    assert result.steps["a"]["status"] == "failed"


def test_describe_tells_every_problem(describe, make_step):
    steps = [
        make_step("a", "numbers", rows=3, cast={"nope": "int8", "id": "money"}),
        make_step("b", "numbers", rows=3, cast={"text": "binary"}),
        make_step("c", "nothing_of_that_name"),
        make_step("d", "passing", "transform", ["a"]),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    end, told = describe(steps)
    assert not end["ok"]
    found = {step: sorted(d["code"] for d in event.get("diagnostics", [])) for step, event in told.items()}
    assert found == {"a": ["DAT005", "DAT012"], "b": [], "c": ["CMP001"], "w": ["CMP012"]}


def test_source_that_changed_is_refused(desk, make_step):
    steps = [make_step("a", "numbers", rows=3), make_step("w", "file_writer", "write", ["a"], path="w.txt")]
    plan = desk.plan(steps)
    plan.steps[0]["schema"][0]["type"] = "int32"
    result = desk.run(plan)
    assert ([d.code for d in result.diagnostics], result.exit_code) == (["DAT011"], 6)
    assert "column 'id' was int32 not null and is now int64 not null" in result.diagnostics[0].message


def test_every_output_can_be_digested(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=3),
        make_step("b", "passing", "transform", ["a"]),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    plan = desk.plan(steps)
    some = desk.run(plan)
    every = desk.run(plan, digest="all")
    assert [name for name, step in some.steps.items() if "digest" in step] == ["w"]
    assert len({json.dumps(step["digest"], sort_keys=True) for step in every.steps.values()}) == 1
    assert every.steps["w"]["digest"] == some.steps["w"]["digest"]


def test_words_of_the_plan_survive_a_password_of_the_same_name(desk, make_step):
    plan = desk.plan([make_step("a", "numbers", rows=1), make_step("w", "file_writer", "write", ["a"], path="w.txt")])
    plan.data["sensitive"].append("token")
    for word in ("w", "read", "complete", "strange.numbers", "step_complete", "trial"):
        result = desk.run(plan, environ={"OSIRIS_PARAM_TOKEN": word})
        assert (result.status, result.exit_code) == ("complete", 0), word
        assert desk.summary(result)["outputs"]["w"]["rows"] == 1
        assert [e["step"] for e in desk.events(result) if e["event"] == "step_complete"] == ["a", "w"]


def test_sensitive_parameter_without_a_value(desk, make_step):
    plan = desk.plan([make_step("a", "numbers", rows=1)])
    plan.data["sensitive"].append("token")
    with pytest.raises(OsirisError) as caught:
        desk.run(plan)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.hint) == ("OML022", "export OSIRIS_PARAM_TOKEN")


def test_query_is_interrupted(desk, make_step):
    (desk.project.root / "in.csv").write_text("id\n" + "\n".join(map(str, range(3000))))
    query = "SELECT count(*) AS n FROM a AS x, a AS y, a AS z WHERE x.id + y.id + z.id = 7"
    steps = [
        make_step("a", "filesystem.csv_extractor", path="in.csv"),
        make_step("b", "duckdb.processor", "transform", ["a"], query=query),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
    ]
    plan = desk.plan(steps)
    began = []

    def interrupt(event):
        if event["event"] == "step_start" and event["step"] == "w":
            threading.Timer(0.5, lambda: (began.append(time.monotonic()), os.kill(os.getpid(), signal.SIGINT))).start()

    result = desk.run(plan, interrupt)
    assert time.monotonic() - began[0] < SOON
    assert (result.status, result.exit_code, [d.code for d in result.diagnostics]) == ("cancelled", 130, ["RUN003"])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_host_needs_no_engine(desk):
    seen = "sorted({'pyarrow', 'duckdb', 'numpy'} & set(sys.modules))"
    code = f"import sys, osiris.runner.host.run, osiris.api; print({seen})"
    assert subprocess.run([desk.python, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


WAITING = 500
"""Milliseconds for which a step waits at its gate, after it has begun."""


def test_events_are_shown_as_they_are_written(desk, make_step):
    plan = desk.plan(
        [
            make_step("a", "numbers", rows=3000, gate="gate"),
            make_step("w", "file_writer", "write", ["a"], path="w.txt"),
        ]
    )
    shown, progress = [], []

    def show(event):
        shown.append(event)
        if event["event"] == "step_progress" and event["step"] == "w":
            progress.append(event)
            time.sleep(WAITING / 1000)
            (desk.project.root / "gate").touch()  # the first batch was shown, and the others may come

    result = desk.run(plan, show)
    assert shown == desk.events(result)
    assert [e["rows"] for e in progress] == sorted(e["rows"] for e in progress)
    assert progress[0]["rows"] == 1000
    assert progress[0]["rate"] > 0
    metrics = [json.loads(line) for line in (desk.session(result) / "metrics.jsonl").read_text().splitlines()]
    told = {(m["metric"], m["tags"].get("step")): (m["value"], m["unit"]) for m in metrics}
    assert told["rows_read", "a"] == (3000, "rows")
    assert told["rows_written", "w"] == (3000, "rows")
    assert told["bytes_written", "w"] == ((desk.project.root / "w.txt").stat().st_size, "bytes")
    assert told["step_duration_ms", "a"][0] > WAITING
    assert told["peak_memory_bytes", None][0] > 10_000_000


def test_a_source_that_is_gone_is_told_before_its_target_is_touched(desk, make_step):
    """It existed when it was checked before the run; the writer has not begun."""
    path = desk.project.root / "shop.db"
    with closing(sqlite3.connect(path)) as shop, shop:
        shop.execute("CREATE TABLE t (id INTEGER)")
    steps = [
        {**make_step("a", "sqlite.extractor", table="t"), "connection": "@sqlite.shop"},
        make_step("w", "file_writer", "write", ["a"], path="w.txt"),
    ]
    secrets, events = Secrets(plain={"@sqlite.shop": {"path": "shop.db"}}), []
    with desk.worker() as link:
        link.ask(desk.job("describe", steps[:1]), secrets, events.append)
        schema = events[0]["schema"]
        path.unlink()
        end = link.ask(desk.job("run", [{**step, "schema": schema} for step in steps]), secrets, events.append)
    assert not end["ok"]
    assert [(event["event"], event["step"]) for event in events[1:]] == [("step_start", "a"), ("step_failed", "a")]
