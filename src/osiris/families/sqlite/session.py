"""What all components of the sqlite family share: opening a database, its tables, and its errors."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import quote

from osiris.errors import fail
from osiris.families.sql.database_file import LONGEST_WAIT, check_file, label, patiently, taking_turns
from osiris.families.sql.target_table import Column
from osiris.families.sqlite.types import type_of
from osiris.fault import fault
from osiris.files import steady
from osiris.sql.binding.duck_types import quote_name
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.driver import StepContext

_SAFE = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
_READING = (*_SAFE, "PRAGMA query_only = ON", "BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1")
_WRITING = (*_SAFE, "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE")
_ROWIDS = ("rowid", "oid", "_rowid_")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNFINISHED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_PLAIN_ERRORS = {
    sqlite3.SQLITE_READONLY: "DRV003",
    sqlite3.SQLITE_PERM: "DRV003",
    sqlite3.SQLITE_FULL: "DRV004",
    sqlite3.SQLITE_IOERR: "DRV006",
    sqlite3.SQLITE_CANTOPEN: "DRV006",
}


class Table(NamedTuple):
    """A table or a view; one without rowid lies in the order of its primary key, and of a view no order is known."""

    name: str
    view: bool
    rowid: bool


class Declared(NamedTuple):
    """A column as a table declares it; `key` is its position in the primary key, from 1, else 0."""

    name: str
    declared: str
    needed: bool
    default: str | None
    key: int
    hidden: int

    @property
    def generated(self) -> bool:
        """Tell whether its value is computed."""
        return self.hidden > 1


@contextmanager
def reading(ctx: StepContext, path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads one snapshot of the database and can change nothing."""
    check_file(path, label(ctx, path))
    with steady(path, label(ctx, path)):
        connection = patiently(lambda: _open_reader(ctx, path), ctx, path)
    try:
        with taking_turns(path):
            yield connection
    finally:
        connection.close()


@contextmanager
def writing(ctx: StepContext, path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection in a transaction that nobody else can write beside; `commit` ends it, else it is undone."""
    with translated(ctx, path):
        with steady(path, label(ctx, path)):
            connection = patiently(lambda: _opened(path, "rwc", _WRITING), ctx, path)
        try:
            with taking_turns(path):
                yield connection
        finally:
            connection.close()


def commit(connection: sqlite3.Connection, ctx: StepContext, path: Path) -> None:
    """Make a transaction durable, once those who still read the old state let it; fails with DRV011."""
    fault("sqlite.commit")
    patiently(lambda: _tried(connection, ("COMMIT",)), ctx, path)
    fault("sqlite.committed")


def _open_reader(ctx: StepContext, path: Path) -> sqlite3.Connection | None:
    """Return a connection with an open snapshot; None if the database is in use.

    What a killed writer left half done can be undone only by who may write; the statements after that may not.
    """
    with translated(ctx, path):
        try:
            return _opened(path, "ro", _READING)
        except sqlite3.OperationalError as error:
            if _number(error) not in _UNFINISHED:
                raise
        return _opened(path, "rw", _READING)


def _opened(path: Path, mode: str, statements: Sequence[str]) -> sqlite3.Connection | None:
    """Return a connection on which the statements were executed; None if the database is in use.

    Rows may be asked for by another thread than the one that opens it, though never by two at once.
    """
    uri = f"file:{quote(str(path))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)
    done = None
    try:
        done = _tried(connection, statements)
    finally:
        if not done:
            connection.close()
    return connection if done else None


def _tried(connection: sqlite3.Connection, statements: Sequence[str]) -> bool | None:
    """Execute statements; returns None if the database is in use."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        if _number(error) not in _IN_USE:
            raise
        return None
    return True


def _number(error: sqlite3.Error) -> int | None:
    """Return the primary result code of an error; None if it is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


@contextmanager
def translated(ctx: StepContext, path: Path) -> Iterator[None]:
    """Say in our words what SQLite raises."""
    try:
        yield
    except MemoryError:
        fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
    except sqlite3.Error as error:
        _fail_engine(error, label(ctx, path))


def _fail_engine(error: sqlite3.Error, shown: str) -> NoReturn:
    number, reason = _number(error), str(error)[:300]
    if number in _DAMAGED:
        fail("DRV010", path=shown, kind="SQLite", reason="it is damaged, encrypted, or no database")
    if number in _IN_USE:
        fail("DRV011", path=shown, seconds=duration_text(LONGEST_WAIT))
    if number in _PLAIN_ERRORS:
        fail(_PLAIN_ERRORS[number], path=shown, reason=reason, bytes="some")
    fail("DRV013", path=shown, problem=reason if number else "it holds text that is not UTF-8")


def tables(connection: sqlite3.Connection) -> dict[str, Table]:
    """Return the tables and views of a database by name."""
    rows = connection.execute(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view')"
    )
    found = (Table(name, kind == "view", not without) for name, kind, without in rows)
    return {table.name: table for table in found if not table.name.startswith("sqlite_")}


def declared(connection: sqlite3.Connection, table: str) -> list[Declared]:
    """Return the columns of a table or a view in their order; an INTEGER PRIMARY KEY needs no value and has one."""
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', (table,)
    ).fetchall()
    return [Declared(name, kind, bool(needed), *rest) for name, kind, needed, *rest in rows if rest[2] != 1]


def numbered_column(connection: sqlite3.Connection, table: str) -> str | None:
    """Return the column that is the number of a row, and that the database gives a value where it is NULL."""
    columns = declared(connection, table)
    kept = connection.execute("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (table,)).fetchone()
    return None if kept else next((column.name for column in columns if is_rowid(column, columns)), None)


def is_rowid(column: Declared, columns: list[Declared]) -> bool:
    """Tell whether a column of a table with rowids is that rowid."""
    return column.key == 1 and column.declared.upper() == "INTEGER" and max(c.key for c in columns) == 1


def table_columns(connection: sqlite3.Connection, table: str) -> list[Column]:
    """Return the columns of a table as a writer sees them."""
    columns = declared(connection, table)
    return [
        Column(
            c.name,
            type_of(c.declared),
            c.declared,
            c.needed and c.default is None and not c.generated and not is_rowid(c, columns),
            c.generated,
        )
        for c in columns
    ]


def order_of(table: Table, columns: list[Declared]) -> list[str]:
    """Return the quoted columns in whose order a table lies; none if there is no such order."""
    if table.view:
        return []
    if not table.rowid:
        return [quote_name(column.name) for column in sorted(columns, key=lambda c: c.key) if column.key]
    taken = {column.name.lower() for column in columns}
    return [name for name in _ROWIDS if name not in taken][:1]


def is_unique(connection: sqlite3.Connection, table: str, key: tuple[str, ...]) -> bool:
    """Tell whether a table keeps a key unique."""
    wanted = {name.lower() for name in key}
    if {column.name.lower() for column in declared(connection, table) if column.key} == wanted:
        return True
    indexes = connection.execute('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,))
    return any(_index_columns(connection, name) == wanted for (name,) in indexes.fetchall())


def key_collations(connection: sqlite3.Connection, table: str, key: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the collations by column under which a table keeps a key unique, of each index whose are not plain."""
    wanted = {name.lower(): name for name in key}
    indexes = connection.execute('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,))
    found = []
    for (index,) in indexes.fetchall():
        rows = connection.execute("SELECT name, coll FROM pragma_index_xinfo(?) WHERE key", (index,)).fetchall()
        orders = {str(name).lower(): order for name, order in rows}
        if orders.keys() == wanted.keys() and any(order.upper() != "BINARY" for order in orders.values()):
            found.append({wanted[name]: order for name, order in orders.items()})
    return found


def has_triggers(connection: sqlite3.Connection, table: str) -> bool:
    """Tell whether rows that are written to a table may set off more."""
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
    return connection.execute(query, (table,)).fetchone() is not None


def _index_columns(connection: sqlite3.Connection, index: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_index_info(?)", (index,)).fetchall()
    return {str(name).lower() for (name,) in rows}
