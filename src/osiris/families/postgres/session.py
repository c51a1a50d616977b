"""What all components of the postgres family share: sessions that can only read, and what a database says it has."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.postgres.connect import address, connect
from osiris.families.postgres.copy_out import Broken, Refusal
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.types import Carried, Kind, NotCarried, carry
from osiris.families.postgres.watchdog import watched
from osiris.families.source_columns import check_known
from osiris.families.sql.watchdog import fail_broken
from osiris.model import Field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import psycopg

    from osiris.driver import StepContext
    from osiris.families.postgres.connect import Address
    from osiris.families.sql.watchdog import Watch
    from osiris.model import Schema

    Name = tuple[str, str]
    """The schema and the name of a relation."""

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_EACH = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
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


@dataclass(frozen=True, slots=True)
class Session:
    """A transaction that can only read.

    It sees one state of the database or, without `one_state`, each statement that of its own begin.
    """

    connection: psycopg.Connection[Any]
    target: Address
    watch: Watch
    schema: str
    checked: bool
    one_state: bool = True

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement of ours."""
        with self.watch.waiting():
            return self.connection.execute(statement.encode(), values or None).fetchall()

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
class Relation:
    """A table or view: its `relkind`, whether others inherit from it, about how many rows, and if it may be read."""

    oid: int
    name: str
    kind: str
    parent: bool
    rows: int | None
    readable: bool

    @property
    def plain(self) -> bool:
        """Whether its rows lie in blocks of its own."""
        return self.kind in ("r", "m") and not self.parent


@dataclass(frozen=True, slots=True)
class Column:
    """A column of what is read: what later steps see of it, and how its values come."""

    field: Field
    carried: Carried


@dataclass(frozen=True, slots=True)
class Result:
    """The columns of a SELECT, and the SELECT that gives them in the form in which they are read."""

    columns: tuple[Column, ...]
    text: str

    @property
    def schema(self) -> Schema:
        """The columns as a schema."""
        return tuple(column.field for column in self.columns)


@dataclass
class _Open:
    """The parts of a session that errors are told with, as far as there are any."""

    target: Address
    query: bool
    watch: Watch | None = None


@contextmanager
def reading(
    ctx: StepContext,
    schema: str | None = None,
    snapshot: str | None = None,
    *,
    query: bool = False,
    locked: Sequence[Name] = (),
) -> Iterator[Session]:
    """Give a session that reads one state of the database, that of `snapshot` if given, and closes afterwards.

    `query` tells that the user's own text runs in it. Nobody can alter the relations in `locked`, nor put others in
    their place, from before that state until the session ends.
    What goes wrong inside comes out in our words: CON011 to CON017, DRV012 to DRV022, SQL009, SQL011, RUN003.
    """
    target = address(ctx.connection)
    here = _Open(target, query)
    with _translated(here):
        connection = connect(target, ctx)
        try:
            here.watch = watched(connection, target, ctx)
            with here.watch.running():
                encoding = connection.info.parameter_status("server_encoding")
                chosen = schema or target.schema
                session = Session(connection, target, here.watch, chosen, encoding == "SQL_ASCII")
                session = _begin(session, snapshot, locked)
                yield session
        finally:
            connection.close()


def _begin(session: Session, snapshot: str | None, locked: Sequence[Name]) -> Session:
    if locked:
        session = _lock(session, locked)
    else:
        session.run(_BEGIN)
    if snapshot:
        session.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
    settings = dict(SETTINGS)
    settings["statement_timeout"] = str(round(session.target.statement * 1000))
    if session.version >= _LOOKS_FOR_CLIENT:
        settings["client_connection_check_interval"] = _LOOK_FOR_CLIENT
    chosen = ", ".join(f"pg_catalog.set_config('{name}', %s, true)" for name in settings)
    names = [session.schema, list(session.target.trusted)]
    session.rows(f"SELECT {chosen}, {_SEARCH_PATH}", *settings.values(), *names, session.schema)
    return session


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


@contextmanager
def _translated(here: _Open) -> Iterator[None]:
    import psycopg

    where, user = here.target.where, here.target.user
    try:
        yield
    except (Refusal, psycopg.Error) as error:
        state = error.sqlstate or ""
        stopped = here.watch is not None and here.watch.stopped is not None
        if stopped or not state:
            fail_broken(here.watch, where, "the server ended it")
        message = error.message if isinstance(error, Refusal) else error.diag.message_primary
        fail_server(state, message or "", where, user, query=here.query)
    except Broken as error:
        fail_broken(here.watch, where, str(error))


def relations(session: Session) -> dict[str, Relation]:
    """Return the tables and views of the session's schema, by name; fails with DRV012 if there is no such schema.

    Fails with CON065 if it is one of Supabase's own that the connection does not name.
    """
    expect_open(session, {session.schema})
    rows = session.rows(_RELATIONS, session.schema)
    if not rows:
        _expect_schema(session)
    found = (Relation(oid, name, kind, parent, _estimate(count), may) for oid, name, kind, parent, count, may in rows)
    return {relation.name: relation for relation in found}


def closed_schemas(session: Session, schemas: Collection[str]) -> list[str]:
    """Return those of some schemas that are Supabase's own and that the connection does not name."""
    target = session.target
    asked = sorted(OF_SUPABASE.intersection(schemas) - {target.schema, *target.schemas})
    return asked if asked and session.rows(_SUPABASE_ROLE) else []


def expect_open(session: Session, schemas: Collection[str]) -> None:
    """Fail with CON065 for schemas that are Supabase's own and that the connection does not name."""
    if closed := closed_schemas(session, schemas):
        raise_all(diagnostic("CON065", where=session.target.where, schema=schema) for schema in closed)


def _estimate(count: float) -> int | None:
    return None if count < 0 else int(count)


def _expect_schema(session: Session) -> None:
    known = [name for (name,) in session.rows("SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1")]
    if session.schema not in known:
        _fail_no_table(session, f"{session.schema}.…", known)


def _fail_no_table(session: Session, name: str, known: Sequence[str]) -> NoReturn:
    fail("DRV012", table=name, path=session.target.where, hint=did_you_mean(name, known))


def relation(session: Session, name: str) -> Relation:
    """Return a table or view that may be read; fails with DRV012 or DRV020."""
    known = relations(session)
    if name not in known:
        _fail_no_table(session, name if session.schema == "public" else f"{session.schema}.{name}", list(known))
    found = known[name]
    if not found.readable:
        grant = f"GRANT SELECT ON {quote_name(session.schema)}.{quote_name(name)} TO {quote_name(session.target.user)}"
        reason = f"it has no right to SELECT from '{name}'"
        fail("DRV020", where=session.target.where, user=session.target.user, reason=reason, hint=f"run {grant}")
    return found


def table_result(
    session: Session, found: Relation, columns: Sequence[str] | None, *, unscaled_text: bool = False
) -> Result:
    """Return the columns of a table, all or those asked for, in that order; fails with DAT005 or DAT006."""
    rows = session.rows(_COLUMNS, found.oid)
    needed = {name: bool(needed) for name, needed, *_ in rows}
    check_known({"columns": columns or ()}, list(needed), f"table '{found.name}' of {session.target.where}")
    names = list(needed if columns is None else columns)
    if not names:
        fail("DRV013", path=session.target.where, problem=f"table '{found.name}' has no columns")
    plain = f"SELECT {', '.join(map(quote_name, names))} FROM {qualified(session, found)}"
    return described(session, plain, needed, unscaled_text=unscaled_text)


def described(
    session: Session, text: str, needed: Mapping[str, bool] | None = None, *, unscaled_text: bool = False
) -> Result:
    """Return the columns of a SELECT as the server describes them, without running it.

    `needed` tells the columns that hold no NULL. Fails with DAT006 for columns that are not carried, all at once, and
    with SQL009 where two have one name.
    """
    found = _prepared(session, text)
    kinds = _kinds(session, sorted({oid for _, oid, _ in found}))
    columns, problems = [], []
    for name, oid, modifier in found:
        try:
            carried = carry(kinds[oid], modifier, unscaled_text=unscaled_text)
        except NotCarried as refused:
            instead = refused.instead.replace("{name}", name)
            problems.append(
                diagnostic("DAT006", hint=instead, column=name, type=kinds[oid].name, reason=refused.reason)
            )
            continue
        columns.append(Column(Field(name, carried.type, not (needed or {}).get(name)), carried))
    if problems:
        raise_all(problems)
    _expect_names(columns)
    return Result(tuple(columns), _readable(text, columns))


def _expect_names(columns: Sequence[Column]) -> None:
    seen = set[str]()
    for column in columns:
        name = column.field.name
        if name in seen:
            fail("SQL009", problem=f"two columns are called '{name}'", hint="give one of them another name with AS")
        seen.add(name)


def _readable(text: str, columns: Sequence[Column]) -> str:
    """Return the SELECT with casts around columns that are read as text; its order stays as it is."""
    if not any(column.carried.cast for column in columns):
        return text
    names = [f"c{index}" for index in range(len(columns))]
    parts = [f"{name}::{c.carried.cast}" if c.carried.cast else name for name, c in zip(names, columns, strict=True)]
    return f"SELECT {', '.join(parts)} FROM ({text}\n) AS q({', '.join(names)})"


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


def qualified(session: Session, found: Relation) -> str:
    """Return a table's full name, quoted."""
    return f"{quote_name(session.schema)}.{quote_name(found.name)}"


def quote_name(name: str) -> str:
    """Return a name as SQL reads it literally."""
    return '"' + name.replace('"', '""') + '"'
