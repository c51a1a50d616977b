"""The jobs of the other tools for each row of the figures, each with as many rows as it can process in some seconds."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import duckdb

from .tools import Absent, Job, perform, script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.servers import Ground
    from bench.sides import Side

EARLIER = """oml_version: "0.1.0"
name: peer
steps:
  - id: read
    component: mysql.extractor
    mode: read
    config: {{connection: "@mysql.bench", query: {query}}}
  - id: write
    component: filesystem.csv_writer
    mode: write
    needs: [read]
    config: {{path: {path}}}
"""


def readers(ground: Ground, row: str, selected: Callable[[str], str], form: str) -> list[Job | Absent]:
    """Return how each tool reads a query into a file of the given format."""
    return [
        _connectorx(ground, row, selected("whole"), form),
        _dlt_reader(ground, row, selected, form),
        _sling_reader(ground, row, selected("fortieth")),
        _earlier(ground, row, selected("quarter"), form),
    ]


def writers(ground: Ground, row: str) -> list[Job | Absent]:
    """Return how each tool adds the rows of a file to a table."""
    side, size = ground.side, "tenth" if ground.side.family == "postgres" else "fortieth"
    table = "public.sling" if side.family == "postgres" else "bench.sling"
    target = ["--tgt-conn", _sling_url(side), "--tgt-object", table]
    words = ["run", "--src-stream", f"file://{ground.csv(size)}", *target, "--mode", "full-refresh"]
    sling = Job("sling", words, ground.rows(size), partial(side.count, table), note=" from CSV")
    return [_dlt_writer(ground, row, size, "append"), sling]


def upserters(ground: Ground, row: str) -> list[Job | Absent]:
    """Return how each tool merges rows into a table in which half of them exist."""
    size = "fortieth"
    whole, half = _dlt_writer(ground, row, size, "merge"), ground.half(size)
    words = [str(half) if word == str(ground.parquet(size)) else word for word in whole.words]
    first = Job("dlt", words, _rows_in("parquet", str(half)), whole.count)

    def fill() -> None:
        perform(first, ground.bench.data, _folder(ground, row, "dlt"))

    return [Job("dlt", whole.words, whole.rows, whole.count, fill, whole.note)]


def _folder(ground: Ground, row: str, tool: str) -> Path:
    """Return the folder in which a tool runs for a row."""
    folder = ground.bench.folder.absolute() / f"{row}-{tool}"
    folder.mkdir(exist_ok=True)
    return folder


def _rows_in(form: str, files: str) -> int:
    return duckdb.sql(f"SELECT count(*) FROM read_{form}('{files}')").fetchall()[0][0]


def _connectorx(ground: Ground, row: str, query: str, form: str) -> Job | Absent:
    if form != "parquet":
        return Absent("connectorx", "it writes no files itself, so Arrow's CSV writer would be measured: see my-query")
    side, target = ground.side, str(_folder(ground, row, "connectorx") / "rows.parquet")
    url = side.url("postgresql" if side.family == "postgres" else "mysql")
    words = [script("connectorx_read"), url, query, target]
    return Job("connectorx", words, ground.rows("whole"), partial(_rows_in, "parquet", target))


def _dlt_reader(ground: Ground, row: str, selected: Callable[[str], str], form: str) -> Job:
    side, folder, size = ground.side, _folder(ground, row, "dlt"), "whole" if form == "parquet" else "fortieth"
    url = side.url("postgresql+psycopg2" if side.family == "postgres" else "mysql+pymysql")
    table, query = ground.table(size), selected(size)
    words = [script("dlt_read"), url, query, table, str(folder), form]
    count = partial(_rows_in, form, f"{folder}/files/read/{table}/*.{form}*")
    return Job("dlt", words, ground.rows(size), count, note=f" to {form}")


def _dlt_writer(ground: Ground, row: str, size: str, disposition: str) -> Job:
    url = ground.side.url("postgresql" if ground.side.family == "postgres" else "mysql+pymysql")
    words = [script("dlt_write"), url, str(ground.parquet(size)), disposition, str(_folder(ground, row, "dlt"))]
    count = partial(ground.side.count, f"dlt_{disposition}.lineitem")
    return Job("dlt", words, ground.rows(size), count, note=f" {disposition}")


def _sling_url(side: Side) -> str:
    return side.url("postgres") + "?sslmode=disable" if side.family == "postgres" else side.url("mysql")


def _sling_reader(ground: Ground, row: str, query: str) -> Job:
    """Return sling's job to CSV; for Parquet it would download another program."""
    target = str(_folder(ground, row, "sling") / "rows.csv")
    source = ["--src-conn", _sling_url(ground.side), "--src-stream", query]
    words = ["run", *source, "--tgt-object", f"file://{target}"]
    return Job("sling", words, ground.rows("fortieth"), partial(_rows_in, "csv", target), note=" to CSV")


def _earlier(ground: Ground, row: str, query: str, form: str) -> Job | Absent:
    """Return the job of the earlier implementation, which holds all rows in memory."""
    name = "osiris-pipeline"
    if ground.side.family != "mysql":
        return Absent(name, "it has no component that reads PostgreSQL")
    if form != "csv":
        return Absent(name, "it writes no Parquet: see my-csv")
    home = _folder(ground, row, name)
    target = str(home / "output" / "rows.csv")
    fields = {key: value for key, value in ground.side.connection.items() if key != "default"}

    def lay_out() -> None:
        shutil.rmtree(home / "output", ignore_errors=True)
        (home / "output").mkdir()
        connections = {"version": 1, "connections": {"mysql": {"bench": fields}}}
        (home / "osiris_connections.yaml").write_text(json.dumps(connections), encoding="utf-8")
        (home / ".env").write_text("BENCH_PASSWORD=bench\n", encoding="utf-8")
        text = EARLIER.format(query=json.dumps(query), path=json.dumps(target))
        (home / "peer.yaml").write_text(text, encoding="utf-8")

    return Job(name, ["run", "peer.yaml"], ground.rows("quarter"), partial(_rows_in, "csv", target), lay_out, " to CSV")
