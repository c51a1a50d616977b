"""Sessions that write to PostgreSQL: a transaction under settings that fix what values mean, and what it may refuse."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.postgres.connect import address, connect
from osiris.families.postgres.constraint_errors import explained, refusal_of
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.session import SETTINGS, Session, quote_name
from osiris.families.postgres.watchdog import watched
from osiris.families.quarantine import Refused
from osiris.families.sql.database import Target
from osiris.families.sql.watchdog import fail_broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    import psycopg

    from osiris.driver import StepContext

    T = TypeVar("T")

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_OWN = {
    "idle_in_transaction_session_timeout": "0",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""What keeps a transaction open while we are there, and not longer: who comes after waits for `lock_timeout` only."""

_IN_USE = "55P03"
_UNDONE = ("40001", "40P01")
"""The server has ended the transaction for the sake of another one: a serialization failure, or a deadlock."""

_MADE_MEANWHILE = ("42P07", "42710", "23505")
_CATALOGUE = "pg_catalog"
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """The table that a step writes."""

    schema: str
    table: str

    @property
    def shown(self) -> str:
        """Its name in messages and in the ledger."""
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        """Its name in SQL."""
        return f"{quote_name(self.schema)}.{quote_name(self.table)}"


def place_of(ctx: StepContext, table: str, schema: str | None) -> Place:
    """Return the table that a config names: `table`, or `schema.table` where it has no schema of its own."""
    before, dot, after = table.partition(".")
    if schema is None and dot:
        if not before or not after or "." in after:
            fail("DRV007", path=f"table '{table}'", problem="it has several dots; name its schema with 'schema'")
        return Place(before, after)
    return Place(schema or address(ctx.connection).schema, table)


@contextmanager
def writing(ctx: StepContext, place: Place) -> Iterator[Session]:
    """Give a session that may write, and closes afterwards: what is not committed by then is undone.

    What goes wrong inside comes out in our words: CON011 to CON017, DAT032, DRV011 to DRV022, RUN003.
    """
    import psycopg

    target = address(ctx.connection)
    connection = connect(target, ctx)
    watch = watched(connection, target, ctx)
    session = Session(connection, target, watch, place.schema, checked=False)
    try:
        with watch.running():
            connection.prepare_threshold = None
            yield session
    except psycopg.Error as error:
        if watch.stopped or not error.sqlstate:
            fail_broken(watch, target.where, "the server ended it")
        _fail(error, session, ctx, place)
    finally:
        connection.close()


def _fail(error: psycopg.Error, session: Session, ctx: StepContext, place: Place) -> NoReturn:
    state, target = error.sqlstate or "", session.target
    if state in _UNDONE:
        fail("DRV064", path=target.where, reason=error.diag.message_primary or "")
    if state == _IN_USE:
        fail("DRV011", path=target.where, seconds=SETTINGS["lock_timeout"].replace("s", " s"))
    if refused := refusal_of(error):
        session.run("ROLLBACK")
        fail("DAT032", step=ctx.step, table=place.shown, problem=explained(session, place.quoted, refused).problem)
    fail_server(state, error.diag.message_primary or "", target.where, target.user)


@contextmanager
def trying(session: Session) -> Iterator[None]:
    """Undo what the block does, and raise Refused, if the server refuses a row in it."""
    import psycopg

    session.run("SAVEPOINT trying")
    try:
        yield
    except psycopg.Error as error:
        if (refused := refusal_of(error)) is None:
            raise
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise refused from None
    except Refused:
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise
    session.run("RELEASE SAVEPOINT trying")


def begin(session: Session) -> None:
    """Begin a transaction whose settings do not outlive it; a commit is on disk when it is confirmed."""
    session.run(_BEGIN)
    settings = SETTINGS | _OWN | {"statement_timeout": str(round(session.target.statement * 1000))}
    names = [n for (n,) in session.rows("SELECT name FROM pg_catalog.pg_settings WHERE name = ANY(%s)", [*settings])]
    chosen = ", ".join(f"pg_catalog.set_config('{name}', %s, true)" for name in names)
    session.rows(f"SELECT {chosen}", *(settings[name] for name in names))
    session.rows(
        "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) "
        "WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
    )


def begun(session: Session, action: Callable[[], T]) -> T:
    """Begin a transaction and do what makes things that others may make at the same time: then it is done again.

    A second CREATE … IF NOT EXISTS waits for the first to end, and is then refused by an index of the catalogue.
    """
    import psycopg

    for _ in range(_ATTEMPTS):
        begin(session)
        try:
            return action()
        except psycopg.Error as error:
            made = error.sqlstate in _MADE_MEANWHILE and error.diag.schema_name in (None, _CATALOGUE)
            if not made:
                raise
            session.run("ROLLBACK")
    return fail("DRV011", path=session.target.where, seconds="0 s")


def target_of(session: Session, place: Place) -> Target:
    """Return how a table is called in the ledger and in messages."""
    return Target(place.shown, session.target.where)
