"""The state of a pair in the target database: read before its rows, and written in their transaction.

docs/decisions/0020-cursors-and-state.md.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.errors import diagnostic, fail
from osiris.families.sql.database import REPEATED, STATE
from osiris.families.sql.ledger import insert_delivery, make_own
from osiris.fault import fault
from osiris.replication import State, Stored, parse_value

if TYPE_CHECKING:
    from osiris.errors import Diagnostic
    from osiris.families.sql.database import Database, Delivery, Name, Session
    from osiris.replication import Rows, StateChange

_ENTRY = struct.Struct("<16sq")
"""A row: its digest, and the place of its cursor's value."""

_PART = 1 << 16
"""The number of entries in a row of the table."""


def pair_key(source: str, target: str) -> str:
    """Return the key of a pair's state: the SHA-256 of its source and target, in hex."""
    return hashlib.sha256(f"{source}\0{target}".encode()).hexdigest()


def _key(delivery: Delivery) -> str:
    pair = delivery.ctx.pair or {}
    return pair_key(pair["source"], _target(delivery))


def _target(delivery: Delivery) -> str:
    """Return the name of the target, the same however a file writes it."""
    return delivery.database.fold(delivery.target.table)


def load_state(session: Session, delivery: Delivery) -> tuple[State | None, Rows]:
    """Return the state of a delivery's pair, None before the first, and the delivered rows that may be read again.

    Fails with STA004 if the target table was replaced or emptied since, STA006 if there is no state but the table has
    rows to which others would be added, STA010 if the state cannot be read, STA017 for a second pair.
    """
    _expect_only_pair(session, delivery)
    state = _stored(session, delivery)
    if state is None:
        _expect_new(session, delivery)
        return None, Counter()
    _expect_target(session, delivery, state)
    return state, _rows(session, delivery)


def _expect_new(session: Session, delivery: Delivery) -> None:
    target, database = delivery.target, delivery.database
    if delivery.mode != "append" or database.find(session, delivery.table) is None:
        return
    if _has_rows(session, delivery):
        source = (delivery.ctx.pair or {})["source"]
        fail("STA006", step=delivery.ctx.step, table=target.table, path=target.database, source=source)


def _expect_only_pair(session: Session, delivery: Delivery) -> None:
    """Fail with STA017 if rows of the target are deleted and another pair writes it: its rows would be deleted."""
    database, mark = delivery.database, delivery.database.placeholder
    if delivery.ctx.deletes is None or not database.has_own(session, STATE):
        return
    statement = f"SELECT source FROM {database.own(session, STATE)} WHERE target = {mark} AND pair <> {mark}"
    for (source,) in session.rows(f"{statement} AND version > 0", _target(delivery), _key(delivery)):
        fail("STA017", table=delivery.target.table, path=delivery.target.database, source=source)


def is_replicated(database: Database[Any], session: Session, name: Name) -> bool:
    """Return whether Osiris writes a table and keeps a state of it: its rows come with the values of their source.

    States that the user may not read are not known. One that was reset does not count before the next run of its pair,
    which may have been given up.
    """
    place = database.states_of(session, name)
    if place is None or not database.has_own(place[0], STATE):
        return False
    there, target = place
    condition = f"target = {database.placeholder} AND version > 0"
    rows = session.rows(
        f"SELECT version, content FROM {database.own(there, STATE)} WHERE {condition}", database.fold(target)
    )
    states = (_parsed(*row) for row in rows)
    return any(state is None or state.position or state.target is not None for state in states)


def _stored(session: Session, delivery: Delivery) -> State | None:
    version, state = _read(session, delivery)
    if version and state is None:
        fail("STA010", step=delivery.ctx.step, table=delivery.target.table, path=delivery.target.database)
    return state


def _read(session: Session, delivery: Delivery) -> tuple[int, State | None]:
    """Return the version of the state, 0 if there is none, and the state, None if it cannot be read."""
    database, mark = delivery.database, delivery.database.placeholder
    if not database.has_own(session, STATE):
        return 0, None
    statement = f"SELECT version, content FROM {database.own(session, STATE)} WHERE pair = {mark}"
    rows = session.rows(statement, _key(delivery))
    version = int(rows[0][0]) if rows else 0
    return version, _parsed(version, rows[0][1]) if version else None


def _parsed(version: int, content: str) -> State | None:
    """Return a state; None if it cannot be read."""
    try:
        return State.from_text(int(version), content)
    except (ValueError, KeyError, TypeError):
        return None


def stored_state(session: Session, delivery: Delivery) -> Stored:
    """Return what the target has of a delivery's pair, whatever became of the target table."""
    version, state = _read(session, delivery)
    return Stored(version, state, _rows(session, delivery).total() if state else 0)


def rows_again(session: Session, delivery: Delivery, change: StateChange) -> int | None:
    """Return how many rows of the target a changed state appends again at most; None if that is not known."""
    if delivery.mode != "append" or delivery.database.find(session, delivery.table) is None:
        return 0
    database, condition, mark = delivery.database, "", change.mark
    if mark is not None or not change.reads_all:
        columns = database.columns(session, database.relation(session, delivery.table))
        if mark is None or {each.name: each.type for each in columns}.get(change.column) != change.kind:
            return None
        condition = f" WHERE {database.at_least(change.column, parse_value(mark, change.kind), change.kind)}"
    ((rows,),) = session.rows(f"SELECT count(*) FROM {delivery.quoted}{condition}")
    return int(rows)


def change_state(session: Session, delivery: Delivery, change: StateChange) -> None:
    """Replace the state of a pair in the open transaction, and record that in the ledger; fails with STA001.

    Delivered rows are not recognized any more: whether the next run reads the same columns is not known here. If the
    writer deletes rows, states of other pairs with this target end, for example that of a former name of the source.
    """
    source, database, mark = (delivery.ctx.pair or {})["source"], delivery.database, delivery.database.placeholder
    if delivery.ctx.deletes and database.has_own(session, STATE):
        statement = f"DELETE FROM {database.own(session, STATE)} WHERE target = {mark} AND pair <> {mark}"
        session.rows(statement, _target(delivery), _key(delivery))
    _lock(session, delivery, source, change.state.version - 1)
    _store_rows(session, delivery, Counter())
    fault("state.change")
    store_state(session, delivery, change.state)
    insert_delivery(session, delivery, 0)


def _expect_target(session: Session, delivery: Delivery, state: State) -> None:
    if state.target is None:
        return
    target, database = delivery.target, delivery.database
    if database.find(session, delivery.table) is None:
        problem = "does not exist any more"
    elif state.target and state.target != database.identity(session, delivery):
        problem = "was replaced by another table"
    elif state.rows and not _has_rows(session, delivery):
        problem = "was emptied"
    else:
        return
    fail("STA004", step=delivery.ctx.step, table=target.table, path=target.database, problem=problem)


def _has_rows(session: Session, delivery: Delivery) -> bool:
    return bool(session.rows(f"SELECT 1 FROM {delivery.quoted} LIMIT 1"))


def _rows(session: Session, delivery: Delivery) -> Rows:
    database, mark = delivery.database, delivery.database.placeholder
    if not database.has_own(session, REPEATED):
        return Counter()
    statement = f"SELECT digests FROM {database.own(session, REPEATED)} WHERE pair = {mark}"
    rows: Rows = Counter()
    for (part,) in session.rows(statement, _key(delivery)):
        rows.update(_ENTRY.iter_unpack(bytes(part)))
    return rows


def claim_state(session: Session, delivery: Delivery) -> None:
    """Lock the pair's state in the transaction of a delivery; fails with STA001 if it has changed since it was read."""
    increment = delivery.ctx.increment
    if increment is not None:
        _lock(session, delivery, increment.pair.source, increment.before.version if increment.before else 0)


def _lock(session: Session, delivery: Delivery, source: str, expected: int) -> None:
    database, mark, key = delivery.database, delivery.database.placeholder, _key(delivery)
    make_own(session, delivery)
    verb, unless = database.insert_missing
    marks = ", ".join([mark] * 7)
    values = (key, source, _target(delivery), 0, "", delivery.ctx.run_key, _now())
    session.rows(f"{verb} {database.own(session, STATE)} VALUES ({marks}){unless}", *values)
    statement = f"SELECT version FROM {database.own(session, STATE)} WHERE pair = {mark}{database.locks_rows}"
    ((version,),) = session.rows(statement, key)
    if int(version) != expected:
        fail("STA001", table=delivery.target.table, path=delivery.target.database)
    _expect_only_pair(session, delivery)


def record_state(session: Session, delivery: Delivery) -> None:
    """Write the new state of the pair and its digests, in the transaction of its rows."""
    increment = delivery.ctx.increment
    if increment is None:
        return
    fault("state.record")
    database = delivery.database
    if not database.identity(session, delivery):
        database.put_mark(session, delivery, secrets.token_hex(8))
    identity = database.identity(session, delivery)
    state = increment.after(delivery.ctx.run_key, identity, rows=_has_rows(session, delivery))
    has_rejected = delivery.merged and delivery.rejected and delivery.rejected.rows
    if has_rejected:
        increment.kept = Counter()  # to be tried again, also after deletes that are delivered apart
    state, kept = increment.before_deletes(state) if increment.leaves_deletes else (state, increment.kept)
    store_state(session, delivery, state)
    _store_rows(session, delivery, Counter() if has_rejected else kept)


def find_lacking(session: Session, delivery: Delivery, rows: int) -> Diagnostic | None:
    """Return a warning if the table has rows of earlier runs without values of new columns; this one wrote `rows`."""
    increment, names = delivery.ctx.increment, {column.name for column in delivery.schema}
    new = [name for name in (increment.new_columns if increment else ()) if name in names]
    if not new:
        return None
    counts = ", ".join(f"count({delivery.database.quote(name)})" for name in new)
    ((total, *filled),) = session.rows(f"SELECT count(*), {counts} FROM {delivery.quoted}")
    lacking = {name: min(total - count, total - rows) for name, count in zip(new, filled, strict=True)}
    columns = ", ".join(f"'{name}' in {count:,} of {total:,} rows" for name, count in lacking.items() if count > 0)
    step = delivery.ctx.step
    emptied = f"empty the table, then run 'osiris state reset FILE {step}' to have the next run copy all rows again"
    hint = None if delivery.merged else emptied
    return diagnostic("STA062", step=step, table=delivery.target.table, columns=columns, hint=hint) if columns else None


def store_state(session: Session, delivery: Delivery, state: State) -> None:
    """Write a state over the one that the transaction has locked."""
    database, mark = delivery.database, delivery.database.placeholder
    changes = {
        "version": state.version,
        "content": state.to_text(),
        "run_key": delivery.ctx.run_key,
        "written_at": _now(),
    }
    listed = ", ".join(f"{name} = {mark}" for name in changes)
    statement = f"UPDATE {database.own(session, STATE)} SET {listed} WHERE pair = {mark}"
    session.rows(statement, *changes.values(), _key(delivery))


def _store_rows(session: Session, delivery: Delivery, rows: Rows) -> None:
    database, mark, key = delivery.database, delivery.database.placeholder, _key(delivery)
    table = database.own(session, REPEATED)
    session.rows(f"DELETE FROM {table} WHERE pair = {mark}", key)
    entries = sorted(rows.elements())
    for part, start in enumerate(range(0, len(entries), _PART)):
        content = b"".join(_ENTRY.pack(*entry) for entry in entries[start : start + _PART])
        session.rows(f"INSERT INTO {table} VALUES ({mark}, {mark}, {mark})", key, part, content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
