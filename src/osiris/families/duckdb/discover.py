"""Discovery of a DuckDB file: its catalogue, and the columns as a step that reads them gets them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from osiris.families.duckdb.database import DATABASE, DUCKDB, described_columns, order_of, read_batches
from osiris.families.sql.database import listed
from osiris.families.sql.discoverer import FileDiscoverer, discovering_file, keys_of, sampled_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import Discoverer, Sampled, SeenTable, StepContext
    from osiris.families.duckdb.database import Session
    from osiris.families.sql.database import Relation

_BATCH = 10_000
_MANY, _SPREAD = 2, 20
"""A table of more than _MANY times the sample is sampled by random blocks, _SPREAD times more rows than needed: a block
has 2048 rows, and a few blocks represent the table badly."""

_SCHEMAS = """
SELECT s.schema_name, count(t.name) FROM duckdb_schemas() s LEFT JOIN (
    SELECT database_name, schema_name, table_name AS name FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal) t
ON t.database_name = s.database_name AND t.schema_name = s.schema_name
WHERE s.database_name = ? AND NOT s.internal OR s.database_name = ? AND s.schema_name = 'main'
GROUP BY s.schema_name ORDER BY s.schema_name"""
_COMMENTS = r"""
SELECT table_name, nullif(regexp_replace(comment, ' ?\[osiris [0-9a-f]{16}\]$', ''), '')
FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?
UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE database_name = ? AND schema_name = ?"""
_KEYS = """
SELECT lower(constraint_type[1]), constraint_column_names, referenced_table, referenced_column_names
FROM duckdb_constraints()
WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY constraint_index"""


def discovering(ctx: StepContext) -> AbstractContextManager[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    return discovering_file(ctx, DUCKDB, _DuckDB)


class _DuckDB(FileDiscoverer[DuckDBPyConnection]):
    def schemas(self) -> Mapping[str, int | None]:
        """Return the schemas of the file."""
        counts = {name: int(count) for name, count in self.session.rows(_SCHEMAS, DATABASE, DATABASE)}
        return {DUCKDB.own_schema: counts.get(DUCKDB.own_schema, 0), **counts}

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema."""
        comments = dict(self.session.rows(_COMMENTS, *(DATABASE, schema) * 2))
        return [
            self.seen(
                schema,
                relation,
                kind=relation.kind,
                rows=relation.rows,
                comment=comments.get(name),
                order=order_of(relation),
                files=self.files,
            )
            for name, relation in self.relations(schema).items()
        ]

    def keys(self, session: Session, relation: Relation) -> Mapping[str, Any]:
        """Return the keys of a table."""
        return keys_of(session.rows(_KEYS, DATABASE, session.schema, relation.name))

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return rows of random blocks of a large table, the first rows of others."""
        session, relation = self.place(table)
        schema = described_columns(session, relation.name, columns)
        text = f"SELECT {listed(columns)} FROM {DUCKDB.qualified(session.schema, relation.name)}"
        read = partial(read_batches, session, schema=schema, size=_BATCH)
        if not table.rows or table.rows <= _MANY * most:
            return sampled_of(schema, [f"{text} LIMIT {most + 1}"], read, most, "the first rows")
        share = min(100, 100 * _SPREAD * most / table.rows)
        text = f"SELECT * FROM ({text} TABLESAMPLE system({share:.4f} PERCENT) REPEATABLE (1))"
        text += f" USING SAMPLE reservoir({most} ROWS) REPEATABLE (1)"
        return replace(sampled_of(schema, [text], read, most, "random rows of random blocks"), whole=False)
