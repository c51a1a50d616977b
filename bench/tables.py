"""Keep many small tables in step with a database of the same server: seconds, memory, and dlt once."""

from __future__ import annotations

import json
import shutil
from statistics import median
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import median_cpu, median_seconds, peak_megabytes, run
from bench.peers.tools import Job, Unusable, perform, script
from bench.projects import lay_out, osiris_run, save_entry
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
FIRST, AGAIN, MEGABYTES = 10, 4, 400
COLUMNS = {
    "postgres": """g::bigint AS id, 'name ' || g AS name, (g * 1.5)::numeric(12, 2) AS amount,
        now() - g * interval '1 s' AS updated_at, current_date AS day, g % 2 = 0 AS flag, md5(g::text) AS hash,
        g AS number FROM generate_series(1, {rows}) g""",
    "mysql": """seq AS id, concat('name ', seq) AS name, cast(seq * 1.5 AS decimal(12, 2)) AS amount,
        now() - INTERVAL seq SECOND AS updated_at, curdate() AS day, seq % 2 = 0 AS flag, md5(seq) AS hash,
        seq AS number FROM seq_1_to_{rows}""",
}
STAMPED = {
    "postgres": "ALTER updated_at SET DEFAULT now(), ALTER updated_at SET NOT NULL",
    "mysql": "MODIFY updated_at timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp",
}
"""Makes the cursor's column one that the server stamps."""


def tables(bench: Bench) -> Iterator[Figure]:
    """Measure runs with many tables of each server; the start of the processes is that of one table."""
    for family in ("postgres", "mysql"):
        with started(family) as side:
            columns = COLUMNS[family].format(rows=ROWS)
            names = [f"table_{number:03}" for number in range(MANY)]
            side.run(*(f"CREATE TABLE {name} AS SELECT {columns}" for name in names), database=NAME)
            side.run(*(f"ALTER TABLE {name} ADD PRIMARY KEY (id), {STAMPED[family]}" for name in names), database=NAME)
            side.run(*(f"CREATE INDEX {name}_at ON {name} (updated_at)" for name in names), database=NAME)
            yield from _copies(bench, side, names)


def _copies(bench: Bench, side: Side, names: list[str]) -> Iterator[Figure]:
    project = bench.folder.absolute() / side.family
    connections = {NAME: side.connection, COPIES: {**side.connection, "database": COPIES, "default": False}}
    files = {"osiris_connections.yaml": json.dumps({"connections": {side.family: connections}})}
    lay_out(project, {}, {**files, ".env": f"BENCH_PASSWORD={NAME}\n"})
    start = median(_first_load(project, side, names[:1]).seconds for _ in range(3))
    many = _first_load(project, side, names)
    samples, again = [], []
    for _ in range(min(bench.runs, 3)):
        samples.append(_first_load(project, side, names[:TABLES]))
        again.append(run(osiris_run("tables"), project))
    seconds = median_seconds(samples) - start
    what = f"{side.family}: first load of {TABLES} tables x {ROWS} rows"
    yield Figure(what, seconds, FIRST, "s", _detail(start, samples))
    if side.family == "postgres":
        yield _dlt(bench, side, what, seconds)
    seconds = median_seconds(again) - start
    yield Figure(f"{side.family}: {TABLES} tables, nothing new", seconds, AGAIN, "s", _detail(start, again))
    what = f"{side.family}: peak memory of host and worker, {MANY} tables"
    yield Figure(what, peak_megabytes([many]), MEGABYTES, "MB", f"{many.seconds:.1f} s")


def _detail(start: float, samples: list[Sample]) -> str:
    return f"start {start:.2f} s, processor {median_cpu(samples):.1f} s, {peak_megabytes(samples):.0f} MB"


def _first_load(project: Path, side: Side, names: list[str]) -> Sample:
    """Compile and run, as in a fresh project with an empty database of copies, and check the rows."""
    _empty(side)
    for left in ("build", ".osiris", "logs"):
        shutil.rmtree(project / left, ignore_errors=True)
    (project / "osiris.lock").unlink(missing_ok=True)
    save_entry(project, "tables", _entry(side.family, names))
    sample = run(osiris_run("tables"), project)
    with side.connect(COPIES) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT count(*) FROM {name}")
            if cursor.fetchone()[0] != ROWS:
                raise SystemExit(f"rows are missing in {name}")
    return sample


def _entry(family: str, names: list[str]) -> dict:
    return {
        "id": "copies",
        "from": {"connection": f"@{family}.{NAME}", "tables": names},
        "to": {"connection": f"@{family}.{COPIES}", "table": "{table}"},
        "defaults": {"cursor": {"column": "updated_at"}, "write_mode": "upsert"},
    }


def _empty(side: Side) -> None:
    side.run(f"DROP DATABASE IF EXISTS {COPIES}")
    side.run(f"CREATE DATABASE {COPIES}")


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
