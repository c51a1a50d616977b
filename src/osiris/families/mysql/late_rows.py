"""Which rows of MySQL and MariaDB may become visible after a snapshot: those of open transactions and statements.

docs/decisions/0020-cursors-and-state.md. Tables: https://mariadb.com/kb/en/information-schema-innodb_trx-table/
"""

from __future__ import annotations

import random
import re
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from osiris.errors import Location, fail
from osiris.families.mysql.connect import numbered
from osiris.families.mysql.session import account, begin_reading
from osiris.families.sql.stamps import is_zone, of_new, value_given
from osiris.replication import Moment, has_times

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.mysql.session import Session, Table
    from osiris.families.sql.database import Source
    from osiris.model import Field, JsonValue
    from osiris.replication import Cursor

_AT = Location(pointer="/config/cursor/late")
_CLOCK = "SELECT UTC_TIMESTAMP(6)"
_THREADS = "SELECT ID, USER, COMMAND, {} FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()"
_IDLE = ("Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID")
"""Commands of threads that run no statement that can write."""
_BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
_TRANSACTIONS = """
SELECT /* {} */ trx_mysql_thread_id, trx_started, trx_is_read_only,
    NOT trx_is_read_only AND trx_rows_modified > 0, trx_query
FROM information_schema.INNODB_TRX"""
_NEEDS_PROCESS = "SELECT 1 FROM information_schema.INNODB_CMP LIMIT 1"
"""It needs the same privilege as INNODB_TRX, and does not count as reading that."""
_REPLICA = {True: "SHOW ALL SLAVES STATUS", False: "SHOW REPLICA STATUS"}
"""By whether the server is MariaDB."""
_CLUSTER = "SHOW GLOBAL VARIABLES LIKE 'wsrep_on'"
_ENGINE = """
SELECT ENGINE FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND TABLE_TYPE <> 'VIEW' AND ENGINE <> 'InnoDB'"""
_DEFAULT = """
SELECT COLUMN_DEFAULT FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLUMN_NAME = %s AND COLUMN_DEFAULT IS NOT NULL"""
_TRIGGERS = """
SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s
    AND ACTION_TIMING = 'BEFORE' AND EVENT_MANIPULATION = 'INSERT' ORDER BY ACTION_ORDER"""
_DAYS = ("curdate", "current_date", "utc_date")
_CLOCK_CALL = re.compile(
    r"\(*(?:(now|sysdate|localtime|localtimestamp|curdate|utc_timestamp|utc_date|current_timestamp|current_date)\(\d?\)"
    r"|(current_timestamp|localtime|localtimestamp|current_date|utc_timestamp|utc_date))\)*"
)
"""An expression, without spaces, that is only the clock."""
_NOT_GRANTED, _SYNTAX = (1227, 1142), 1064
_SLACK = timedelta(seconds=1)
"""How much later than its stamp a statement can seem to have started."""
_RECENT = timedelta(seconds=3)
_QUESTIONS, _PAUSE = 6, (0.12, 0.3)
"""How often the server is asked again, and how many seconds pass before. It refreshes its list of transactions only if
nobody has read it for 0.1 s."""
_FRESH = 0.11
_asking = threading.Lock()
_asked_at = {"last": float("-inf")}
_ELSEWHERE = (
    "read from the primary, or write late: {lag: 15m} with the longest time between a stamp and its commit here"
)


class Asked(NamedTuple):
    """What a server says: its clock, the other threads, and the open transactions; None if these are not known."""

    clock: datetime
    threads: Sequence[tuple[Any, ...]]
    transactions: Sequence[tuple[Any, ...]] | None


def moment(
    session: Session, ctx: StepContext, cursor: Cursor, source: Source, before: Mapping[str, JsonValue] | None
) -> Moment | None:
    """Return the server's clock and the least time that a row which arrives later can have.

    None if the cursor's values are no times. If `before` is None, only failures matter. Fails with STA008 if open
    transactions cannot be seen.

    A transaction's first stamp can be earlier than its `trx_started`: its statement may have waited for a lock. So a
    transaction counts from the question before the one that first found it: the least of the clock and the starts of
    the statements that ran then. The server is asked again if that is long ago or unknown, as most transactions are
    short.
    """
    if not has_times(source.schema, cursor):
        return None
    shared: Sequence[Asked] = ctx.shared.asked if ctx.shared else ()
    if cursor.late != "open_transactions":
        return Moment(shared[-1].clock if shared else _clock(session))
    _expect_visible(session, cursor)
    _expect_primary(session, cursor, source)
    if before is None:
        return Moment(_clock(session), unknown=True)
    for each in shared or ask(session, before):
        answer = _answer(each, before)
        before = answer.details
    return answer


def ask_for_all(session: Session) -> Sequence[Asked]:
    """Ask a server for pairs whose positions are not known here; `moment` takes from it what each pair needs."""
    import pymysql

    try:
        return ask(session, {})
    except pymysql.MySQLError as error:
        if numbered(error)[0] not in _NOT_GRANTED:
            raise
        return [Asked(_clock(session), (), None)]


def ask(session: Session, before: Mapping[str, JsonValue]) -> Sequence[Asked]:
    """Ask a server until no open transaction is old or has an unknown start after a position, at most some times."""
    answers = [_ask(session)]
    answer = _answer(answers[0], before)
    since = answer.clock - _RECENT
    while len(answers) <= _QUESTIONS and (answer.unknown or (answer.pending and answer.pending < since)):
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311  so that two who ask do not keep each other from news
        answers.append(_ask(session))
        answer = _answer(answers[-1], answer.details)
    return answers


def _ask(session: Session) -> Asked:
    """Ask once: clock, statements and transactions, in this order, as a row moves from one to the next."""
    return Asked(_clock(session), _threads(session), _transactions(session))


def _answer(each: Asked, before: Mapping[str, JsonValue]) -> Moment:
    """Return what an answer means after a position; `details` has its `bound`, and the bounds of open transactions.

    Times are whole seconds, as a stamp may have no fraction.
    """
    if each.transactions is None:
        return Moment(each.clock, unknown=True, details=before)
    reading = {thread for thread, _, reads_only, *_ in each.transactions if reads_only}
    statements = _statements(each.clock, each.threads, reading)
    opened = _opened([(thread, started) for thread, started, _, writes, _ in each.transactions if writes], before)
    starts = {name: datetime.fromisoformat(at) for name, at in opened.items() if at}
    holders = {**statements, **{at: f"the transaction of thread {name.split()[0]}" for name, at in starts.items()}}
    oldest, holder = min(holders.items(), default=(None, None))
    details = {"bound": min([each.clock, *statements]).isoformat(), "open": opened}
    return Moment(each.clock, oldest, holder, len(starts) < len(opened), details)


def _statements(clock: datetime, threads: Sequence[tuple[Any, ...]], reading: Collection[int]) -> dict[datetime, str]:
    """Return the earliest starts of the statements that run, except in transactions that only read."""
    running = (
        (float(seconds), thread, user)
        for thread, user, command, seconds in threads
        if command not in _IDLE and seconds is not None and thread not in reading
    )
    begun = ((clock - timedelta(seconds=seconds) - _SLACK, thread, user) for seconds, thread, user in running)
    return {at.replace(microsecond=0): f"the statement of thread {thread} of '{user}'" for at, thread, user in begun}


def _opened(writers: Sequence[tuple[int, object]], before: Mapping[str, JsonValue]) -> dict[str, str | None]:
    """Return the bounds of open transactions: each has that of the question before the one that first found it.

    One without a thread has none: it is prepared, and its client has left.
    """
    earlier = before.get("open") or {}
    return {
        f"{thread} {started}": earlier.get(f"{thread} {started}", before.get("bound")) if thread else None
        for thread, started in writers
    }


def _clock(session: Session) -> datetime:
    ((clock,),) = session.rows(_CLOCK)
    now: datetime = clock.replace(tzinfo=UTC, microsecond=0)
    return now


def _threads(session: Session) -> Sequence[tuple[Any, ...]]:
    """Return all other threads: id, user, command, and for how many seconds its statement has been running."""
    return session.rows(_THREADS.format("TIME_MS / 1000" if session.mariadb else "TIME"))


def _transactions(session: Session) -> Sequence[tuple[Any, ...]] | None:
    """Return the open transactions; None if the server answers from its cache.

    A new answer has our own transaction, with the token of this question. Questions of this process come one by one,
    so that they do not keep each other from a new answer.
    """
    token = secrets.token_hex(8)
    with _asking:
        time.sleep(max(0.0, _asked_at["last"] + _FRESH - time.monotonic()))
        session.run(_BEGIN)
        transactions = session.rows(_TRANSACTIONS.format(token))
        _asked_at["last"] = time.monotonic()
    begin_reading(session)
    return transactions if any(token in (query or "") for *_, query in transactions) else None


def _expect_visible(session: Session, cursor: Cursor) -> None:
    """Fail with STA008 if the user lacks PROCESS."""
    import pymysql

    try:
        session.rows(_NEEDS_PROCESS)
    except pymysql.MySQLError as error:
        if numbered(error)[0] not in _NOT_GRANTED:
            raise
        hint = f"run GRANT PROCESS ON *.* TO {account(session)}"
        _fail(cursor, "transactions of other users are hidden from this one", hint)


def _expect_primary(session: Session, cursor: Cursor, source: Source) -> None:
    """Fail with STA008 if rows are stamped by another server, or written by an engine whose transactions are hidden."""
    if any(user == "system user" and command != "Daemon" for _, user, command, _ in _threads(session)) or _follows(
        session
    ):
        _fail(cursor, "the server is a replica, on which the primary's transactions cannot be seen", _ELSEWHERE)
    if any(str(value).upper() in ("ON", "1") for _, value in session.rows(_CLUSTER)):
        _fail(cursor, "the server belongs to a cluster, whose other servers stamp rows too", _LAG)
    for name in source.relations:
        for (engine,) in session.rows(_ENGINE, *name):
            _fail(cursor, f"the engine of table '{name[1]}' is {engine}, whose transactions cannot be seen", _LAG)


_LAG = "write late: {lag: 15m} with the longest time between a stamp and its commit"


def _follows(session: Session) -> bool:
    """Return whether the server is set up as a replica, as far as the user may see that."""
    import pymysql

    try:
        return bool(session.rows(_REPLICA[session.mariadb]))
    except pymysql.MySQLError as error:
        if numbered(error)[0] not in (*_NOT_GRANTED, _SYNTAX):
            raise
        return False


def snapshot(_session: Session, cursor: Cursor, _source: Source) -> NoReturn:
    """Fail with STA008: rows have no transaction id that a query can read."""
    _fail(cursor, "rows of MySQL show no transaction ids", "use a time with late: open_transactions, or {lag: 15m}")


def is_stamped(session: Session, table: Table, column: Field, zone: str | None) -> bool:
    """Return whether the server's clock gives the values of a column, in a time zone if its type has none."""
    place = (session.target.database, table.name)
    given = value_given((text for (text,) in session.rows(_TRIGGERS, *place)), column.name, of_new)
    defaults = session.rows(_DEFAULT, *place, column.name) if given is None else [(given,)]
    return any(_is_clock(text, column, zone) for (text,) in defaults)


def _is_clock(text: str, column: Field, zone: str | None) -> bool:
    match = _CLOCK_CALL.fullmatch("".join(text.split()).lower())
    if match is None:
        return False
    call = match[1] or match[2]
    fits_day = column.type == "date" or call not in _DAYS
    return fits_day and (not call.startswith("utc") or is_zone("utc", zone))


def _fail(cursor: Cursor, problem: str, hint: str) -> NoReturn:
    fail("STA008", at=_AT, column=cursor.column, problem=problem, hint=hint)
