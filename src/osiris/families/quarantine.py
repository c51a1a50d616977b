"""Rows that are rejected instead of failing a step (`on_reject: quarantine`): one row of `rejected.csv` for each."""

from __future__ import annotations

import csv
import json
import os
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TextIO

from osiris.fault import fault
from osiris.files import fail_os, make_private, private

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    import pyarrow as pa

    from osiris.driver import StepContext

FILE = "rejected.csv"
MAX_VALUE = 1000
"""The characters of a value that are written."""

MAX_ROW = 100_000
"""The characters of a whole row that are written."""


class Reject(NamedTuple):
    """Why a row was rejected: its file and line, the column and its value, both empty if the whole row is wrong.

    A row that is not from a file has its number instead, from 1, among the rows that the step reads or writes. For a
    row that was to be written to a table, `value` is the whole row as JSON.
    """

    file: str
    line: int | None
    column: str
    value: str
    reason: str
    row: int | None = None


def row_reject(row: int, column: str, value: str, reason: str) -> Reject:
    """Return the reject of a row that is not from a file; `row` counts from 1."""
    return Reject("", None, column, value, reason, row)


class RowRejected(Exception):
    """At least one of the rows that were tried is rejected: the columns, if known, and the reason.

    `rule` is the name of the violated constraint or key; `row` is the index of the row, if known.
    """

    def __init__(self, column: str, reason: str, rule: str = "", row: int | None = None) -> None:
        super().__init__(reason)
        self.column, self.reason, self.rule, self.row = column, reason, rule, row

    @property
    def description(self) -> str:
        """The full reason, preceded by rule and columns as far as they are known."""
        parts = [f"constraint '{self.rule}'"] * bool(self.rule) + [f"column '{self.column}'"] * bool(self.column)
        return f"{' of '.join(parts)}: {self.reason}" if parts else self.reason

    @property
    def problem(self) -> str:
        """The full reason, preceded by the row if it is known."""
        return self.description if self.row is None else f"row {self.row + 1}: {self.description}"


class InvalidValue(RowRejected):
    """A value that cannot be read or written unchanged, and the reason."""

    def __init__(self, column: str, value: str, why: str, row: int | None = None) -> None:
        super().__init__(column, f"{value}: {why}", row=row)
        self.value, self.why = value, why


def bisect_rows(count: int, attempt: Callable[[int, int], None], refuse: Callable[[int, RowRejected], None]) -> None:
    """Call `attempt(first, end)` for rows 0 to `count`; where it raises RowRejected, halve the range, down to one row.

    If all rows fit, that is one call. `refuse` is called for each row that does not. Rows are tried in their order.
    """
    waiting = [(0, count)] if count else []
    while waiting:
        first, end = waiting.pop()
        try:
            attempt(first, end)
        except RowRejected as refused:
            middle = (first + end) // 2
            if middle == first:
                refuse(first, refused)
            else:
                waiting += [(middle, end), (first, middle)]


_PLAIN = partial(csv.writer, lineterminator="\n")
_QUOTED = partial(csv.writer, lineterminator="\n", quoting=csv.QUOTE_ALL)
"""Before Python 3.13 a lone carriage return is not quoted automatically, and would end a row."""


class RejectFile:
    """The file of rejects among a step's artifacts, created with the first reject; `rows` counts them."""

    def __init__(self, ctx: StepContext) -> None:
        self.rows = 0
        self._ctx, self._path = ctx, ctx.artifacts / FILE
        self._file: TextIO | None = None

    def take(self, reject: Reject, max_chars: int = MAX_VALUE) -> None:
        """Write a reject, with at most `max_chars` characters of its value."""
        # Masked first, then cut: a part of a secret would not be recognized.
        masked = reject._replace(
            value=self._ctx.masked(reject.value)[:max_chars], reason=self._ctx.masked(reject.reason)
        )
        try:
            if self._file is None:
                # Line-buffered, so that an error appears here and not when the file is closed.
                make_private(self._path.parent)
                descriptor = private(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                self._file = os.fdopen(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", newline="")
                _PLAIN(self._file).writerow(Reject._fields)
            write = _QUOTED if any("\r" in str(cell) for cell in masked) else _PLAIN
            write(self._file).writerow(masked)
        except OSError as error:
            fail_os(error, self._path)
        self.rows += 1

    def keep(self) -> None:
        """Sync the file to disk and emit `rows_quarantined`; without rejects, delete the file of an earlier attempt.

        That is not deleted earlier: if the earlier attempt has delivered, the file is the only record of its rejects.
        """
        try:
            if self._file is None:
                fault("rejects.unlink")
                self._path.unlink(missing_ok=True)
                return
            fault("rejects.sync")
            os.fsync(self._file.fileno())
        except OSError as error:
            fail_os(error, self._path)
        self._ctx.emit("rows_quarantined", {"file": FILE, "rows": self.rows})

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


@contextmanager
def writer_quarantine(ctx: StepContext) -> Iterator[RejectFile | None]:
    """Open the reject file of a step that writes, which counts them itself; None if a reject fails the step."""
    if ctx.on_reject == "fail":
        yield None
        return
    with closing(RejectFile(ctx)) as rejected:
        yield rejected


@contextmanager
def quarantine(ctx: StepContext) -> Iterator[Callable[[Reject], None] | None]:
    """Return a function that takes the rejects of a step that reads; None if a reject fails the step.

    It writes them to the reject file, and counts them as read and rejected; the file is synced if the block succeeds.
    """
    with writer_quarantine(ctx) as rejected:
        if rejected is None:
            yield None
            return

        def take(reject: Reject) -> None:
            rejected.take(reject)
            ctx.count("rows_read", 1)
            ctx.count("rows_rejected", 1)

        yield take
        rejected.keep()


def flush_rejects(waiting: list[Reject], reject: Callable[[Reject], None] | None) -> None:
    """Pass on the rejects of a batch, sorted by line, and clear the list."""
    if reject:
        for each in sorted(waiting, key=lambda each: each.line or 0):
            reject(each)
    waiting.clear()


def with_row_numbers(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """Yield batches with an additional last column: the number of the row, from 0."""
    import pyarrow as pa

    first = 0
    for batch in batches:
        yield batch.append_column(name, pa.array(range(first, first + batch.num_rows), pa.int64()))
        first += batch.num_rows


def row_json(values: Mapping[str, object]) -> str:
    """Return a row as JSON; values without a JSON type become readable text."""
    return json.dumps(values, default=_spelled, ensure_ascii=False)


def row_values(batch: pa.RecordBatch, row: int, names: Collection[str]) -> dict[str, object]:
    """Return the columns `names` of a row; a value that Python cannot represent becomes its underlying integer."""
    return {name: _plain(batch.column(name)[row]) for name in names}


def _plain(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError):  # a day before the year 1 or after 9999
        return value.value


def _spelled(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
