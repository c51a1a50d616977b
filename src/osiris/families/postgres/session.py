"""Sessions and catalogue queries, shared by all components of the postgres family."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.postgres.connect import address, connect, is_idle, reset, watched
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.types import Kind, carry
from osiris.families.source_columns import check_known
from osiris.families.sql.database import ReaderConfig, Relation, Source
from osiris.families.sql.extractor import ServerReaderConfig
from osiris.families.sql.result import result_columns
from osiris.families.sql.watchdog import fail_broken
from osiris.families.sql.wire import ConnectionBroken, ServerError
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import psycopg

    from osiris.driver import StepContext
    from osiris.families.postgres.connect import Address
    from osiris.families.sql.database import Name
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import Watchdog

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_PER_STATEMENT = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
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
"""Settings on which a session's values and their text form depend."""

_WRITING = {
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""Settings that keep a transaction open only while its client is alive: others wait for `lock_timeout` at most."""

_SET_ALL = """
SELECT pg_catalog.set_config(name, value, true) FROM (VALUES {}) AS s(name, value)
WHERE pg_catalog.current_setting(name, true) IS NOT NULL
UNION ALL SELECT pg_catalog.set_config(name, value, true)
FROM (VALUES ('synchronous_commit', 'off', 'on'), ('random_page_cost', '4', '1.1')) AS s(name, unwanted, value)
WHERE pg_catalog.current_setting(name) = unwanted"""
"""Sets those settings for the transaction that the server's version has, and replaces two that would be unsafe or slow.

By the default of `random_page_cost`, which is that of rotating disks, an upsert of 1 % of 6,000,000 rows would read the
whole table to find its rows (1.5 s; by the key 0.14 s).
"""

_SEARCH_PATH = """pg_catalog.set_config('search_path', coalesce((
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', ' ORDER BY n.nspname <> %s, n.nspname)
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname = ANY(%s) OR n.nspname NOT LIKE 'pg\\_%%'
        AND (n.nspname = %s OR n.oid IN (SELECT extnamespace FROM pg_catalog.pg_extension))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND r.rolsuper IS NOT TRUE)), ''), true)"""
"""Limits the search path to schemas in which only the owner and superusers may create functions and operators.

Another user could create a function that fits a call better than the server's own and that runs as the reader.
"""

_RELATIONS = """
SELECT c.oid, c.relname, c.relkind::text, c.relhassubclass, c.reltuples::float8,
    has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'),
    c.relpersistence = 'u', c.relrowsecurity AND pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_NAMED = "AND c.relname = %s::text"
SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1"
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
"""Schemas in which Supabase stores its users, keys and files; they are used only if the connection names them."""

_NOT_LOCKABLE = ("42", "3F")
"""Classes of errors: the relation does not exist, cannot be locked, or the role lacks the privilege."""

_CHECKS_CLIENT_SINCE, _CLIENT_CHECK_INTERVAL = 140000, "5s"
"""Since this version a server can check for a lost client, and cancel its statement."""

_FIRST_UNFIXED = 10_000
"""OIDs below are assigned by hand, and never change."""
_OWN_KINDS: dict[int, Kind] = {}
_ANYTHING = ReaderConfig()


@dataclass(frozen=True, slots=True)
class PostgresReading(ServerReaderConfig):
    """Config keys of `postgres.extractor`, described in its spec.yaml."""

    unscaled: Literal["refuse", "text"] = "refuse"
    connections: int = 2


@dataclass(frozen=True, slots=True)
class Session:
    """A connection in use, and its schema.

    A session of `reading` sees one snapshot or, if not `one_state`, one per statement. `checked`: texts may be in any
    encoding. `unscaled_text`: numerics without a scale are read as text. `whole`: rows that a policy of row-level
    security hides are an error. `own` are those of our own tables that were seen.
    """

    connection: psycopg.Connection[Any]
    target: Address
    watch: Watchdog
    schema: str
    checked: bool
    one_state: bool = True
    unscaled_text: bool = False
    whole: bool = False
    own: set[tuple[str, str]] = field(default_factory=set)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of an internal statement; empty if it has no result."""
        with self.watch.waiting():
            result = self.connection.execute(statement.encode(), values or None)
            return result.fetchall() if result.description is not None else []

    def run(self, statement: str) -> int:
        """Run an internal statement without a result; returns the number of affected rows, -1 if not applicable."""
        if statement.startswith("ROLLBACK"):
            self.own.clear()  # the transaction may have created them
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
    """A table or view; `kind` is its relkind, `parent` means that tables inherit from it, or did.

    `secured`: row security applies to the user.
    """

    oid: int = 0
    parent: bool = False
    readable: bool = True
    unlogged: bool = False
    secured: bool = False

    @property
    def plain(self) -> bool:
        """Whether all its rows are in its own blocks."""
        return self.kind in ("r", "m") and not self.parent


@contextmanager
def opened(ctx: StepContext, schema: str | None = None, *, query: bool = False) -> Iterator[Session]:
    """Open a session under a watchdog; afterwards it is closed, or kept, and uncommitted changes are rolled back.

    Errors inside the block become diagnostics: CON011 to CON017, DRV012 to DRV022, SQL009, SQL011, RUN003.
    """
    import psycopg

    target = address(ctx.connection)
    connection, usable = _kept(ctx, target) or connect(target, ctx), False
    watch = watched(connection, target, ctx)
    try:
        with watch.running():
            encoding = connection.info.parameter_status("server_encoding")
            yield Session(connection, target, watch, schema or target.schema, encoding == "SQL_ASCII")
            usable = ctx.kept is not None and reset(connection)
    except (ServerError, psycopg.Error) as error:
        state, message = error.args if isinstance(error, ServerError) else (error.sqlstate, error.diag.message_primary)
        if watch.stopped or not state:
            fail_broken(watch, target.where, "the server ended it")
        fail_server(state, message or "", target.where, target.user, query=query)
    except ConnectionBroken as error:
        fail_broken(watch, target.where, str(error))
    finally:
        if ctx.kept and usable and not watch.stopped:
            ctx.kept.put(ctx.connection, (target.where, target.user), connection, connection.close)
        else:
            connection.close()


def _kept(ctx: StepContext, target: Address) -> Any | None:  # noqa: ANN401  a psycopg.Connection
    """Return a connection that an earlier step has left open, if the server has not closed it; else None."""
    while ctx.kept and (connection := ctx.kept.take(ctx.connection, (target.where, target.user))):
        if is_idle(connection):
            return connection
        connection.close()
    return None


@contextmanager
def reading(ctx: StepContext, config: ReaderConfig = _ANYTHING, snapshot: str | None = None) -> Iterator[Session]:
    """Open a session that reads one snapshot of the database, that of `snapshot` if given; it is closed afterwards.

    Fails as `opened` does.
    """
    with opened(ctx, config.schema, query=config.query is not None) as session:
        session = replace(session, whole=ctx.cursor is not None)
        snapshot = ctx.shared.snapshot if ctx.shared else snapshot
        session.run(_BEGIN)
        if snapshot:
            session.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        _set_up(session)
        as_text = isinstance(config, PostgresReading) and config.unscaled == "text"
        yield replace(session, unscaled_text=as_text)


def hold(session: Session, relations: Sequence[Name]) -> Session:
    """Start a new transaction that protects relations from being altered or replaced until its end.

    The locks are taken before the snapshot that the session sees. Returns the session.
    """
    session.run("ROLLBACK")
    session = _lock(session, relations)
    _set_up(session)
    return session


def _set_up(session: Session) -> None:
    """Set what values, their text form, name resolution and timeouts of a transaction depend on."""
    settings = SETTINGS | {"statement_timeout": str(round(session.target.statement * 1000))}
    if session.version >= _CHECKS_CLIENT_SINCE:
        settings["client_connection_check_interval"] = _CLIENT_CHECK_INTERVAL
    if session.whole:
        settings["row_security"] = "off"
    chosen = ", ".join(f"pg_catalog.set_config('{name}', %s, true)" for name in settings)
    names = (session.schema, list(session.target.trusted), session.schema)
    session.rows(f"SELECT {chosen}, {_SEARCH_PATH}", *settings.values(), *names)


def _lock(session: Session, names: Sequence[Name]) -> Session:
    """Begin a transaction that locks relations before it takes a snapshot; returns its session.

    With a snapshot older than the lock, a session that waited for a TRUNCATE or a rewriting ALTER would find the table
    empty. LOCK is the only statement that takes no snapshot, but it rejects materialized views and users with column
    privileges only. For those, each statement gets its own snapshot, and an EXPLAIN locks the relations: the single
    statement that reads is as consistent.
    """
    import psycopg

    quoted = [".".join(map(quote_name, name)) for name in names]
    lock = f"LOCK TABLE {', '.join(quoted)} IN ACCESS SHARE MODE"
    explain = [f"EXPLAIN SELECT FROM {name}" for name in quoted]
    for texts in ([_BEGIN, _PATIENCE, lock], [_BEGIN_PER_STATEMENT, *explain]):
        try:
            session.run("; ".join(texts))
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _NOT_LOCKABLE:
                raise
            session.run("ROLLBACK")
        else:
            return replace(session, one_state=texts[0] == _BEGIN)
    session.run(_BEGIN)  # the lookup of a relation reports a missing or unreadable one
    return session


def lock_together(session: Session, names: Sequence[Name]) -> frozenset[Name]:
    """Begin a transaction and lock tables before its snapshot; returns those that are locked.

    A table that cannot be locked, or not soon, is left out: it is read apart, in a later snapshot.
    """
    import psycopg

    session.run(f"{_BEGIN}; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '5s'")
    locked: set[Name] = set()
    for name in names:
        session.run("SAVEPOINT locking")
        try:
            session.run(f"LOCK TABLE {'.'.join(map(quote_name, name))} IN ACCESS SHARE MODE")
        except psycopg.Error as error:
            if session.watch.stopped or not error.sqlstate:
                raise
            session.run("ROLLBACK TO locking")
        else:
            locked.add(name)
        session.run("RELEASE locking")  # a snapshot cannot be exported from a subtransaction
    return frozenset(locked)


def begin_writing(session: Session) -> None:
    """Begin a transaction with local settings; its commit is durable when confirmed."""
    settings = SETTINGS | _WRITING | {"statement_timeout": str(round(session.target.statement * 1000))}
    listed = ", ".join(f"('{name}', '{value}')" for name, value in settings.items())
    session.run(f"{_BEGIN_WRITING}; {_SET_ALL.format(listed)}")


def relations(session: Session) -> dict[str, Table]:
    """Return the tables and views of the session's schema, by name; fails with DRV012 if the schema does not exist.

    Fails with CON065 if it is one of Supabase's own schemas and the connection does not name it.
    """
    expect_open(session, {session.schema})
    rows = session.rows(f"{_RELATIONS} ORDER BY c.relname", session.schema)
    schemas = [] if rows else [name for (name,) in session.rows(SCHEMAS)]
    if not rows and session.schema not in schemas:
        shown = f"{session.schema}.…"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(shown, schemas))
    return {table.name: table for table in map(_table, rows)}


def find(session: Session, name: str) -> Table | None:
    """Return a table or view of the session's schema, None if there is none; fails with CON065 as `relations` does."""
    expect_open(session, {session.schema})
    rows = session.rows(f"{_RELATIONS} {_NAMED}", session.schema, name) if "\0" not in name else []
    return next(map(_table, rows), None)


def _table(row: Sequence[Any]) -> Table:
    oid, name, kind, parent, count, *flags = row
    return Table(name, kind, None if count < 0 else int(count), oid, parent, *flags)


def closed_schemas(session: Session, schemas: Collection[str]) -> list[str]:
    """Return which schemas are Supabase's own and not named by the connection."""
    target = session.target
    closed = sorted(OF_SUPABASE.intersection(schemas) - {target.schema, *target.schemas})
    return closed if closed and session.rows(_SUPABASE_ROLE) else []


def expect_open(session: Session, schemas: Collection[str]) -> None:
    """Fail with CON065 for schemas that are Supabase's own and not named by the connection."""
    if closed := closed_schemas(session, schemas):
        raise_all(diagnostic("CON065", where=session.target.where, schema=schema) for schema in closed)


def relation(session: Session, name: str) -> Table:
    """Return a readable table or view; fails with DRV012 or DRV020."""
    table = find(session, name)
    if table is None:
        shown = name if session.schema == "public" else f"{session.schema}.{name}"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(shown, relations(session)))
    if not table.readable:
        fail_right(session, f"SELECT from '{name}'", f"GRANT SELECT ON {qualified(session, table)}")
    return table


def fail_right(session: Session, what: str, grant: str, instead: str = "") -> NoReturn:
    """Fail with DRV020 for a missing privilege, with the GRANT statement as hint."""
    user = session.target.user
    hint = f"run {grant} TO {quote_name(user)}{instead}"
    fail("DRV020", where=session.label, user=user, reason=f"it has no privilege to {what}", hint=hint)


def table_result(session: Session, table: Table, columns: Sequence[str] | None) -> Source:
    """Return the SELECT of a table's columns, all or those requested, in that order; fails with DAT005 or DAT006."""
    rows = session.rows(_COLUMNS, table.oid)
    needed = {name: bool(needed) for name, needed, *_ in rows}
    check_known({"columns": columns or ()}, list(needed), f"table '{table.name}' of {session.target.where}")
    names = list(needed if columns is None else columns)
    if not names:
        fail("DRV013", path=session.target.where, problem=f"table '{table.name}' has no columns")
    quoted, place = [*map(quote_name, names)], qualified(session, table)
    source = described(session, f"SELECT {', '.join(quoted)} FROM {place}", needed)
    return replace(
        source,
        text=f"SELECT {_cast(quoted, source.detail)} FROM {place}",  # a range appends its WHERE
        order="fixed" if table.plain else "free",
        rows=table.rows,
        relations=((session.schema, table.name),),
        is_table=table.kind in ("r", "p"),
    )


def described(session: Session, text: str, needed: Mapping[str, bool] | None = None) -> Source:
    """Return the columns of a SELECT as the server describes them, without running it; its `detail` are ResultColumns.

    `needed` are the NOT NULL columns. Fails with DAT006 for unsupported columns, all at once, and with SQL009 for
    duplicate names.
    """
    fields = _prepared(session, text)
    kinds = _kinds(session, sorted({oid for _, oid, _ in fields}))
    typed = (
        (n, kinds[oid].name, partial(carry, kinds[oid], mod, unscaled_text=session.unscaled_text))
        for n, oid, mod in fields
    )
    columns = result_columns(typed, needed or {})
    if any(column.carried.cast for column in columns):  # keeps the order of rows
        names = [f"c{index}" for index in range(len(columns))]
        text = f"SELECT {_cast(names, columns)} FROM ({text}\n) AS q({', '.join(names)})"
    return Source(tuple(column.field for column in columns), text, "free", detail=columns)


def _cast(names: Sequence[str], columns: Sequence[ResultColumn]) -> str:
    """Return the SELECT list of quoted columns, with casts of those that are read as text."""
    casts = [column.carried.cast for column in columns]
    return ", ".join(f"{name}::{cast}" if cast else name for name, cast in zip(names, casts, strict=True))


def _prepared(session: Session, text: str) -> list[tuple[str, int, int]]:
    """Return the name, type OID and type modifier of each column, by preparing a SELECT without running it.

    psycopg's own calls for this hold the GIL while they wait, so the watchdog could not end them.
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
    """Return types by OID; the server's own types, the same everywhere, are asked for once."""
    if unknown := [oid for oid in oids if oid not in _OWN_KINDS]:
        kinds = _asked_kinds(session, unknown)
        _OWN_KINDS.update((oid, kind) for oid, kind in kinds.items() if oid < _FIRST_UNFIXED)
        return {**_OWN_KINDS, **kinds}
    return _OWN_KINDS


def _asked_kinds(session: Session, oids: Sequence[int]) -> dict[int, Kind]:
    rows = session.rows(_KINDS, list(oids), list(oids))
    plain = {oid: Kind(oid, name, sort, typname) for oid, name, sort, typname, _ in rows}
    arrays = {
        oid: Kind(oid, name, sort, typname, plain[item]) for oid, name, sort, typname, item in rows if item in plain
    }
    return plain | arrays


def qualified(session: Session, table: Table) -> str:
    """Return a table's full name, quoted."""
    return f"{quote_name(session.schema)}.{quote_name(table.name)}"
