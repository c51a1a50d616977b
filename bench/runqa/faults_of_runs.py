"""Faults of the run itself: time, space, signals, and a large plan."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from bench.projects import chain, step
from bench.runqa.desk import PATIENCE, children
from bench.runqa.truth import SESSION, Fault, Truth, changes, names, steps

if TYPE_CHECKING:
    from bench.runqa.desk import Desk

FEW, MANY = 3, 3000
CROSSED = "SELECT count(*) AS n FROM more a, more b, more c, more d WHERE a.id * b.id + c.id > d.id * 7"
"""Takes practically forever over many rows, and no time over few."""


def ids(count: int) -> str:
    """Return a file of so many rows."""
    return "id\n" + "".join(f"{n}\n" for n in range(count))


def slow(desk: Desk, **config: object) -> None:
    """Create a pipeline that copies a file and then runs a query that never ends over many rows; run it over few rows
    first.
    """
    desk.write("more.csv", ids(FEW))
    desk.pipeline(
        step("orders", "filesystem.csv_extractor", path="data/orders.csv"),
        step("keep", "filesystem.parquet_writer", "orders", path="output/keep.parquet"),
        step("more", "filesystem.csv_extractor", "keep", path="more.csv"),
        step("crossed", "duckdb.processor", "more", query=CROSSED, **config),
        step("save", "filesystem.csv_writer", "crossed", path="output/crossed.csv"),
    )
    desk.run()
    desk.write("more.csv", ids(MANY))


def timed_out(desk: Desk) -> str:
    """The query takes longer than the step's timeout, because there are more rows than ever."""
    slow(desk, timeout="3s")
    return desk.run(code=1)


def killed_worker(desk: Desk) -> str:
    """The worker is killed during the query, as the kernel would do."""
    slow(desk)
    return kill_worker(desk)


def killed_again(desk: Desk) -> str:
    """The worker is killed, the same command continues the run, and the worker is killed once more."""
    slow(desk)
    kill_worker(desk)
    return kill_worker(desk)


def kill_worker(desk: Desk) -> str:
    """Start the pipeline, and kill its worker during the query."""
    process, session = desk.begin("crossed")
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == 1
    return session


def killed_host(desk: Desk) -> str:
    """The process of the run is killed during the query; the next command notices it."""
    slow(desk)
    process, session = desk.begin("crossed")
    process.kill()
    process.wait(PATIENCE)
    desk.osiris("logs", "list")
    return session


def cancelled(desk: Desk) -> str:
    """Somebody cancels the run during the query."""
    slow(desk)
    process, session = desk.begin("crossed")
    process.terminate()
    assert process.wait(PATIENCE) == 143
    return session


def disk_full(desk: Desk) -> str:
    """The folder that is written to is on a full disk."""
    desk.write("big.csv", "id,text\n" + "".join(f"{n},some text {n}\n" for n in range(60_000)))
    desk.pipeline(
        step("big", "filesystem.csv_extractor", path="big.csv"),
        step("save", "filesystem.csv_writer", "big", path="output/big.csv"),
    )
    desk.run()
    with desk.small("output"):
        return desk.run(code=1)


def many_steps(desk: Desk) -> str:
    """Of 300 steps in a chain, the 151st gets a word where it needs a number."""
    desk.write("tiny.csv", "id,name\n1,1\n2,2\n3,3\n")
    line = chain(298)
    line[0]["config"]["dtype"] = {"id": "int64", "name": "utf8"}
    before = line[149]["id"]
    line[150]["config"]["query"] = f"SELECT CAST(name AS INTEGER) AS id, name FROM {before}"
    desk.pipeline(*line)
    desk.run()
    desk.write("tiny.csv", "id,name\n1,1\n2,2\n3,three\n")
    return desk.run(code=1)


LATER = steps("crossed save", "more")
LINE = ["source", *(f"s{number}" for number in range(298)), "target"]
STOPPED = {
    "root": {"step": "crossed"},
    "held_up": LATER,
    "written": {"keep": "written", "save": "nothing"},
    "rows": {"out": 8, "orders.out": 8, "keep.in": 8},
    "changed": changes("source_data more"),
    "next": names("run"),
}
"""The copy was written before the query began; the query returned nothing."""

AT_WORK = names("more crossed save")
UNSURE = {"written": {"keep": "written", "save": "nothing|unknown"}}
AGAIN = {"written": {"keep": "kept", "save": "nothing|unknown"}, "rows": {}}

RUNS = (
    Fault(
        "timeout",
        timed_out,
        Truth(
            verdict="failed",
            code="RUN002",
            kind="timeout",
            steps=names("crossed"),
            **STOPPED | {"next": names("run look")},
        ),
    ),
    Fault(
        "killed_worker",
        killed_worker,
        Truth(
            verdict="failed",
            code="RUN001",
            kind="killed",
            steps=AT_WORK,
            **STOPPED | UNSURE | {"root": {"signal": "SIGKILL|signal 9"}},
        ),
    ),
    Fault(
        "killed_again",
        killed_again,
        Truth(
            verdict="failed",
            code="RUN001",
            kind="killed",
            steps=AT_WORK,
            **STOPPED | AGAIN | {"root": {"signal": "SIGKILL|signal 9"}},
        ),
    ),
    Fault(
        "killed_host",
        killed_host,
        Truth(
            verdict="lost",
            code="RUN008",
            kind="killed",
            steps=AT_WORK,
            **STOPPED | UNSURE | {"root": {"session": SESSION}},
        ),
    ),
    Fault(
        "cancelled",
        cancelled,
        Truth(
            verdict="cancelled",
            code="RUN003",
            kind="cancelled",
            steps=AT_WORK,
            **STOPPED | {"root": {"signal": "SIGTERM"}},
        ),
    ),
    Fault(
        "disk_full",
        disk_full,
        Truth(
            verdict="failed",
            code="DRV004",
            kind="resource",
            steps=names("save"),
            root={"file": "output/big.csv"},
            held_up=steps("save", "big"),
            written={"save": "nothing"},
            rows={"out": 0},
            next=names("run"),
        ),
    ),
    Fault(
        "many_steps",
        many_steps,
        Truth(
            verdict="failed",
            code="SQL011",
            kind="data",
            steps=names("s149"),
            root={"step": "s149"},
            held_up=steps(" ".join(LINE[150:]), " ".join(LINE[:150])),
            written={"target": "nothing"},
            rows={"out": 0},
            changed=changes("source_data source"),
            next=names("look run"),
        ),
    ),
)
