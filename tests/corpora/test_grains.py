"""The row key that is reported for each query of the corpus is unique in DuckDB's result."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
from tests.known_rows import relation_rows

from osiris import sql
from osiris.sql.explanation.read_back import read_query

HERE = Path(__file__).parent
TYPES = {"BIGINT": "int64", "INTEGER": "int32", "VARCHAR": "utf8", "DATE": "date", "DOUBLE": "float64"}
KEYS = ("customers", "employees", "input_df", "items", "orders")
"""Relations whose column `id` names a row."""


def test_claimed_columns_are_unique():
    engine = duckdb.connect()
    engine.execute("SET threads = 1; SET TimeZone = 'UTC'")
    engine.execute((HERE / "duckdb_tables.sql").read_text("utf-8"))
    names = [name for (name,) in engine.execute("SELECT table_name FROM information_schema.tables").fetchall()]
    relations = {name: engine.sql(f"FROM {name}") for name in names}
    known = {
        name: relation_rows(
            name,
            {column: TYPES.get(str(kind), str(kind)) for column, kind in zip(found.columns, found.types, strict=True)},
            [["id"]] if name in KEYS else [],
        )
        for name, found in relations.items()
    }
    claims = 0
    for line in (HERE / "duckdb_queries.jsonl").read_text("utf-8").splitlines():
        verdict = sql.check(json.loads(line)["sql"], "duckdb", relations=None, parameters=())
        try:
            found = engine.sql(str(verdict.canonical))
            rows = found.fetchall()
        except (duckdb.Error, AttributeError):  # parameters, and statements of other tests
            continue
        columns = [column.lower() for column in found.columns]
        for key in read_query(str(verdict.canonical), known, names=found.columns).rows.keys:
            claims += 1
            named = [tuple(repr(row[columns.index(name)]) for name in key) for row in rows]
            assert len(set(named)) == len(named), (sorted(key), verdict.canonical)
    assert claims > 100
