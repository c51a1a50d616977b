"""Rows that were read from a server as batches: what cannot be carried fails the step, or is set aside and numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from osiris.errors import fail
from osiris.families.quarantine import Misfit, Refused, Reject, divide, of_row
from osiris.families.sql.columnar import Unfit, refuse_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    SetAside = Callable[[Reject], None] | None


@dataclass(frozen=True, slots=True)
class Sieve:
    """What becomes of rows: a value may have `largest` bytes, and what cannot be carried goes to `aside`, or fails."""

    aside: SetAside = None
    largest: int | None = None


COARSE = Sieve()
"""Nothing is set aside, and nothing is too large."""


class Decoder(Protocol):
    """Gives the columns of the rows from `first` to `end` of a buffer, one after the other; may raise Unfit."""

    def __call__(self, first: int, end: int, /) -> Iterator[pa.Array]:
        """Yield them."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, the bytes that they had as the server sent them, and the rows between them that cannot be carried."""

    rows: pa.RecordBatch
    size: int
    misfits: Sequence[Misfit] = ()


def decode_rows(count: int, size: int, decode: Decoder, arrow: pa.Schema, sieve: Sieve) -> Batch:
    """Return `count` rows; raises Misfit for one that cannot be carried, unless they are sifted."""
    import pyarrow as pa

    if not sieve.aside:
        return Batch(_decoded(decode, arrow, sieve, 0, count), size)
    parts: list[pa.RecordBatch] = []
    misfits: list[Misfit] = []

    def take(row: int, refused: Refused) -> None:
        if isinstance(refused, Misfit):
            misfits.append(Misfit(refused.column, refused.value, refused.why, row))

    divide(count, lambda first, end: parts.append(_decoded(decode, arrow, sieve, first, end)), take)
    return Batch(pa.concat_batches(parts) if parts else pa.RecordBatch.from_pylist([], arrow), size, misfits)


def _decoded(decode: Decoder, arrow: pa.Schema, sieve: Sieve, first: int, end: int) -> pa.RecordBatch:
    import pyarrow as pa

    arrays: list[pa.Array] = []
    try:
        for array in decode(first, end):
            refuse_large(array, sieve.largest)
            arrays.append(array)
    except Unfit as unfit:
        raise Misfit(arrow.names[len(arrays)], unfit.value, unfit.reason, unfit.row) from None
    return pa.RecordBatch.from_arrays(arrays, schema=arrow)


def account(batches: Iterable[Batch], sieve: Sieve) -> Iterator[Batch]:
    """Pass batches on; a value that cannot be carried is told with the number of its row among all.

    It is set aside, or fails with DAT031.
    """
    before = 0
    try:
        for batch in batches:
            for misfit in batch.misfits:
                _set_aside(sieve, _number(before, misfit), misfit)
            before += batch.rows.num_rows + len(batch.misfits)
            yield batch
    except Misfit as misfit:
        row = _number(before, misfit)
        fail("DAT031", column=misfit.column, row=row, value=misfit.value, reason=misfit.why)


def _set_aside(sieve: Sieve, number: int, misfit: Misfit) -> None:
    if sieve.aside:
        sieve.aside(of_row(number, misfit.column, misfit.value, misfit.why))


def _number(before: int, misfit: Misfit) -> int:
    return before + (misfit.row or 0) + 1
