"""Which rows of PostgreSQL may become visible after a snapshot: open transactions, and ids of transactions.

docs/decisions/0020-cursors-and-state.md. Views: https://www.postgresql.org/docs/current/monitoring-stats.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.errors import Location, fail
from osiris.families.sql.stamps import is_zone, of_new, value_given
from osiris.replication import Moment, has_times
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.postgres.session import Session, Table
    from osiris.families.sql.database import Source
    from osiris.model import Field, JsonValue
    from osiris.replication import Cursor

_AT = Location(pointer="/config/cursor/late")
_CLOCK = """
SELECT pg_catalog.clock_timestamp(), pg_catalog.pg_is_in_recovery(),
    pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"""
_OPEN = """
SELECT pid, usename, application_name, coalesce(xact_start, query_start)
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
    AND (backend_type IS NULL OR (backend_type NOT IN ('autovacuum worker', 'walsender')
        AND (xact_start IS NOT NULL OR backend_xid IS NOT NULL OR backend_xmin IS NOT NULL
            OR state IN ('active', 'disabled'))))
ORDER BY coalesce(xact_start, query_start)"""
"""Sessions in a transaction. One that is about to begin is active, and its transaction starts with its query."""

_PREPARED = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() LIMIT 1"
_SUBSCRIBED = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_subscription_rel s JOIN pg_catalog.pg_class c ON c.oid = s.srrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"""
_DEFAULT = """
SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = %s AND a.attname = %s"""
_TRIGGERS = """
SELECT CASE WHEN l.lanname = 'plpgsql' AND t.tgqual IS NULL THEN p.prosrc
    ELSE pg_catalog.concat(p.prosrc, ' ', pg_catalog.encode(t.tgargs, 'escape'), ' \\') END
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE t.tgrelid = %s AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 7 = 7 ORDER BY t.tgname"""
"""Triggers for each row, before an INSERT (bits 1, 2 and 4), in their order. The text of one with a condition, or in
another language, ends with a backslash: it is searched for the column, and not understood."""
_CLOCK_VALUE = re.compile(
    r"""\(*(?:now\(\)|current_timestamp(?:\(\d\))?|(?:clock|statement|transaction)_timestamp\(\)
        |(?P<local>localtimestamp(?:\(\d\))?|(?P<day>current_date)))\)*
    (?:attimezone'(?P<zone>[^']*)'(?:::text)?\)*)?
    (?:::(?:timestamp(?:tz)?(?:\(\d\))?(?:with(?:out)?timezone)?|(?P<to_day>date))\)*)?""",
    re.VERBOSE | re.IGNORECASE,
)
"""An expression, without spaces, that is only the clock, perhaps in a time zone or another type."""
_XMIN = """
SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text,
    (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
    pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8),
    oid::text, relfilenode::text
FROM pg_catalog.pg_class WHERE oid = %s::regclass"""
"""The timeline is that of the current WAL file: the one of the last checkpoint is old after a promotion. A rewrite of
the table (SET LOGGED) gives its rows new transaction ids, and the table another file."""
_AGE = 1 << 31
_EPOCH = 1 << 32
_MARGIN = 10_000_000
"""Transaction ids before an age of 2**31 at which a position counts as too old."""


class Asked(NamedTuple):
    """What a server says before a snapshot.

    Its clock, whether it is a standby, whether the user sees the sessions of others, the sessions in a transaction, the
    id of a prepared transaction, and the tables (schema and name) that belong to a subscription.
    """

    clock: datetime
    standby: bool
    sees_others: bool
    started: Sequence[tuple[Any, ...]]
    prepared: str | None
    subscribed: frozenset[tuple[str, str]]


def ask(session: Session) -> Asked:
    """Ask a server; the clock first, then sessions, then prepared transactions: transactions move in that direction."""
    ((clock, standby, sees_others),) = session.rows(_CLOCK)
    started, prepared = session.rows(_OPEN), session.rows(_PREPARED)
    gid = str(prepared[0][0]) if prepared else None
    return Asked(clock.astimezone(UTC), standby, sees_others, started, gid, frozenset(session.rows(_SUBSCRIBED)))


def moment(
    session: Session, ctx: StepContext, cursor: Cursor, source: Source, _before: Mapping[str, JsonValue] | None
) -> Moment | None:
    """Return the server's clock and its oldest open transaction; None if the cursor's values are no times.

    Fails with STA008 on a standby or subscriber, and if transactions are hidden from the user.
    """
    if not has_times(source.schema, cursor):
        return None
    answer: Asked = ctx.shared.asked if ctx.shared else ask(session)
    if cursor.late != "open_transactions":
        return Moment(answer.clock)
    _expect_visible(session, cursor, source, answer)
    if answer.prepared is not None:
        return Moment(answer.clock, None, f"the prepared transaction '{answer.prepared}'", unknown=True)
    oldest = next((each for each in answer.started if each[3]), None)
    if oldest is None:
        return Moment(answer.clock)
    pid, user, name, start = oldest
    holder = f"the transaction of process {pid} of '{user}'{f' ({name})' if name else ''}, open since {start:%H:%M:%S}"
    return Moment(answer.clock, start.astimezone(UTC), holder)


def clock(session: Session) -> datetime:
    """Return the time of the server's clock, in UTC."""
    now: datetime = session.rows(_CLOCK)[0][0]
    return now.astimezone(UTC)


def _expect_visible(session: Session, cursor: Cursor, source: Source, answer: Asked) -> None:
    """Fail with STA008 if a transaction that may add rows cannot be seen."""
    if answer.standby:
        _fail(cursor, "the server is a standby, on which the primary's transactions cannot be seen", _PRIMARY)
    for name in answer.subscribed.intersection(source.relations):
        problem = f"table '{name[1]}' belongs to a subscription, whose rows are stamped by another server"
        _fail(cursor, problem, _PRIMARY)
    if not answer.sees_others:  # also if there are none now: a nightly run would fail when there are
        user = quote_name(session.target.user)
        _fail(cursor, "transactions of other users are hidden from this one", f"run GRANT pg_read_all_stats TO {user}")
    if any(start is None for *_, start in answer.started):
        _fail(cursor, "a transaction has no known start", "set track_activities = on for all users")


_PRIMARY = "read from the primary, or write late: {lag: 15m} with the longest time between a stamp and its commit here"


def snapshot(session: Session, cursor: Cursor, source: Source) -> dict[str, JsonValue]:
    """Return the least transaction id that was open in the session's snapshot, with what gives ids their meaning.

    Fails with STA008 on a standby, and for anything but a table.
    """
    ((_, standby, _),) = session.rows(_CLOCK)
    if standby:
        _fail(cursor, "the server is a standby, which has no transaction ids of its own", _PRIMARY)
    if not source.is_table:
        _fail(
            cursor, "only rows of tables have a transaction id", "use a time or an integer column with another 'late'"
        )
    if not session.one_state:
        grant = "run GRANT SELECT on the whole table"
        _fail(cursor, "its rows cannot be read in one snapshot without SELECT on all columns", grant)
    table = ".".join(map(quote_name, source.relations[0]))
    ((xmin, system, timeline, oid, file),) = session.rows(_XMIN, table)
    return {"xmin": int(xmin), "system identifier": system, "timeline": timeline, "table": oid, "table file": file}


def newer(position: Mapping[str, JsonValue]) -> str:
    """Return the condition on rows whose transaction had not ended in the snapshot of a position.

    Ids are compared modulo 2**32, as ages, by the server.
    """
    xmin = int(position["xmin"]) % _EPOCH
    return f"pg_catalog.age(xmin) BETWEEN 0 AND pg_catalog.age('{xmin}'::pg_catalog.xid)"


def expect_recent(
    position: Mapping[str, JsonValue], before: Mapping[str, JsonValue] | None, cursor: Cursor, *, appends: bool
) -> None:
    """Fail with STA008 if transaction ids no longer tell which rows are new."""
    if before is not None and position["xmin"] < before["xmin"]:
        problem = "its transaction ids went back, as after a restore"
        _fail(cursor, problem, "run 'osiris state reset' to read all rows again")
    if before is not None and position["xmin"] - before["xmin"] > _AGE - _MARGIN:
        problem = "too many transactions have passed since the last run"
        _fail(cursor, problem, "run 'osiris state reset' to read all rows again, and run more often")
    if appends and position["xmin"] >= _EPOCH:
        problem = "the server has used all 2**32 transaction ids once, so an old row can look new"
        _fail(cursor, problem, "use write_mode: upsert, or late: {lag: 10000} on an ascending integer")


def is_stamped(session: Session, table: Table, column: Field, zone: str | None) -> bool:
    """Return whether the server's clock gives the values of a column, in a time zone if its type has none."""
    name = column.name
    given = value_given((text for (text,) in session.rows(_TRIGGERS, table.oid)), name, of_new)
    defaults = session.rows(_DEFAULT, table.oid, name) if given is None else [(given,)]
    return any(_is_clock(text, column, zone) for (text,) in defaults)


def _is_clock(text: str, column: Field, zone: str | None) -> bool:
    match = _CLOCK_VALUE.fullmatch("".join(text.split()))
    if match is None or (column.type != "date" and (match["day"] or match["to_day"])):
        return False
    return match["zone"] is None or (not match["local"] and is_zone(match["zone"], zone))


def _fail(cursor: Cursor, problem: str, hint: str) -> None:
    fail("STA008", at=_AT, column=cursor.column, problem=problem, hint=hint)
