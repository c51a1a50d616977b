"""Copy many small tables from one database of a server into another: seconds, memory, and dlt once."""

from __future__ import annotations

import json
import shutil
from statistics import median
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import median_cpu, peak_megabytes, run
from bench.peers.tools import Job, Unusable, perform, script
from bench.projects import lay_out, osiris_run, save, step
from bench.sides import NAME, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.figure import Bench
    from bench.measure import Sample
    from bench.sides import Side

COPIES = "copies"
"""The database of the copies."""
TABLES, MANY, ROWS = 200, 500, 1000
SECONDS, MEGABYTES = 10, 400
COLUMNS = {
    "postgres": """g::bigint AS id, 'name ' || g AS name, (g * 1.5)::numeric(12, 2) AS amount, now() AS at,
        current_date AS day, g % 2 = 0 AS flag, md5(g::text) AS hash, g AS number FROM generate_series(1, {rows}) g""",
    "mysql": """seq AS id, concat('name ', seq) AS name, cast(seq * 1.5 AS decimal(12, 2)) AS amount, now() AS at,
        curdate() AS day, seq % 2 = 0 AS flag, md5(seq) AS hash, seq AS number FROM seq_1_to_{rows}""",
}


def tables(bench: Bench) -> Iterator[Figure]:
    """Measure the first load of many tables of each server; the start of the processes is that of one table."""
    for family in ("postgres", "mysql"):
        with started(family) as side:
            columns = COLUMNS[family].format(rows=ROWS)
            names = [f"table_{number:03}" for number in range(MANY)]
            side.run(*(f"CREATE TABLE {name} AS SELECT {columns}" for name in names), database=NAME)
            side.run(*(f"ALTER TABLE {name} ADD PRIMARY KEY (id)" for name in names), database=NAME)
            yield from _copies(bench, side, names)


def _copies(bench: Bench, side: Side, names: list[str]) -> Iterator[Figure]:
    project = bench.folder.absolute() / side.family
    connections = {NAME: side.connection, COPIES: {**side.connection, "database": COPIES, "default": False}}
    files = {"osiris_connections.yaml": json.dumps({"connections": {side.family: connections}})}
    lay_out(project, {}, {**files, ".env": f"BENCH_PASSWORD={NAME}\n"})
    start = median(_first_load(project, side, names[:1]).seconds for _ in range(3))
    samples = [_first_load(project, side, names[:TABLES]) for _ in range(min(bench.runs, 3))]
    seconds = median(sample.seconds for sample in samples) - start
    what = f"{side.family}: first load of {TABLES} tables x {ROWS} rows"
    detail = f"start {start:.2f} s, processor {median_cpu(samples):.1f} s, {peak_megabytes(samples):.0f} MB"
    yield Figure(what, seconds, SECONDS, "s", detail)
    if side.family == "postgres":
        yield _dlt(bench, side, what, seconds)
    many = _first_load(project, side, names)
    detail = f"{many.seconds:.1f} s"
    what = f"{side.family}: peak memory of host and worker, {MANY} tables"
    yield Figure(what, peak_megabytes([many]), MEGABYTES, "MB", detail)


def _first_load(project: Path, side: Side, names: list[str]) -> Sample:
    """Compile and run, as in a fresh project with an empty database of copies, and check the rows."""
    _empty(side)
    for left in ("build", ".osiris", "logs"):
        shutil.rmtree(project / left, ignore_errors=True)
    (project / "osiris.lock").unlink(missing_ok=True)
    steps = [pair for name in names for pair in _pair(side.family, name)]
    save(project, "tables", steps)
    sample = run(osiris_run("tables"), project)
    with side.connect(COPIES) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT count(*) FROM {name}")
            if cursor.fetchone()[0] != ROWS:
                raise SystemExit(f"rows are missing in {name}")
    return sample


def _empty(side: Side) -> None:
    side.run(f"DROP DATABASE IF EXISTS {COPIES}")
    side.run(f"CREATE DATABASE {COPIES}")


def _pair(family: str, name: str) -> tuple[dict, dict]:
    source = {**step(f"{name}_source", f"{family}.extractor", connection=f"@{family}.{NAME}", table=name), "needs": []}
    return source, step(name, f"{family}.writer", source["id"], connection=f"@{family}.{COPIES}", table=name)


def _dlt(bench: Bench, side: Side, what: str, ours: float) -> Figure:
    """Return the seconds of dlt, once, over ours."""
    _empty(side)
    source, target = side.url("postgresql+psycopg2"), side.url("postgresql").removesuffix(NAME) + COPIES
    folder = bench.folder.absolute() / "dlt"

    def count() -> int:
        with side.connect(COPIES) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*) FROM pg_tables WHERE schemaname = 'copied' AND tablename < 'table_{TABLES:03}'"
                " AND tablename LIKE 'table%'"
            )
            return cursor.fetchone()[0]

    words = [script("dlt_tables"), source, target, str(TABLES), str(folder)]
    try:
        done = perform(Job("dlt", words, TABLES, count), bench.data, folder)
    except Unusable as unusable:
        return Figure(f"{what}, dlt: not measured", None, None, "x", str(unusable))
    seconds = done.sample.seconds - done.start
    detail = f"{seconds:.1f} s, start-up {done.start:.2f} s, {done.sample.peak_bytes / 1e6:.0f} MB, once"
    return Figure(f"{what}, {done.name}, over ours", seconds / ours, None, "x", detail)
