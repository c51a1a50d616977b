"""Spooled outputs: Arrow files that several steps, a run that continues this one, or the caller of a run read."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.delivery import inspect_file
from osiris.errors import fail
from osiris.fault import fault
from osiris.files import fail_os, make_private
from osiris.model import schema_from_json
from osiris.runner.protocol import KEPT, KEPT_PART
from osiris.runner.stages import count_readers
from osiris.runner.worker.failure import caught
from osiris.table import counted, passed_on, reopen, spool
from osiris.table.stream import open_spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from osiris.model import JsonValue, Order, Schema
    from osiris.runner.protocol import Job
    from osiris.runner.worker.running_step import Meter
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class _Spool:
    schema: Schema
    order: Order
    rows: int


class Spools:
    """The spools of one job, in one folder with one size limit; each is removed after its last reader.

    Spools kept by an earlier run (`job.kept`) are in the same folder. Thread-safe.
    """

    def __init__(self, job: Job) -> None:
        self._folder = Path(job.spools)
        self._limit = job.spool_limit
        self._readers = count_readers([step for step in job.steps if step["id"] not in job.skip])
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {step: spool_entry["file"]["size"] for step, spool_entry in job.kept.items()}
        self._spools = {
            step["id"]: _Spool(schema_from_json(step["schema"]), spool_entry["order"], spool_entry["rows"])
            for step in job.steps
            if (spool_entry := job.kept.get(step["id"]))
        }

    def store(self, step: str, output: RowStream, meter: Meter) -> None:
        """Write the output of a step, counted by `meter`; fails with RUN018, or with a file error."""
        path = self._path(step)
        try:
            make_private(path.parent)
            fault("spool.write")
            spool(counted(output, lambda _rows: self._measure(step)), path)
            self._measure(step)
            self._spools[step] = _Spool(output.schema, output.order, meter.rows)
        except OSError as error:
            if meter.failure:
                raise
            fail_os(error, path)
        finally:
            if step not in self._spools:
                path.unlink(missing_ok=True)

    def open(self, step: str) -> RowStream:
        """Return a stored output as a new stream."""
        entry = self._spools[step]
        return reopen(self._path(step), entry.schema, entry.order)

    def rows(self, step: str) -> int | None:
        """Return the number of stored rows; None if the output of this step is not spooled."""
        return self._spools[step].rows if step in self._spools else None

    def inspect(self, step: str) -> dict[str, JsonValue]:
        """Return the description of a spool that a later run needs to reuse it."""
        entry = self._spools[step]
        return {"rows": entry.rows, "order": entry.order, "file": inspect_file(self._folder, f"{step}.arrow").to_json()}

    def release(self, steps: Iterable[str]) -> None:
        """Record that one reader of each of these steps has ended."""
        for step in steps:
            with self._lock:
                self._readers[step] -= 1
                is_last = self._readers[step] == 0 and step in self._spools
            if is_last:
                del self._spools[step], self._sizes[step]
                with suppress(OSError):  # the folder of all spools is removed at the end of the run
                    fault("spool.remove")
                    self._path(step).unlink(missing_ok=True)

    def _path(self, step: str) -> Path:
        return self._folder / f"{step}.arrow"

    def _measure(self, step: str) -> None:
        """Fail with RUN018 if all spools together exceed the limit."""
        self._sizes[step] = self._path(step).stat().st_size
        if self._limit is not None and sum(list(self._sizes.values())) > self._limit:
            fail("RUN018", step=step, limit=f"{self._limit / 1e6:,.0f} MB")


@contextmanager
def kept(source: RowStream, job: Job, step: str, *, rest: bool) -> Iterator[RowStream]:
    """Return the same stream, whose rows are also written to a file for the caller that started the job.

    With `rest`, rows that were not read are added when the block ends. Without room for the file, after an exception,
    and if its rows are incomplete, there is no file; the step does not fail.
    """
    path = Path(job.spools) / f"{step}{KEPT}"
    rows, file = source.batches(), _KeptFile(path, source.schema, job.spool_limit)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            file.add(batch)
            yield batch
        file.is_complete = True

    def read_rest() -> None:
        for _ in batches():
            pass

    with closing(rows), closing(file):
        yield passed_on(source, batches())
        if rest and not file.is_complete:
            caught(read_rest)
        file.publish()


class _KeptFile:
    """An Arrow file that is given up at the first error; it gets its name when it is published."""

    def __init__(self, path: Path, schema: Schema, limit: int | None) -> None:
        self.is_complete = False
        self._path, self._part = path, path.with_suffix(KEPT_PART)
        self._limit = limit
        self._open = ExitStack()
        self._writer: pa.RecordBatchStreamWriter | None = None
        with self._or_nothing():
            make_private(path.parent)
            self._writer = self._open.enter_context(open_spool(self._part, schema))

    def add(self, batch: pa.RecordBatch) -> None:
        """Write a batch."""
        if self._writer is None:
            return
        with self._or_nothing():
            self._writer.write_batch(batch)
            if self._limit is not None and self._part.stat().st_size > self._limit:
                self._give_up()

    def publish(self) -> None:
        """Give the file its name if it is complete."""
        if self.is_complete and self._writer:
            with self._or_nothing():
                self._open.close()
                self._part.rename(self._path)

    def close(self) -> None:
        """Remove an unpublished file."""
        self._give_up()

    @contextmanager
    def _or_nothing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        self._writer = None
        with suppress(OSError):
            self._open.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
