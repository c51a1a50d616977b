"""How MySQL is discovered: what its catalogue tells, and the columns as a step that reads them has them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.errors import fail
from osiris.families.discovery_base import carried_or_not, sampled
from osiris.families.mysql.connect import numbered
from osiris.families.mysql.errors import fail_server
from osiris.families.mysql.reader import read_query
from osiris.families.mysql.session import quote_name, reading, relations, table_result

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, Sampled, StepContext
    from osiris.families.mysql.session import ResultColumn, Session, Table
    from osiris.model import JsonValue

_OWN = ("information_schema", "mysql", "performance_schema", "sys")
_KINDS = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SEQUENCE": "sequence"}
_SCHEMAS = """
SELECT s.SCHEMA_NAME, COUNT(t.TABLE_NAME) FROM information_schema.SCHEMATA s
LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME
WHERE s.SCHEMA_NAME NOT IN %s GROUP BY s.SCHEMA_NAME ORDER BY s.SCHEMA_NAME"""
_ABOUT = """
SELECT TABLE_NAME, DATA_LENGTH + INDEX_LENGTH, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"""
_READABLE = """
SELECT DISTINCT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND PRIVILEGES LIKE '%%select%%'"""
_COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE = 'YES', COLUMN_DEFAULT, EXTRA, COLUMN_COMMENT,
    EXTRA LIKE '%%INVISIBLE%%', PRIVILEGES LIKE '%%select%%'
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_KEYS = """
SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_FOREIGN = """
SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION"""
_SUM = "COALESCE(BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('|', {})), 16), 16, 10) AS UNSIGNED)), 0)"
_STATES = {
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
"""What a fingerprint is made of, by view of the catalogue."""

_MANY = 4
"""A table with so many samples in it, by the server's estimate, is looked at from both ends."""


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open the database of a connection; fails with CON011 to CON017."""
    with reading(ctx) as session:
        session.run("SET SESSION lock_wait_timeout = 5")
        yield _MySQL(session, f"{ctx.step.removeprefix('@').partition('.')[0]}.extractor")


class _MySQL:
    """One database, in one state of it; other databases of the server are its other schemas."""

    def __init__(self, session: Session, component: str) -> None:
        target = session.target
        self.label = target.where
        self.identity: Mapping[str, JsonValue] = {
            "host": target.host,
            "port": str(target.port),
            "database": target.database,
            "user": target.user,
        }
        ((version,),) = session.rows("SELECT VERSION()")
        self.product = f"{'MariaDB' if session.mariadb else 'MySQL'} {version.partition('-')[0]}"
        self._session, self._component = session, component
        self._known: dict[str, dict[str, Table]] = {}

    def fingerprint(self) -> str:
        """Return a digest of what the catalogue shows to the user."""
        sums: list[int] = []
        for view, columns in _STATES.items():
            text = f"SELECT COUNT(*), {_SUM.format(', '.join(columns))} FROM information_schema.{view}"
            sums += self._session.rows(f"{text} WHERE TABLE_SCHEMA NOT IN %s", _OWN)[0]
        return "-".join(map(str, sums))

    def schemas(self) -> Mapping[str, int | None]:
        """Return the databases that the user may see; others are not told of."""
        found = {name: int(count) for name, count in self._session.rows(_SCHEMAS, _OWN)}
        own = self._session.target.database
        return {**({own: found[own]} if own in found else {}), **found}

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a database."""
        known = self._known[schema] = relations(self._at(schema))
        about = {name: (size, comment) for name, size, comment in self._session.rows(_ABOUT, schema)}
        readable = {name for (name,) in self._session.rows(_READABLE, schema)}
        seen = [self._seen(schema, found, *about[name]) for name, found in known.items()]
        return [replace(each, readable=each.config["table"] in readable or each.kind == "view") for each in seen]

    def _at(self, schema: str) -> Session:
        return replace(self._session, target=replace(self._session.target, database=schema))

    def _seen(self, schema: str, found: Table, size: int | None, comment: str | None) -> SeenTable:
        own, view = schema == self._session.target.database, found.kind == "VIEW"
        return SeenTable(
            name=found.name if own else f"{schema}.{found.name}",
            component=self._component,
            config={"table": found.name, **({} if own else {"schema": schema})},
            kind=_KINDS.get(found.kind, found.kind.lower()),
            rows=None if view else found.rows,
            bytes=None if view else int(size or 0) or None,
            comment=None if comment in ("VIEW", "") else comment,
        )

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with its columns, those that the user may read, and its keys; fails with DRV013 or DRV020."""
        import pymysql

        target = self._session.target
        if not table.readable:
            fail(
                "DRV020", where=target.where, user=target.user, reason=f"it has no right to SELECT from '{table.name}'"
            )
        try:
            return self._detailed(table)
        except pymysql.MySQLError as error:
            if not self._session.connection.open:
                raise
            fail_server(*numbered(error), target.where, target.user)

    def _detailed(self, table: SeenTable) -> SeenTable:
        here, found, place = self._place(table)
        rows = self._session.rows(_COLUMNS, *place)
        if not rows:  # a view over what is gone; the catalogue says so where other comments stand
            fail("DRV013", path=self.label, problem=table.comment or f"'{table.name}' has no columns")
        closed = tuple(name for name, *_, readable in rows if not readable)
        hidden = [name for name, *_, invisible, readable in rows if readable and invisible]
        told = {name: told for name, *told, invisible, readable in rows if readable and not invisible}
        fields = carried_or_not(list(told), lambda names: table_result(here, found, names).schema)
        columns = tuple(
            SeenColumn(
                name,
                kind,
                *fields[name].typed(bool(nullable)),
                _default(default, extra),
                comment or None,
                fields[name].problem,
            )
            for name, (kind, nullable, default, extra, comment) in told.items()
        )
        keys = self._keys(place)
        config = {**table.config, "columns": list(told)} if closed or hidden else table.config
        ordered = bool(keys["primary_key"]) and all(column.type for column in columns)
        fixed = ordered and table_result(here, found, list(told)).order == "fixed"
        return replace(table, columns=columns, closed=closed, config=config, order="fixed" if fixed else "free", **keys)

    def _place(self, table: SeenTable) -> tuple[Session, Table, tuple[str, str]]:
        schema, name = str(table.config.get("schema", self._session.target.database)), str(table.config["table"])
        here = self._at(schema)
        if schema not in self._known:
            self._known[schema] = relations(here)
        return here, self._known[schema][name], (schema, name)

    def _keys(self, place: tuple[str, str]) -> dict[str, Any]:
        unique: dict[str, list[str]] = {}
        for name, column in self._session.rows(_KEYS, *place):
            unique.setdefault(name, []).append(column)
        foreign: dict[str, list[tuple[str, str, str]]] = {}
        for name, column, schema, table, to in self._session.rows(_FOREIGN, *place):
            shown = table if schema == self._session.target.database else f"{schema}.{table}"
            foreign.setdefault(name, []).append((column, shown, to))
        primary = unique.pop("PRIMARY", [])
        return {
            "primary_key": tuple(primary),
            "unique": tuple(tuple(columns) for columns in unique.values() if all(columns)),
            "foreign_keys": tuple(
                SeenKey(tuple(c for c, _, _ in parts), parts[0][1], tuple(to for *_, to in parts))
                for parts in foreign.values()
            ),
        }

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows, in the order of the primary key if there is one; of large tables also the last."""
        here, found, place = self._place(table)
        result = table_result(here, found, list(columns))
        key = self._keys(place)["primary_key"] if result.order == "fixed" else ()
        texts, method = [f"{result.text} LIMIT {most + 1}"], "the first rows"
        if key and found.rows and found.rows > _MANY * most:
            forward, backward = (", ".join(quote_name(name) + way for name in key) for way in ("", " DESC"))
            plain = result.text.removesuffix(f" ORDER BY {forward}")
            texts = [f"{plain} ORDER BY {order} LIMIT {most // 2}" for order in (forward, backward)]
            method = "the first and the last rows by key"
        sample = sampled(result.schema, _rows(here, texts, result.detail), most, method)
        return replace(sample, whole=sample.whole and len(texts) == 1)


def _rows(
    session: Session, texts: Sequence[str], columns: Sequence[ResultColumn]
) -> Generator[pa.RecordBatch, None, None]:
    for text in texts:
        for batch in read_query(session, text, columns):
            yield batch.rows


def _default(default: str | None, extra: str) -> str | None:
    """Return what a column holds where nothing is given, in the words of the catalogue."""
    for word in ("auto_increment", "GENERATED"):
        if word.lower() in extra.lower():
            return word.lower()
    return None if default in (None, "NULL") else default
