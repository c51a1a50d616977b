"""Keep one large table of PostgreSQL in step: new and changed rows against the server's own way, and deleted rows."""

from __future__ import annotations

import json
import shlex
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import median_cpu, median_seconds, peak_megabytes, run
from bench.projects import LINEITEM_ROWS, lay_out, osiris_run, save_entry
from bench.sides import NAME, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.figure import Bench
    from bench.measure import Sample
    from bench.sides import Side

COPIES, REFERENCE = "copies", "reference"
"""The schemas of our copy, and of that of the server's own programs."""
SHARE = 100
"""One row of so many is new or changed between two runs, half of them each."""
DELETED = 1000
"""One row of so many is deleted before a comparison."""
RATIO, SECONDS, MEGABYTES = 1.2, 10, 250
GUARD = 3
"""Seconds between many changes and the last one, more than the cursor's guard: later runs read the last one again."""
LAST = "UPDATE large SET updated_at = clock_timestamp() WHERE id = 1"
COLUMNS = """g::bigint AS id, 'name ' || g AS name, (g * 1.5)::numeric(12, 2) AS amount,
    clock_timestamp() AS updated_at, current_date AS day, g % 2 = 0 AS flag, md5(g::text) AS hash"""
MERGE = """MERGE INTO {target} t USING {fresh} s ON t.id = s.id
    WHEN MATCHED THEN UPDATE SET name = s.name, amount = s.amount, updated_at = s.updated_at, day = s.day,
        flag = s.flag, hash = s.hash
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name, s.amount, s.updated_at, s.day, s.flag, s.hash)"""


def changes(bench: Bench) -> Iterator[Figure]:
    """Measure a run that reads one percent, and one that compares all keys; the start is that of a tiny table."""
    rows = bench.size or LINEITEM_ROWS
    with started("postgres") as side:
        for table, count in (("large", rows), ("tiny", 10)):
            side.run(
                f"CREATE TABLE {table} AS SELECT {COLUMNS} FROM generate_series(1, {count}) g",
                f"ALTER TABLE {table} ADD PRIMARY KEY (id), ALTER updated_at SET NOT NULL,"
                " ALTER updated_at SET DEFAULT now()",
                f"CREATE INDEX ON {table} (updated_at)",
                database=NAME,
            )
        side.run(
            f"CREATE SCHEMA {COPIES}",
            f"CREATE SCHEMA {REFERENCE}",
            f"CREATE TABLE {REFERENCE}.large (LIKE large INCLUDING ALL)",
            f"INSERT INTO {REFERENCE}.large SELECT * FROM large",
            database=NAME,
        )
        time.sleep(GUARD)
        side.run(LAST, database=NAME)
        yield from _large(bench, side, rows)


def _large(bench: Bench, side: Side, rows: int) -> Iterator[Figure]:
    project = bench.folder.absolute() / "project"
    connections = json.dumps({"connections": {side.family: {NAME: side.connection}}})
    lay_out(project, {}, {"osiris_connections.yaml": connections, ".env": f"BENCH_PASSWORD={NAME}\n"})
    for table in ("large", "tiny"):
        save_entry(project, table, _entry(side.family, table))
        run(osiris_run(table), project)
    for table in ("public.large", f"{COPIES}.large", f"{REFERENCE}.large"):
        side.settle(table)
    start = median(run(osiris_run("tiny"), project).seconds for _ in range(3))
    ours, theirs = [], []
    for number in range(min(bench.runs, 5)):
        mark = _change(side, rows, number)
        theirs.append(run(_own_way(side, mark), project))
        ours.append(run(osiris_run("large"), project))
        _compare_copies(side)
    reference = median_seconds(theirs)
    what = f"postgres: 1 % of {rows:,} rows new or changed, upsert, over COPY + COPY + MERGE"
    detail = f"{median_seconds(ours) - start:.2f} s over {reference:.2f} s, {_detail(start, ours)}"
    yield Figure(what, (median_seconds(ours) - start) / reference, RATIO, "x", detail)
    save_entry(
        project, "large", _entry(side.family, "large", deletes={"compare": "keys", "every": "run", "as": "hard"})
    )
    for what, each in (("nothing deleted", 0), (f"1 of {DELETED} deleted", 1)):
        compared = [_compared(side, project, each * number) for number in range(1, 4)]
        job = f"postgres: compare 2 x {rows:,} keys, {what}"
        yield Figure(job, median_seconds(compared) - start, SECONDS, "s", _detail(start, compared))
        yield Figure(f"{job}, host and worker", peak_megabytes(compared), MEGABYTES, "MB")


def _compared(side: Side, project: Path, number: int) -> Sample:
    """Run with a comparison, after some rows were deleted unless the number is 0."""
    if number:
        side.run(f"DELETE FROM large WHERE id % {DELETED} = {number}", database=NAME)
    sample = run(osiris_run("large"), project)
    if side.count("large") != side.count(f"{COPIES}.large"):
        raise SystemExit("rows that were deleted are still in the copy")
    return sample


def _detail(start: float, samples: list[Sample]) -> str:
    return f"start {start:.2f} s, processor {median_cpu(samples):.1f} s, {peak_megabytes(samples):.0f} MB"


def _entry(family: str, table: str, **more: object) -> dict:
    return {
        "id": "copies",
        "from": {"connection": f"@{family}.{NAME}", "tables": [table]},
        "to": {"connection": f"@{family}.{NAME}", "table": f"{COPIES}.{{table}}"},
        "defaults": {"cursor": {"column": "updated_at"}, "write_mode": "upsert", **more},
    }


def _change(side: Side, rows: int, number: int) -> str:
    """Insert and change half a percent of the rows each; returns the time from which both copies must read."""
    with side.connect(NAME) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()::text")
        mark = str(cursor.fetchone()[0])
    each = rows // SHARE // 2
    first = rows + number * each
    side.run(
        f"INSERT INTO large SELECT {COLUMNS} FROM generate_series({first + 1}, {first + each}) g",
        f"UPDATE large SET amount = amount + 1, updated_at = clock_timestamp() WHERE id % {2 * SHARE} = {number + 1}"
        f" AND id <= {rows}",
        database=NAME,
    )
    time.sleep(GUARD)
    side.run(LAST, database=NAME)
    return mark


def _own_way(side: Side, mark: str) -> list[str]:
    """Return the command that copies the rows out into a file, copies them in, and merges them."""
    target, fresh = f"{REFERENCE}.large", "pg_temp.fresh"
    words = [
        f"\\copy (SELECT * FROM large WHERE updated_at >= '{mark}') TO 'fresh.bin' (FORMAT binary)",
        f"CREATE TEMPORARY TABLE fresh (LIKE {target})",
        "\\copy fresh FROM 'fresh.bin' (FORMAT binary)",
        MERGE.format(target=target, fresh=fresh),
    ]
    client = side.statement(words[0])
    return ["sh", "-c", shlex.join([*client[:-2], *(part for word in words for part in ("-c", word))])]


def _compare_copies(side: Side) -> None:
    """End the bench if the copies differ."""
    sums = []
    with side.connect(NAME) as connection, connection.cursor() as cursor:
        for table in ("large", f"{REFERENCE}.large", f"{COPIES}.large"):
            cursor.execute(f"SELECT count(*), sum(id), sum(amount), max(updated_at) FROM {table}")
            sums.append(cursor.fetchone())
    if len(set(sums)) != 1:
        raise SystemExit(f"the copies differ: {sums}")
