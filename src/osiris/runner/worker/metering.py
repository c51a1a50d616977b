"""An edge between two steps: counted, stoppable, and remembering whose failure passed through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.table import RowStream, stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from osiris.runner.cancellation import Stopper
    from osiris.table import Relation


@dataclass(slots=True)
class Meter:
    """What has flowed through an edge. `failure` is what its source raised.

    An error that crosses the C interface arrives as another type without its code, so it is kept where it was raised.
    """

    rows: int = 0
    ended: bool = False
    failure: Exception | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            self.failure = error


def watched(source: RowStream, meter: Meter, stopper: Stopper) -> RowStream:
    """Return the stream, its rows counted by `meter`; pulling it ends when somebody asked to stop."""

    def batches() -> Iterator[pa.RecordBatch]:
        with meter:
            for batch in source.batches():
                stopper.check()
                meter.rows += batch.num_rows
                yield batch
            meter.ended = True

    return replace(stream(source.schema, batches(), source.order), relation=_told(source.relation, meter))


def _told(relation: Relation | None, meter: Meter) -> Relation | None:
    """Return the relation whose rows `meter` counts too."""
    if relation is None:
        return None

    def on_read(counted: Iterable[int], size: int) -> None:
        relation.on_read(counted, size)
        meter.rows, meter.ended = relation.rows, True

    return replace(relation, on_read=on_read)
