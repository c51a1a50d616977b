"""A step that is under way: its progress, the meter of each edge, and the balance of its rows.

The rows of a step must add up: what it took is what it gave, rejected and filtered.
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
    """What has flowed through an edge: how many rows and, if it `digests`, their digest. `failure` is what was raised.

    An error that crosses the C interface arrives as another type without its code, so it is kept where it was raised.
    """

    rows: int = 0
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
        """Note that the stream has ended; its order is asked for now, while its source has not been let go of."""
        self.ended = True
        if self.digests:
            self._digester_of(source)

    @property
    def digest(self) -> JsonValue:
        """The digest of the rows so far; None where none is made, or nobody has read any."""
        return self._digester and self._digester.result()

    def _digester_of(self, source: RowStream) -> Digester:
        self._digester = self._digester or Digester(source.schema, source.order)
        return self._digester


@dataclass(slots=True)
class Active:
    """A step that has started and not ended; `meter` counts its output, `inputs` what it has read.

    Of a writer, `meter` counts what it takes. `checks` is how many checks it has passed.
    """

    data: Mapping[str, JsonValue]
    started: float
    ready: Ready | None = None
    meter: Meter = field(default_factory=Meter)
    inputs: list[Meter] = field(default_factory=list)
    written: Written | None = None
    checks: int = 0

    @property
    def rows(self) -> int:
        """Rows so far: what it gave, or, of a writer, what it took."""
        return sum(meter.rows for meter in self.inputs) if self.data["mode"] == "write" else self.meter.rows

    @property
    def overdue(self) -> bool:
        """Tell whether the step has run for longer than it may."""
        limit = self.ready.timeout if self.ready else None
        return limit is not None and time.monotonic() - self.started > limit


def metered(source: RowStream, meter: Meter, stopper: Stopper) -> RowStream:
    """Return the stream, its rows taken by `meter`; pulling it ends when somebody asked to stop."""

    def batches() -> Iterator[pa.RecordBatch]:
        with meter:
            for batch in source.batches():
                stopper.check()
                meter.take(source, batch)
                yield batch
            meter.end(source)

    return passed_on(source, batches(), _counted_relation(source.relation, meter))


def _counted_relation(relation: Relation | None, meter: Meter) -> Relation | None:
    """Return the relation whose rows `meter` counts too."""
    if relation is None:
        return None

    def on_read(counted: Iterable[int], size: int) -> None:
        relation.on_read(counted, size)
        meter.rows, meter.ended = relation.rows, True

    return replace(relation, on_read=on_read)


def balance(active: Active, stored: Sequence[int | None]) -> tuple[int, int, int]:
    """Return rows in, out and rejected; fails with DAT008 if they do not add up.

    `stored` has, for each input, how many rows were spooled for it; None if it was not spooled.
    """
    step, counts = active.data["id"], active.ready.counts if active.ready else {}
    _check_stored(step, active.inputs, stored)
    if active.data["mode"] == "transform":
        taken = sum(meter.rows for meter in active.inputs)
        return taken, active.meter.rows, counts.get("rows_rejected", 0)
    if active.written:
        return _of_writer(step, active.inputs[0], active.written)
    rejected = counts.get("rows_rejected", 0)
    given = active.meter.rows + rejected + counts.get("rows_filtered", 0)
    read = counts.get("rows_read", given)
    if active.meter.ended and read != given:
        fail("DAT008", step=step, problem=f"it read {read} rows but accounts for {given}")
    return read, active.meter.rows, rejected


def _check_stored(step: str, inputs: Sequence[Meter], stored: Sequence[int | None]) -> None:
    """Fail with DAT008 if a spool that was read to its end did not give the rows that were stored."""
    for meter, rows in zip(inputs, stored, strict=True):
        if rows is not None and meter.ended and meter.rows != rows:
            fail("DAT008", step=step, problem=f"{rows} rows were spooled for it, but {meter.rows} were read")


def _of_writer(step: str, edge: Meter, written: Written) -> tuple[int, int, int]:
    if written.earlier is not None:  # delivered by an earlier attempt, as the target's ledger tells; nothing was taken
        return written.rows + written.rejected, written.rows, written.rejected
    if not edge.ended:
        fail("DAT008", step=step, problem=f"it stopped after {edge.rows} rows, before the end of its input")
    if edge.rows != written.rows + written.rejected:
        problem = f"it took {edge.rows} rows, wrote {written.rows} and rejected {written.rejected}"
        fail("DAT008", step=step, problem=problem)
    return edge.rows, written.rows, written.rejected
