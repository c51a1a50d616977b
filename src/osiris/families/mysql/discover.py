"""Discovery of MySQL: its catalogue, with columns typed as a step that reads them gets them."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.errors import fail
from osiris.families.mysql.connect import numbered
from osiris.families.mysql.database import MYSQL
from osiris.families.mysql.errors import fail_server
from osiris.families.mysql.session import SYSTEM_SCHEMAS, Session, read_query, reading, table_result
from osiris.families.mysql.types import quote_name
from osiris.families.sql.discoverer import DatabaseDiscoverer, first_and_last, grouped, keys_of, sampled_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, SeenTable, StepContext
    from osiris.families.mysql.session import Table
    from osiris.model import Schema

_KINDS = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SEQUENCE": "sequence"}
_SCHEMAS = """
SELECT s.SCHEMA_NAME, COUNT(t.TABLE_NAME) FROM information_schema.SCHEMATA s
LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME
WHERE s.SCHEMA_NAME NOT IN %s GROUP BY s.SCHEMA_NAME ORDER BY s.SCHEMA_NAME"""
_SIZES = """
SELECT TABLE_NAME, DATA_LENGTH + INDEX_LENGTH, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"""
_READABLE = """
SELECT DISTINCT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND PRIVILEGES LIKE '%%select%%'"""
_KEYS = """
SELECT INDEX_NAME, INDEX_NAME = 'PRIMARY', COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_ALL_KEYS = """
SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS s
WHERE TABLE_SCHEMA = %s AND NON_UNIQUE = 0 AND NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS o
    WHERE o.TABLE_SCHEMA = %s AND o.TABLE_NAME = s.TABLE_NAME AND o.INDEX_NAME = s.INDEX_NAME
    AND (o.NULLABLE = 'YES' OR o.SUB_PART IS NOT NULL OR o.COLUMN_NAME IS NULL))
ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
_FOREIGN = """
SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION"""
_SUM = "COALESCE(BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('|', {})), 16), 16, 10) AS UNSIGNED)), 0)"
_FINGERPRINTED = {
    "TABLES": ("TABLE_SCHEMA", "TABLE_NAME", "TABLE_TYPE", "COALESCE(ENGINE, '')", "TABLE_COMMENT"),
    "COLUMNS": (
        *("TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "COLUMN_TYPE", "IS_NULLABLE"),
        *("COALESCE(COLUMN_DEFAULT, '')", "COLUMN_KEY", "EXTRA", "COLUMN_COMMENT", "PRIVILEGES"),
    ),
    "KEY_COLUMN_USAGE": (
        *("TABLE_SCHEMA", "TABLE_NAME", "CONSTRAINT_NAME", "COLUMN_NAME", "ORDINAL_POSITION"),
        *("COALESCE(REFERENCED_TABLE_NAME, '')", "COALESCE(REFERENCED_COLUMN_NAME, '')"),
    ),
}
"""The columns that make up a fingerprint, by catalogue view."""

_LARGE = 4
"""A table with more rows than this many samples, by the server's estimate, is sampled from both ends."""


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open the database of a connection; fails with CON011 to CON017."""
    with reading(ctx) as session:
        session.run("SET SESSION lock_wait_timeout = 5")
        yield _MySQL(session, f"{ctx.step.removeprefix('@').partition('.')[0]}.extractor")


class _MySQL(DatabaseDiscoverer[Session]):
    """One snapshot of a database; the server's other databases are its other schemas."""

    def __init__(self, session: Session, component: str) -> None:
        target = session.target
        super().__init__(MYSQL, session, target.database, component)
        self.identity = {
            "host": target.host,
            "port": str(target.port),
            "database": target.database,
            "user": target.user,
        }
        ((version,),) = session.rows("SELECT VERSION()")
        self.product = f"{'MariaDB' if session.mariadb else 'MySQL'} {version.partition('-')[0]}"

    def fingerprint(self) -> str:
        """Return a digest of the catalogue as the user sees it."""
        sums: list[int] = []
        for view, columns in _FINGERPRINTED.items():
            text = f"SELECT COUNT(*), {_SUM.format(', '.join(columns))} FROM information_schema.{view}"
            sums += self.session.rows(f"{text} WHERE TABLE_SCHEMA NOT IN %s", SYSTEM_SCHEMAS)[0]
        return "-".join(map(str, sums))

    def schemas(self) -> Mapping[str, int | None]:
        """Return the databases that the user can see, with their number of tables."""
        counts = {name: int(count) for name, count in self.session.rows(_SCHEMAS, SYSTEM_SCHEMAS)}
        own_schema = self.own_schema
        return {**({own_schema: counts[own_schema]} if own_schema in counts else {}), **counts}

    def at(self, schema: str) -> Session:
        """Return the session for another database of the server."""
        return replace(self.session, target=replace(self.session.target, database=schema))

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a database."""
        relations = self.relations(schema)
        about = {name: (size, comment) for name, size, comment in self.session.rows(_SIZES, schema)}
        readable = {name for (name,) in self.session.rows(_READABLE, schema)}
        return [self._seen(schema, relation, *about[name], name in readable) for name, relation in relations.items()]

    def keyed(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables of a database with their keys, in few questions."""
        indexes: dict[tuple[str, str], list[str]] = defaultdict(list)
        for table, index, column in self.session.rows(_ALL_KEYS, schema, schema):
            indexes[table, index].append(column)
        unique: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for (table, index), columns in indexes.items():
            if index != "PRIMARY":
                unique[table].append(tuple(columns))
        return [
            replace(
                table,
                primary_key=tuple(indexes.get((str(table.config["table"]), "PRIMARY"), ())),
                unique=tuple(unique[str(table.config["table"])]),
            )
            for table in self.tables(schema)
            if table.kind != "sequence"
        ]

    def _seen(self, schema: str, relation: Table, size: int | None, comment: str | None, readable: bool) -> SeenTable:
        view = relation.kind == "VIEW"
        return self.seen(
            schema,
            relation,
            kind=_KINDS.get(relation.kind, relation.kind.lower()),
            rows=None if view else relation.rows,
            bytes=None if view else int(size or 0) or None,
            comment=None if comment in ("VIEW", "") else comment,
            readable=readable or view,
        )

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with the columns that the user can read, and its keys; fails with DRV013 or DRV020."""
        target = self.session.target
        if not table.readable:
            reason = f"it has no privilege to SELECT from '{table.name}'"
            fail("DRV020", where=target.where, user=target.user, reason=reason)
        details = super().detailed(table)
        if not details.columns and not details.closed:  # a view over a dropped table; its comment says so
            fail("DRV013", path=self.label, problem=table.comment or f"'{table.name}' has no columns")
        return details

    @contextmanager
    def error_scope(self) -> Iterator[None]:
        """Turn the server's errors in the block into diagnostics, unless the connection is lost."""
        import pymysql

        target = self.session.target
        try:
            yield
        except pymysql.MySQLError as error:
            if not self.session.connection.open:
                raise
            fail_server(*numbered(error), target.where, target.user)

    def carried(self, session: Session, relation: Table, names: Sequence[str]) -> Schema:
        """Return the columns as a step reads them; fails with DAT006."""
        return table_result(session, relation, names).schema

    def keys(self, session: Session, relation: Table) -> Mapping[str, Any]:
        """Return the keys of a table."""
        place = (session.target.database, relation.name)
        unique = grouped(session.rows(_KEYS, *place))
        foreign = [list(zip(*key, strict=True)) for key in grouped(session.rows(_FOREIGN, *place))]
        indexes = [("p" if key[0][0] else "u", [column for _, column in key]) for key in unique]
        return keys_of(
            [
                *((kind, columns, None, None) for kind, columns in indexes if kind == "p" or all(columns)),
                *(("f", columns, self.shown(homes[0], tables[0]), to) for columns, homes, tables, to in foreign),
            ]
        )

    def completed(self, table: SeenTable, session: Session, relation: Table) -> SeenTable:
        """Return a table with the order in which its rows are read."""
        columns = table.columns or ()
        ordered = table.primary_key and all(column.type for column in columns)
        names = [column.name for column in columns]
        return replace(table, order=table_result(session, relation, names).order if ordered else "free")

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows, in primary key order if there is a key; of large tables also the last."""
        session, relation = self.place(table)
        source = table_result(session, relation, list(columns))
        key = self.keys(session, relation)["primary_key"] if source.order == "fixed" else ()
        texts, method = [f"{source.text} LIMIT {most + 1}"], "the first rows"
        if key and relation.rows and relation.rows > _LARGE * most:
            order = [*map(quote_name, key)]
            plain = source.text.removesuffix(f" ORDER BY {', '.join(order)}")
            texts, method = first_and_last(plain, order, most)
            method += " by key"

        def read(text: str) -> Iterator[pa.RecordBatch]:
            return (batch.rows for batch in read_query(session, text, source.detail))

        return sampled_of(source.schema, texts, read, most, method)
