"""Reading the rows of a table or query that are new since the last run. docs/decisions/0020-cursors-and-state.md."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from osiris.errors import Location, did_you_mean, fail
from osiris.families.source_columns import expect_read_columns
from osiris.families.sql.key_compare import Comparison
from osiris.families.sql.state import is_replicated
from osiris.replication import (
    MOST_REPEATED,
    is_ordered,
    least_after,
    mark_of,
    parse_value,
    place_of,
    value_text,
)
from osiris.table.hashing import fixed, is_text, plain
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Session, Source, StepConfig
    from osiris.model import Field, JsonValue, Schema
    from osiris.replication import Cursor, Increment, Moment, Rows, Value

_TABLES = ("table", "r", "p", "BASE TABLE")
"""Kinds of relations whose columns can be NOT NULL; in views and queries, each row is checked."""

_IN_MEMORY = 4 * MOST_REPEATED
_BYTES = pa.large_binary()
_AT = Location(pointer="/config/cursor/column")
_LATE = Location(pointer="/config/cursor")
_NULLABLE = "it can be NULL, and rows without a value would never be read"
_UNSTAMPED = "its default and the triggers that name it do not show that the server's clock sets it"
_UNSTAMPED_HINT = (
    "if the server's clock sets it, add stamped_by: server; if applications do, write late: {lag: 15m} with the "
    "longest time between a stamp and its commit"
)
_WHOLE = "tables: {NAME: {cursor: none, deletes: none}} of an entry of replicate reads the table whole"
_COPY_HINT = (
    "write late: {lag: 25h} with the longest time between a stamp and its arrival in this table; "
    "if no pipeline writes it any more, run 'osiris state reset FILE' with the file or plan of the one that did"
)


def expect_cursor(
    database: Database[Any], session: Session, source: Source, config: StepConfig, ctx: StepContext
) -> None:
    """Fail unless the cursor of a step fits what the step reads.

    Fails with DAT005 for a missing column, STA007 for one that cannot be a cursor, STA008 if late rows cannot be seen.
    """
    cursor = ctx.cursor
    if cursor is None:
        return
    column = _column(source.schema, cursor, ctx)
    relation = database.relation(session, str(config.table)) if config.table is not None else None
    problem, hint = _misfit(column, cursor, is_table=relation is not None and relation.kind in _TABLES)
    if problem == _NULLABLE:
        schema = getattr(config, "schema", None)
        table = ".".join(map(database.quote, (*([schema] if schema else []), str(config.table))))
        hint = f"{database.forbid_null(session, table, column.name)}, or use another column; {_WHOLE}"
    if problem:
        what = f"table '{config.table}'" if config.table is not None else "the query"
        fail("STA007", at=_AT, column=column.name, what=what, problem=problem, hint=hint)
    _expect_stamped_here(database, session, source, config, cursor)
    is_stamped = cursor.declared or (relation and database.is_stamped(session, relation, column, cursor.zone))
    if cursor.late == "open_transactions" and not is_stamped:
        fail("STA008", at=_LATE, column=column.name, problem=_UNSTAMPED, hint=_UNSTAMPED_HINT)
    database.moment(session, ctx, cursor, source, None)
    if cursor.late == "row_xids":
        database.snapshot(session, cursor, source)


def _expect_stamped_here(
    database: Database[Any], session: Session, source: Source, config: StepConfig, cursor: Cursor
) -> None:
    """Fail with STA008 if open transactions do not show which rows arrive late, as Osiris writes a table that is read.

    Its rows have the stamps of their source, and arrive a run later.
    """
    names = source.relations or database.named_relations(session, config)
    for name in names if cursor.late == "open_transactions" else ():
        if is_replicated(database, session, name):
            problem = f"Osiris itself writes table '{name[1]}', and its rows were stamped where they come from"
            fail("STA008", at=_LATE, column=cursor.column, problem=problem, hint=_COPY_HINT)


def _column(schema: Schema, cursor: Cursor, ctx: StepContext) -> Field:
    columns = {column.name: column for column in schema}
    if cursor.column not in columns:
        where = f"what step '{ctx.step}' reads"
        fail("DAT005", at=_AT, column=cursor.column, where=where, hint=did_you_mean(cursor.column, columns))
    return columns[cursor.column]


def _misfit(column: Field, cursor: Cursor, *, is_table: bool) -> tuple[str, str]:
    """Return why a column cannot be the cursor, and a hint; empty if it can."""
    kind = parse_type(column.type)
    is_time = kind.kind in ("date", "timestamp")
    if not is_ordered(column.type) and cursor.late != "row_xids":
        return f"{column.type} has no order that fits a cursor", "use a time stamp or an ascending integer"
    if column.nullable and is_table and cursor.late != "row_xids":
        return _NULLABLE, ""
    if cursor.late == "open_transactions" and not is_time:
        return "open_transactions is for times", "write late: {lag: 10000} (in values), row_xids or none"
    if cursor.late == "lag" and cursor.is_lag_in_time != is_time:
        lag = "late: {lag: 15m}" if is_time else "late: {lag: 10000} (in values)"
        return f"the lag of a column of type {column.type} is {'a duration' if is_time else 'a number'}", f"write {lag}"
    if is_time and len(kind.parameters) < 2 and cursor.zone is None and cursor.late in ("open_transactions", "lag"):
        return "it has no time zone", "say in which zone its values are, for example zone: UTC"
    return "", ""


def opened_increment(
    database: Database[Any], session: Session, source: Source, config: StepConfig, ctx: StepContext
) -> tuple[Source, Generator[pa.RecordBatch, None, None]]:
    """Return the source, and the batches of the rows that are new in a new snapshot.

    When all batches were read, the position and the digests of the increment are set.
    """
    increment: Any = ctx.increment
    cursor = increment.cursor
    moment = database.moment(session, ctx, cursor, source, increment.before.position if increment.before else {})
    if not ctx.shared:
        session = database.lock_relations(session, source.relations)
        source = database.select(session, config, ctx)
    reading = (_ByXid if cursor.late == "row_xids" else _ByValue)(database, session, source, config, ctx, moment)
    return reading.source, reading.batches()


class _Reading:
    """The rows of a step that are new, and the position and the rows for the next run."""

    def __init__(
        self,
        database: Database[Any],
        session: Session,
        source: Source,
        config: StepConfig,
        ctx: StepContext,
        moment: Moment | None,
    ) -> None:
        increment: Any = ctx.increment
        self._increment: Increment = increment
        self._database, self._session, self._config, self._ctx, self._moment = database, session, config, ctx, moment
        self._appends = increment.appends
        self._left: Rows = Counter(increment.repeated)
        self._dropped = 0
        self._columns = {column.name: column.type for column in source.schema}
        self._all = self.source = source
        self._before = increment.before.position if increment.before else {}
        self._compares_at = _time_to_compare(database, session, increment)
        expect_read_columns(increment, self._columns)
        self._identity = database.source_identity(session, source)
        if self._before.get("source", self._identity) != self._identity:
            fail(
                "STA003",
                at=_LATE,
                what="the server or the table, which was created again,",
                source=increment.pair.source,
            )

    def _read(self, source: Source) -> Iterator[pa.RecordBatch]:
        with closing(self._database.batches(self._session, source, self._config, self._ctx)) as batches:
            yield from batches

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Yield the new rows, and those that the target has lost; afterwards the increment is complete."""
        if self._compares_at is None:
            yield from self._new()
        else:
            comparison = Comparison(self._database, self._session, self._all, self._config, self._ctx)
            with comparison.taking(self._new()) as batches:
                yield from batches
            yield from comparison.finish(self._compares_at)
        self._complete()
        self._increment.columns = self._columns
        self._ctx.emit("read_since", self._read_since())

    def _new(self) -> Iterator[pa.RecordBatch]:
        for batch in self._read(self.source):
            self._ctx.count("rows_read", batch.num_rows)
            self._take(batch)
            yield self._fresh(batch)

    def _read_since(self) -> dict[str, JsonValue]:
        """Return what was read, as text: from which mark (None: all rows), to which, and what holds it back."""
        position = self._increment.position or {}
        name = "xmin" if "xmin" in position else "mark"
        before, after = self._before.get(name), position.get(name)
        is_held = name == "xmin" or after != position.get("greatest")
        return {
            "from": None if before is None else str(before),
            "to": None if after is None else str(after),
            "held_back_by": self._moment.holder if self._moment and is_held else None,
            "rows_read_again": self._dropped,
            "rewound_by": self._increment.rewound_by,
        }

    def _take(self, batch: pa.RecordBatch) -> None:
        """Take note of the rows of a batch."""

    def _complete(self) -> None:
        """Set the position and the rows for the next run."""
        raise NotImplementedError

    def _fresh(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch without the rows that were delivered before; each counts as often as it occurred."""
        if not self._left or not batch.num_rows:
            return batch
        columns = self._increment.before.columns if self._increment.before else None
        existing = [name for name in columns or self._columns if name in self._columns]
        keep = [not self._was_delivered(row) for row in self._rows(batch, existing)]
        dropped = keep.count(False)
        if not dropped:
            return batch
        self._ctx.count("rows_filtered", dropped)
        self._dropped += dropped
        return batch.filter(pa.array(keep))

    def _was_delivered(self, row: tuple[bytes, int]) -> bool:
        count = self._left[row]
        if count > 1:
            self._left[row] = count - 1
        else:
            del self._left[row]
        return count > 0

    def _rows(self, batch: pa.RecordBatch, columns: Iterable[str]) -> Iterator[tuple[bytes, int]]:
        """Yield rows as they are kept: the digest of these columns, and the place in the cursor's order."""
        yield from zip(row_digests(batch.select(sorted(columns))), self._places(batch), strict=True)

    def _places(self, batch: pa.RecordBatch) -> Iterable[int]:
        return [0] * batch.num_rows


class _ByValue(_Reading):
    """Rows whose cursor column is at or above the mark."""

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  as of _Reading
        super().__init__(*args)
        self._cursor = self._increment.cursor
        self._kind = self._columns[self._cursor.column]
        self._pending = self._moment.pending if self._moment else None
        self._mark_before, self._greatest = self._stored("mark"), self._stored("greatest")
        self._least_read: Value | None = None
        self._kept: Rows = Counter()
        self._keeps = True
        self._expect_clock()
        if self._mark_before is not None:
            self.source = self._newer(self._mark_before)

    def _stored(self, name: str) -> Value | None:
        text = self._before.get(name)
        return None if text is None else parse_value(str(text), self._kind)

    def _expect_clock(self) -> None:
        """Fail with STA003 if the server's clock was set back since the last run: stamps would be below the mark.

        Less than the guard does not matter.
        """
        clock = self._before.get("clock")
        guard = timedelta(seconds=self._cursor.guard)
        if clock and self._moment and self._moment.clock + guard < datetime.fromisoformat(str(clock)):
            fail("STA003", at=_LATE, what="the clock of its server went back; it", source=self._increment.pair.source)

    def _newer(self, mark: Value) -> Source:
        mark = self._least_read = self._least_after(mark)
        condition = self._database.at_least(self._cursor.column, mark, self._kind)
        nullable = {column.name for column in self._all.schema if column.nullable}
        if self._cursor.column in nullable:  # a NULL is refused, not overlooked
            condition = f"({condition} OR {self._database.quote(self._cursor.column)} IS NULL)"
        return self._database.since(self._all, condition)

    def _read(self, source: Source) -> Iterator[pa.RecordBatch]:
        """Yield the rows at or above the mark, and NULLs: the condition of a database may hold for others too."""
        for batch in super()._read(source):
            if self._least_read is None:
                yield batch
                continue
            column = batch.column(self._cursor.column)
            kind = None if pa.types.is_timestamp(column.type) else column.type  # in microseconds, not cut to seconds
            is_new = pc.greater_equal(column, pa.scalar(self._least_read, kind))
            yield batch.filter(pc.fill_null(is_new, fill_value=True))

    def _take(self, batch: pa.RecordBatch) -> None:
        """Update the greatest value, and the rows that the next run may read again."""
        column = batch.column(self._cursor.column)
        if column.null_count:
            fail("STA009", step=self._ctx.step, column=self._cursor.column)
        if not batch.num_rows:
            return
        greatest = _value(pc.max(column))
        self._greatest = greatest if self._greatest is None else max(self._greatest, greatest)
        if self._keeps:
            least = self._least_kept()
            recent = batch if least is None else batch.filter(pc.greater_equal(column, pa.scalar(least, column.type)))
            self._kept.update(self._rows(recent, self._columns))
            self._drop_old(least)

    def _drop_old(self, least: Value | None) -> None:
        if len(self._kept) > MOST_REPEATED and least is not None:
            self._kept = Counter({row: n for row, n in self._kept.items() if row[1] >= place_of(least)})
        if self._appends:
            expect_few(len(self._kept), self._moment, self._ctx, most=_IN_MEMORY)
        elif len(self._kept) > MOST_REPEATED:
            self._kept, self._keeps = Counter(), False

    def _places(self, batch: pa.RecordBatch) -> Iterable[int]:
        return _places_of(batch.column(self._cursor.column))

    def _mark(self) -> Value | None:
        """Return the mark after the rows so far. It never falls: rows below the last one are not kept."""
        before = self._mark_before
        if self._greatest is None or (self._moment and self._moment.unknown):
            return before
        mark = mark_of(self._cursor, self._greatest, self._pending, self._kind)
        return mark if before is None else max(before, mark)

    def _least_kept(self) -> Value | None:
        """Return the least value that the next run may read."""
        mark = self._mark()
        return None if mark is None else self._least_after(mark)

    def _least_after(self, mark: Value) -> Value:
        """Return the least value of the rows that are read from a mark on; without a clock, none arrive late."""
        return least_after(mark, self._cursor.zone) if self._moment else mark

    def _complete(self) -> None:
        increment, least = self._increment, self._least_kept()
        values = {"mark": self._mark(), "greatest": self._greatest}
        position = {name: None if value is None else value_text(value) for name, value in values.items()}
        increment.position = {**self._before, **position, "source": self._identity}
        if self._moment and increment.position != self._before:
            clock = self._moment.clock.isoformat()
            increment.position = {**increment.position, **self._moment.details, "clock": clock}
        # For an append, a row that is not visible now may be again. An upsert must write a row that comes back.
        kept = self._kept + self._left if self._appends else self._kept
        increment.kept = Counter({row: n for row, n in kept.items() if least is None or row[1] >= place_of(least)})
        if self._appends:
            expect_few(increment.kept.total(), self._moment, self._ctx)


class _ByXid(_Reading):
    """Rows whose transaction had not ended before the last snapshot."""

    def __init__(self, *args: Any) -> None:  # noqa: ANN401  as of _Reading
        super().__init__(*args)
        increment, database = self._increment, self._database
        self._position = database.snapshot(self._session, increment.cursor, self._all)
        before = self._before if self._before.get("xmin") is not None else None
        same = self._position if before is None else {**before, "xmin": self._position["xmin"]}
        if changed := [name for name, value in self._position.items() if same.get(name) != value]:
            fail("STA003", at=_LATE, what=f"the {changed[0]} of its rows", source=increment.pair.source)
        database.expect_recent(self._position, before, increment.cursor, appends=self._appends)
        self.source = self._all if before is None else self._of(before)

    def _of(self, position: Mapping[str, JsonValue]) -> Source:
        return self._database.since(self._all, self._database.newer(position))

    def _complete(self) -> None:
        self._increment.position = {**self._position, "source": self._identity}
        for batch in self._read(self._of(self._position)) if self._appends else ():
            self._increment.kept.update(self._rows(batch, self._columns))
            expect_few(self._increment.kept.total(), self._moment, self._ctx)


def _time_to_compare(database: Database[Any], session: Session, increment: Increment) -> datetime | None:
    """Return the source's clock if keys are to be compared with the target's in this run."""
    if increment.target is None or increment.deletes is None:
        return None
    clock = database.clock(session)
    return clock if increment.deletes.is_due(increment.before, clock) else None


def expect_few(rows: int, moment: Moment | None, ctx: StepContext, most: int = MOST_REPEATED) -> None:
    """Fail with STA005 if more rows would be read again than can be recognised."""
    if rows > most:
        holder = (moment.holder if moment else None) or "the guard or lag of the cursor"
        fail("STA005", step=ctx.step, rows=rows, most=most, holder=holder)


def _value(scalar: pa.Scalar) -> Value:
    value = scalar.as_py() if not pa.types.is_timestamp(scalar.type) else _timestamp(scalar)
    return int(value) if not isinstance(value, datetime) and hasattr(value, "__int__") else value


def _timestamp(scalar: pa.Scalar) -> datetime:
    """Return a timestamp in microseconds, rounded down, as a datetime; aware ones are in UTC."""
    value = _in_microseconds(scalar).as_py()
    moment: datetime = value.astimezone(UTC) if value.tzinfo else value
    return moment


def _places_of(column: pa.Array) -> list[int]:
    """Return `place_of` each value of a cursor's column without NULL; for a million times it would take 20 s."""
    if pa.types.is_timestamp(column.type):
        times: list[int] = _in_microseconds(column).cast(pa.int64()).to_pylist()
        return times
    return [place_of(_value(value)) for value in column]


def _in_microseconds(times: pa.Array | pa.Scalar) -> pa.Array | pa.Scalar:
    """Return timestamps in microseconds, rounded down."""
    return times.cast(pa.timestamp("us", times.type.tz), safe=False)


def row_digests(batch: pa.RecordBatch) -> list[bytes]:
    """Return a digest of 16 bytes for each row, over the values of all columns."""
    rows = _joined(*(_cells(plain(column)) for column in batch.columns))
    return [hashlib.blake2b(row, digest_size=16).digest() for row in rows.to_pylist()]


def _cells(column: pa.Array) -> pa.Array:
    """Return values as bytes that do not depend on a library's types, each as `_encoded`."""
    if column.type.num_fields:
        return pa.array(map(_encoded, column.to_pylist()), _BYTES)
    content = column if is_text(column.type) else fixed(column)
    content = content.cast(pa.large_string() if pa.types.is_integer(content.type) else _BYTES).cast(_BYTES)
    length = pc.binary_length(content).cast(pa.large_string()).cast(_BYTES)
    cells = _joined(pa.scalar(b"v", _BYTES), length, pa.scalar(b":", _BYTES), content)
    return pc.if_else(column.is_null(), pa.scalar(b"n", _BYTES), cells)


def _joined(*parts: pa.Array | pa.Scalar) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", _BYTES))


def _encoded(value: object) -> bytes:
    """Return bytes that differ for different values of one column."""
    if value is None:
        return b"n"
    if isinstance(value, (list, tuple)):
        return b"l%d:" % len(value) + b"".join(map(_encoded, value))
    if isinstance(value, dict):
        return b"d" + b"".join(map(_encoded, value.values()))
    content = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else repr(value).encode()
    return b"v%d:" % len(content) + content
