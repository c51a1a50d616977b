"""How a SQLite file is discovered: what it declares, and the columns as a step that reads them has them."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.errors import fail
from osiris.families.discovery_base import content_of, sampled
from osiris.families.sql.database_file import check_file, database_path, label
from osiris.families.sqlite.session import declared, is_rowid, order_of, reading, tables, translated
from osiris.families.sqlite.types import is_readable, read_values, type_of
from osiris.model import Field
from osiris.sql.binding.duck_types import quote_name
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, StepContext
    from osiris.families.sqlite.session import Declared
    from osiris.model import JsonValue, Schema

_BATCH = 1_000
_COUNTED = 1_000_000
"""More rows than these are not counted; SQLite has no estimate of its own."""

_SCHEMA = "main"
_MANY = 4
"""A table with so many samples in it is looked at from both ends."""


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    path = database_path(ctx)
    shown = label(ctx, path)
    check_file(path, shown)
    files = [path, path.with_name(f"{path.name}-wal")]
    content = content_of(files, shown)
    with reading(ctx, path) as connection, translated(ctx, path):
        yield _SQLite(connection, ctx, files, shown, content)


class _SQLite:
    """One database file, in one state of it."""

    def __init__(
        self, connection: sqlite3.Connection, ctx: StepContext, files: Sequence[Path], shown: str, content: str
    ) -> None:
        self.label = shown
        self.identity: Mapping[str, JsonValue] = {"file": str(files[0])}
        self._files = tuple(map(str, files))
        self.product = f"SQLite {sqlite3.sqlite_version}"
        self._connection, self._ctx, self._path, self._content = connection, ctx, files[0], content

    def fingerprint(self) -> str:
        """Return a digest of what the file is by size, time, node, head and tail, and of what waits beside it."""
        return self._content

    def schemas(self) -> Mapping[str, int | None]:
        """Return the only schema."""
        return {_SCHEMA: len(tables(self._connection))}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the tables and views."""
        return [
            SeenTable(name, "sqlite.extractor", {"table": name}, "view" if table.view else "table", files=self._files)
            for name, table in sorted(tables(self._connection).items())
        ]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with columns and keys, and how many rows it has, if these are few; fails with DRV013."""
        with translated(self._ctx, self._path):
            return self._detailed(table)

    def _detailed(self, table: SeenTable) -> SeenTable:
        columns = declared(self._connection, table.name)
        key = sorted((column for column in columns if column.key), key=lambda column: column.key)
        return replace(
            table,
            rows=None if table.kind == "view" else self._count(table.name),
            columns=tuple(self._column(column, columns) for column in columns),
            primary_key=tuple(column.name for column in key),
            unique=self._unique(table.name),
            foreign_keys=self._foreign(table.name),
            order="fixed" if order_of(tables(self._connection)[table.name], columns) else "free",
        )

    def _column(self, column: Declared, every: list[Declared]) -> SeenColumn:
        kind = type_of(column.declared)
        nullable = not (column.needed or is_rowid(column, every))
        problem = None
        if kind is None:
            problem = f"SQLite does not say what it holds; give the step dtype: {{{column.name}: utf8}}"
        elif not is_readable(kind):
            problem = "SQLite has no such values"
        default = "generated" if column.generated else column.default
        return SeenColumn(column.name, column.declared, None if problem else kind, nullable, default, problem=problem)

    def _count(self, table: str) -> int | None:
        text = f"SELECT count(*) FROM (SELECT 1 FROM main.{quote_name(table)} LIMIT ?)"
        (rows,) = self._connection.execute(text, (_COUNTED,)).fetchone()
        return None if rows == _COUNTED else int(rows)

    def _unique(self, table: str) -> tuple[tuple[str, ...], ...]:
        text = """SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial AND origin <> 'pk'"""
        found = []
        for (index,) in self._rows(text, table):
            names = [name for (name,) in self._rows("SELECT name FROM pragma_index_info(?) ORDER BY seqno", index)]
            found += [tuple(names)] if all(names) else []
        return tuple(sorted(found))

    def _foreign(self, table: str) -> tuple[SeenKey, ...]:
        text = 'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        for number, *parts in self._rows(text, table):
            keys.setdefault(number, []).append((parts[0], parts[1], parts[2]))
        return tuple(
            SeenKey(tuple(c for c, *_ in parts), parts[0][1], tuple(to for *_, to in parts if to))
            for _, parts in sorted(keys.items())
        )

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows, in their order if there is one; of large tables also the last."""
        every = declared(self._connection, table.name)
        known = {column.name: column for column in every}
        schema = tuple(
            Field(name, str(type_of(known[name].declared)), not (known[name].needed or is_rowid(known[name], every)))
            for name in columns
        )
        order = order_of(tables(self._connection)[table.name], every)
        text = f"SELECT {', '.join(map(quote_name, columns))} FROM main.{quote_name(table.name)}"
        texts, method = [f"{text} LIMIT {most + 1}"], "the first rows"
        if order and (table.rows is None or table.rows > _MANY * most) and table.kind != "view":
            ways = (", ".join(name + way for name in order) for way in ("", " DESC"))
            texts = [f"{text} ORDER BY {way} LIMIT {most // 2}" for way in ways]
            method = "the first and the last rows"
        found = sampled(schema, self._batches(texts, schema), most, method)
        return replace(found, whole=found.whole and len(texts) == 1)

    def _batches(self, texts: Sequence[str], schema: Schema) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        arrow = arrow_schema(schema)
        for text in texts:
            cursor = self._connection.execute(text)
            while rows := cursor.fetchmany(_BATCH):
                arrays = [
                    _array(column, values) for column, values in zip(schema, zip(*rows, strict=True), strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=arrow)

    def _rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()


def _array(column: Field, values: Sequence[object]) -> pa.Array:
    """Return the values of a column; fails with DAT001 if one is not of its type."""
    array = read_values(values, column.type)
    if array is None:
        value = "one of its values"
        fail("DAT001", column=column.name, value=value, type=column.type, hint=f"give '{column.name}' another dtype")
    return array
