"""Discovery of PostgreSQL: its catalogue, with columns typed as a step that reads them gets them."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.families.discovery_base import sampled
from osiris.families.postgres.database import POSTGRES
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.reader import read_query
from osiris.families.postgres.session import (
    Session,
    closed_schemas,
    described,
    qualified,
    reading,
    relation,
    table_result,
)
from osiris.families.sql.discoverer import DatabaseDiscoverer, keys_of
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.driver import Discoverer, Sampled, SeenTable, StepContext
    from osiris.families.postgres.session import Table
    from osiris.model import Schema

_USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
_SERVER = "SELECT pg_catalog.split_part(pg_catalog.version(), ' ', 1) || ' ' || current_setting('server_version')"
_SCHEMAS = f"""
SELECT n.nspname::text,
    CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN pg_catalog.count(c.oid) END FROM pg_catalog.pg_namespace n
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
WHERE {_USER_SCHEMAS} GROUP BY n.oid, n.nspname ORDER BY n.nspname"""
_FINGERPRINT = f"""
WITH seen AS (
    SELECT c.oid, c.xmin::text AS state FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USER_SCHEMAS})
SELECT pg_catalog.md5(pg_catalog.string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT 'table ' || oid || ' ' || state FROM seen
    UNION ALL SELECT 'schema ' || n.oid || ' ' || n.xmin FROM pg_catalog.pg_namespace n WHERE {_USER_SCHEMAS}
    UNION ALL SELECT 'column ' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin
        FROM pg_catalog.pg_attribute a JOIN seen ON seen.oid = a.attrelid WHERE a.attnum > 0
    UNION ALL SELECT 'default ' || d.oid || ' ' || d.xmin
        FROM pg_catalog.pg_attrdef d JOIN seen ON seen.oid = d.adrelid
    UNION ALL SELECT 'key ' || k.oid || ' ' || k.xmin
        FROM pg_catalog.pg_constraint k JOIN seen ON seen.oid = k.conrelid
    UNION ALL SELECT 'comment ' || t.objoid || ' ' || t.objsubid || ' ' || t.xmin
        FROM pg_catalog.pg_description t JOIN seen ON seen.oid = t.objoid
    UNION ALL SELECT 'type ' || t.oid || ' ' || t.xmin FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE {_USER_SCHEMAS} AND t.typtype IN ('d', 'e')
    UNION ALL SELECT 'role ' || r.rolname || ' ' || r.rolsuper FROM pg_catalog.pg_roles r
        WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')) AS entries(line)"""
_SIZES = """
SELECT c.relname::text, c.relpages::int8 * pg_catalog.current_setting('block_size')::int8,
    pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_NAMES = """
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.{key}) WITH ORDINALITY AS place(number, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.{table} AND a.attnum = place.number ORDER BY place.position)"""
_KEYS = f"""
SELECT k.contype::text, {_NAMES.format(key="conkey", table="conrelid")}, n.nspname::text, c.relname::text,
    {_NAMES.format(key="confkey", table="confrelid")}
FROM pg_catalog.pg_constraint k LEFT JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = %s AND k.contype IN ('p', 'u', 'f') ORDER BY k.conname"""

_ALL_KEYS = """
SELECT c.relname::text, c.relispartition, k.indisprimary, k.names FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN (
    SELECT i.indrelid, i.indisprimary, i.indexrelid,
        pg_catalog.array_agg(a.attname::text ORDER BY place.position) AS names
    FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS place(number, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = place.number
    WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
        AND place.position <= i.indnkeyatts
    GROUP BY i.indexrelid, i.indrelid, i.indisprimary HAVING pg_catalog.bool_and(a.attnotnull)) k ON k.indrelid = c.oid
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname, k.indexrelid"""

_LARGE = 2
"""A table with more rows than this many samples is sampled from random blocks."""

_OVERSAMPLING = 1.5
"""This many times more rows are read from random blocks than are returned: blocks are not equally full, and rows beyond
the sample size come from the last blocks."""

_SMALL = 1 << 20
"""Bytes up to which a table without an estimate is counted."""

_PATIENCE = "SELECT pg_catalog.set_config('lock_timeout', '5s', true)"


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open the database of a connection; fails with CON011 to CON017."""
    with reading(ctx) as session:
        session.rows(_PATIENCE)
        yield _Postgres(session, f"{ctx.step.removeprefix('@').partition('.')[0]}.extractor")


class _Postgres(DatabaseDiscoverer[Session]):
    """One snapshot of a database."""

    def __init__(self, session: Session, component: str) -> None:
        super().__init__(POSTGRES, session, session.schema, component)
        keywords = session.target.keywords
        self.identity = {
            "host": str(keywords["host"]),
            "port": str(keywords["port"]),
            "database": str(keywords["dbname"]),
            "user": session.target.user,
            "schema": session.schema,
        }
        ((self.product,),) = session.rows(_SERVER)

    def fingerprint(self) -> str:
        """Return a digest of the catalogue's row versions, and of the roles that decide what can be read."""
        ((digest,),) = self.session.rows(_FINGERPRINT)
        return str(digest)

    def schemas(self) -> Mapping[str, int | None]:
        """Return the schemas with their number of tables, None without USAGE; without Supabase's own schemas."""
        counts = dict(self.session.rows(_SCHEMAS))
        for closed in closed_schemas(self.session, counts):
            del counts[closed]
        own_schema = self.own_schema
        return {**({own_schema: counts[own_schema]} if own_schema in counts else {}), **counts}

    def at(self, schema: str) -> Session:
        """Return the session for another schema of the database."""
        return replace(self.session, schema=schema)

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema; fails with DRV012 if the schema does not exist."""
        tables = self.relations(schema).values()
        about = {
            name: {"bytes": size or None, "comment": text} for name, size, text in self.session.rows(_SIZES, schema)
        }
        return [
            self.seen(
                schema,
                table,
                kind=_KINDS[table.kind],
                rows=table.rows if table.kind != "v" else None,
                readable=table.readable,
                order="fixed" if table.plain else "free",
                **about[table.name],
            )
            for table in tables
        ]

    def keyed(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables of a schema with their keys, in few questions; partitions are of that kind."""
        partitions: set[str] = set()
        primary: dict[str, tuple[str, ...]] = {}
        unique: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for name, is_partition, is_primary, columns in self.session.rows(_ALL_KEYS, schema):
            partitions.update([name] if is_partition else ())
            if is_primary:
                primary[name] = tuple(columns)
            elif columns:
                unique[name].append(tuple(columns))
        return [
            self.seen(
                schema,
                table,
                kind="partition" if name in partitions else _KINDS[table.kind],
                readable=table.readable,
                primary_key=primary.get(name, ()),
                unique=tuple(unique[name]),
            )
            for name, table in self.relations(schema).items()
        ]

    @contextmanager
    def error_scope(self) -> Iterator[None]:
        """Keep the transaction alive if the server rejects a statement in the block."""
        import psycopg

        self.session.run("SAVEPOINT seen")
        try:
            yield
        except psycopg.Error as error:
            self.session.run("ROLLBACK TO SAVEPOINT seen")
            target = self.session.target
            fail_server(error.sqlstate or "", error.diag.message_primary or "", target.where, target.user)

    def place(self, table: SeenTable) -> tuple[Session, Table]:
        """Return a table's session and catalogue entry; fails with DRV020 for one that cannot be read."""
        session, entry = super().place(table)
        return session, entry if entry.readable else relation(session, entry.name)

    def carried(self, session: Session, relation: Table, names: Sequence[str]) -> Schema:
        """Return the columns as a step reads them; fails with DAT006 or DRV013."""
        return table_result(session, relation, names).schema

    def keys(self, session: Session, relation: Table) -> Mapping[str, Any]:
        """Return the keys of a table."""
        rows = session.rows(_KEYS, relation.oid)
        return keys_of((kind, names, self.shown(schema, table), to) for kind, names, schema, table, to in rows)

    def completed(self, table: SeenTable, session: Session, relation: Table) -> SeenTable:
        """Return a table with its approximate number of rows, also where it was never analysed."""
        return table if table.rows is not None or not relation.plain else replace(table, rows=_rows(session, relation))

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return rows of random blocks of a large table, the first rows of others."""
        session, entry = self.place(table)
        rows, clause, method = table.rows or 0, "", "the first rows"
        scattered = rows > _LARGE * most and entry.kind in ("r", "p", "m")
        if scattered:
            clause = f" TABLESAMPLE SYSTEM ({100 * most / rows:.4f}) REPEATABLE (0)"
            most, method = int(_OVERSAMPLING * most), "rows of random blocks"
        names = ", ".join(map(quote_name, columns))
        text = f"SELECT {names} FROM {qualified(session, entry)}{clause} LIMIT {most + 1}"
        source = described(session, text, {c.name: not c.nullable for c in POSTGRES.columns(session, entry)})
        batches = (batch.rows for batch in read_query(session, source.text, source.detail))
        sample = sampled(source.schema, batches, most, method)
        return replace(sample, whole=sample.whole and not scattered)


def _rows(session: Session, table: Table) -> int:
    """Return a table's number of rows: counted if it is small, else the planner's estimate."""
    ((size,),) = session.rows("SELECT pg_catalog.pg_relation_size(%s)", table.oid)
    if size <= _SMALL:
        ((rows,),) = session.rows(f"SELECT count(*) FROM {qualified(session, table)}")
        return int(rows)
    ((plan,),) = session.rows(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {qualified(session, table)}")
    return int(plan[0]["Plan"]["Plan Rows"])
