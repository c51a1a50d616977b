"""Reading only what is new: the cursor of an extractor, the state of a pair, and what one run hands from the extractor
to the writer. docs/decisions/0020-cursors-and-state.md.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from osiris.types import parse_type
from osiris.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from osiris.model import JsonValue, Schema

    Step = Mapping[str, JsonValue]
    """A step of a plan."""

Late: TypeAlias = Literal["open_transactions", "lag", "row_xids", "none", "files"]
"""What may arrive after rows with greater values were read; `files` is the cursor over files."""

Value: TypeAlias = datetime | date | int
"""A value of a cursor column. Times without a time zone are naive."""

Rows: TypeAlias = "Counter[tuple[bytes, int]]"
"""Rows, each as a digest of 16 bytes and the place of its cursor's value (`place_of`), with how often they occur."""

MOST_REPEATED = 1_000_000
"""Maximum number of rows at or above the mark of an append."""

BY_HAND = "state/"
"""The start of the names that changes of states by hand have in marks and ledgers."""

_MOST_MARKS = 30
_DIGESTS = 1
"""The version of how rows are digested; digests of another one cannot be compared."""
_PLACES = 1 << 63
_GUARD = 2.0
_SOFT_COLUMN, _AT_MOST = "deleted_at", "5%"
_ALWAYS_ALLOWED = 20
"""Rows that a comparison may delete, however few the target has."""

_EARLY = 0.9
"""A comparison is due after this part of `every`, as runs do not start to the second."""

_HOUR = timedelta(hours=1)
_MOST_BACK = timedelta(hours=26)
"""The greatest difference between two offsets of time zones (UTC+14 and UTC-12): clocks go back by no more."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The key `cursor` of a step. `lag` is in seconds if `is_lag_in_time`, else in values; `guard` is in seconds."""

    column: str
    late: Late
    lag: float = 0
    guard: float = _GUARD
    is_lag_in_time: bool = False
    declared: bool = False
    zone: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, JsonValue]) -> Cursor | None:
        """Return the cursor of a validated config; None if it has none."""
        written = config.get("cursor")
        if written is None:
            return None
        if written == "files":
            return cls("", "files")
        late = written.get("late", "open_transactions")
        lag = late["lag"] if isinstance(late, dict) else 0
        return cls(
            written["column"],
            "lag" if isinstance(late, dict) else late,
            float(lag) if isinstance(lag, int) else parse_duration(lag) or 0.0,
            parse_duration(written.get("guard")) or _GUARD,
            isinstance(lag, str),
            written.get("stamped_by") == "server",
            written.get("zone"),
        )


@dataclass(frozen=True, slots=True)
class Deletes:
    """The key `deletes` of a writer: how it learns of deleted rows (`column` marks them, else keys are compared).

    `every` is in seconds, 0 for each run. `hard`: rows are deleted, else the time is set in `soft_column`. `share` is
    the part of the live rows that one comparison may delete.
    """

    column: str | None = None
    every: float = 0.0
    hard: bool = False
    soft_column: str = _SOFT_COLUMN
    share: Fraction = Fraction(1, 20)

    @classmethod
    def of(cls, config: Mapping[str, JsonValue]) -> Deletes | None:
        """Return what a validated config says; None if it says nothing."""
        written = config.get("deletes")
        if not isinstance(written, dict):
            return None
        return cls(
            written.get("column"),
            parse_duration(written.get("every")) or 0.0,
            written.get("as") == "hard",
            written.get("soft_column", _SOFT_COLUMN),
            Fraction(written.get("at_most", _AT_MOST).rstrip("%")) / 100,
        )

    @property
    def stamp(self) -> str | None:
        """The column of the target that is set when a row is deleted; None if there is none."""
        return None if self.hard or self.column else self.soft_column

    def limit(self, live: int) -> int:
        """Return how many of the live rows of a target one comparison may delete."""
        return max(_ALWAYS_ALLOWED, int(live * self.share))

    def is_due(self, before: State | None, clock: datetime) -> bool:
        """Return whether keys are to be compared, by the clock of the source."""
        if before is None or before.compared_at is None:
            return True
        passed = (clock - datetime.fromisoformat(before.compared_at)).total_seconds()
        return not 0 <= passed < _EARLY * self.every


@dataclass(frozen=True, slots=True)
class TargetKeys:
    """The keys of a target: their columns, and batches of them with one more column, whether the row is live."""

    schema: Schema
    open: Callable[[], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass(frozen=True, slots=True)
class KeysToDelete:
    """The keys of rows to delete: their number, and the function that yields them."""

    rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is replicated: its `source` as text, which with the target identifies the state, and its `form`.

    `form` has the digests of what a state depends on, by name: cursor, query. `texts` has the same for people.
    """

    source: str
    form: Mapping[str, str]
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, writer: Step, steps: Mapping[str, Step]) -> Pair:
        """Return the pair of a writer with a state in a plan."""
        return cls(writer["state"]["source"], writer["state"]["form"], form_texts(writer, steps))


def form_texts(writer: Step, steps: Mapping[str, Step]) -> dict[str, str]:
    """Return what the digests in the form of a writer's state stand for: the cursor, and the table or the queries."""
    reader = steps[writer["state"]["reader"]]
    queries, step = list[str](), writer
    while step is not reader:
        inputs = [steps[name] for name in step["inputs"].values()]
        step = next((each for each in inputs if each["config"].get("query")), reader)
        queries += [" ".join(step["config"]["query"].split())] if step["mode"] == "transform" else []
    own = reader["config"]
    table = ".".join(str(own[key]) for key in ("schema", "table") if key in own)
    read = table or " ".join(str(own.get("query") or own.get("path")).split())
    return {"cursor": _flow(own["cursor"]), "query": " -> ".join([read, *reversed(queries)])}


def _flow(value: JsonValue) -> str:
    """Return a value as it may be written in YAML."""
    return f"{{{', '.join(f'{k}: {_flow(v)}' for k, v in value.items())}}}" if isinstance(value, dict) else str(value)


@dataclass(frozen=True, slots=True)
class State:
    """How far a pair has been read.

    `form` is that of `Pair`, and `columns` are the names and types that were read. `source` is the digest of the source
    connection's plain fields, `target` the identity of the target table. A rewind accepts whatever the next run finds:
    then `source`, `target` and the types are None.
    `position` depends on the cursor: `mark` and `greatest` as text, `xmin`, or `files`, and what gives these their
    meaning. `rows`: whether the target had rows. `marks` are the last positions with their runs, the newest last.
    `compared_at` is the time of the last comparison of keys. `texts` are those of `Pair`; states of earlier versions
    have none.
    """

    version: int
    form: Mapping[str, str] | None
    columns: Mapping[str, str | None] | None
    source: str | None
    target: str | None
    position: Mapping[str, JsonValue]
    rows: bool = False
    marks: tuple[Mapping[str, JsonValue], ...] = ()
    compared_at: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the state as JSON, without its version, which is a column of its own."""
        content = {
            "digests": _DIGESTS,
            "form": self.form and dict(self.form),
            "columns": self.columns and dict(self.columns),
            "source": self.source,
            "target": self.target,
            "position": dict(self.position),
            "rows": self.rows,
            "marks": [dict(mark) for mark in self.marks[-_MOST_MARKS:]],
            "compared_at": self.compared_at,
            "texts": dict(self.texts),
        }
        return json.dumps(content, sort_keys=True, ensure_ascii=True)

    @classmethod
    def from_text(cls, version: int, text: str) -> State:
        """Return the state that `to_text` wrote; raises ValueError, KeyError or TypeError for any other text."""
        content = json.loads(text)
        if content["digests"] != _DIGESTS:
            raise ValueError(content["digests"])
        return cls(
            version,
            content["form"],
            content["columns"],
            content["source"],
            content["target"],
            {**content["position"]},
            bool(content["rows"]),
            tuple({**mark} for mark in content["marks"]),
            content["compared_at"],
            {**content.get("texts", {})},
        )

    def rewound(self, pair: Pair, position: Mapping[str, JsonValue], run: str, at: str) -> State:
        """Return the state of the next version at a position given by `run`; marks of another cursor are forgotten.

        Without a position, the next run reads everything, and compares all keys.
        """
        is_same = self.form is None or self.form.get("cursor") == pair.form.get("cursor")
        return State(
            self.version + 1,
            pair.form,
            self.columns and dict.fromkeys(self.columns),
            None,
            None,
            position,
            False,
            (*(self.marks if is_same else ()), {"run": run, "at": at, **position}),
            self.compared_at if position else None,
            pair.texts,
        )


NO_STATE = State(0, None, None, None, None, {})
"""What stands for the state of a pair that has none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a target has of a pair: the `version` of its state (0: none), the state, and the number of rows `kept`.

    `state` is None if there is none, or if it cannot be read.
    """

    version: int
    state: State | None
    kept: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """A new state that is to replace the one of the version before; with `dry_run`, nothing is changed.

    `reads_all`: all rows will be read again; else those whose `column`, of type `kind`, is at or above `mark`. The
    column is empty if the target does not have it unchanged.
    """

    state: State
    dry_run: bool
    reads_all: bool
    column: str = ""
    kind: str = ""
    mark: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        fields = {name: getattr(self, name) for name in ("dry_run", "reads_all", "column", "kind", "mark")}
        return {**fields, "version": self.state.version, "state": self.state.to_text()}

    @classmethod
    def from_json(cls, data: Mapping[str, JsonValue]) -> StateChange:
        """Return the change that `to_json` wrote."""
        fields = {name: value for name, value in data.items() if name not in ("version", "state")}
        return cls(State.from_text(data["version"], data["state"]), **fields)


@dataclass(slots=True)
class Increment:
    """One run of a pair: the extractor reads `before` and sets the rest, which the writer records.

    `repeated` are the delivered rows that may be read again. If the writer `appends`, all must be recognized; for an
    upsert, whose key absorbs them, those that are known need not be written again. When all rows were read, the reader
    sets `position`, `kept` (the same for the next run) and `columns`.

    If the keys of a table are to be compared, `target` has those of the target. The reader then sets `compared_at`, and
    `to_delete` if rows are to be deleted. With `deletes_later`, the writer only keeps these keys: what is left is
    another delivery, after those of the tables that refer to its target.

    With `cursor: files`, `files` has what the new position says of each file that is read.
    """

    pair: Pair
    cursor: Cursor
    before: State | None = None
    repeated: Rows = field(default_factory=Counter)
    appends: bool = True
    source: str | None = None
    position: Mapping[str, JsonValue] | None = None
    kept: Rows = field(default_factory=Counter)
    columns: Mapping[str, str] | None = None
    compared_at: str | None = None
    deletes: Deletes | None = None
    target: TargetKeys | None = None
    to_delete: KeysToDelete | None = None
    deletes_later: bool = False
    files: Mapping[Any, Mapping[str, JsonValue]] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The version of the state that this run writes."""
        return (self.before.version if self.before else 0) + 1

    @property
    def has_target(self) -> bool:
        """Whether the state was read together with the table to which it belongs."""
        return self.before is not None and self.before.target is not None

    @property
    def is_unchanged(self) -> bool:
        """Whether the new position and digests are those before: then there is nothing to record."""
        return (
            self.before is not None
            and self.compared_at is None
            and self.to_delete is None
            and self.position == self.before.position
            and self.columns == self.before.columns
            and self.kept == self.repeated
        )

    @property
    def new_columns(self) -> list[str]:
        """The columns that were read and that the state before does not have; none if those are not known."""
        before = self.before.columns if self.before else None
        return [name for name in self.columns or () if before is not None and name not in before]

    @property
    def rewound_by(self) -> str | None:
        """The change by hand that set the position from which this run reads; None if a run has set it."""
        run = str(self.before.marks[-1]["run"]) if self.before and self.before.marks else ""
        return run if run.startswith(BY_HAND) else None

    @property
    def leaves_deletes(self) -> bool:
        """Whether rows are yet to be deleted after this delivery."""
        return self.deletes_later and self.to_delete is not None

    def before_deletes(self, state: State) -> tuple[State, Rows]:
        """Return the state and rows to record while deletes are left, so that the next run finds them after a kill.

        It compares keys again, or reads the rows that are marked as deleted again.
        """
        before = self.before or replace(NO_STATE, form=self.pair.form)
        if self.deletes and self.deletes.column:
            return replace(before, version=state.version), self.repeated
        return replace(state, compared_at=before.compared_at), self.kept

    @property
    def of_deletes(self) -> Increment:
        """The increment of the delivery that deletes the rows which this one has left."""
        before = replace(self.before or NO_STATE, version=self.version, columns=self.columns)
        return replace(self, before=before, deletes_later=False)

    def after(self, run_key: str, target: str | None, *, rows: bool) -> State:
        """Return the state after this run; `target` is the identity of the target, `rows` whether it has rows."""
        before, position = self.before, self.position or {}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"run": run_key.partition("#")[0], "at": at, **{k: v for k, v in position.items() if k != "files"}}
        return State(
            self.version,
            self.pair.form,
            self.columns,
            self.source,
            target,
            position,
            rows,
            (*(before.marks if before else ()), entry),
            self.compared_at or (before.compared_at if before else None),
            self.pair.texts,
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """What a server says before a snapshot: its `clock`, and the start of the `oldest` open transaction.

    Both are in UTC; `oldest` is None if there is none. `holder` describes that transaction. `unknown`: there are
    transactions without a known start, which began after the last mark. `details` are kept in the position, for the
    next run.
    """

    clock: datetime
    oldest: datetime | None = None
    holder: str | None = None
    unknown: bool = False
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def pending(self) -> datetime:
        """The least time that a row which arrives later can have."""
        return self.clock if self.oldest is None else min(self.clock, self.oldest)


def mark_of(cursor: Cursor, greatest: Value, pending: datetime | None, kind: str) -> Value:
    """Return the mark: rows that arrive later have a value at or above it.

    `greatest` is the greatest value read, `pending` that of the moment, `kind` the type of the column.
    """
    if isinstance(greatest, int):
        return max(greatest - int(cursor.lag), range_of(kind).start)
    back = timedelta(seconds={"lag": cursor.lag, "open_transactions": cursor.guard}.get(cursor.late, 0))
    if not isinstance(greatest, datetime):
        limit = local_time(pending - back, cursor.zone).date() if pending else greatest
        back = back if cursor.late == "lag" else timedelta()
        return min(_least_before(datetime.combine(greatest, time.min), back, cursor.zone).date(), limit)
    least = _least_before(greatest, back, cursor.zone)
    if pending is None:
        return least
    limit = pending - back
    return min(least, limit if greatest.tzinfo else local_time(limit, cursor.zone))


def local_time(instant: datetime, zone: str | None) -> datetime:
    """Return the naive local time of an instant in a time zone (UTC by default)."""
    return instant.astimezone(ZoneInfo(zone) if zone else UTC).replace(tzinfo=None)


def _least_before(value: datetime, back: timedelta, zone: str | None) -> datetime:
    """Return the least time that an instant less than `back` before a value has, in the local time of a zone.

    Clocks that went forward in between show less: 15 minutes before 03:05 it may be 01:50.
    """
    if value.tzinfo or zone is None:
        return value - back
    try:
        return min(value - back, local_time(value.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - back, zone))
    except OverflowError:  # at the end of the calendar, no instant of another zone exists
        return value - back


def least_after(mark: Value, zone: str | None) -> Value:
    """Return the least value that an instant from `mark` on can have, in the local time of a zone.

    When clocks go back, later instants have earlier local times, and sometimes an earlier date. An integer, an aware
    time and a value without a zone are returned as they are.
    """
    if isinstance(mark, int) or zone is None:
        return mark
    if not isinstance(mark, datetime):
        return _least_local(datetime.combine(mark, time.min), ZoneInfo(zone)).date()
    return mark if mark.tzinfo else _least_local(mark, ZoneInfo(zone))


def _least_local(mark: datetime, home: ZoneInfo) -> datetime:
    least, instant = mark, mark.replace(tzinfo=home, fold=0).astimezone(UTC)
    end = instant + _MOST_BACK
    before = instant.astimezone(home).utcoffset() or timedelta()
    while instant < end:
        instant += _HOUR
        offset = instant.astimezone(home).utcoffset() or timedelta()
        if offset < before:
            least = min(least, local_time(_last_change(instant, home), str(home)))
        before = offset
    return least


def _last_change(instant: datetime, home: ZoneInfo) -> datetime:
    """Return when the clocks of a zone were changed in the hour before an instant, to the second."""
    begin, offset = instant.replace(microsecond=0) - _HOUR, instant.astimezone(home).utcoffset()

    def is_changed(seconds: int) -> bool:
        return (begin + timedelta(seconds=seconds)).astimezone(home).utcoffset() == offset

    return begin + timedelta(seconds=bisect_left(range(_HOUR.seconds), True, key=is_changed))


def value_text(value: Value) -> str:
    """Return a cursor value as canonical text: an integer, or ISO 8601."""
    return str(value) if isinstance(value, int) else value.isoformat()


def parse_value(text: str, kind: str) -> Value:
    """Return the cursor value of a text, for a column of a type; raises ValueError if it is no value of the type."""
    parsed = parse_type(kind)
    if parsed.kind in ("date", "timestamp") and text[4:5] != "-":  # 20250131-06 is rather the name of a session
        raise ValueError(text)
    if parsed.kind == "timestamp":
        value = datetime.fromisoformat(text)
        is_aware = len(parsed.parameters) > 1
        if is_aware != (value.tzinfo is not None):
            raise ValueError(text)
        return value.astimezone(UTC) if is_aware else value
    if parsed.kind == "date":
        return date.fromisoformat(text)
    if int(text) not in range_of(kind):
        raise ValueError(text)
    return int(text)


def range_of(kind: str) -> range:
    """Return the integers of a type: of an integer, or of a decimal without a fraction."""
    parsed = parse_type(kind)
    if parsed.kind == "decimal":
        most = 10 ** int(parsed.parameters[0])
        return range(1 - most, most)
    bits = int(parsed.kind.lstrip("uint"))
    return range(2**bits) if parsed.kind.startswith("u") else range(-(2 ** (bits - 1)), 2 ** (bits - 1))


def is_ordered(kind: str) -> bool:
    """Return whether a column of a type can be a cursor: integers, decimals without a fraction, dates, timestamps."""
    parsed = parse_type(kind)
    if parsed.kind == "decimal":
        return int(parsed.parameters[1]) == 0
    return parsed.kind in ("date", "timestamp") or parsed.kind.startswith(("int", "uint"))


def place_of(value: Value) -> int:
    """Return an integer of 64 bits in the order of cursor values: itself, days, or microseconds.

    Greater and smaller integers have the place of the greatest and the smallest.
    """
    if isinstance(value, int):
        return max(-_PLACES, min(value, _PLACES - 1))
    if not isinstance(value, datetime):
        return value.toordinal()
    return (value.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def has_times(schema: Schema, cursor: Cursor) -> bool:
    """Return whether the cursor column is a date or a timestamp."""
    return any(f.name == cursor.column and f.type.startswith(("date", "timestamp")) for f in schema)
