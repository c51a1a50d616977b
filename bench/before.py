"""What exists against an earlier version: `--before COMMAND` is its `osiris`, which runs in turn with ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.measure import alternate, median_cpu, median_seconds
from bench.projects import AGGREGATE, OSIRIS, chain, lay_out, step, to_parquet
from bench.servers import Ground
from bench.sides import NAME, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.figure import Bench

BAR = 1.03


def before(bench: Bench) -> Iterator[Figure]:
    """Compare whole commands, ours and the earlier one, each in a project of its own; nothing without `--before`."""
    if bench.before is None:
        return
    folder = bench.folder.absolute()
    homes = {OSIRIS: folder / "ours", bench.before: folder / "earlier"}
    files = {"lineitem.csv": bench.data / "lineitem.csv", "tiny.csv": "id,name\n1,a\n"}
    copied = {"copy": None, "aggregate": AGGREGATE.format(source="source")}
    pipelines = {name: to_parquet(name, "lineitem.csv", query) for name, query in copied.items()}
    for home in homes.values():
        lay_out(home, {**pipelines, "chain": chain(1000)}, files)
    yield _compared("CSV to Parquet", homes, bench, "run", "copy", "--new-run")
    yield _compared("aggregate of a CSV file", homes, bench, "run", "aggregate", "--new-run")
    yield _compared("compile of 1,000 SQL steps", homes, bench, "compile", "chain")
    for family in ("postgres", "mysql"):
        yield from _with_server(family, bench)


def _with_server(family: str, bench: Bench) -> Iterator[Figure]:
    with started(family) as side:
        ground = Ground(bench, side)
        homes = {}
        source = step("source", "filesystem.parquet_extractor", path=str(ground.parquet("whole")))
        for command, table in ((OSIRIS, "ours"), (bench.before, "earlier")):
            home = homes[command] = bench.folder.absolute() / f"{family}-{table}"
            side.make(table)
            query = f"SELECT * FROM {ground.table('whole')}"
            read = step("source", f"{family}.extractor", query=query)
            pipelines = {
                "read": [read, step("target", "filesystem.parquet_writer", "source", path="output/read.parquet")],
                "append": [source, step("target", f"{family}.writer", "source", table=table)],
            }
            connections = json.dumps({"connections": {family: side.connections}})
            lay_out(home, pipelines, {"osiris_connections.yaml": connections, ".env": f"BENCH_PASSWORD={NAME}\n"})
        yield _compared(f"{family}: query to Parquet", homes, bench, "run", "read", "--new-run")
        yield _compared(f"{family}: Parquet to table, appended", homes, bench, "run", "append", "--new-run")


def _compared(what: str, homes: dict[str, Path], bench: Bench, command: str, job: str, *options: str) -> Figure:
    commands = [[osiris, "-C", str(home), command, f"pipelines/{job}.yaml", *options] for osiris, home in homes.items()]
    ours, earlier = alternate(commands, bench.folder, bench.runs)
    seconds = [median_seconds(each) for each in (ours, earlier)]
    cpu = [median_cpu(each) for each in (ours, earlier)]
    detail = f"{seconds[0]:.2f} s / {seconds[1]:.2f} s, processor {cpu[0]:.2f} s / {cpu[1]:.2f} s"
    return Figure(f"{what}, against the version before", seconds[0] / seconds[1], BAR, "x", detail)
