"""What all components of the postgres family share: its sessions, and what a database says it has."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.postgres.connect import address, connect, watched
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.types import Kind, carry
from osiris.families.source_columns import check_known
from osiris.families.sql.database import Reading, Relation, Source
from osiris.families.sql.extractor import ServerReading
from osiris.families.sql.result import result_columns
from osiris.families.sql.watchdog import fail_broken
from osiris.families.sql.wire import Broken, Refusal
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import psycopg

    from osiris.driver import StepContext
    from osiris.families.postgres.connect import Address
    from osiris.families.sql.database import Name
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import Watch

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_EACH = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_PATIENCE = "SET LOCAL lock_timeout = '60s'"
SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "extra_float_digits": "3",
    "synchronize_seqscans": "off",
    "standard_conforming_strings": "on",
    "lock_timeout": "60s",
}
"""What a session's values and their texts depend on."""

_WRITING = {
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""What keeps a transaction open while we are there, and not longer: who comes after waits for `lock_timeout` only."""

_SEARCH_PATH = """pg_catalog.set_config('search_path', coalesce((
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', ' ORDER BY n.nspname <> %s, n.nspname)
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname = ANY(%s) OR n.nspname NOT LIKE 'pg\\_%%'
        AND (n.nspname = %s OR n.oid IN (SELECT extnamespace FROM pg_catalog.pg_extension))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND r.rolsuper IS NOT TRUE)), ''), true)"""
"""Functions and operators are looked for only where nobody but the owner of the schema may create them.

Anybody else could make one that fits a call better than the server's own, and it would run with the reader's rights.
"""

_RELATIONS = """
SELECT c.oid, c.relname, c.relkind::text, c.relhassubclass, c.reltuples::float8,
    has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY c.relname"""
_SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1"
_COLUMNS = """
SELECT attname, attnotnull, atttypid::int8, atttypmod FROM pg_catalog.pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_KINDS = """
SELECT t.oid::int8, pg_catalog.format_type(t.oid, NULL), t.typtype::text, t.typname,
    CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN t.typelem::int8 ELSE 0 END
FROM pg_catalog.pg_type t
WHERE t.oid = ANY(%s) OR t.oid IN (SELECT typelem FROM pg_catalog.pg_type WHERE oid = ANY(%s) AND typlen = -1)"""

_SUPABASE_ROLE = "SELECT FROM pg_catalog.pg_roles WHERE rolname = 'supabase_admin'"
OF_SUPABASE = frozenset((
    "_analytics", "_realtime", "auth", "cron", "extensions", "graphql", "graphql_public", "net", "pgbouncer", "pgmq",
    "pgsodium", "pgsodium_masks", "realtime", "storage", "supabase_functions", "supabase_migrations", "vault",
))  # fmt: skip
"""Schemas in which Supabase keeps its users, keys and files: nothing there is read or written by mistake."""

_NO_SUCH_LOCK = ("42", "3F")
"""Classes of errors: a relation that is not there, not of a kind that is locked, or not this role's to lock."""

_LOOKS_FOR_CLIENT, _LOOK_FOR_CLIENT = 140000, "5s"
"""Since this version a server can look whether its client is there, and stop a statement that nobody waits for."""

_ANYTHING = Reading()


@dataclass(frozen=True, slots=True)
class PostgresReading(ServerReading):
    """What a step reads, and how; its fields are config keys of `postgres.extractor`, and described there."""

    unscaled: Literal["refuse", "text"] = "refuse"
    connections: int = 2


@dataclass(frozen=True, slots=True)
class Session:
    """A connection in use, and the schema it is about.

    What `reading` gives sees one state of the database or, without `one_state`, each statement that of its own begin.
    `checked` tells that texts may be of any encoding, `unscaled_text` that numbers of any scale are read as text.
    """

    connection: psycopg.Connection[Any]
    target: Address
    watch: Watch
    schema: str
    checked: bool
    one_state: bool = True
    unscaled_text: bool = False

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement of ours, none if it gives none."""
        with self.watch.waiting():
            result = self.connection.execute(statement.encode(), values or None)
            return result.fetchall() if result.description is not None else []

    def run(self, statement: str) -> int:
        """Run a statement of ours that gives no rows; returns how many it touched, -1 if it is none that does."""
        with self.watch.waiting():
            return self.connection.execute(statement.encode()).rowcount

    @property
    def label(self) -> str:
        """The database's name for messages."""
        return self.target.where

    @property
    def version(self) -> int:
        """The server's version, as 150004."""
        return self.connection.info.server_version


@dataclass(frozen=True, slots=True)
class Table(Relation):
    """A table or view: its `kind` is its `relkind`; whether others inherit from it, and if it may be read."""

    oid: int = 0
    parent: bool = False
    readable: bool = True

    @property
    def plain(self) -> bool:
        """Whether its rows lie in blocks of its own."""
        return self.kind in ("r", "m") and not self.parent


@contextmanager
def opened(ctx: StepContext, schema: str | None = None, *, query: bool = False) -> Iterator[Session]:
    """Give a session that is watched, and closes afterwards: what is not committed by then is undone.

    What goes wrong inside comes out in our words: CON011 to CON017, DRV012 to DRV022, SQL009, SQL011, RUN003.
    """
    import psycopg

    target = address(ctx.connection)
    connection = connect(target, ctx)
    watch = watched(connection, target, ctx)
    try:
        with watch.running():
            encoding = connection.info.parameter_status("server_encoding")
            yield Session(connection, target, watch, schema or target.schema, encoding == "SQL_ASCII")
    except (Refusal, psycopg.Error) as error:
        state, message = error.args if isinstance(error, Refusal) else (error.sqlstate, error.diag.message_primary)
        if watch.stopped or not state:
            fail_broken(watch, target.where, "the server ended it")
        fail_server(state, message or "", target.where, target.user, query=query)
    except Broken as error:
        fail_broken(watch, target.where, str(error))
    finally:
        connection.close()


@contextmanager
def reading(ctx: StepContext, config: Reading = _ANYTHING, snapshot: str | None = None) -> Iterator[Session]:
    """Give a session that reads one state of the database, that of `snapshot` if given, and closes afterwards.

    Fails as `opened` does.
    """
    with opened(ctx, config.schema, query=config.query is not None) as session:
        session.run(_BEGIN)
        if snapshot:
            session.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        _set_up(session)
        as_text = isinstance(config, PostgresReading) and config.unscaled == "text"
        yield replace(session, unscaled_text=as_text)


def hold(session: Session, relations: Sequence[Name]) -> Session:
    """Return the session in a transaction of its own, until whose end nobody can alter relations.

    Nor can others be put in their place, from before the state of the database that it sees.
    """
    session.run("ROLLBACK")
    session = _lock(session, relations)
    _set_up(session)
    return session


def _set_up(session: Session) -> None:
    """Choose what values, their texts, names and the patience of a transaction depend on."""
    settings = SETTINGS | {"statement_timeout": str(round(session.target.statement * 1000))}
    if session.version >= _LOOKS_FOR_CLIENT:
        settings["client_connection_check_interval"] = _LOOK_FOR_CLIENT
    chosen = ", ".join(f"pg_catalog.set_config('{name}', %s, true)" for name in settings)
    names = (session.schema, list(session.target.trusted), session.schema)
    session.rows(f"SELECT {chosen}, {_SEARCH_PATH}", *settings.values(), *names)


def _lock(session: Session, names: Sequence[Name]) -> Session:
    """Begin a transaction that has locked relations before it sees any state; returns its session.

    A state that is older than the lock is not that of the table: who waits for a TRUNCATE, or for an ALTER that writes
    the table anew, would find it empty afterwards. LOCK is the only statement that takes no state, and it refuses
    materialized views, and who may read single columns only. There each statement sees a state of its own, and one that
    touches nothing has locked what they name: for the one that reads, that is as good.
    """
    import psycopg

    named = [".".join(map(quote_name, name)) for name in names]
    each = [f"EXPLAIN SELECT FROM {name}" for name in named]
    for texts in ([_BEGIN, _PATIENCE, f"LOCK TABLE {', '.join(named)} IN ACCESS SHARE MODE"], [_BEGIN_EACH, *each]):
        try:
            session.run("; ".join(texts))
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _NO_SUCH_LOCK:
                raise
            session.run("ROLLBACK")
        else:
            return replace(session, one_state=texts[0] == _BEGIN)
    session.run(_BEGIN)  # what is not there, or may not be read, is told by who looks for it
    return session


def begin_writing(session: Session) -> None:
    """Begin a transaction whose settings do not outlive it; a commit is on disk when it is confirmed."""
    session.run(_BEGIN_WRITING)
    settings = SETTINGS | _WRITING | {"statement_timeout": str(round(session.target.statement * 1000))}
    names = [n for (n,) in session.rows("SELECT name FROM pg_catalog.pg_settings WHERE name = ANY(%s)", [*settings])]
    chosen = ", ".join(f"pg_catalog.set_config('{name}', %s, true)" for name in names)
    session.rows(f"SELECT {chosen}", *(settings[name] for name in names))
    session.rows(
        "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) "
        "WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
    )


def relations(session: Session) -> dict[str, Table]:
    """Return the tables and views of the session's schema, by name; fails with DRV012 if there is no such schema.

    Fails with CON065 if it is one of Supabase's own that the connection does not name.
    """
    expect_open(session, {session.schema})
    rows = session.rows(_RELATIONS, session.schema)
    known = [] if rows else [name for (name,) in session.rows(_SCHEMAS)]
    if not rows and session.schema not in known:
        shown = f"{session.schema}.…"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(shown, known))
    return {
        name: Table(name, kind, None if count < 0 else int(count), oid, parent, readable)
        for oid, name, kind, parent, count, readable in rows
    }


def closed_schemas(session: Session, schemas: Collection[str]) -> list[str]:
    """Return those of some schemas that are Supabase's own and that the connection does not name."""
    target = session.target
    asked = sorted(OF_SUPABASE.intersection(schemas) - {target.schema, *target.schemas})
    return asked if asked and session.rows(_SUPABASE_ROLE) else []


def expect_open(session: Session, schemas: Collection[str]) -> None:
    """Fail with CON065 for schemas that are Supabase's own and that the connection does not name."""
    if closed := closed_schemas(session, schemas):
        raise_all(diagnostic("CON065", where=session.target.where, schema=schema) for schema in closed)


def relation(session: Session, name: str) -> Table:
    """Return a table or view that may be read; fails with DRV012 or DRV020."""
    known = relations(session)
    if name not in known:
        shown = name if session.schema == "public" else f"{session.schema}.{name}"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(shown, known))
    found = known[name]
    if not found.readable:
        fail_right(session, f"SELECT from '{name}'", f"GRANT SELECT ON {qualified(session, found)}")
    return found


def fail_right(session: Session, what: str, grant: str, instead: str = "") -> NoReturn:
    """Fail with DRV020 for what a role may not do, with the GRANT that lets it."""
    user = session.target.user
    hint = f"run {grant} TO {quote_name(user)}{instead}"
    fail("DRV020", where=session.label, user=user, reason=f"it has no privilege to {what}", hint=hint)


def table_result(session: Session, found: Table, columns: Sequence[str] | None) -> Source:
    """Return the columns of a table, all or those asked for, in that order; fails with DAT005 or DAT006."""
    rows = session.rows(_COLUMNS, found.oid)
    needed = {name: bool(needed) for name, needed, *_ in rows}
    check_known({"columns": columns or ()}, list(needed), f"table '{found.name}' of {session.target.where}")
    names = list(needed if columns is None else columns)
    if not names:
        fail("DRV013", path=session.target.where, problem=f"table '{found.name}' has no columns")
    quoted, place = [*map(quote_name, names)], qualified(session, found)
    source = described(session, f"SELECT {', '.join(quoted)} FROM {place}", needed)
    return replace(
        source,
        text=f"SELECT {_cast(quoted, source.detail)} FROM {place}",  # a range adds its WHERE to that
        order="fixed" if found.plain else "free",
        rows=found.rows,
        relations=((session.schema, found.name),),
    )


def described(session: Session, text: str, needed: Mapping[str, bool] | None = None) -> Source:
    """Return the columns of a SELECT as the server describes them, without running it; its `detail` are ResultColumns.

    `needed` tells the columns that hold no NULL. Fails with DAT006 for columns that are not carried, all at once, and
    with SQL009 where two have one name.
    """
    found = _prepared(session, text)
    kinds = _kinds(session, sorted({oid for _, oid, _ in found}))
    ways = (
        (n, kinds[oid].name, partial(carry, kinds[oid], mod, unscaled_text=session.unscaled_text))
        for n, oid, mod in found
    )
    columns = result_columns(ways, needed or {})
    if any(column.carried.cast for column in columns):  # the order stays as it is
        names = [f"c{index}" for index in range(len(columns))]
        text = f"SELECT {_cast(names, columns)} FROM ({text}\n) AS q({', '.join(names)})"
    return Source(tuple(column.field for column in columns), text, "free", detail=columns)


def _cast(names: Sequence[str], columns: Sequence[ResultColumn]) -> str:
    """Return columns, by their quoted names, with casts around those that are read as text."""
    casts = [column.carried.cast for column in columns]
    return ", ".join(f"{name}::{cast}" if cast else name for name, cast in zip(names, casts, strict=True))


def _prepared(session: Session, text: str) -> list[tuple[str, int, int]]:
    """Return name, type and modifier of each column.

    The client library's own calls for it wait without letting other threads run, so nothing could end them.
    """
    from psycopg import pq
    from psycopg.errors import error_from_result
    from psycopg.generators import execute

    connection = session.connection
    with session.watch.waiting():
        connection.pgconn.send_prepare(b"", text.encode())
        (result,) = connection.wait(execute(connection.pgconn))
        if result.status == pq.ExecStatus.COMMAND_OK:
            connection.pgconn.send_describe_prepared(b"")
            (result,) = connection.wait(execute(connection.pgconn))
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise error_from_result(result)
    names = [(result.fname(index) or b"").decode() for index in range(result.nfields)]
    return [(name, result.ftype(index), result.fmod(index)) for index, name in enumerate(names)]


def _kinds(session: Session, oids: Sequence[int]) -> dict[int, Kind]:
    rows = session.rows(_KINDS, list(oids), list(oids))
    plain = {oid: Kind(oid, name, sort, typname) for oid, name, sort, typname, _ in rows}
    arrays = {
        oid: Kind(oid, name, sort, typname, plain[item]) for oid, name, sort, typname, item in rows if item in plain
    }
    return plain | arrays


def qualified(session: Session, found: Table) -> str:
    """Return a table's full name, quoted."""
    return f"{quote_name(session.schema)}.{quote_name(found.name)}"
