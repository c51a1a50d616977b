"""How a DuckDB file is discovered: what its catalogue tells, and the columns as a step that reads them has them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.families.discovery_base import carried_or_not, content_of, sampled
from osiris.families.duckdb.session import (
    DATABASE,
    SCHEMA,
    described_columns,
    qualified,
    reading,
    relations,
    translated,
)
from osiris.families.sql.database_file import check_file, database_path, label
from osiris.sql.binding.bind import carried
from osiris.sql.binding.duck_types import quote_name
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import Discoverer, Sampled, StepContext
    from osiris.model import JsonValue, Schema

_BATCH = 10_000
_MANY, _SPREAD = 2, 20
"""Of a table with so many samples in it random blocks are looked at, so many times more than are needed: a block has
2048 rows, and a few of them say little of the others."""

_SCHEMAS = """
SELECT s.schema_name, count(t.name) FROM duckdb_schemas() s LEFT JOIN (
    SELECT database_name, schema_name, table_name AS name FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal) t
ON t.database_name = s.database_name AND t.schema_name = s.schema_name
WHERE s.database_name = ? AND NOT s.internal OR s.database_name = ? AND s.schema_name = 'main'
GROUP BY s.schema_name ORDER BY s.schema_name"""
_COMMENTS = """
SELECT table_name, comment FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?
UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE database_name = ? AND schema_name = ?"""
_COLUMNS = """
SELECT column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()
WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index"""
_KEYS = """
SELECT constraint_type, constraint_column_names, referenced_table, referenced_column_names FROM duckdb_constraints()
WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY constraint_index"""


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    path = database_path(ctx)
    shown = label(ctx, path)
    check_file(path, shown)
    files = [path, path.with_name(f"{path.name}.wal")]
    content = content_of(files, shown)
    with reading(ctx, path) as engine, translated(ctx, path):
        yield _DuckDB(engine, ctx, files, shown, content)


class _DuckDB:
    """One database file, in one state of it."""

    def __init__(
        self, engine: DuckDBPyConnection, ctx: StepContext, files: Sequence[Path], shown: str, content: str
    ) -> None:
        self.label = shown
        self.identity: Mapping[str, JsonValue] = {"file": str(files[0])}
        ((version,),) = engine.execute("SELECT version()").fetchall()
        self._files = tuple(map(str, files))
        self.product = f"DuckDB {version.removeprefix('v')}"
        self._engine, self._ctx, self._path, self._content = engine, ctx, files[0], content

    def fingerprint(self) -> str:
        """Return a digest of what the file is by size, time, node, head and tail, and of what waits beside it."""
        return self._content

    def schemas(self) -> Mapping[str, int | None]:
        """Return the schemas of the file."""
        found = {name: int(count) for name, count in self._rows(_SCHEMAS, DATABASE, DATABASE)}
        return {SCHEMA: found.get(SCHEMA, 0), **found}

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema."""
        comments = dict(self._rows(_COMMENTS, DATABASE, schema, DATABASE, schema))
        return [
            SeenTable(
                name=name if schema == SCHEMA else f"{schema}.{name}",
                component="duckdb.extractor",
                config={"table": name, **({} if schema == SCHEMA else {"schema": schema})},
                kind="view" if rows is None else "table",
                rows=rows,
                comment=comments.get(name),
                order="free" if rows is None else "fixed",
                files=self._files,
            )
            for name, rows in relations(self._engine, schema).items()
        ]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns and keys; fails with DRV013."""
        with translated(self._ctx, self._path):
            return self._detailed(table)

    def _detailed(self, table: SeenTable) -> SeenTable:
        schema, name = _place(table)
        told = {column: rest for column, *rest in self._rows(_COLUMNS, DATABASE, schema, name)}
        fields = carried_or_not(list(told), lambda names: self._described(table, names))
        columns = tuple(
            SeenColumn(column, kind, *fields[column].typed(nullable), default, comment, fields[column].problem)
            for column, (kind, nullable, default, comment) in told.items()
        )
        return replace(table, columns=columns, **self._keys(schema, name))

    def _described(self, table: SeenTable, columns: Sequence[str]) -> Schema:
        schema, name = _place(table)
        return described_columns(self._engine, schema, name, columns, f"table '{name}' of {self.label}")

    def _keys(self, schema: str, name: str) -> dict[str, Any]:
        rows = self._rows(_KEYS, DATABASE, schema, name)
        return {
            "primary_key": next((tuple(names) for kind, names, *_ in rows if kind == "PRIMARY KEY"), ()),
            "unique": tuple(tuple(names) for kind, names, *_ in rows if kind == "UNIQUE"),
            "foreign_keys": tuple(
                SeenKey(tuple(names), table, tuple(to)) for kind, names, table, to in rows if kind == "FOREIGN KEY"
            ),
        }

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return rows of random blocks of a large table, the first rows of others."""
        names = ", ".join(map(quote_name, columns))
        text, scattered = f"SELECT {names} FROM {qualified(*_place(table))}", (table.rows or 0) > _MANY * most
        if scattered and table.rows:
            share = min(100, 100 * _SPREAD * most / table.rows)
            text = f"SELECT * FROM ({text} TABLESAMPLE system({share:.4f} PERCENT) REPEATABLE (1))"
            text += f" USING SAMPLE reservoir({most} ROWS) REPEATABLE (1)"
        else:
            text += f" LIMIT {most + 1}"
        schema = self._described(table, columns)
        method = "random rows of random blocks" if scattered else "the first rows"
        found = sampled(schema, self._batches(text, schema), most, method)
        return replace(found, whole=found.whole and not scattered)

    def _batches(self, text: str, schema: Schema) -> Generator[pa.RecordBatch, None, None]:
        arrow = arrow_schema(tuple(replace(column, nullable=True) for column in schema))
        shown = carried(text, self._engine.sql(text))
        for batch in self._engine.sql(shown).to_arrow_reader(_BATCH):
            yield batch if batch.schema.equals(arrow) else batch.cast(arrow)

    def _rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        return self._engine.execute(statement, list(values)).fetchall()


def _place(table: SeenTable) -> tuple[str, str]:
    return str(table.config.get("schema", SCHEMA)), str(table.config["table"])
