"""A running step: its progress, a meter for each edge, and its row balance.

The rows of a step must balance: rows read = rows returned + rejected + filtered.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.table import Digester, passed_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Written
    from osiris.model import JsonValue
    from osiris.runner.cancellation import Stopper
    from osiris.runner.worker.job_context import Ready
    from osiris.table import Relation, RowStream


@dataclass(slots=True)
class Meter:
    """Counts the rows of an edge and, if `digests` is set, digests them. `failure` is the exception of its producer.

    `expected` is the number of rows, where it is known before they are read. An exception that crosses the Arrow C
    interface loses its type and code, so it is kept where it was raised.
    """

    rows: int = 0
    expected: int | None = None
    ended: bool = False
    failure: Exception | None = None
    digests: bool = False
    _digester: Digester | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            self.failure = error

    def take(self, source: RowStream, batch: pa.RecordBatch) -> None:
        """Count a batch of a stream."""
        self.rows += batch.num_rows
        if self.digests:
            self._digester_of(source).add(batch)

    def end(self, source: RowStream) -> None:
        """Mark the stream as ended; its order is read now, before its source is released."""
        self.ended = True
        if self.digests:
            self._digester_of(source)

    @property
    def digest(self) -> JsonValue:
        """The digest of the rows so far; None without `digests`, or before the first batch."""
        return self._digester and self._digester.result()

    def _digester_of(self, source: RowStream) -> Digester:
        self._digester = self._digester or Digester(source.schema, source.order)
        return self._digester


@dataclass(slots=True)
class Active:
    """A step that has started and not ended; `meter` counts its output, `inputs` the rows it has read.

    For a writer, `meter` counts its input. `checks` is the number of checks passed, `sent` the progress last sent.
    """

    data: Mapping[str, JsonValue]
    started: float
    ready: Ready | None = None
    meter: Meter = field(default_factory=Meter)
    inputs: list[Meter] = field(default_factory=list)
    written: Written | None = None
    checks: int = 0
    sent: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows so far: of the output, or, for a writer, of the input."""
        return sum(meter.rows for meter in self.inputs) if self.data["mode"] == "write" else self.meter.rows

    def progress(self) -> dict[str, JsonValue]:
        """Return the rows so far: `rows`, `rows_in` of a transform, and `rows_expected` where that is known."""
        meters = [self.meter] if self.data["mode"] == "read" else self.inputs
        expected = [meter.expected for meter in meters if meter.expected is not None]
        fields: dict[str, JsonValue] = {"rows": self.rows}
        fields |= {"rows_in": sum(meter.rows for meter in meters)} if self.data["mode"] == "transform" else {}
        return fields | ({"rows_expected": sum(expected)} if expected and len(expected) == len(meters) else {})

    @property
    def overdue(self) -> bool:
        """Whether the step has exceeded its timeout."""
        limit = self.ready.timeout if self.ready else None
        return limit is not None and time.monotonic() - self.started > limit


def metered(source: RowStream, meter: Meter, stopper: Stopper) -> RowStream:
    """Return the stream with its rows counted by `meter`; raises Stopped when a stop is requested."""

    def batches() -> Iterator[pa.RecordBatch]:
        with meter:
            for batch in source.batches():
                stopper.check()
                meter.take(source, batch)
                yield batch
            meter.end(source)

    return passed_on(source, batches(), _counted_relation(source.relation, meter))


def _counted_relation(relation: Relation | None, meter: Meter) -> Relation | None:
    """Return the relation with its rows also counted by `meter`."""
    if relation is None:
        return None
    meter.expected = relation.rows

    def on_read(counted: Iterable[int], size: int) -> None:
        relation.on_read(counted, size)
        meter.rows, meter.ended = relation.rows, True

    return replace(relation, on_read=on_read)


def balance(active: Active, stored: Sequence[int | None]) -> tuple[int, int, int]:
    """Return rows in, out and rejected; fails with DAT008 if they do not balance.

    `stored` has, for each input, the number of spooled rows; None if it was not spooled.
    """
    step, counts = active.data["id"], active.ready.counts if active.ready else {}
    _check_stored(step, active.inputs, stored)
    if active.data["mode"] == "transform":
        rows_in = sum(meter.rows for meter in active.inputs)
        return rows_in, active.meter.rows, counts.get("rows_rejected", 0)
    if active.written:
        return _of_writer(step, active.inputs[0], active.written)
    rejected = counts.get("rows_rejected", 0)
    given = active.meter.rows + rejected + counts.get("rows_filtered", 0)
    read = counts.get("rows_read", given)
    if active.meter.ended and read != given:
        fail("DAT008", step=step, problem=f"it read {read} rows but accounts for {given}")
    return read, active.meter.rows, rejected


def _check_stored(step: str, inputs: Sequence[Meter], stored: Sequence[int | None]) -> None:
    """Fail with DAT008 if a spool read to its end returned another number of rows than were stored."""
    for meter, rows in zip(inputs, stored, strict=True):
        if rows is not None and meter.ended and meter.rows != rows:
            fail("DAT008", step=step, problem=f"{rows} rows were spooled for it, but {meter.rows} were read")


def _of_writer(step: str, edge: Meter, written: Written) -> tuple[int, int, int]:
    if written.earlier is not None:  # an earlier attempt delivered it, says the target's ledger; no input was read
        return written.rows + written.rejected, written.rows, written.rejected
    if not edge.ended:
        fail("DAT008", step=step, problem=f"it stopped after {edge.rows} rows, before the end of its input")
    if edge.rows != written.rows + written.rejected:
        problem = f"it took {edge.rows} rows, wrote {written.rows} and rejected {written.rejected}"
        fail("DAT008", step=step, problem=problem)
    return edge.rows, written.rows, written.rejected
