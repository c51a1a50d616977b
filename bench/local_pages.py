"""Measure `osiris ui`: the time of its pages in a large project, and of an event until a browser would have it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from bench.figure import Bench, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

PIPELINES, RUNS = 500, 10_000
EVENTS = 20
TEXT = """oml_version: "0.2.0"
name: {name}
schedule: {{cron: "0 2 * * *"}}
steps:
  - {{id: orders, component: filesystem.csv_extractor, mode: read, config: {{path: data/orders.csv}}}}
  - {{id: report, component: filesystem.csv_writer, mode: write, config: {{path: output/{name}.csv}}}}
"""


def local_pages(bench: Bench) -> list[Figure]:
    """Serve a project of 500 pipelines and 10,000 runs, and one that is empty."""
    from tests.servers.pages import serve_pages

    big, empty = _large_project(bench.folder / "big"), bench.folder / "empty"
    (empty / "pipelines").mkdir(parents=True)
    (empty / "osiris.yaml").touch()
    what = f"osiris ui with {PIPELINES:,} pipelines and {RUNS:,} runs"
    with serve_pages(big) as server:
        client = server.client()
        began = time.perf_counter()
        client.get("/")
        first = time.perf_counter() - began
        times = {path: _seconds(client, path) for path in ("/", "/runs", "/runs/last", "/pipelines/p0000.yaml")}
        late = sorted(_delays(client, big))
    with serve_pages(empty) as server:
        weight = len(server.client().get("/").content) / 1000
    slowest = max(list(times)[1:], key=lambda path: times[path])
    return [
        Figure(f"{what}: home when the server has just started", first, 10, "s"),
        Figure(f"{what}: home", 1000 * times["/"], 300, "ms", "median of 9"),
        Figure(f"{what}: slowest of its other pages", 1000 * times[slowest], 500, "ms", f"median of 9, {slowest}"),
        Figure("osiris ui: an event of a run, until it is sent", 1000 * late[EVENTS // 2], 300, "ms", "median"),
        Figure("osiris ui: weight of home without data", weight, 150, "kB"),
    ]


def _large_project(root: Path) -> Path:
    from tests.browser.sessions import plan, step, write_session

    (root / "pipelines").mkdir(parents=True)
    (root / "osiris.yaml").touch()
    for number in range(PIPELINES):
        name = f"p{number:04}"
        (root / "pipelines" / f"{name}.yaml").write_text(TEXT.format(name=name))
    columns = [("id", "int64"), ("amount", "float64")]
    start = datetime.now(UTC) - timedelta(minutes=RUNS)
    for number in range(RUNS):
        name = f"p{number % PIPELINES:04}"
        orders = step("orders", "filesystem.csv_extractor", columns=columns, config={"path": "data/orders.csv"})
        report = step("report", "filesystem.csv_writer", inputs=["orders"], config={"path": f"output/{name}.csv"})
        begun = start + timedelta(minutes=number)
        write_session(root, plan(orders, report, name=name), start=begun, seconds=5 + number % 7, suffix=f"{number:05}")
    return root


def _seconds(client: httpx.Client, path: str) -> float:
    """Return the median time of a page, in seconds; the first request waits until the project was read."""
    assert client.get(path).status_code == 200, path
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        client.get(path)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _delays(client: httpx.Client, root: Path) -> Iterator[float]:
    """Yield for some events of a run at work how long it took until the server had sent them, in seconds."""
    from tests.browser.sessions import shop, write_session

    from osiris.files import take_lock

    folder = write_session(root, shop(), start=datetime.now(UTC), status="running", suffix="99999")
    events = folder / "events.jsonl"
    events.write_text("")
    with events.open("ab", buffering=0) as file:
        take_lock(file.fileno())  # as the process of a run has
        with client.stream("GET", f"/runs/{folder.name}/events") as answer:
            lines = (line for line in answer.iter_lines() if line.startswith("data: "))
            next(lines)
            for number in range(1, EVENTS + 1):
                began = time.perf_counter()
                file.write(_progress(folder.name, number))
                next(line for line in lines if f"{1_000_000 + number:,}" in line)
                yield time.perf_counter() - began


def _progress(session: str, number: int) -> bytes:
    event = {"ts": datetime.now(UTC).isoformat(), "seq": number, "session": session, "event": "step_progress"}
    return json.dumps({**event, "step": "orders", "rows": 1_000_000 + number}).encode() + b"\n"
